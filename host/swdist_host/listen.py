"""Listening to the neighbours without being one of them."""

from swdist.formats import datagram
from swdist.shell import link, net, platform
from swdist_host.mesh import Mesh

BEACON_US = 4_000_000
ASK_US = 1_500_000  # one neighbour at most that often
ASK_AGAIN_US = 15_000_000  # the same neighbour
REFRESH_US = 5_000_000
TURN_MS = 250
MAX_NETWORKS = 4  # that are spoken to; the others are only heard: anyone can invent some


class Listener:
    """interfaces: names; network: 8 bytes, or None for all. Unless silent, it sends beacons, so
    that its neighbours echo them and the round trip is known, and queries. Its beacons echo
    nobody, so that no node counts its clock, and hold no digest, so that no node asks it."""

    names = {}  # of payloads: only who has the manifest knows what they are

    def __init__(self, interfaces, network=None, silent=False):
        nonce = int.from_bytes(platform.rand_bytes(8), "big")
        self.mesh = Mesh(network, nonce)
        self.silent = silent
        self._clock = platform.Clock()
        self._link = link.Link(interfaces)
        self._poller = net.Poller()
        self._sockets = []
        self._writers = {}  # by network
        self._nonce = nonce
        if network is not None:
            self._writer(network)

    def now(self):
        return self._clock.counter_us()

    def wall_us(self):
        """This host's clock less its counter."""
        return self._clock.wall_us() - self._clock.counter_us()

    def run(self, on_turn, seconds=None):
        """on_turn(now) is called several times a second, and ends it by giving True."""
        stop = platform.stop_fd()
        self._poller.register(stop)
        began = beacon_at = ask_at = refresh_at = self.now()
        for writer in self._writers.values():
            self._query_all(writer)
        while True:
            now = self.now()
            if now >= refresh_at:
                refresh_at = now + REFRESH_US
                self._refresh()
            if now >= beacon_at:
                beacon_at = now + BEACON_US * 9 // 10 + platform.rand(BEACON_US // 5)
                self._forget()
                for writer in self._writers.values():
                    self._beacon(writer)
            if now >= ask_at:
                ask_at = now + ASK_US
                self._ask(now)
            if on_turn(now) or (seconds is not None and now - began >= seconds * 1_000_000):
                return
            ready = self._poller.wait(TURN_MS)
            if stop in ready:
                return
            for s in ready:
                self._take(s)

    def close(self):
        self._link.close()

    def _refresh(self):
        self._link.refresh()
        for s in self._sockets:
            if s not in self._link.sockets:
                self._poller.unregister(s)
        for s in self._link.sockets:
            if s not in self._sockets:
                self._poller.register(s)
        self._sockets = list(self._link.sockets)

    def _take(self, s):
        for _ in range(64):
            got = s.recv()
            if got is None:
                return
            data, peer, _ = got
            row = self.mesh.receive(peer, data, len(data), self.now())
            if row is not None:
                self._greet(row.network)

    def _greet(self, network):
        """Speaks to a network, one of MAX_NETWORKS, for the first time."""
        if network not in self._writers and len(self._writers) < MAX_NETWORKS:
            writer = self._writer(network)
            self._query_all(writer)
            self._beacon(writer)  # at once, so that its next one can echo it

    def _writer(self, network):
        writer = datagram.Writer(network, self._nonce, platform.rand)
        self._writers[network] = writer
        return writer

    def _forget(self):
        """Networks of which nobody is heard any more are not spoken to."""
        heard = {row.network for row in self.mesh.rows()} | {self.mesh.network}
        self._writers = {n: w for n, w in self._writers.items() if n in heard}

    def _query_all(self, writer):
        if not self.silent:
            writer.query()
            self._link.broadcast(memoryview(writer.buf)[: writer.n])

    def _beacon(self, writer):
        if not self.silent:
            writer.beacon(self.now(), 0, 0xFFFFFFFF, 0, (0, 0, 0), 0, 0, 0, 0)
            self._link.broadcast(memoryview(writer.buf)[: writer.n])

    def _ask(self, now):
        row = None if self.silent else self.mesh.to_ask(now, ASK_AGAIN_US)
        if row is not None and row.network in self._writers:
            writer = self._writers[row.network]
            writer.query()
            self._link.send(row.peer, datagram.PORT, memoryview(writer.buf)[: writer.n])
