"""Nodes without sockets, in virtual time: their machines and stores, and wires that lose."""

import json
from binascii import unhexlify

from logs import Log
from made import Made, Trust, fill, manifest

from swdist.formats.bits import to_hex
from swdist.machines.clock import Clock
from swdist.machines.tftpget import Get
from swdist.machines.tftpserve import Serve
from swdist.shell import platform
from swdist.storage.room import Room
from swdist.storage.store import Store
from swdist.trust import choose, verify
from swdist.wiring.node import Node

FS = platform.Fs()
DELAY_US = 2000
PORT = 27183
PAYLOAD = Made(bytes([i * 7 % 256 for i in range(10000)]))
MANIFEST = manifest("1.1.0", [PAYLOAD])
SIGNATURES = b"good"
BOARD = "b"


def vectors(name):
    at = __file__.rfind("/")
    folder = __file__[: at + 1] if at >= 0 else ""
    with open(folder + "../vectors/" + name + ".json") as f:
        return json.load(f)


def trust_of(signed):
    """The keys of a file of vectors; where there is none, signatures are good if they say so."""
    if signed is None:
        return Trust()
    keys = {unhexlify(i): unhexlify(k) for i, k in signed["keys"].items()}
    return verify.Trust(keys, signed["threshold"], unhexlify(signed["network"]))


class Station:
    """One node: its machines, its store, and wires into the world."""

    def __init__(self, world, number, root, board):
        self.world = world
        self.peer = bytes([number] * 20)
        self.hears = []
        trust = trust_of(world.signed)
        self.log = Log()
        path = root + "/%d" % number
        FS.mkdirs(path)
        room = Room(choose.Here(board), (1, 0, 0), 1 << 20, 1 << 18)
        self.store = Store(FS, path, trust, self.log, room)
        self.store.load()
        gets = [Get(self._getter(i), 65536) for i in range(2)]
        self.serve = Serve(self._serve, self.open, 4)
        self.node = Node(
            trust.network, number, choose.factory((1, 0, 0)), self.store,
            Clock(1795428000000000, 0, 4000000), gets, self._broadcast, world.rand, self.log,
        )  # fmt: skip
        self.node.start(world.now, 0, PORT)

    def open(self, name):
        return self.store.open(name)

    def _getter(self, i):
        return lambda peer, port, buf, n: self.world.put(self, peer, 4000 + i, port, buf, n)

    def _serve(self, slot, peer, port, buf, n):
        self.world.put(self, peer, PORT if slot < 0 else 5000 + slot, port, buf, n)

    def _broadcast(self, buf, n):
        for other in self.hears:
            self.world.put(self, other.peer, 27182, 27182, buf, n)

    def deliver(self, source, sport, port, data, now):
        buf = bytearray(data)
        if port == 27182:
            self.node.hearing.receive(source, buf, len(buf), now)
        elif port == PORT:
            self.serve.request(source, sport, buf, len(buf), now)
        elif port >= 5000:
            self.serve.receive(port - 5000, source, sport, buf, len(buf), now)
        else:
            self.node.fetch.slots[port - 4000].get.receive(source, sport, buf, len(buf), now)
            self.node.next_at = now
        for i in range(len(buf)):
            buf[i] = 0xA5


class World:
    """Stations in a line; each datagram is lost with the given probability in percent. boards: of
    the stations, if they are not all the same."""

    def __init__(self, root, count, loss=0, seed=1, signed=None, boards=()):
        self.signed = signed  # vectors that say which keys all trust
        self.now = 1000000
        self.seed = seed
        self.loss = loss
        self.queue = []
        boards = list(boards) + [BOARD] * count
        self.stations = [Station(self, i + 1, root, boards[i]) for i in range(count)]
        for a, b in zip(self.stations, self.stations[1:]):
            a.hears.append(b)
            b.hears.append(a)

    def rand(self, n):
        self.seed = (self.seed * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.seed >> 8) % n

    def put(self, source, peer, sport, port, buf, n):
        if self.rand(100) >= self.loss:
            self.queue.append((self.now + DELAY_US, source.peer, peer, sport, port, bytes(buf[:n])))

    def run(self, seconds, until=None):
        end = self.now + seconds * 1000000
        while self.now < end and not (until is not None and until()):
            due = [q for q in self.queue if q[0] <= self.now]
            self.queue = [q for q in self.queue if q[0] > self.now]
            for _, source, peer, sport, port, data in due:
                for s in self.stations:
                    if s.peer == peer:
                        s.deliver(source, sport, port, data, self.now)
            wake = end
            for s in self.stations:
                s.node.tick(self.now)
                s.serve.tick(self.now)
                wake = min(wake, max(s.node.next_at, self.now + 500))
                if s.serve.next_at is not None:
                    wake = min(wake, max(s.serve.next_at, self.now + 500))
            if self.queue:
                wake = min(wake, self.queue[0][0])
            self.now = max(wake, self.now)
        return self


def inject(station, text=MANIFEST, made=PAYLOAD):
    """Puts a release and its payload there, as `swdist inject` does."""
    release, why = station.store.add(text, SIGNATURES)
    assert why is None, why
    fill(station.store, made)
    station.node.news(station.world.now)
    return release


class Folder:
    def __enter__(self):
        self.path = "/tmp/swdist-test-" + to_hex(platform.rand_bytes(8))
        FS.mkdirs(self.path)
        return self.path

    def __exit__(self, *_):
        FS.rmtree(self.path)
