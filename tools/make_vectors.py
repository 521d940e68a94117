"""Writes the golden vectors of docs/protocol.md into tests/vectors/.

The vectors are made here from plain struct, hashlib and `cryptography`, not by the device code, so
that the two check each other. Frozen at 1.0.0: from then on a changed file is a broken promise.
"""

import base64
import hashlib
import json
import struct
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

OUT = Path(__file__).resolve().parent.parent / "tests" / "vectors"


def key(n):
    secret = Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)
    return secret, secret.public_key().public_bytes_raw(), bytes([0xA0 + n]) * 8


def block(tag, key_id, signature):
    line = base64.b64encode(tag + key_id + signature)
    return b"untrusted comment: swdist release signature\n" + line + b"\n"


KEYS = [key(n) for n in (1, 2, 3)]
FOREIGN = key(9)
NETWORK = hashlib.sha256(
    b"swdist-network 1\nvectors\n" + b"".join(sorted(k[1] for k in KEYS))
).digest()[:8]
PAYLOAD = bytes(i * 7 % 256 for i in range(10000))
CHUNKS = [PAYLOAD[i : i + 4096] for i in range(0, len(PAYLOAD), 4096)]
INDEX = b"".join(hashlib.sha256(c).digest() for c in CHUNKS)
BASE = {
    "Format": "swdist-release 1",
    "Network": NETWORK.hex(),
    "Version": "1.1.0",
    "Revision": "0",
    "Channel": "stable",
    "Signed-At": "2026-11-23T10:00:00Z",
    "Start": "2026-11-24T03:00:00Z",
    "Boards": "any",
    "Payload": "slot",
    "Payload-Size": str(len(PAYLOAD)),
    "Chunk-Size": "4096",
    "Index-SHA256": hashlib.sha256(INDEX).hexdigest(),
}


def text(**changes):
    fields = dict(BASE)
    for name, value in changes.items():
        name = name.replace("_", "-")
        fields.pop(name, None)
        if value is not None:
            fields[name] = value
    return "".join(f"{k}: {v}\n" for k, v in fields.items()).encode()


def public_line(k, tag=b"Ed"):
    return base64.b64encode(tag + k[2] + k[1]).decode()


def key_set(version, keys, threshold, keep=(), **changes):
    """A manifest that brings these CA keys."""
    fields = dict.fromkeys(("Payload_Size", "Chunk_Size", "Index_SHA256"))
    fields.update(Version=version, Payload="keys", CA_Threshold=str(threshold))
    for n, k in enumerate(keys, 1):
        fields[f"CA_Key_{n}"] = public_line(k)
    if keep:
        fields["CA_Keep_1"] = " ".join(hashlib.sha256(m).hexdigest() for m in keep)
    return text(**{**fields, **changes})


def manifests():
    gone = {"Payload_Size": None, "Chunk_Size": None, "Index_SHA256": None}
    good = text()
    keys = key_set("0.0.1", KEYS[:2], 2, keep=[good, b"other"])
    experimental = {"Channel": "experimental", "End": "2026-11-25T03:00:00Z"}
    about_image = {"Payload": "image", "Boards": "linksys,wrt54gs", "Window": "3600"}
    image = text(**about_image)
    cases = [
        ("stable", good, True),
        ("experimental", text(**experimental), True),
        ("withdrawn", text(Revision="1", Payload="none", Withdrawn="yes", **gone), True),
        ("boards", text(Boards="linksys,wrt54gs tplink,wdr3600"), True),
        ("unknown key is ignored", good + b"Mood: fine\n", True),
        ("unknown critical key: relayed, not installed", good + b"!Quantum: yes\n", True),
        ("unknown payload word: relayed, not installed", text(Payload="hologram"), True),
        ("image", image, True),
        ("image, experimental: relayed, not installed", text(**experimental, **about_image), True),
        ("image for any board: relayed, not installed", text(Payload="image", Window="0"), True),
        ("image without its window", image.replace(b"Window: 3600\n", b""), False),
        ("image, window of more than a week", image.replace(b"3600", b"604801"), False),
        ("image, window with a leading zero", image.replace(b"3600", b"03600"), False),
        ("image, its window made critical", image.replace(b"Window", b"!Window"), False),
        ("slot with a window", text(Window="3600"), False),
        ("packages", text(Payload="ipk"), True),
        ("from the far future", text(Version="9.0.0", Start="9999-12-31T23:59:59Z"), True),
        ("keys", keys, True),
        ("keys, the last possible set", key_set("0.0.32", KEYS, 3), True),
        (
            "keys of an unknown algorithm",
            key_set("0.0.1", KEYS[:1], 1, CA_Key_2=public_line(KEYS[1], b"S1")),
            True,
        ),
        ("keys, but none", key_set("0.0.1", [], 1), False),
        ("keys, set 0", key_set("0.0.0", KEYS, 1), False),
        ("keys, set 33", key_set("0.0.33", KEYS, 1), False),
        ("keys, of another version", key_set("0.1.1", KEYS, 1), False),
        ("keys, revised", key_set("0.0.1", KEYS, 1, Revision="1"), False),
        ("keys, for some boards", key_set("0.0.1", KEYS, 1, Boards="x"), False),
        ("keys, experimental", key_set("0.0.1", KEYS, 1, **experimental), False),
        ("keys, more than all must sign", key_set("0.0.1", KEYS, 4), False),
        ("keys, none must sign", key_set("0.0.1", KEYS, 0), False),
        ("keys, one twice", key_set("0.0.1", [KEYS[0], KEYS[0]], 1), False),
        ("keys, not in base64", key_set("0.0.1", KEYS, 1, CA_Key_2="?"), False),
        ("keys, too short", key_set("0.0.1", KEYS, 1, CA_Key_2=public_line(KEYS[1])[:-4]), False),
        ("keys, kept id too short", key_set("0.0.1", KEYS, 1, CA_Keep_1="00"), False),
        ("keys, made critical", keys.replace(b"CA-Key-1", b"!CA-Key-1"), False),
        ("keys with payload", key_set("0.0.1", KEYS, 1, Payload_Size="1"), False),
        ("slot with a key set's version", text(Version="0.0.1"), False),
        ("padding", good + b"Padding: " + b"x" * 512 + b"\n", True),
        ("empty", b"", False),
        ("no last line end", good[:-1], False),
        ("CR LF", good.replace(b"\n", b"\r\n"), False),
        ("tab", good + b"A: \tb\n", False),
        ("not ASCII", good + b"A: \xc3\xa4\n", False),
        ("other format", good.replace(b"release 1", b"release 2"), False),
        ("format not first", b"A: b\n" + good, False),
        ("empty line", good + b"\n", False),
        ("no space", good + b"A:b\n", False),
        ("trailing space", good + b"A: b \n", False),
        ("value too long", good + b"A: " + b"x" * 513 + b"\n", False),
        ("key too long", good + b"K" * 33 + b": x\n", False),
        ("key twice", good + b"Version: 1.1.0\n", False),
        ("unknown key twice", good + b"A: b\n!A: b\n", False),
        ("known key made critical", good.replace(b"Boards:", b"!Boards:"), False),
        ("leading zero", text(Version="1.01.0"), False),
        ("version too high", text(Version="1.65536.0"), False),
        ("version of two", text(Version="1.1"), False),
        ("revision signed", text(Revision="-1"), False),
        ("no such day", text(Start="2026-02-29T03:00:00Z"), False),
        ("leap second", text(Start="2026-06-30T23:59:60Z"), False),
        ("time with offset", text(Start="2026-11-24T03:00:00+01:00"), False),
        ("stable with End", text(End="2026-11-25T03:00:00Z"), False),
        ("experimental without End", text(Channel="experimental"), False),
        ("End at Start", text(**{**experimental, "End": BASE["Start"]}), False),
        ("payload none, not withdrawn", text(Payload="none", **gone), False),
        ("withdrawn with payload", text(Withdrawn="yes"), False),
        ("chunk size odd", text(Chunk_Size="5000"), False),
        ("too many chunks", text(Payload_Size="8388609"), False),
        ("no payload bytes", text(Payload_Size="0"), False),
        ("upper-case hex", text(Index_SHA256=BASE["Index-SHA256"].upper()), False),
        ("too long", good + b"".join(b"A%d: " % i + b"x" * 500 + b"\n" for i in range(8)), False),
        ("too many lines", good + b"".join(b"A%d: x\n" % i for i in range(60)), False),
        ("seventeen boards", text(Boards=" ".join("b%d" % i for i in range(17))), False),
    ] + [
        ("without " + name, text(**{name.replace("-", "_"): None}), False)
        for name in BASE
        if name != "Format"
    ]
    return [
        {"name": n, "hex": m.hex(), "id": hashlib.sha256(m).hexdigest(), "ok": ok}
        for n, m, ok in cases
    ]


def signatures():
    m = text()
    good = [block(b"Ed", k[2], k[0].sign(m)) for k in KEYS]
    foreign = block(b"Ed", FOREIGN[2], FOREIGN[0].sign(m))
    forged = block(b"Ed", KEYS[0][2], FOREIGN[0].sign(m))
    quantum = block(b"S1", b"Q" * 8, b"s" * 7856)
    cases = [
        ("two of three", good[0] + good[2], True),
        ("three of three", b"".join(good), True),
        ("with a foreign key's", foreign + good[0] + good[1], True),
        ("with an unknown algorithm's", good[0] + quantum + good[1], True),
        ("one of three", good[0], False),
        ("one key twice counts once", good[0] + good[0], False),
        ("none", b"", False),
        ("forged beside two good ones", forged + good[1] + good[2], False),
        ("foreign only", foreign, False),
        ("no last line end", (good[0] + good[1])[:-1], False),
        ("other comment", (good[0] + good[1]).replace(b"swdist", b"Swdist", 1), False),
        ("blank line", good[0] + b"\n" + good[1], False),
        ("seventeen blocks", good[0] + good[1] + foreign * 15, False),
        ("too long", good[0] + good[1] + quantum * 4, False),
    ]
    return {
        "network": NETWORK.hex(),
        "network_name": "vectors",
        "keys": {k[2].hex(): k[1].hex() for k in KEYS},
        "threshold": 2,
        "manifest": m.hex(),
        "cases": [{"name": n, "signatures": s.decode(), "ok": ok} for n, s, ok in cases],
    }


def keys():
    """What a node of the founding set meets, in this order, and what becomes of it."""
    a, b, c = (text(Version=f"1.{n}.0") for n in (1, 2, 3))
    four, five, six = key(4), key(5), key(6)
    first = key_set("0.0.1", [four], 1, keep=[a])
    other = key_set("0.0.1", [five], 1)
    second = key_set("0.0.2", [five, six], 2, keep=[c])

    def signed(m, *by):
        return {
            "manifest": m.hex(),
            "signatures": b"".join(block(b"Ed", k[2], k[0].sign(m)) for k in by).decode(),
        }

    one, two, three = KEYS
    steps = [
        ("a, by two of the founding keys", signed(a, one, three), "good"),
        ("b, by two of the founding keys", signed(b, one, two), "good"),
        ("c, by a key that comes later", signed(c, four), "bad"),
        ("the second set, before the first", signed(second, four, five, six), "later"),
        ("the first set, by the old keys only", signed(first, one, two), "bad"),
        ("the first set, by the new key only", signed(first, four), "bad"),
        ("the first set, by too few old keys", signed(first, one, four), "bad"),
        ("the first set", signed(first, one, two, four), "good"),
        ("the first set again", signed(first, two, three, four), "good"),
        ("the first set again, by too few", signed(first, two, four), "bad"),
        ("another first set", signed(other, one, two, five), "bad"),
        ("a, which is kept", signed(a, one, three), "good"),
        ("a, which is kept, by too few", signed(a, one), "bad"),
        ("a, which is kept, by the new key", signed(a, four), "good"),
        ("b, which is not kept", signed(b, one, two), "bad"),
        ("b, by the new key", signed(b, four), "good"),
        ("c, by the new key", signed(c, four), "good"),
        ("the second set, by the founding keys", signed(second, one, two, five, six), "bad"),
        ("the second set, by too few of its own", signed(second, four, five), "bad"),
        ("the second set", signed(second, four, five, six), "good"),
        ("a, which is no longer kept", signed(a, one, three), "bad"),
        ("b, by the key before", signed(b, four), "bad"),
        ("c, which is kept", signed(c, four), "good"),
        ("c, which is kept, by both", signed(c, five, six), "good"),
    ]
    return {
        "network": NETWORK.hex(),
        "keys": {k[2].hex(): k[1].hex() for k in KEYS},
        "threshold": 2,
        "steps": [{"name": n, **s, "is": what} for n, s, what in steps],
    }


def header(kind, fixed, magic=b"swd", version=1, network=NETWORK):
    return magic + struct.pack("!BBBH", version, kind, 0, len(fixed)) + network + fixed


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def datagrams():
    beacon = struct.pack(
        "!QQqIi3HHBBHI",
        0x1122334455667788, 123456789012, 1795430000000000, 1500, -42000, 1, 1, 0, 3, 5, 0,
        27183, 0xDEADBEEF,
    )  # fmt: skip
    echo = struct.pack("!QqQ", 0x99AABBCCDDEEFF00, -987654321, 123456700000)
    pending = struct.pack("!3HHIBB", 1, 2, 0, 0, 86400, 57, 0)
    announce = struct.pack("!Q8sHH", 0x1122334455667788, b"DIGEST08", 1, 27183)
    release = struct.pack("!32s3HHBBHH", hashlib.sha256(text()).digest(), 1, 1, 0, 0, 1, 0, 3, 3)
    query = struct.pack("!Q", 0x1122334455667788)
    full = header(1, beacon) + tlv(1, echo) + tlv(2, pending)
    cases = [
        ("beacon", header(1, beacon), 1),
        ("beacon with echo and pending", full, 1),
        ("announce", header(2, announce) + tlv(3, release), 2),
        ("query", header(3, query), 3),
        ("GREASE", header(3, query) + tlv(0x3A, b"\x00\xff") + tlv(0x0A, b""), 3),
        ("longer fixed part", header(3, query + b"more"), 3),
        ("longer value", header(2, announce) + tlv(3, release + b"more"), 2),
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
        ("short value", header(1, beacon) + tlv(1, echo[:-1]), -2),
        ("too long", header(3, query) + tlv(0x7F, bytes(1200 - 26)), -2),
        ("longest", header(3, query) + tlv(0x7F, bytes(1200 - 27)), 3),
        ("header only, cut", b"swd\x01", -2),
    ]
    return {
        "network": NETWORK.hex(),
        "beacon": full.hex(),
        "announce": (header(2, announce) + tlv(3, release)).hex(),
        "query": header(3, query).hex(),
        "cases": [{"name": n, "hex": d.hex(), "kind": k} for n, d, k in cases],
    }


def index():
    return {
        "payload": "byte i is i * 7 mod 256",
        "payload_size": len(PAYLOAD),
        "chunk_size": 4096,
        "index": INDEX.hex(),
        "index_sha256": hashlib.sha256(INDEX).hexdigest(),
    }


def main():
    OUT.mkdir(exist_ok=True)
    for name, value in (
        ("manifests", manifests()),
        ("signatures", signatures()),
        ("keys", keys()),
        ("datagrams", datagrams()),
        ("index", index()),
    ):
        (OUT / (name + ".json")).write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    main()
