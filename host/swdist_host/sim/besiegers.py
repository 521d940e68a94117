"""Neighbours that keep a node busy, and that speak in others' names: all that is known to have
worked once against a node. `Siege` does all of it at once.
"""

from swdist.formats import datagram, manifest, tftp, usign
from swdist_host.sim import attackers, traitors
from swdist_host.sim.attackers import Attacker, Lie
from swdist_host.sim.authority import EPOCH_S
from swdist_host.sim.station import TFTP_PORT, address
from swdist_host.sim.world import SECOND

OWN_PORTS = 61000  # from here on: what comes there is not for the node that it also is
SMALL_PORT = 8  # of these
OFFERS = 8  # of one neighbour, as many as are remembered
SKEW_US = 70 * SECOND
TRICKLED_US = SECOND * 4 // 5
INVENTED_IDS = 12
JUNK_BLOCKS = 14
JUNK_BYTES = 1500
_EXTREMES = (0, 1, -1, 1 << 31, (1 << 31) - 1, 1 << 32, (1 << 63) - 1, -(1 << 63), (1 << 64) - 1,
             4102444800000000, 4102444799999999)  # fmt: skip


class Besieger(Attacker):
    """Speaks in honest neighbours' names, and has addresses of its own."""

    def near(self):
        """An honest neighbour, by lot; None if there is none that is up."""
        there = [self.sim.stations[n] for n in sorted(self.world.radio.links[self.number])]
        there = [s for s in there if s.up and s.honest]
        return there[self.rand(len(there))] if there else None

    def own(self, i):
        """One of its further addresses, at which it gets what is sent there."""
        peer = address(1 << 41 | self.number << 16 | i)
        self.world.addresses[peer] = self.number
        return peer

    def request(self, server, port, buf, n, source):
        radio = self.world.radio
        radio.unicast(self.number, server, OWN_PORTS + port, TFTP_PORT, bytes(buf[:n]), source)

    def deliver(self, epoch, peer, sport, port, data):
        if port < OWN_PORTS:
            super().deliver(epoch, peer, sport, port, data)
        elif self.up:
            self.heard(peer, sport, port - OWN_PORTS, data)

    def heard(self, peer, sport, port, data):
        pass

    def reply(self, peer, sport, port, data, source):
        self.world.radio.unicast(self.number, peer, OWN_PORTS + port, sport, data, source)


class SlotHolder(Besieger):
    """Keeps upload slots under two addresses: acknowledges the options, takes no block, and asks
    for something else before the slot is old. Only with `packet`."""

    gap_us = SECOND // 5

    def attack(self):
        server = self.near()
        if server is None:
            return
        names = [b"1/" + r.rid.hex().encode() + b"/manifest" for r in server.store.releases]
        for pid, h in server.store.payloads.held.items():
            names += [b"1/" + pid.hex().encode() + b"/%d-%d" % (n, n) for n in range(h.held)]
        if not names:
            return
        out = bytearray(tftp.MAX_REQUEST_BYTES)
        for port in range(4):
            n = tftp.put_request(out, names[self.rand(len(names))], 1428, 64)
            self.request(server.peer, port, out, n, self.own(port // 2))

    def heard(self, peer, sport, port, data):
        if port < 4 and data[1] == tftp.OACK:
            self.reply(peer, sport, port, b"\0\4\0\0", self.own(port // 2))
        else:
            super().heard(peer, sport, port, data)


class SmallBlocks(Besieger):
    """Wants blocks of 8 bytes in the largest window that there is. Only with `packet`.
    small_sent_bytes, small_got_bytes: what that has cost it, and brought it."""

    gap_us = SECOND
    small_sent_bytes = small_got_bytes = 0
    _window = 1

    def attack(self):
        server = self.near()
        held = list(server.store.payloads.held) if server is not None else ()
        if not held:
            return
        out = bytearray(tftp.MAX_REQUEST_BYTES)
        tftp.put_head(out, tftp.RRQ, 0)
        name = b"1/" + held[-1].hex().encode() + b"/1-9"  # 0 is a short page
        at = tftp.put_text(out, tftp.put_text(out, 2, name), b"octet")
        at = tftp.put_option(out, at, b"blksize", tftp.MIN_BLKSIZE)
        at = tftp.put_option(out, at, b"windowsize", tftp.LEGAL_WINDOW)
        self.small_sent_bytes += at
        self.request(server.peer, SMALL_PORT + self.rand(64), out, at, self.own(2))

    def heard(self, peer, sport, port, data):
        if port < SMALL_PORT:
            super().heard(peer, sport, port, data)
            return
        self.small_got_bytes += len(data)
        block = 0
        if data[1] == tftp.OACK:
            options = tftp.options(tftp.strings(data, 2, len(data)))
            self._window = options.get(b"windowsize", 1)
        elif data[1] == tftp.DATA:
            block = tftp.block_of(data)
        if block % self._window == 0 or len(data) < tftp.HEAD_BYTES + tftp.MIN_BLKSIZE:
            self.small_sent_bytes += tftp.HEAD_BYTES
            self.reply(peer, sport, port, b"\0\4" + block.to_bytes(2, "big"), self.own(2))


class FalseOffers(Besieger):
    """In a neighbour's name and with its nonce: eight releases that it has not."""

    gap_us = 10 * SECOND

    def attack(self):
        victim = self.near()
        if victim is None:
            return
        w = self.writer(victim.nonce)
        w.announce(self.rng.randbytes(8), OFFERS, TFTP_PORT)
        for _ in range(OFFERS):
            w.release(self.rng.randbytes(32), (9, self.rand(9), self.rand(9)), 0, 0)
        self.shout(w, victim.peer)


class FalsePort(Besieger):
    """In a neighbour's name: no TFTP port, or another one."""

    gap_us = SECOND // 5

    def attack(self):
        victim = self.near()
        if victim is None:
            return
        w = self.writer(victim.nonce)
        w.announce(self.rng.randbytes(8), 0, (0, 9, 65535)[self.rand(3)])
        self.shout(w, victim.peer)


class FalseBeacons(Besieger):
    """In a neighbour's name: a counter that is 70 s off, or another nonce."""

    gap_us = 5 * SECOND

    def attack(self):
        victim = self.near()
        if victim is None:
            return
        counter = victim.counter(self.world.now) + SKEW_US
        told = EPOCH_S * SECOND + self.world.now + SKEW_US
        w = self.writer(self.rng.getrandbits(64) if self.rand(2) else victim.nonce)
        w.beacon(counter, told - counter, 1000, 0, (1, 0, 0), 0, datagram.SYNCED, TFTP_PORT,
                 self.rand(1 << 32))  # fmt: skip
        self.shout(w, victim.peer)


class Newcomers(Besieger):
    """Each of its beacons is from a neighbour that nobody has heard before, and never hears again:
    right about the time, and with something to offer."""

    gap_us = SECOND // 20
    _born = 0

    def attack(self):
        self._born += 1
        source = address(1 << 42 | self.number << 32 | self._born)
        now = self.counter(self.world.now)
        w = self.writer(self.rng.getrandbits(64))
        true = EPOCH_S * SECOND + self.world.now
        w.beacon(now, true - now, 1000, 0, (1, 0, 0), 0, 1, TFTP_PORT, self.rand(1 << 32))
        self.shout(w, source)
        w.announce(self.rng.randbytes(8), 1, TFTP_PORT)
        w.release(self.rng.randbytes(32), (9, 9, 9), 0, 0)
        self.shout(w, source)


class Superseded(Besieger):
    """Offers what is old as what is newest, and gives old releases under ids that nobody knows."""

    gap_us = 2 * SECOND

    def boot(self):
        self._names = {}  # {invented id: release behind it}
        super().boot()

    def attack(self):
        old = list(self.sim.authority.released.values())[:4]
        if not old:
            return
        if len(self._names) < 15:
            self._names[self.rng.randbytes(32)] = old[self.rand(len(old))]
        w = self.writer(self.node.nonce)
        w.announce(self.rng.randbytes(8), 4, TFTP_PORT)
        for rid in [*[swd.rid for swd in old], *self._names]:
            w.release(rid, (9, self.rand(9), 9), 9, 0)
        self.shout(w)

    def open(self, name):
        key = bytes.fromhex(bytes(name).decode().split("/")[1])
        swd = self._names.get(key)
        if swd is None:
            return super().open(name)
        what = bytes(name).rpartition(b"/")[2]
        return Lie(swd.manifest if what == b"manifest" else swd.signatures)


class JunkSignatures(Besieger):
    """Holds releases as everyone, and gives their signatures with what nobody can check, or with a
    block less."""

    def open(self, name):
        file = super().open(name)
        if file is None or not bytes(name).endswith(b"/signatures"):
            return file
        data = bytearray(file.size)
        file.read_into(0, data)
        blocks = usign.parse_signatures(bytes(data)) or []
        if self.rand(2):
            return Lie(b"".join([usign.block(*b) for b in blocks[1:]]))
        data = bytes(data)
        for _ in range(min(JUNK_BLOCKS, usign.MAX_BLOCKS - len(blocks))):
            # The length of another kind's signature is not known, so it may be anything.
            data += usign.block(b"Zz", self.rng.randbytes(8), self.rng.randbytes(JUNK_BYTES))
        return Lie(data)


class Queries(Besieger):
    """Asks for announcements twice a second, also in its neighbours' names."""

    gap_us = SECOND // 2

    def attack(self):
        victim = self.near()
        w = self.writer(self.rng.getrandbits(64))
        w.query()
        self.shout(w, victim.peer if victim is not None and self.rand(2) else None)


class Extremes(Besieger):
    """Well-formed, with the largest and smallest numbers that there are, also in a neighbour's
    name."""

    gap_us = SECOND

    def number_of(self, bits, signed=False):
        value = _EXTREMES[self.rand(len(_EXTREMES))] & ((1 << bits) - 1)
        return value - (1 << bits) if signed and value >> (bits - 1) else value

    def attack(self):
        n = self.number_of
        victim = self.near()
        other = victim is not None and self.rand(2)
        w = self.writer(victim.nonce if other else self.node.nonce)
        counter, offset = n(64), n(64, True)
        if self.rand(2):  # a sum that is a fair time
            offset = EPOCH_S * SECOND + self.world.now - counter
            if not -(1 << 63) <= offset < 1 << 63:
                offset = n(64, True)
        w.beacon(counter, offset, n(32), n(32, True), (n(16), n(16), n(16)), n(16), n(8), n(16),
                 n(32))  # fmt: skip
        if victim is not None:
            w.echo(victim.nonce, n(64, True), n(64))
        w.pending((n(16), n(16), n(16)), n(16), n(32), n(8))
        self.shout(w, victim.peer if other else None)
        w.announce(self.rng.randbytes(8), n(16), TFTP_PORT)
        w.release(self.rng.randbytes(32), (n(16), n(16), n(16)), n(16), n(8))
        for packed in list(self.sim.authority.payloads.values())[-4:]:
            w.payload(packed.pid, n(8), n(16), n(16))
        self.shout(w)


class TrickledIds(Besieger):
    """Invents releases, and lets the manifest of each trickle in."""

    gap_us = 5 * SECOND
    _next_t = 0

    def boot(self):
        self._invented = []
        super().boot()

    def attack(self):
        if len(self._invented) < INVENTED_IDS:
            self._invented.append(self.rng.randbytes(32))
        w = self.writer(self.node.nonce)
        w.announce(self.rng.randbytes(8), len(self._invented), TFTP_PORT)
        for rid in self._invented:
            w.release(rid, (9, 9, self.rand(9)), 0, 0)
        self.shout(w)

    def open(self, name):
        key = bytes.fromhex(bytes(name).decode().split("/")[1])
        return Lie(bytes(manifest.MAX_BYTES)) if key in self._invented else super().open(name)

    def delay_us(self, data):
        if data is None:
            return 6 * TRICKLED_US
        if data[1] != tftp.DATA:
            return 0
        self._next_t = max(self._next_t + TRICKLED_US, self.world.now)
        return self._next_t - self.world.now


class Twin(Attacker):
    """Has one address with all others of its kind, as routers have whose flash was copied: what is
    sent there comes to who spoke last."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.peer = address(1 << 43)

    def broadcast(self, buf, n):
        self.world.addresses[self.peer] = self.number
        super().broadcast(buf, n)


class Siege(SlotHolder, SmallBlocks, FalseOffers, FalsePort, FalseBeacons, Newcomers, Superseded,
            JunkSignatures, Queries, Extremes, TrickledIds):  # fmt: skip
    """All of these at once: one attacker with any number of addresses."""

    gap_us = SECOND // 20

    def boot(self):
        self._ways = [kind for kind in Siege.__bases__ if kind.gap_us]
        super().boot()

    def attack(self):
        for kind in self._ways:
            every = kind.gap_us // Siege.gap_us
            if self.rand(every) == 0:
                kind.attack(self)


BESIEGERS = {
    "slots": SlotHolder,
    "small-blocks": SmallBlocks,
    "false-offers": FalseOffers,
    "false-port": FalsePort,
    "false-beacons": FalseBeacons,
    "newcomers": Newcomers,
    "superseded": Superseded,
    "junk-signatures": JunkSignatures,
    "queries": Queries,
    "extremes": Extremes,
    "trickled-ids": TrickledIds,
}
KINDS = {**attackers.KINDS, **BESIEGERS, **traitors.KINDS, "siege": Siege, "twin": Twin}
