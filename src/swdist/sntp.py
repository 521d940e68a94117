"""SNTP (RFC 4330, RFC 5905) for stock clients on the link: they may follow the mesh's time. And for
a stock server: its broadcasts may lead this node.

Optional: netd loads it only with option sntp or reference 'broadcast'; it has a package of its own.
Says honestly when there is nothing to follow.
"""

from struct import pack, pack_into, unpack_from

from swdist.machines.clock import TIME_MAX_US, UNKNOWN
from swdist.shell import link
from swdist.shell.ifaces import interfaces

PORT = 123
GROUP = b"\xff\x02" + bytes(12) + b"\x01\x01"  # NTP's, on the link
BROADCAST_US = 64000000
SILENT_US = 96000000  # as long as a clock keeps a reference
SAMPLES = 8
AGREE = 3  # broadcasts that say the same, before they are believed
JUMP_US = 1000000  # what differs by more is not the same
DELAY_US = 50000  # allowed for the least of the delays, which one way doesn't tell
ROOT_MAX_US = 1000000
JOIN_US = 5000000

_SIZE = 48
_STRATUM = 10  # the mesh has none; any true server is to be preferred
_UNSYNCHRONISED = 16
_POLL = 6  # 64 s
_PRECISION = 236  # -20: about a microsecond
_SINCE_1900_S = 2208988800
_REFID = b"MESH"


def _stamp(buf, at, us):
    seconds = us // 1000000
    fraction = (us - seconds * 1000000 << 32) // 1000000
    pack_into("!II", buf, at, seconds + _SINCE_1900_S & 0xFFFFFFFF, fraction)


class Server:
    """`buf` is what is to be sent. clock: anything with mesh_us(now), error_us and synced."""

    def __init__(self, clock):
        self._clock = clock
        self.buf = bytearray(_SIZE)

    def request(self, data, n, rx_us, now):
        """A datagram that came at the counter's rx_us. True: send `buf` back to its sender."""
        if n < _SIZE or data[0] & 7 != 3 or not 1 <= data[0] >> 3 & 7 <= 4:
            return False  # not a client's; so two servers never answer each other
        self._fill(data[0] & 0x38 | 4, data[2], now)
        buf = self.buf
        for i in range(8):
            buf[24 + i] = data[40 + i]  # what the client calls its time of sending
        _stamp(buf, 32, self._clock.mesh_us(rx_us))
        _stamp(buf, 40, self._clock.mesh_us(now))
        return True

    def broadcast(self, now):
        """True: send `buf` to everybody (mode 5)."""
        if self._fill(0x25, _POLL, now):
            _stamp(self.buf, 40, self._clock.mesh_us(now))
            return True
        return False

    def _fill(self, first, poll, now):
        """All but the times of receiving and sending. False if there is no time to be told: that of
        a node alone, whose error is unknown, is none."""
        buf = self.buf
        error = self._clock.error_us
        good = self._clock.synced and error != UNKNOWN
        buf[0] = first if good else first | 0xC0
        buf[1] = _STRATUM if good else _UNSYNCHRONISED
        buf[2] = poll
        buf[3] = _PRECISION
        dispersion = min((error << 16) // 1000000 + 1, UNKNOWN)
        pack_into("!II4s", buf, 4, 0, dispersion, _REFID)
        for i in range(16, 40):
            buf[i] = 0
        if good:
            _stamp(buf, 16, self._clock.mesh_us(now) // 1000000 * 1000000)
        return good


def told(data, n):
    """(its time, error bound towards the true one) in us, of a server's broadcast; None if it is no
    broadcast, or nothing to go by. Above our stratum it may be one that follows this mesh."""
    if n < _SIZE or data[0] & 7 != 5 or not 3 <= data[0] >> 3 & 7 <= 4 or data[0] >> 6 == 3:
        return None
    if not 1 <= data[1] <= _STRATUM or data[12:16] == _REFID:
        return None
    delay, dispersion = unpack_from("!II", data, 4)
    error = ((delay + 1) // 2 + dispersion) * 1000000 // 65536 + 1
    seconds, fraction = unpack_from("!II", data, 40)
    if error > ROOT_MAX_US or not seconds | fraction:
        return None
    if seconds < 0x80000000:
        seconds += 1 << 32  # since 2036; RFC 4330, section 3
    us = (seconds - _SINCE_1900_S) * 1000000 + (fraction * 1000000 >> 32)
    return (us, error) if 0 <= us < TIME_MAX_US else None


class Listener:
    """Makes a reference of one source's broadcasts: the first that is heard, and another one only
    when that has been silent. clock: anything with reference(us, error_us, now)."""

    def __init__(self, clock):
        self._clock = clock
        self._source = None
        self._heard_at = self._apart = 0
        self._aheads = []  # by how much its time was ahead of our counter when it came

    def hear(self, data, n, source, rx_us):
        """A datagram from `source`, a peer, that came at the counter's rx_us."""
        said = told(data, n)
        if said is None:
            return
        silent = rx_us - self._heard_at > SILENT_US
        if source != self._source and self._source is not None and not silent:
            return
        if source != self._source or silent:
            self._source = bytes(source)
            self._aheads = []
        self._heard_at = rx_us
        aheads = self._aheads
        ahead = said[0] - rx_us
        if aheads and abs(ahead - max(aheads)) > JUMP_US:
            # One that was read late, or forged, changes nothing; if it goes on, it is a step.
            self._apart += 1
            if self._apart < AGREE:
                return
            aheads.clear()
        self._apart = 0
        if len(aheads) == SAMPLES:
            aheads.pop(0)
        aheads.append(ahead)
        if len(aheads) >= AGREE:
            # The one furthest ahead was delayed least. If our counter gains on the source, that is
            # the oldest one, and too far ahead by no more than they differ.
            best = max(aheads)
            error = said[1] + DELAY_US + best - min(aheads)
            self._clock.reference(rx_us + best, error, rx_us)


def everybody(table):
    """Peers to reach all on these interfaces: the group on each, and each IPv4 network's broadcast
    address."""
    found = [GROUP + pack("!I", table.index[name]) for name in table.index]
    for name, network, mask in table.networks:
        if name in table.index:
            mapped = bytes(10) + b"\xff\xff" + pack("!I", network | mask ^ 0xFFFFFFFF)
            found.append(mapped + pack("!I", table.index[name]))
    return found


class Sntp:
    """netd's sockets for it. ValueError if the port is taken."""

    def __init__(self, conf, counter):
        self._table = interfaces(conf.interfaces)
        self._group = link.Group(GROUP)
        self._counter = counter
        self._serves = conf.sntp != "off"
        self._next_at = 0 if conf.sntp == "broadcast" else None
        self._join_at = 0 if conf.reference == "broadcast" else None
        self._server = self._listener = None
        self.ears = link.Server(conf.interfaces, PORT)

    def start(self, clock):
        if self._serves:
            self._server = Server(clock)
        if self._join_at is not None:
            self._listener = Listener(clock)

    def take(self, sock, data, peer, port, now):
        if self._listener is not None:
            self._listener.hear(data, len(data), peer, now)
        if self._server is not None:
            if self._server.request(data, len(data), now, self._counter.counter_us()):
                sock.send(peer, port, self._server.buf)

    def tick(self, now):
        """When it wants to be woken, at the latest."""
        wake = now + BROADCAST_US
        if self._join_at is not None:
            if now >= self._join_at:
                self._join_at = now + JOIN_US
                for name in self._table.names:
                    if self.ears.six is not None:
                        self._group.keep(self.ears.six, name, self._table.index.get(name))
            wake = self._join_at
        if self._next_at is None:
            return wake
        if now >= self._next_at:
            self._next_at = now + BROADCAST_US
            for peer in everybody(self._table):
                if self._server.broadcast(self._counter.counter_us()):
                    self.ears.send(peer, PORT, self._server.buf)
        return min(wake, self._next_at)
