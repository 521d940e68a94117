"""Section 3: datagrams. `parse` never raises on what a neighbour sends: it gives None."""

import hashlib
import struct
from dataclasses import dataclass, field

PORT, GROUP, MAX_BYTES = 27182, "ff12::a2fd:1571", 1200
BEACON, ANNOUNCE, QUERY = 1, 2, 3
ECHO, PENDING, RELEASE, PAYLOAD = 1, 2, 3, 4
TLV_BYTES = {ECHO: 24, PENDING: 14, RELEASE: 42, PAYLOAD: 38}
ERROR_UNKNOWN = 0xFFFFFFFF

_HEADER = struct.Struct("!3sBBBH8s")
_FIXED = {
    BEACON: struct.Struct("!8sQqIi6sHBBH4s"),
    ANNOUNCE: struct.Struct("!8s8sHH"),
    QUERY: struct.Struct("!8s"),
}


def version_bytes(version):
    return struct.pack("!3H", *version)


@dataclass
class State:
    """Bits of a beacon's state, lowest first."""

    synchronised: bool = False
    reference: bool = False
    experimental: bool = False
    failed: bool = False
    held: bool = False

    @classmethod
    def read(cls, byte):
        return cls(*(bool(byte >> i & 1) for i in range(5)))

    def byte(self):
        return sum(bool(bit) << i for i, bit in enumerate(vars(self).values()))


@dataclass
class Pending:
    version: tuple
    revision: int
    seconds: int
    percent: int

    @classmethod
    def read(cls, v):
        version, revision, seconds, percent = struct.unpack_from("!6sHIB", v)
        return cls(struct.unpack("!3H", version), revision, seconds, percent)

    def tlv(self):
        return struct.pack(
            "!6sHIBx", version_bytes(self.version), self.revision, self.seconds, self.percent
        )


@dataclass
class Offer:
    """What an announcement says of a release."""

    version: tuple
    revision: int
    experimental: bool
    withdrawn: bool
    failed: bool

    @classmethod
    def read(cls, v):
        version, revision, flags = struct.unpack_from("!6sHB", v, 32)
        bits = (bool(flags & 2), bool(flags & 4), bool(flags & 8))
        return cls(struct.unpack("!3H", version), revision, *bits)

    def tlv(self, rid):
        flags = self.experimental << 1 | self.withdrawn << 2 | self.failed << 3
        return rid + struct.pack("!6sHBx", version_bytes(self.version), self.revision, flags)


@dataclass
class Progress:
    """What an announcement says of a payload; `pieces` is 0 while their number is unknown."""

    complete: bool
    wanted: bool
    starved: bool
    pieces: int
    held: int

    @classmethod
    def read(cls, v):
        flags, pieces, held = struct.unpack_from("!BxHH", v, 32)
        return cls(bool(flags & 1), bool(flags & 2), bool(flags & 4), pieces, held)

    def tlv(self, pid):
        flags = self.complete | self.wanted << 1 | self.starved << 2
        return pid + struct.pack("!BxHH", flags, self.pieces, self.held)


@dataclass
class Beacon:
    nonce: bytes
    counter_us: int
    offset_us: int
    error_us: int | None
    rate_ppb: int
    version: tuple
    revision: int
    state: State
    port: int
    digest: bytes
    echoes: dict = field(default_factory=dict)  # nonce -> (sample_us, counter_us)
    pending: Pending | None = None


@dataclass
class Announce:
    nonce: bytes
    digest: bytes
    count: int
    port: int
    releases: dict = field(default_factory=dict)  # rid -> Offer
    payloads: dict = field(default_factory=dict)  # pid -> Progress


@dataclass
class Query:
    nonce: bytes


def parse(data, network):
    """The Beacon, Announce or Query in these bytes, or None if they are to be ignored."""
    if not _HEADER.size <= len(data) <= MAX_BYTES:
        return None
    magic, version, kind, _, length, net = _HEADER.unpack_from(data)
    if (magic, version, net) != (b"swd", 1, network) or kind not in _FIXED:
        return None
    fixed, at = _FIXED[kind], _HEADER.size + length
    if length < fixed.size or at > len(data):
        return None
    tlvs = []
    while at < len(data):
        if at + 3 > len(data):
            return None
        tlv, size = struct.unpack_from("!BH", data, at)
        value = data[at + 3 : at + 3 + size]
        at += 3 + size
        if len(value) < size or size < TLV_BYTES.get(tlv, 0) or tlv >= 0x80:
            return None
        tlvs.append((tlv, value))
    return _READ[kind](fixed.unpack_from(data, _HEADER.size), tlvs)


def _beacon(f, tlvs):
    nonce, counter, offset, error, rate, version, revision, state, _, port, digest = f
    beacon = Beacon(
        nonce, counter, offset, None if error == ERROR_UNKNOWN else error, rate,
        struct.unpack("!3H", version), revision, State.read(state), port, digest,
    )  # fmt: skip
    for tlv, v in tlvs:
        if tlv == ECHO:
            beacon.echoes[v[:8]] = struct.unpack_from("!qQ", v, 8)
        elif tlv == PENDING:
            beacon.pending = Pending.read(v)
    return beacon


def _announce(f, tlvs):
    announce = Announce(*f)
    for tlv, v in tlvs:
        if tlv == RELEASE:
            announce.releases[v[:32]] = Offer.read(v)
        elif tlv == PAYLOAD:
            announce.payloads[v[:32]] = Progress.read(v)
    return announce


_READ = {BEACON: _beacon, ANNOUNCE: _announce, QUERY: lambda f, tlvs: Query(*f)}


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def pack(kind, network, fields, tlvs=b""):
    fixed = _FIXED[kind].pack(*fields)
    return _HEADER.pack(b"swd", 1, kind, 0, len(fixed), network) + fixed + tlvs


def pack_beacon(network, b):
    fields = (
        b.nonce, b.counter_us, b.offset_us, ERROR_UNKNOWN if b.error_us is None else b.error_us,
        b.rate_ppb, version_bytes(b.version), b.revision, b.state.byte(), 0, b.port, b.digest,
    )  # fmt: skip
    tlvs = [tlv(ECHO, n + struct.pack("!qQ", *e)) for n, e in list(b.echoes.items())[:16]]
    if b.pending:
        tlvs.append(tlv(PENDING, b.pending.tlv()))
    return pack(BEACON, network, fields, b"".join(tlvs))


def pack_burst(network, a):
    """The datagrams of an announcement: as many as its TLVs need, one at least."""
    tlvs = [tlv(RELEASE, offer.tlv(rid)) for rid, offer in a.releases.items()]
    tlvs += [tlv(PAYLOAD, progress.tlv(pid)) for pid, progress in a.payloads.items()]
    head = pack(ANNOUNCE, network, (a.nonce, a.digest, a.count, a.port))
    burst = [head]
    for t in tlvs:
        if len(burst[-1]) + len(t) > MAX_BYTES:
            burst.append(head)
        burst[-1] += t
    return burst


def set_digest(rids):
    return hashlib.sha256(b"".join(sorted(rids))).digest()[:8]
