"""Neighbours with bad intent. Each is a whole node that also does one wrong thing.

They know everything but the CA's secret keys. What they send is built with the device's own writers
where that helps them to be believed.
"""

import struct
from dataclasses import replace

from swdist.formats import datagram, tftp
from swdist.formats.datagram import BEACON
from swdist_host import keys
from swdist_host.sim.authority import EPOCH_S
from swdist_host.sim.station import TFTP_PORT, Station, address
from swdist_host.sim.world import SECOND

DAY_US = 86400 * SECOND
FLOOD_GAP_US = 100000
FORGE_GAP_US = 20 * SECOND
IDENTITIES = 40
TRICKLE_US = 3 * SECOND  # between two blocks
_OFFSET_AT = datagram.HEADER_BYTES + 16  # of the mesh offset in a beacon


class Lie:
    """A file whose content was changed; read by the server in both fidelities."""

    def __init__(self, data):
        self._data = data
        self.size = len(data)

    def read_into(self, offset, view):
        part = self._data[offset : offset + len(view)]
        view[: len(part)] = part
        return len(part)

    def whole(self):
        return self._data

    def close(self):
        pass


def is_run(name):
    return bytes(name).rpartition(b"/")[2].replace(b"-", b"").isdigit()


def part_of(swd, name):
    """What a file of a release has in it, by its TFTP name; None if it has no such."""
    _, key, what = bytes(name).decode().split("/")
    if key == swd.rid.hex():
        return {"manifest": swd.manifest, "signatures": swd.signatures}.get(what)
    for packed in swd.payloads:
        if key == packed.pid.hex():
            if what == "index":
                return packed.index
            first, _, last = what.partition("-")
            return b"".join(packed.pieces[int(first) : int(last or first) + 1])
    return None


def say_all(w, swds):
    """Announces releases and all of their payloads as held."""
    for swd in swds:
        m = swd.parsed
        w.release(swd.rid, m.version, m.revision, 0)
        for packed in swd.payloads:
            pieces = len(packed.pieces)
            w.payload(packed.pid, datagram.COMPLETE, pieces, pieces)


class Attacker(Station):
    """`sim` gives it the truth that it twists. Its own checks are of no interest to anybody."""

    honest = False
    gap_us = 0  # between two attacks, 0: it only answers

    def __init__(self, *args, sim=None, **more):
        super().__init__(*args, **more)
        self.sim = sim

    def boot(self):
        super().boot()
        if self.up and self.gap_us:
            self.world.at(self.world.now + self.rand(self.gap_us) + 1, self._again, self.epoch)

    def _again(self, epoch):
        if self.up and epoch == self.epoch:
            self.attack()
            self.world.at(self.world.now + self.gap_us, self._again, epoch)

    def attack(self):
        pass

    def writer(self, nonce):
        return datagram.Writer(self.trust.network, nonce, self.rand)

    def shout(self, w, source=None):
        self.world.radio.broadcast(self.number, bytes(w.buf[: w.n]), None, source)


class Garbage(Attacker):
    """Holds releases as everyone, and changes one bit of each chunk that it serves."""

    def open(self, name):
        file = self.store.open(name)
        if file is None or not is_run(name):
            return file
        return self.change(file)

    def change(self, file):
        data = bytearray(file.size)
        file.read_into(0, data)
        data[self.rand(len(data))] ^= 1 << self.rand(8)
        return Lie(bytes(data))


class Truncated(Garbage):
    """Chunks end early."""

    def change(self, file):
        data = bytearray(self.rand(file.size))
        file.read_into(0, data)
        return Lie(bytes(data))


class Forger(Attacker):
    """Offers releases that the CA has not signed: by a stranger's key under the CA's key id, with
    changed manifests under true signatures, and without signatures."""

    gap_us = FORGE_GAP_US

    def boot(self):
        self.forged = {}
        super().boot()

    def attack(self):
        swd = self.forge()
        if len(self.forged) < 8:
            self.forged[swd.rid] = swd
        w = self.writer(self.node.nonce)
        w.announce(bytes([self.rand(256) for _ in range(8)]), len(self.forged), TFTP_PORT)
        say_all(w, self.forged.values())
        self.shout(w)

    def forge(self):
        """A release with a high version that is active at once."""
        authority = self.sim.authority
        version = f"9.{self.rand(9)}.{self.rand(9)}"
        payloads = self.sim.payloads("forged", 20000)
        now_s = self.sim.now_s()
        imposters = [keys.SecretKey(k.key_id, authority.stranger.seed) for k in authority.keys[:2]]
        how = self.rand(3)
        if how == 1 and authority.released:
            true = list(authority.released.values())[self.rand(len(authority.released))]
            swd = authority.build(version, now_s, now_s, payloads, signers=imposters)
            return replace(swd, signatures=true.signatures)
        signers = imposters if how == 0 else [authority.stranger]
        return authority.build(version, now_s, now_s, payloads, signers=signers)

    def open(self, name):
        for swd in self.forged.values():
            part = part_of(swd, name)
            if part is not None:
                return Lie(part)
        return self.store.open(name)


class Thief(Forger):
    """Has stolen the founding keys, and signs with them from the day that they are changed on."""

    def attack(self):
        if self.sim.authority.chain:
            super().attack()

    def forge(self):
        authority = self.sim.authority
        version = f"9.{self.rand(9)}.{self.rand(9)}"
        return authority.steal(version, self.sim.now_s(), self.sim.payloads("forged", 20000))


class Replayer(Attacker):
    """Offers the oldest revision of each version for ever, and releases that were withdrawn."""

    gap_us = FORGE_GAP_US

    def _old(self):
        return list(self.sim.authority.released.values())[:8]

    def attack(self):
        w = self.writer(self.node.nonce)
        w.announce(bytes([self.rand(256) for _ in range(8)]), 1, TFTP_PORT)
        say_all(w, self._old())
        self.shout(w)

    def open(self, name):
        for swd in self._old():
            part = part_of(swd, name)
            if part is not None:
                return Lie(part)
        return self.store.open(name)


class Staller(Attacker):
    """Grants transfers, and sends no data."""

    def delay_us(self, data):
        return -1 if data is None or data[1] == tftp.DATA else 0


class Trickler(Attacker):
    """Sends each block seconds after the one before."""

    def delay_us(self, data):
        if data is None:
            return 12 * TRICKLE_US
        if data[1] != tftp.DATA:
            return 0
        self._next_t = max(getattr(self, "_next_t", 0) + TRICKLE_US, self.world.now)
        return self._next_t - self.world.now


class FalseProgress(Attacker):
    """Says that it has all of everything."""

    def broadcast(self, buf, n):
        data = bytearray(buf[:n])
        if data[4] == datagram.ANNOUNCE:
            at = datagram.first_tlv(data)
            while at < n:
                if data[at] == datagram.TLV_PAYLOAD:
                    data[at + 3 + 32] = datagram.COMPLETE
                    data[at + 3 + 36 : at + 3 + 38] = data[at + 3 + 34 : at + 3 + 36]
                at = datagram.next_tlv(data, at)
        super().broadcast(data, n)


class Flooder(Attacker):
    """Announces releases that nobody has, and queries, ten times a second."""

    gap_us = FLOOD_GAP_US

    def attack(self):
        w = self.writer(self.node.nonce)
        if self.rand(4) == 0:
            w.query()
        else:
            w.announce(self.rng.randbytes(8), 24, TFTP_PORT)
            while w.release(self.rng.randbytes(32), (9, 9, self.rand(9)), 0, 0) and w.payload(
                self.rng.randbytes(32), datagram.COMPLETE, 9, 9
            ):
                pass
        self.shout(w)


class Liar(Attacker):
    """Its beacons tell another time. lie_us(): by how much."""

    def lie_us(self, to):
        return DAY_US

    def broadcast(self, buf, n):
        if buf[4] != BEACON:
            super().broadcast(buf, n)
            return
        told = {}
        for b in self.world.radio.links[self.number]:
            told.setdefault(self.lie_us(b), set()).add(b)
        for lie_us, only in told.items():
            data = bytearray(buf[:n])
            counter, offset = struct.unpack_from("!Qq", data, _OFFSET_AT - 8)
            true = EPOCH_S * SECOND + self.world.now - counter
            struct.pack_into("!q", data, _OFFSET_AT, true + lie_us)
            data[datagram.HEADER_BYTES + 40] |= datagram.SYNCED
            self.world.radio.broadcast(self.number, bytes(data), only)


class DriftingLiar(Liar):
    """Runs away slowly, so that each step is small."""

    def lie_us(self, to):
        return self.world.now // 2000


class TwoFaced(Liar):
    """Late to half of its neighbours, early to the others."""

    def lie_us(self, to):
        return (20000 if to % 2 else -20000) * (1 + self.world.now // (600 * SECOND))


class Crowd(Attacker):
    """Many identities: beacons and announcements from addresses that are all its own."""

    gap_us = SECOND // 4

    def boot(self):
        super().boot()
        for i in range(IDENTITIES):
            self.world.addresses[address(1 << 40 | self.number << 16 | i)] = self.number

    def attack(self):
        i = self.rand(IDENTITIES)
        now = self.counter(self.world.now)
        w = self.writer(1 << 60 | self.number << 16 | i)
        source = address(1 << 40 | self.number << 16 | i)
        true = EPOCH_S * SECOND + self.world.now - now
        w.beacon(now, true + DAY_US, 1000, 0, (9, 9, 9), 0, 1, TFTP_PORT, self.rand(1 << 32))
        self.shout(w, source)
        w.announce(self.rng.randbytes(8), 1, TFTP_PORT)
        w.release(self.rng.randbytes(32), (9, 9, 9), 0, 0)
        self.shout(w, source)


class Spoofer(Attacker):
    """Speaks in the name of its honest neighbours: wrong nonces, sets and times."""

    gap_us = SECOND

    def attack(self):
        near = sorted(self.world.radio.links[self.number])
        victim = near[self.rand(len(near))]
        now = self.counter(self.world.now)
        w = self.writer(self.rng.getrandbits(64))
        w.beacon(now, -now, 1000, 0, (1, 0, 0), 0, 1, 9, self.rand(1 << 32))
        self.shout(w, address(victim))
        w.announce(self.rng.randbytes(8), 1, 9)
        w.release(self.rng.randbytes(32), (8, 8, 8), 0, 0)
        self.shout(w, address(victim))


class Amplifier(Attacker):
    """Asks servers for files in the name of a victim, who gets the answers. Only with `packet`."""

    gap_us = SECOND // 5
    spoofed_bytes = 0

    def attack(self):
        near = sorted(self.world.radio.links[self.number])
        held = list(self.store.payloads.held)
        if len(near) < 2 or not held:
            return
        server = near[self.rand(len(near))]
        victim = near[self.rand(len(near))]
        if server == victim:
            return
        pid = held[self.rand(len(held))]
        out = bytearray(tftp.MAX_REQUEST_BYTES)
        n = tftp.put_request(out, b"1/" + pid.hex().encode() + b"/0-9", 1428, 64)
        self.spoofed_bytes += n
        self.world.radio.unicast(
            self.number, address(server), 9999, TFTP_PORT, bytes(out[:n]), address(victim)
        )


class Beggar(Attacker):
    """Says that it wants all payloads that there are, and that nobody gives them."""

    gap_us = 2 * SECOND

    def attack(self):
        w = self.writer(self.node.nonce)
        w.announce(self.rng.randbytes(8), 1, TFTP_PORT)
        starved = datagram.WANTED | datagram.STARVED
        for swd in list(self.sim.authority.released.values())[-8:]:
            for packed in swd.payloads[:2]:
                w.payload(packed.pid, starved, 0, 0)
        self.shout(w)


KINDS = {
    "garbage": Garbage,
    "truncated": Truncated,
    "forger": Forger,
    "thief": Thief,
    "replay": Replayer,
    "stall": Staller,
    "trickle": Trickler,
    "false-progress": FalseProgress,
    "flood": Flooder,
    "time-constant": Liar,
    "time-drift": DriftingLiar,
    "time-two-faced": TwoFaced,
    "identities": Crowd,
    "spoof": Spoofer,
    "amplify": Amplifier,
    "beggar": Beggar,
}
