"""Our TFTP machines behind real UDP sockets over IPv4; runs on CPython and on MicroPython.

drive.py serve PORT FOLDER  the files right in the folder; says `ready` when it listens
drive.py get ADDRESS PORT NAME FILE BLKSIZE WINDOW  asks without options if BLKSIZE is 0

get says what became of it in one line of JSON, and writes FILE only when all has come.
"""

import gc
import json
import os
import sys

from swdist import net, platform, tftpget
from swdist.tftpserve import Serve

MAX_BYTES = 9 << 20
UPLOADS = 6
BURST = 32
MAPPED = bytes(10) + b"\xff\xff"


def peer_of(address, index=1):
    """1 is the index of `lo` in every network namespace."""
    return MAPPED + bytes([int(x) for x in address.split(".")]) + index.to_bytes(4, "big")


class Sockets(net.Udp):
    """One socket on a port of its own choice, or a given one; all interfaces."""

    def __init__(self, port):
        net.Udp.__init__(self, net._socket4(port, False, None), True, None, None, 1)


class File:
    """What the store gives out: one read of the file for one block."""

    def __init__(self, path):
        self.size = os.stat(path)[6]
        self._file = open(path, "rb")  # noqa: SIM115 - until close()

    def read_into(self, offset, view):
        self._file.seek(offset)
        return self._file.readinto(view) or 0

    def close(self):
        self._file.close()


class Server:
    def __init__(self, port, folder, open_file=None):
        self._folder = folder
        self._clock = platform.Clock()
        self._poller = net.Poller()
        self._listener = Sockets(port)
        self._poller.register(self._listener)
        self._ports = [None] * UPLOADS
        self._serve = Serve(self._send, open_file or self._open, platform.rand, UPLOADS)

    def _open(self, name):
        """Names come from the network: that of a file right in the folder, and nothing else."""
        try:
            name = str(bytes(name), "ascii")
        except (UnicodeError, ValueError):
            return None
        if name.startswith(".") or name not in os.listdir(self._folder):
            return None
        return File(self._folder + "/" + name)

    def _send(self, slot, peer, port, buf, n):
        if slot < 0:
            self._listener.send(peer, port, memoryview(buf)[:n])
            return
        if self._ports[slot] is None:
            self._ports[slot] = Sockets(0)
            self._poller.register(self._ports[slot])
        self._ports[slot].send(peer, port, memoryview(buf)[:n])

    def _close_idle(self):
        for i in range(UPLOADS):
            sock = self._ports[i]
            if sock is not None and self._serve.idle(i):
                self._poller.unregister(sock)
                sock.close()
                self._ports[i] = None

    def run(self):
        serve = self._serve
        while True:
            now = self._clock.counter_us()
            serve.tick(now)
            due = now + 1000000 if serve.next_at is None else serve.next_at
            ready = self._poller.wait(max((due - now + 999) // 1000, 0))
            if not ready or self._listener in ready:
                self._close_idle()
            for sock in ready:
                self._take(sock)

    def _take(self, sock):
        """One datagram: who fetches says one ACK and waits, so a second look would be in vain."""
        got = sock.recv()
        if got is None:
            return
        now = self._clock.counter_us()
        data, peer, port = got
        if sock is self._listener:
            self._serve.request(peer, port, data, len(data), now)
        else:
            self._serve.receive(self._ports.index(sock), peer, port, data, len(data), now)


def serve(server):
    sys.stdout.write("ready\n")
    if hasattr(sys.stdout, "flush"):
        sys.stdout.flush()
    server.run()


def get(address, port, name, path, blksize, window):
    plain = blksize == 0
    if not plain:
        tftpget.ASK_BLKSIZE, tftpget.ASK_WINDOW = blksize, window
    clock = platform.Clock()
    sock = Sockets(0)
    poller = net.Poller()
    poller.register(sock)

    def send(peer, port, buf, n):
        if plain and buf[1] == 1:  # as RFC 1350 has it: name and mode only
            n = 2 + len(name) + 1 + 6
        sock.send(peer, port, memoryview(buf)[:n])

    machine = tftpget.Get(send, platform.rand, MAX_BYTES)
    if hasattr(gc, "threshold"):
        gc.threshold(1 << 22)  # a node's buffer has 64 KiB; a collection searches all of this one
    machine.start(peer_of(address), port, name.encode(), MAX_BYTES, clock.counter_us())
    while machine.state == tftpget.RUNNING:
        now = clock.counter_us()
        machine.tick(now)
        if machine.next_at is None:
            break
        if not poller.wait(max((machine.next_at - now + 999) // 1000, 0)):
            continue
        for _ in range(BURST):
            got = sock.recv()
            if got is None:
                break
            machine.receive(got[1], got[2], got[0], len(got[0]), clock.counter_us())
    done = machine.state == tftpget.DONE
    if done:
        with open(path, "wb") as f:
            f.write(machine.view[: machine.length])
    result = {"done": done, "reason": machine.reason, "bytes": machine.length}
    result["us"] = machine.took_us
    result["rejects"] = machine.rejects
    print(json.dumps(result))
    return 0 if done else 1


def main(argv):
    if argv[0] == "serve":
        serve(Server(int(argv[1]), argv[2]))
    return get(argv[1], int(argv[2]), argv[3], argv[4], int(argv[5]), int(argv[6]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
