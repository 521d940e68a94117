"""Replays what `record` has written, on any interpreter: replay.py FILE...

Each file is one node: first a line `network threshold key-id:key ...`, then its record. Prints the
SHA-256 over all that came out. What differs ends it with status 1 and says where.
"""

import hashlib
import sys
from binascii import hexlify, unhexlify

from swdist.formats.bits import to_hex, version
from swdist.machines.clock import Clock
from swdist.machines.fetch import DOWNLOADS
from swdist.machines.tftpget import Get
from swdist.machines.tftpserve import UPLOADS, Serve
from swdist.shell import platform
from swdist.storage.room import Room
from swdist.storage.store import Store
from swdist.trust import choose, verify
from swdist.wiring.node import Node

QUOTA_BYTES = 8192 * 1024
TFTP_PORT = 27183


class Log:
    def _say(self, text):
        pass

    error = warn = info = debug = _say


class Differs(Exception):
    pass


class Replay:
    def __init__(self, path, fs, root):
        with open(path) as f:
            self.lines = f.read().split("\n")
        head = self.lines[0].split(" ")
        keys = {}
        for pair in head[2:]:
            key_id, _, key = pair.partition(":")
            keys[unhexlify(key_id)] = unhexlify(key)
        self.trust = verify.Trust(keys, int(head[1]), unhexlify(head[0]))
        self.at = 1
        self.fs = fs
        self.root = root
        self.hash = hashlib.sha256()

    def expect(self, line):
        if self.lines[self.at] != line:
            said = "line %d: came %s, recorded was %s"
            raise Differs(said % (self.at + 1, line[:200], self.lines[self.at][:200]))
        self.at += 1

    def rand(self, n):
        fields = self.lines[self.at].split(" ")
        if fields[0] != "r" or int(fields[1]) != n:
            raise Differs("line %d: rand(%d), recorded was %s" % (self.at + 1, n, fields))
        self.at += 1
        return int(fields[2])

    def sent(self, where, slot, peer, port, buf, n):
        data = bytes(buf[:n])
        self.hash.update(data)
        text = str(hexlify(data), "ascii")
        name = to_hex(peer) if peer else "-"
        self.expect("> %s %d %s %d %s" % (where, slot, name, port, text))

    def run(self):
        while self.at < len(self.lines) and self.lines[self.at]:
            fields = self.lines[self.at].split(" ")
            self.at += 1
            self.take(fields[0], int(fields[1]), fields)

    def take(self, what, now, fields):
        if what == "B":
            self.boot(now, fields)
        elif what == "T":
            self.node.tick(now)
            self.serve.tick(now)
        elif what == "M":
            self.clock.mesh_us(now)
        elif what == "A":
            failed = [unhexlify(f) for f in fields[6].split(",") if f != "-"]
            self.node.set_active(
                now, unhexlify(fields[2]), version(fields[3]), int(fields[4]), fields[5] == "1",
                failed, fields[7] == "1", unhexlify(fields[8]),
            )  # fmt: skip
        elif what == "P":
            self.put(now, [b"" if f == "-" else unhexlify(f) for f in fields[2:]])
        else:
            self.came(what, now, int(fields[2]), unhexlify(fields[3]), int(fields[4]), fields[5])

    def boot(self, now, fields):
        log = Log()
        self.fs.mkdirs(self.root)
        factory = version(fields[5])
        room = Room(choose.Here(fields[6]), factory, QUOTA_BYTES, QUOTA_BYTES)
        self.store = Store(self.fs, self.root, self.trust, log, room)
        self.store.load()
        self.gets = [Get(self.sender("g", i), 65536) for i in range(DOWNLOADS)]
        self.senders = [self.sender("s", i) for i in range(UPLOADS)]
        self.serve = Serve(self.put_datagram, self.store.open, UPLOADS)
        self.clock = Clock(int(fields[3]), int(fields[4]), 4000000)
        self.node = Node(
            self.trust.network, int(fields[2]), choose.factory(factory),
            self.store, self.clock, self.gets, self.broadcast, self.rand, log,
        )  # fmt: skip
        self.node.start(now, now, TFTP_PORT)

    def sender(self, where, slot):
        return lambda peer, port, buf, n: self.sent(where, slot, peer, port, buf, n)

    def broadcast(self, buf, n):
        self.sent("n", 0, b"", 0, buf, n)

    def put_datagram(self, slot, peer, port, buf, n):
        if slot < 0:
            self.sent("r", 0, peer, port, buf, n)
        else:
            self.senders[slot](peer, port, buf, n)

    def came(self, what, now, slot, peer, port, text):
        buf = bytearray(unhexlify(text))
        n = len(buf)
        if what == "N":
            self.node.hearing.receive(peer, buf, n, now)
        elif what == "R":
            self.serve.request(peer, port, buf, n, now)
        elif what == "S":
            self.serve.receive(slot, peer, port, buf, n, now)
        else:
            self.gets[slot].receive(peer, port, buf, n, now)
            self.node.next_at = now
        for i in range(n):
            buf[i] = 0xA5

    def put(self, now, parts):
        release, why = self.store.add(parts[0], parts[1])
        assert release is not None, why
        for n in range(2, len(parts), 2):
            pid = hashlib.sha256(parts[n]).digest()
            assert self.store.put_index(pid, parts[n]) is None
            h = self.store.held(pid)
            view = memoryview(parts[n + 1])
            while not h.complete():
                size = self.store.payloads.lengths(h, h.held, 1)[0]
                taken, why = self.store.put(h, view[:size])
                assert why is None, why
                view = view[taken:]
        self.node.news(now)


def main(paths):
    fs = platform.Fs()
    for path in paths:
        root = path + ".store"
        replay = Replay(path, fs, root)
        try:
            replay.run()
        except Differs as e:
            print(path, e)
            return 1
        fs.rmtree(root)
        print(to_hex(replay.hash.digest()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
