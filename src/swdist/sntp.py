"""SNTP (RFC 4330, RFC 5905) for stock clients on the link: they may follow the mesh's time.

Optional: netd loads it only with option sntp; it has a package of its own. Says honestly when there
is nothing to follow.
"""

from struct import pack, pack_into

from swdist import ifaces, net
from swdist.clock import UNKNOWN

PORT = 123
GROUP = b"\xff\x02" + bytes(12) + b"\x01\x01"  # NTP's, on the link
BROADCAST_US = 64000000

_SIZE = 48
_STRATUM = 10  # the mesh has none; any true server is to be preferred
_UNSYNCHRONISED = 16
_POLL = 6  # 64 s
_PRECISION = 236  # -20: about a microsecond
_SINCE_1900_S = 2208988800


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
        pack_into("!II4s", buf, 4, 0, dispersion, b"MESH")
        for i in range(16, 40):
            buf[i] = 0
        if good:
            _stamp(buf, 16, self._clock.mesh_us(now) // 1000000 * 1000000)
        return good


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
        self._table = ifaces.interfaces(conf.interfaces)
        self._counter = counter
        self._next_at = 0 if conf.sntp == "broadcast" else None
        self._server = None
        self.sockets = net.server(conf.interfaces, PORT)

    def start(self, clock):
        self._server = Server(clock)

    def take(self, sock, data, peer, port, now):
        if self._server.request(data, len(data), now, self._counter.counter_us()):
            sock.send(peer, port, self._server.buf)

    def tick(self, now):
        """When it wants to be woken, at the latest."""
        if self._next_at is None:
            return now + BROADCAST_US
        if now >= self._next_at:
            self._next_at = now + BROADCAST_US
            for peer in everybody(self._table):
                for s in self.sockets:
                    if s.takes(peer) and self._server.broadcast(self._counter.counter_us()):
                        s.send(peer, PORT, self._server.buf)
        return self._next_at
