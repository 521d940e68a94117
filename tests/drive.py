"""Our TFTP machines behind real UDP sockets over IPv4; runs on CPython and on MicroPython.

drive.py serve PORT FOLDER  the files right in the folder; says `ready` when it listens
drive.py get ADDRESS PORT NAME FILE BLKSIZE WINDOW  asks without options if BLKSIZE is 0

get says what became of it in one line of JSON, and writes FILE only when all has come.
"""

import gc
import json
import os
import sys

from swdist.machines import tftpget
from swdist.machines.tftpserve import UPLOADS, Serve
from swdist.shell import net, platform, ports
from swdist.storage import payloads

FS = platform.Fs()
MAX_BYTES = 9 << 20
MAPPED = bytes(10) + b"\xff\xff"


def peer_of(address, index=1):
    """1 is the index of `lo` in every network namespace."""
    return MAPPED + bytes([int(x) for x in address.split(".")]) + index.to_bytes(4, "big")


class Sockets(net.Udp):
    """One socket on a port of its own choice, or a given one; all interfaces."""

    def __init__(self, port):
        net.Udp.__init__(self, net.socket4(port, False, None), True, None, None, 1)


class Server:
    def __init__(self, port, folder, open_file=None):
        self._folder = folder
        self._clock = platform.Clock()
        self._poller = ports.Poller()
        self._listener = Sockets(port)
        self._poller.register(self._listener)
        self._ports = [ports.Port(self._poller, i) for i in range(UPLOADS)]
        opens = open_file or self._open
        self._serve = Serve(self._send, opens, UPLOADS)
        for port in self._ports:
            port.hearer = self._serve

    def _open(self, name):
        """Names come from the network: that of a file right in the folder, and nothing else."""
        try:
            name = str(bytes(name), "ascii")
        except (UnicodeError, ValueError):
            return None
        if name.startswith(".") or name not in os.listdir(self._folder):
            return None
        path = self._folder + "/" + name
        return payloads.File(FS.open(path, "rb"), 0, FS.size(path))

    def _send(self, slot, peer, port, buf, n):
        if slot < 0:
            self._listener.send(peer, port, memoryview(buf)[:n])
        else:
            self._ports[slot].send(peer, port, buf, n)

    def run(self):
        serve = self._serve
        while True:
            now = self._clock.counter_us()
            serve.tick(now)
            for i in range(UPLOADS):
                if serve.idle(i):
                    self._ports[i].close()
            due = now + 1000000 if serve.next_at is None else serve.next_at
            for sock in self._poller.one_turn(self._clock.counter_us, due):
                got = sock.recv()
                if got is not None:
                    data, peer, port = got
                    now = self._clock.counter_us()
                    serve.request(peer, port, data, len(data), now)


def any_interface(peer):
    """net.udp, where neighbours are told apart by their addresses alone."""
    return Sockets(0)


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
    poller = ports.Poller()
    transfer = ports.Port(poller)

    def send(peer, port, buf, n):
        if buf[1] == 1:  # as RFC 1350 has it: name and mode only
            n = 2 + len(name) + 1 + 6
        transfer.send(peer, port, buf, n)

    machine = tftpget.Get(send if plain else transfer.send, MAX_BYTES)
    transfer.hearer = machine
    if hasattr(gc, "threshold"):
        gc.threshold(1 << 22)  # a node's buffer has 64 KiB; a collection searches all of this one
    machine.start(peer_of(address), port, name.encode(), MAX_BYTES, clock.counter_us())
    while machine.state == tftpget.RUNNING:
        machine.tick(clock.counter_us())
        if machine.next_at is None:
            break
        poller.one_turn(clock.counter_us, machine.next_at)
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
    net.udp = any_interface
    if sys.implementation.name == "cpython":  # as the host tool does
        from swdist_host import transfers

        transfers.use()
    if argv[0] == "serve":
        serve(Server(int(argv[1]), argv[2]))
    return get(argv[1], int(argv[2]), argv[3], argv[4], int(argv[5]), int(argv[6]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
