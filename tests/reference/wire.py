"""Section 3: datagrams. `parse` never raises on what a neighbour sends: it gives None."""

import hashlib
import struct
from collections import namedtuple

PORT, GROUP, MAX_BYTES = 27182, "ff12::a2fd:1571", 1200
BEACON, ANNOUNCE, QUERY = 1, 2, 3
ECHO, PENDING, RELEASE, PAYLOAD, CENSUS = 1, 2, 3, 4, 5  # a census is skipped (section 3.6)
TLV_BYTES = {ECHO: 24, PENDING: 14, RELEASE: 42, PAYLOAD: 38, CENSUS: 8}
ERROR_UNKNOWN = 0xFFFFFFFF

_HEADER = struct.Struct("!3sBBBH8s")
_FIXED = {
    BEACON: struct.Struct("!8sQqIi3HHBxH4s"),
    ANNOUNCE: struct.Struct("!8s8sHH"),
    QUERY: struct.Struct("!8s"),
}
_ECHO = struct.Struct("!8sqQ")
_PENDING = struct.Struct("!3HHIBx")
_RELEASE = struct.Struct("!32s3HHBx")
_PAYLOAD = struct.Struct("!32sBxHH")

# Flags come first, in the order of their bits. An error that is unknown is None; `echoes` is
# {nonce: (sample_us, counter_us)}, `releases` {rid: Offer}, `payloads` {pid: Progress}.
State = namedtuple("State", "synchronised reference experimental failed held")
Offer = namedtuple("Offer", "experimental withdrawn failed version revision")
Progress = namedtuple("Progress", "complete wanted starved pieces held")
Pending = namedtuple("Pending", "version revision seconds percent")
Beacon = namedtuple(
    "Beacon",
    """nonce counter_us offset_us error_us rate_ppb version revision state
                    port digest echoes pending""",
)
Announce = namedtuple("Announce", "nonce digest count port releases payloads")
Query = namedtuple("Query", "nonce")


def flags(byte, first, count):
    return [bool(byte >> i & 1) for i in range(first, first + count)]


def byte(flags, first=0):
    return sum(bool(flag) << i for i, flag in enumerate(flags, first))


def parse(data, network):
    """The Beacon, Announce or Query in these bytes, or None if they are to be ignored."""
    if not _HEADER.size <= len(data) <= MAX_BYTES:
        return None
    magic, version, kind, _, length, net = _HEADER.unpack_from(data)
    if (magic, version, net) != (b"swd", 1, network) or kind not in _FIXED:
        return None
    at = _HEADER.size + length
    if length < _FIXED[kind].size or at > len(data):
        return None
    tlvs = []
    while at < len(data):
        if at + 3 > len(data):
            return None
        what, size = struct.unpack_from("!BH", data, at)
        value = data[at + 3 : at + 3 + size]
        at += 3 + size
        if len(value) < size or size < TLV_BYTES.get(what, 0) or what >= 0x80:
            return None
        tlvs.append((what, value))
    return _READ[kind](_FIXED[kind].unpack_from(data, _HEADER.size), tlvs)


def _beacon(f, tlvs):
    echoes, pending = {}, None
    for what, v in tlvs:
        if what == ECHO:
            nonce, *echo = _ECHO.unpack_from(v)
            echoes[nonce] = tuple(echo)
        elif what == PENDING:
            *version, revision, seconds, percent = _PENDING.unpack_from(v)
            pending = Pending(tuple(version), revision, seconds, percent)
    error, state = None if f[3] == ERROR_UNKNOWN else f[3], State(*flags(f[9], 0, 5))
    return Beacon(*f[:3], error, f[4], f[5:8], f[8], state, *f[10:], echoes, pending)


def _announce(f, tlvs):
    releases, payloads = {}, {}
    for what, v in tlvs:
        if what == RELEASE:
            rid, *version, revision, bits = _RELEASE.unpack_from(v)
            releases[rid] = Offer(*flags(bits, 1, 3), tuple(version), revision)
        elif what == PAYLOAD:
            pid, bits, pieces, held = _PAYLOAD.unpack_from(v)
            payloads[pid] = Progress(*flags(bits, 0, 3), pieces, held)
    return Announce(*f, releases, payloads)


_READ = {BEACON: _beacon, ANNOUNCE: _announce, QUERY: lambda f, tlvs: Query(*f)}


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def pack(kind, network, *fields):
    fixed = _FIXED[kind].pack(*fields)
    return _HEADER.pack(b"swd", 1, kind, 0, len(fixed), network) + fixed


def pack_beacon(network, b):
    error = ERROR_UNKNOWN if b.error_us is None else b.error_us
    data = pack(BEACON, network, *b[:3], error, b.rate_ppb, *b.version, b.revision, byte(b.state),
                b.port, b.digest)  # fmt: skip
    for nonce, echo in list(b.echoes.items())[:16]:
        data += tlv(ECHO, _ECHO.pack(nonce, *echo))
    return data + (tlv(PENDING, _PENDING.pack(*b.pending[0], *b.pending[1:])) if b.pending else b"")


def pack_burst(network, a):
    """The datagrams of an announcement: as many as its TLVs need, one at least."""
    tlvs = []
    for rid, o in a.releases.items():
        tlvs.append(tlv(RELEASE, _RELEASE.pack(rid, *o.version, o.revision, byte(o[:3], 1))))
    for pid, p in a.payloads.items():
        tlvs.append(tlv(PAYLOAD, _PAYLOAD.pack(pid, byte(p[:3]), p.pieces, p.held)))
    burst = [pack(ANNOUNCE, network, *a[:4])]
    head = burst[0]
    for t in tlvs:
        if len(burst[-1]) + len(t) > MAX_BYTES:
            burst.append(head)
        burst[-1] += t
    return burst


def set_digest(rids):
    return hashlib.sha256(b"".join(sorted(rids))).digest()[:8]
