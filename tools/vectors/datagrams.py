"""Datagrams (docs/protocol.md, section 3)."""

import hashlib
import struct

from vectors.base import NETWORK, PID, text


def header(kind, fixed, magic=b"swd", version=1, network=NETWORK):
    return magic + struct.pack("!BBBH", version, kind, 0, len(fixed)) + network + fixed


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


class Reader:
    """A datagram's bytes, read at the offsets of section 3."""

    def __init__(self, data):
        self._data = data

    def number(self, at, size, signed=False):
        return int.from_bytes(self._data[at : at + size], "big", signed=signed)

    def hex(self, at, size):
        return self._data[at : at + size].hex()

    def version(self, at):
        return ".".join(str(self.number(at + 2 * i, 2)) for i in range(3))

    def bits(self, at, **names):
        return {name: bool(self._data[at] >> bit & 1) for name, bit in names.items()}


def beacon_says(r):
    error = r.number(24, 4)
    bits = {"synchronised": 0, "reference": 1, "experimental": 2, "failed": 3, "held": 4}
    return {
        "counter_us": r.number(8, 8), "offset_us": r.number(16, 8, True),
        "error_us": None if error == 0xFFFFFFFF else error, "rate_ppb": r.number(28, 4, True),
        "version": r.version(32), "revision": r.number(38, 2), "state": r.bits(40, **bits),
        "port": r.number(42, 2), "digest": r.hex(44, 4),
    }  # fmt: skip


def announce_says(r):
    return {"digest": r.hex(8, 8), "releases": r.number(16, 2), "port": r.number(18, 2)}


def echo_says(r):
    return r.hex(0, 8), {"sample_us": r.number(8, 8, True), "counter_us": r.number(16, 8)}


def pending_says(r):
    return "", {
        "version": r.version(0), "revision": r.number(6, 2), "seconds": r.number(8, 4),
        "percent": r.number(12, 1),
    }  # fmt: skip


def release_says(r):
    bits = r.bits(40, experimental=1, withdrawn=2, failed=3)
    return r.hex(0, 32), {"version": r.version(32), "revision": r.number(38, 2)} | bits


def payload_says(r):
    bits = r.bits(32, complete=0, wanted=1, starved=2)
    return r.hex(0, 32), bits | {"pieces": r.number(34, 2), "held": r.number(36, 2)}


def says(data):
    """What a good datagram says: its fixed part, and by type of TLV what is said of whom. What is
    said last counts; what is not known, or does not belong there, is left out."""
    fixed, at = data[16 : 16 + data[7]], 16 + data[7]
    read = {1: beacon_says, 2: announce_says, 3: lambda r: {}}[data[4]]
    found = {"nonce": fixed[:8].hex()} | read(Reader(fixed))
    belongs = {1: {1: ("echoes", echo_says), 2: ("pending", pending_says)}, 3: {}}
    belongs[2] = {3: ("releases held", release_says), 4: ("payloads", payload_says)}
    for name, _ in belongs[data[4]].values():
        found[name] = {}
    while at < len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 3], "big")
        if kind in belongs[data[4]]:
            name, read = belongs[data[4]][kind]
            of, what = read(Reader(data[at + 3 : at + 3 + size]))
            found[name][of] = what
        at += 3 + size
    return found


def more_cases(beacon, announce, query, release, payload, echo, pending):
    """Bits, values at their ends, and what is said twice."""

    def state(bit):
        return beacon[:40] + bytes([1 << bit]) + beacon[41:]

    names = ("synchronised", "reference", "experimental", "failed", "held by its owner", "reserved")
    unknown = beacon[:24] + b"\xff" * 4 + beacon[28:]
    least = beacon[:16] + b"\x80" + bytes(7) + beacon[24:28] + b"\x80" + bytes(3) + beacon[32:]
    other = struct.pack("!3HHIBB", 9, 8, 7, 6, 5, 4, 0)
    later = payload[:32] + struct.pack("!BBHH", 1, 0, 4, 4)
    again = echo[:8] + bytes(16)
    failed = release[:40] + bytes([8, 0])
    echoes = b"".join(tlv(1, struct.pack("!QqQ", n, -n, n)) for n in range(1, 18))
    flags = bytearray(header(2, announce) + tlv(3, release))
    flags[5] = 0xFF
    one = [(f"beacon, {name}", header(1, state(bit)), 1) for bit, name in enumerate(names)]
    both = header(2, announce)
    return [
        *one,
        ("beacon, error unknown", header(1, unknown), 1),
        ("beacon, least numbers", header(1, least), 1),
        ("beacon, highest numbers", header(1, b"\xff" * 16 + b"\x7f" + b"\xff" * 31), 1),
        ("17 echoes", header(1, beacon) + echoes, 1),
        ("two echoes of one nonce", header(1, beacon) + tlv(1, echo) + tlv(1, again), 1),
        ("two pendings", header(1, beacon) + tlv(2, pending) + tlv(2, other), 1),
        ("longer echo", header(1, beacon) + tlv(1, echo + b"more"), 1),
        ("longer pending", header(1, beacon) + tlv(2, pending + b"more"), 1),
        ("release TLV in a beacon", header(1, beacon) + tlv(3, release), 1),
        ("short release TLV in a beacon", header(1, beacon) + tlv(3, release[:-1]), -2),
        ("short echo in a query", header(3, query) + tlv(1, echo[:-1]), -2),
        ("echo in an announce", header(2, announce) + tlv(1, echo), 2),
        ("two of one payload", both + tlv(4, payload) + tlv(4, later), 2),
        ("two of one release", both + tlv(3, release) + tlv(3, failed), 2),
        ("a release's flags", both + tlv(3, release[:40] + b"\xf5\xff"), 2),
        ("a payload's flags", both + tlv(4, payload[:32] + b"\xf8\xff" + payload[34:]), 2),
        ("announce, highest numbers", header(2, b"\xff" * 20) + tlv(4, b"\xff" * 38), 2),
        ("beacon, highest of a pending", header(1, beacon) + tlv(2, b"\xff" * 14), 1),
        ("non-zero flags", bytes(flags), 2),
        ("longer fixed part of a beacon", header(1, beacon + b"later") + tlv(1, echo), 1),
        ("1200 bytes", header(3, query) + tlv(0x7F, bytes(1200 - 27)), 3),
        ("1201 bytes", header(3, query) + tlv(0x7F, bytes(1200 - 26)), -2),
        ("critical TLV behind others", header(3, query) + tlv(0x7F, b"") + tlv(0xFF, b"x"), -3),
        ("no byte", b"", -2),
    ]


def datagrams():
    beacon = struct.pack(
        "!QQqIi3HHBBHI",
        0x1122334455667788, 123456789012, 1795430000000000, 1500, -42000, 1, 1, 0, 3, 5, 0,
        27183, 0xDEADBEEF,
    )  # fmt: skip
    echo = struct.pack("!QqQ", 0x99AABBCCDDEEFF00, -987654321, 123456700000)
    pending = struct.pack("!3HHIBB", 1, 2, 0, 0, 86400, 57, 0)
    announce = struct.pack("!Q8sHH", 0x1122334455667788, b"DIGEST08", 1, 27183)
    release = struct.pack("!32s3HHBB", hashlib.sha256(text()).digest(), 1, 1, 0, 0, 2 | 8, 0)
    payload = struct.pack("!32sBBHH", PID, 2 | 4, 0, 4, 1)
    whole = struct.pack("!32sBBHH", PID, 1, 0, 4, 4)
    unknown = struct.pack("!32sBBHH", PID, 2, 0, 0, 0)
    query = struct.pack("!Q", 0x1122334455667788)
    full = header(1, beacon) + tlv(1, echo) + tlv(2, pending)
    both = header(2, announce) + tlv(3, release) + tlv(4, payload)
    held = beacon[:40] + bytes([1 | 16]) + beacon[41:]
    cases = [
        ("beacon", header(1, beacon), 1),
        ("beacon with echo and pending", full, 1),
        ("beacon of a node that is held", header(1, held), 1),
        ("announce, of nothing", header(2, announce), 2),
        ("announce, of a release", header(2, announce) + tlv(3, release), 2),
        ("announce, of a payload held whole", header(2, announce) + tlv(4, whole), 2),
        ("announce, of a payload of unknown length", header(2, announce) + tlv(4, unknown), 2),
        ("announce, of both", both, 2),
        ("query", header(3, query), 3),
        ("GREASE", header(3, query) + tlv(0x3A, b"\x00\xff") + tlv(0x0A, b""), 3),
        ("longer fixed part", header(3, query + b"more"), 3),
        ("longer release", header(2, announce) + tlv(3, release + b"more"), 2),
        ("longer payload", header(2, announce) + tlv(4, payload + b"more"), 2),
        ("unknown TLV", header(3, query) + tlv(0x7F, b"later"), 3),
        ("unknown critical TLV", header(3, query) + tlv(0x80, b""), -3),
        ("other magic", header(3, query, magic=b"swe"), -1),
        ("other version", header(3, query, version=2), -1),
        ("other network", header(3, query, network=bytes(8)), -1),
        ("unknown type", header(4, query), -1),
        ("type 0", header(0, query), -1),
        ("short fixed part", header(1, beacon[:-1]), -2),
        ("fixed part runs over", header(3, query)[:-1], -2),
        ("TLV runs over", full[:-1], -2),
        ("half a TLV head", header(3, query) + b"\x01\x00", -2),
        ("short echo", header(1, beacon) + tlv(1, echo[:-1]), -2),
        ("short pending", header(1, beacon) + tlv(2, pending[:-1]), -2),
        ("short release", header(2, announce) + tlv(3, release[:-1]), -2),
        ("short payload", header(2, announce) + tlv(4, payload[:-1]), -2),
        ("header only, cut", b"swd\x01", -2),
    ]
    cases += more_cases(beacon, announce, query, release, payload, echo, pending)
    assert len({n for n, _, _ in cases}) == len({d for _, d, _ in cases}) == len(cases)
    return {
        "network": NETWORK.hex(),
        "section": "3",
        "beacon": full.hex(),
        "announce": both.hex(),
        "query": header(3, query).hex(),
        "cases": [
            {"name": n, "hex": d.hex(), "kind": k} | ({"says": says(d)} if k > 0 else {})
            for n, d, k in cases
        ],
    }
