"""The air: who hears whom, how long a frame takes, and that one channel is shared.

A node sends when it finds the channel free around itself, and around the receiver of a unicast
frame (as RTS and CTS do); then all that hear one of the two stay silent. A unicast frame that is
lost is sent again by the radio, a broadcast is not: it is also lost where the receiver is just
hearing somebody whom the sender does not hear (a hidden terminal).
"""

from collections import deque
from dataclasses import dataclass
from math import log
from zlib import crc32

from swdist_host.sim.world import BROADCAST, UNICAST

BACKOFF_US = 400  # contention window
QUEUE = 128  # frames that a driver keeps; what comes then is dropped
UDP_IP_BYTES = 48
LARGEST_BYTES = 65535
# Quantiles of an exponential distribution with mean 1000: whole numbers are alike on all machines.
_EXPONENTIAL = [round(-1000 * log(1 - (i + 0.5) / 256)) for i in range(256)]


@dataclass
class Settings:
    """Rates as the radio has them; frame_us is what preamble, pauses and the radio's own
    acknowledgement cost. retries: of a unicast frame, by the radio."""

    unicast_kbps: int = 24000
    broadcast_kbps: int = 6000
    frame_us: int = 150
    loss: float = 0.02
    loss_spread: float = 0.0  # each link's loss is loss +- this share of it, in each direction
    delay_us: int = 1000
    delay_spread: float = 0.3
    jitter_us: int = 500
    asymmetry_us: int = 200
    retries: int = 4
    mtu_bytes: int = 1400
    mtu_share: float = 0.0  # of the links swallow IP packets that are larger than that


class Link:
    """One direction of a link."""

    __slots__ = ("to", "loss", "delay_us", "most", "up", "last")

    def __init__(self, to, loss, delay_us, most):
        self.to = to
        self.loss = loss
        self.delay_us = delay_us
        self.most = most  # bytes of an IP packet; larger ones vanish
        self.up = True
        self.last = 0  # when the last frame arrives: none overtakes another


class Radio:
    """links[a] = {b: Link}. stations[a] gets deliver(); rng: a random.Random."""

    def __init__(self, world, settings, rng):
        self._world = world
        self._rng = rng
        self.settings = settings
        self.stations = []
        self.links = []
        self.busy = []  # until when the channel around each node is in use
        self._queues = []  # of each node: what is to be sent, the first being tried
        self.sent = []  # datagrams handed to the radio by each node
        self.sent_bytes = []
        self.air_us = 0
        self.costs = {}  # of files over links, once computed (see transfer)
        self.collisions = 0
        self.dropped = 0

    def add(self, station):
        self.stations.append(station)
        self.links.append({})
        self.busy.append(0)
        self._queues.append(deque())
        self.sent.append(0)
        self.sent_bytes.append(0)

    def connect(self, a, b, loss=None):
        s, random = self.settings, self._rng.random
        asymmetry = int(s.asymmetry_us * random())
        delay = int(s.delay_us * (1 + s.delay_spread * (2 * random() - 1)))
        swallows = s.mtu_share and random() < s.mtu_share
        for x, y, extra in ((a, b, asymmetry), (b, a, 0)):
            own = s.loss if loss is None else loss
            own *= 1 + s.loss_spread * (2 * random() - 1)
            self.links[x][y] = Link(
                y, min(own, 0.95), delay + extra, s.mtu_bytes if swallows else LARGEST_BYTES
            )

    def set_up(self, a, b, up):
        """A link comes or goes, in both directions."""
        for x, y in ((a, b), (b, a)):
            if y in self.links[x]:
                self.links[x][y].up = up

    def frame_us(self, n, kbps):
        return self.settings.frame_us + (n + UDP_IP_BYTES) * 8000 // kbps

    def _jitter(self):
        return self.settings.jitter_us * _EXPONENTIAL[int(self._rng.random() * 256)] // 1000

    def arrival(self, link, end):
        at = end + link.delay_us + self._jitter()
        if at <= link.last:
            at = link.last + 1
        link.last = at
        return at

    def claim(self, a, b, us):
        """Occupies the channel around a (and b, where it is not None) from now."""
        end = self._world.now + us
        busy = self.busy
        busy[a] = max(busy[a], end)
        for y in self.links[a]:
            if busy[y] < end:
                busy[y] = end
        if b is not None:
            for y in self.links[b]:
                if busy[y] < end:
                    busy[y] = end
        self.air_us += us
        return end

    # --- one queue for each node

    def enqueue(self, a, b, send, *args):
        """send(*args) is called once the channel is free around a, and around b if it is not None.
        It returns until when it keeps a busy, or 0 if it has nothing to send any more."""
        queue = self._queues[a]
        if len(queue) >= QUEUE:
            self.dropped += 1
            return
        queue.append((b, send, args))
        if len(queue) == 1:
            self._pump(a)

    def _pump(self, a):
        queue, world, busy = self._queues[a], self._world, self.busy
        while queue:
            b, send, args = queue[0]
            until = busy[a]
            if b is not None and busy[b] > until:
                until = busy[b]
            if until > world.now:
                world.at(self._pause(until), self._pump, a)
                return
            end = send(*args)
            if end:
                world.at(end, self._ended, a, b)
                return
            queue.popleft()

    def _ended(self, a, b):
        """A frame is through: for the next one a contends like all who wait for the channel."""
        queue = self._queues[a]
        queue.popleft()
        if queue:
            if self._wanted(a) or (b is not None and self._wanted(b)):
                self._world.at(self._pause(self._world.now), self._pump, a)
            else:
                self._pump(a)

    def _wanted(self, a):
        """Does anybody whom a hears wait?"""
        return any(self._queues[y] for y in self.links[a])

    def _pause(self, t):
        return t + 20 + int(self._rng.random() * BACKOFF_US)

    # --- broadcast

    def broadcast(self, a, data, only=None, source=None):
        """To all that hear a; or to those in `only`. source: an address that is not a's own."""
        self.sent[a] += 1
        self.sent_bytes[a] += len(data)
        self._world.trace.note(self._world.now, a, BROADCAST, crc32(data))
        self.enqueue(a, None, self._broadcast, a, data, only, source or self.stations[a].peer)

    def _broadcast(self, a, data, only, source):
        world, busy = self._world, self.busy
        now = world.now
        random = self._rng.random
        end = now + self.frame_us(len(data), self.settings.broadcast_kbps)
        busy[a] = end
        for b, link in self.links[a].items():
            if busy[b] > now:
                self.collisions += 1
                continue
            busy[b] = end
            station = self.stations[b]
            if not link.up or not station.up or (only is not None and b not in only):
                continue
            if random() >= link.loss and len(data) + UDP_IP_BYTES <= link.most:
                at = self.arrival(link, end)
                world.at(at, station.deliver, station.epoch, source, 27182, 27182, data)
        self.air_us += end - now
        return end

    # --- unicast

    def whom(self, a, peer):
        """The node at an address; None where a's interface is another one by now."""
        if peer[-1] != self.stations[a].interface:
            return None
        return self._world.addresses.get(peer[:-1] + b"\1")

    def unicast(self, a, peer, sport, port, data, source=None):
        self.sent[a] += 1
        self.sent_bytes[a] += len(data)
        self._world.trace.note(self._world.now, a, UNICAST, crc32(data))
        b = self.whom(a, peer)
        if b is not None and b in self.links[a]:
            source = source or self.stations[a].peer
            self.enqueue(a, b, self._unicast, a, b, sport, port, data, source)

    def _unicast(self, a, b, sport, port, data, source):
        link, station = self.links[a][b], self.stations[b]
        sent = self.attempts(link) if link.up and station.up else 0
        frame_us = self.frame_us(len(data), self.settings.unicast_kbps)
        end = self.claim(a, b, frame_us * (sent or self.settings.retries + 1))
        if sent and len(data) + UDP_IP_BYTES <= link.most:
            at = self.arrival(link, end)
            self._world.at(at, station.deliver, station.epoch, source, sport, port, data)
        return end

    def chance(self, p):
        return self._rng.random() < p

    def attempts(self, link):
        """How often the radio sends a unicast frame until it is through; 0: never."""
        random, loss = self._rng.random, link.loss
        for n in range(self.settings.retries + 1):
            if random() >= loss:
                return n + 1
        return 0
