"""Manifests, signatures and changes of keys (docs/protocol.md, sections 2.1, 2.2, 2.6)."""

import hashlib

from vectors.base import (
    BASE,
    EXPERIMENTAL,
    FOREIGN,
    KEYS,
    NETWORK,
    PAYLOAD,
    PID,
    WITHDRAWN,
    block,
    key,
    key_set,
    line,
    public_line,
    text,
)  # fmt: skip

# y of a point of order 8 (RFC 8032's curve)
ORDER_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")


def form_cases(good):
    def unknown(n):
        return b"".join(b"A%d: x\n" % i for i in range(n))

    def filled(size):
        """A manifest of that many bytes."""
        long = good + b"".join(b"A%d: " % i + b"x" * 500 + b"\n" for i in range(7))
        return long + b"Z: " + b"z" * (size - len(long) - 4) + b"\n"

    lines = good.count(b"\n")
    return [
        ("stable", good, True),
        ("withdrawn", text(Revision="1", **WITHDRAWN), True),
        ("unknown key is ignored", good + b"Mood: fine\n", True),
        ("unknown critical key: relayed, not installed", good + b"!Quantum: yes\n", True),
        ("from the far future", text(Version="9.0.0", Start="9999-12-31T23:59:59Z"), True),
        ("described", text(Description="Fixes the mesh; see http://10.0.0.1/"), True),
        ("padding", good + b"Padding: " + b"x" * 512 + b"\n", True),
        ("value too long", good + b"Padding: " + b"x" * 513 + b"\n", False),
        ("key of 32 characters", good + b"K" * 32 + b": x\n", True),
        ("key too long", good + b"K" * 33 + b": x\n", False),
        ("critical key of 32 characters", good + b"!" + b"K" * 32 + b": x\n", True),
        ("key with an underscore", good + b"A_b: x\n", False),
        ("no key", good + b": x\n", False),
        ("critical, without a key", good + b"!: x\n", False),
        ("longest", filled(4096), True),
        ("too long", filled(4097), False),
        ("sixty-four lines", good + unknown(64 - lines), True),
        ("sixty-five lines", good + unknown(65 - lines), False),
        ("empty", b"", False),
        ("no last line end", good[:-1], False),
        ("CR LF", good.replace(b"\n", b"\r\n"), False),
        ("tab", good + b"A: \tb\n", False),
        ("not ASCII", good + b"A: \xc3\xa4\n", False),
        ("other format", good.replace(b"release 1", b"release 2"), False),
        ("format not first", b"A: b\n" + good, False),
        ("empty line", good + b"\n", False),
        ("no space", good + b"A:b\n", False),
        ("no value", good + b"A: \n", False),
        ("leading space", good + b"A:  b\n", False),
        ("trailing space", good + b"A: b \n", False),
        ("key twice", good + b"Version: 1.1.0\n", False),
        ("unknown key twice", good + b"A: b\n!A: b\n", False),
    ] + [
        (f"{name} made critical", good.replace(name.encode(), b"!" + name.encode()), False)
        for name in BASE
    ]


def head_cases():
    highest = {"Version": "65535.65535.65535", "Revision": "65535"}
    return [
        ("network in capitals", text(Network=NETWORK.hex().upper()), False),
        ("network too short", text(Network=NETWORK.hex()[:-1]), False),
        ("highest version and revision", text(**highest), True),
        ("leading zero", text(Version="1.01.0"), False),
        ("version too high", text(Version="1.65536.0"), False),
        ("version of two", text(Version="1.1"), False),
        ("version of four", text(Version="1.1.0.0"), False),
        ("revision signed", text(Revision="-1"), False),
        ("revision too high", text(Revision="65536"), False),
        ("no such channel", text(Channel="testing"), False),
        ("leap day", text(Start="2028-02-29T03:00:00Z"), True),
        ("no such day", text(Start="2026-02-29T03:00:00Z"), False),
        ("leap second", text(Start="2026-06-30T23:59:60Z"), False),
        ("time with offset", text(Start="2026-11-24T03:00:00+01:00"), False),
        ("year 1969", text(Start="1969-12-31T23:59:59Z"), False),
        ("year 1970", text(Start="1970-01-01T00:00:00Z"), True),
        ("year 10000", text(Start="10000-01-01T00:00:00Z"), False),
        ("hour 24", text(Start="2026-11-24T24:00:00Z"), False),
        ("signed at no time", text(Signed_At="2026-11-23"), False),
        ("stable with End", text(End="2026-11-25T03:00:00Z"), False),
        ("experimental without End", text(Channel="experimental"), False),
        ("End at Start", text(**{**EXPERIMENTAL, "End": BASE["Start"]}), False),
        ("a word on time", text(**WITHDRAWN, Clock_Horizon="1"), True),
        ("its longest horizon", text(**WITHDRAWN, Clock_Horizon="43200"), True),
        ("its horizon is longer", text(**WITHDRAWN, Clock_Horizon="43201"), False),
        ("its horizon is 0", text(**WITHDRAWN, Clock_Horizon="0"), False),
        ("its horizon is no number", text(**WITHDRAWN, Clock_Horizon="20m"), False),
        ("a horizon with a payload", text(Clock_Horizon="900"), False),
        ("a critical horizon", text(**{**WITHDRAWN, "!Clock_Horizon": "900"}), False),
        ("withdrawn with a payload", text(Withdrawn="yes"), False),
        ("withdrawn, but no", text(**{**WITHDRAWN, "Withdrawn": "no"}), False),
    ] + [
        ("without " + name, text(**{name.replace("-", "_"): None}), False)
        for name in BASE
        if name != "Format"
    ]


def numbered(n, **changes):
    """A release with n payload lines, each of a payload of its own."""
    ids = (hashlib.sha256(b"%d" % i).hexdigest() for i in range(1, n + 1))
    lines = {f"Payload_{i}": line(pid=pid) for i, pid in enumerate(ids, 1)}
    return text(**{**lines, **changes})


def payload_cases():
    def one(name, ok, **fields):
        return name, text(Payload_1=line(**fields)), ok

    def both(first=(), second=(), **changes):
        return text(Payload_1=line(*first), Payload_2=line(**dict(second)), **changes)

    most = 134217728
    names = [f"b{i}" for i in range(17)]
    longest = "abcdefghijklmnopqrstuvwxyz0123456789,._-" + "b" * 24
    good = text()
    return [
        one("packages of opkg", True, kind="ipk"),
        one("packages of apk", True, kind="apk"),
        one("unknown kind: relayed, not installed", True, kind="hologram-2"),
        one("kind of sixteen characters", True, kind="k" * 16),
        one("kind of seventeen characters", False, kind="k" * 17),
        one("kind in capitals", False, kind="Slot"),
        one("kind with an underscore", False, kind="sl_ot"),
        one("no kind", False, kind=""),
        one("boards", True, boards="linksys,wrt54gs tplink,wdr3600"),
        one("board with all characters, as long as can be", True, boards=longest),
        one("board too long", False, boards=longest + "b"),
        one("board in capitals", False, boards="Linksys"),
        one("board with a slash", False, boards="linksys/wrt54gs"),
        one("sixteen boards", True, boards=" ".join(names[:16])),
        one("seventeen boards", False, boards=" ".join(names)),
        one("board twice", False, boards="b c b"),
        one("two spaces between boards", False, boards="b  c"),
        one("any and a board", False, boards="any b"),
        one("a board and any", False, boards="b any"),
        ("no board", text(Payload_1=line().rsplit(" ", 1)[0]), False),
        one("one byte", True, size=1, stored=1),
        one("no bytes", False, size=0, stored=0),
        one("as many bytes as can be", True, size=most, stored=most),
        one("too many bytes", False, size=most + 1, stored=most),
        one("deflated to one byte", True, stored=1),
        one("deflated to nothing", False, stored=0),
        one("stored in more than its size", False, stored=len(PAYLOAD) + 1),
        one("size with a leading zero", False, size="010000"),
        one("stored with a leading zero", False, stored="010000"),
        one("size signed", False, size="+10000"),
        one("size in hex", False, size="0x2710"),
        one("id in capitals", False, pid=PID.hex().upper()),
        one("id too short", False, pid=PID.hex()[:-1]),
        one("id too long", False, pid=PID.hex() + "0"),
        ("two spaces in a payload", text(Payload_1=line().replace(" ", "  ", 1)), False),
        ("two payloads", numbered(2), True),
        ("sixteen payloads", numbered(16), True),
        ("seventeen payloads", numbered(17), False),
        ("payloads from 0", text(Payload_0=line()), False),
        ("payloads with a gap", numbered(3, Payload_2=None), False),
        ("payloads from 2", text(Payload_1=None, Payload_2=line()), False),
        ("payload number with a leading zero", numbered(1, Payload_01=line()), False),
        ("payload number that is none", text(Payload_x=line()), False),
        ("payload without its number", good + b"Payload-: x\n", False),
        ("payload 1 twice", good + b"Payload-1: " + line().encode() + b"\n", False),
        ("Payload alone is an unknown key", good + b"Payload: slot\n", True),
        (
            "payload 2 before payload 1",
            text(Payload_2=line("ipk"), Payload_1=line("slot")),
            True,
        ),
        ("one payload for two boards", both(("slot", "b"), {"boards": "c"}), True),
        ("one payload as two kinds", both((), {"kind": "ipk"}), True),
        ("one payload twice", both(), True),
        ("one payload, two sizes", both((), {"size": 10001}), False),
        ("one payload, stored in two ways", both((), {"stored": 9999}), False),
    ]


def image_cases():
    about = {"Payload_1": line("image", "linksys,wrt54gs"), "Window": "3600"}
    image = text(**about)
    mixed = {"Payload_1": line("slot", "b"), "Payload_2": line("image", "c")}
    return [
        ("image", image, True),
        ("image, experimental: relayed, not installed", text(**EXPERIMENTAL, **about), True),
        (
            "image for any board: relayed, not installed",
            text(Payload_1=line("image"), Window="0"),
            True,
        ),
        ("image beside a slot", text(**mixed, Window="0"), True),
        ("image beside a slot, without its window", text(**mixed), False),
        ("image, window of a week", image.replace(b"3600", b"604800"), True),
        ("image, window of more than a week", image.replace(b"3600", b"604801"), False),
        ("image, window with a leading zero", image.replace(b"3600", b"03600"), False),
        ("image without its window", image.replace(b"Window: 3600\n", b""), False),
        ("image, its window made critical", image.replace(b"Window", b"!Window"), False),
        ("slot with a window", text(Window="3600"), False),
        ("withdrawn with a window", text(**WITHDRAWN, Window="0"), False),
    ]


def audience_cases():
    def to(name, ok, **changes):
        return name, text(**EXPERIMENTAL, **changes), ok

    names = [f"g{i}" for i in range(17)]
    longest = "abcdefghijklmnopqrstuvwxyz01_-" + "gg"
    return [
        to("experimental", True),
        to("groups", True, Groups="north_2 pilot-a"),
        to("group of 32 characters", True, Groups=longest),
        to("group of 33 characters", False, Groups=longest + "g"),
        to("group in capitals", False, Groups="North"),
        to("group with a dot", False, Groups="a.b"),
        to("sixteen groups", True, Groups=" ".join(names[:16])),
        to("seventeen groups", False, Groups=" ".join(names)),
        to("group twice", False, Groups="a b a"),
        to("two spaces between groups", False, Groups="a  b"),
        to("share of one in a thousand", True, Share="1"),
        to("share of all", True, Share="1000"),
        to("share of none", False, Share="0"),
        to("share of more than all", False, Share="1001"),
        to("share with a leading zero", False, Share="050"),
        to("share in percent", False, Share="5%"),
        to("groups and a share", True, Groups="a", Share="50"),
        to("groups made critical", False, **{"!Groups": "a"}),
        to("share made critical", False, **{"!Share": "1"}),
        ("stable with groups", text(Groups="a"), False),
        ("stable with a share", text(Share="1000"), False),
        (
            "withdrawn, experimental, with a share",
            text(**WITHDRAWN, **EXPERIMENTAL, Share="5"),
            True,
        ),
    ]


def key_set_cases(good):
    experimental = EXPERIMENTAL
    keys = key_set("0.0.1", KEYS[:2], 2, keep=[good, b"other"])
    first = public_line(KEYS[0])
    seventeen = [key(n) for n in range(1, 18)]
    gap = {"CA_Key_1": None, "CA_Key_4": first}

    def with_key(public, tag=b"Ed", key_id=b"B" * 8):
        second = public_line((None, public, key_id), tag)
        return key_set("0.0.1", KEYS[:1], 1, CA_Key_2=second)

    def twins(public, key_id):
        return with_key(public, key_id=key_id)

    return [
        ("keys", keys, True),
        ("keys, the last possible set", key_set("0.0.32", KEYS, 3), True),
        (
            "keys of an unknown algorithm",
            key_set("0.0.1", KEYS[:1], 1, CA_Key_2=public_line(KEYS[1], b"S1")),
            True,
        ),
        ("keys, kept in two lines", key_set("0.0.1", KEYS, 1, [good], CA_Keep_2="00" * 32), True),
        ("keys, one of one", key_set("0.0.1", KEYS[:1], 1), True),
        ("keys, sixteen", key_set("0.0.1", seventeen[:16], 16), True),
        ("keys, seventeen", key_set("0.0.1", seventeen, 1), False),
        ("keys, but none", key_set("0.0.1", [], 1), False),
        ("keys, but only kept ids", key_set("0.0.1", [], 1, [good], CA_Threshold=None), False),
        ("keys without a threshold", key_set("0.0.1", KEYS, 1, CA_Threshold=None), False),
        ("keys, set 0", key_set("0.0.0", KEYS, 1), False),
        ("keys, set 33", key_set("0.0.33", KEYS, 1), False),
        ("keys, of another version", key_set("0.1.1", KEYS, 1), False),
        ("keys, revised", key_set("0.0.1", KEYS, 1, Revision="1"), False),
        ("keys, experimental", key_set("0.0.1", KEYS, 1, **experimental), False),
        ("keys, more than all must sign", key_set("0.0.1", KEYS, 4), False),
        ("keys, none must sign", key_set("0.0.1", KEYS, 0), False),
        ("keys, one twice", key_set("0.0.1", [KEYS[0], KEYS[0]], 1), False),
        ("keys, not in base64", key_set("0.0.1", KEYS, 1, CA_Key_2="?"), False),
        ("keys, small order", with_key(b"\1" + bytes(31)), False),
        ("keys, small order, of 8", with_key(ORDER_8), False),
        ("keys, not canonical", with_key(b"\xf0" + b"\xff" * 30 + b"\x7f"), False),
        ("keys, no point", with_key(b"\2" + bytes(31)), True),
        ("keys, Ed of 33 bytes", with_key(KEYS[1][1] + b"x"), False),
        ("keys, unknown tag of 1 byte", with_key(b"k", b"S1"), True),
        ("keys, unknown tag of no byte", with_key(b"", b"S1"), False),
        ("keys, unknown tag of 374 bytes", with_key(b"k" * 374, b"S1"), True),
        ("keys, unknown tag of 377 bytes", with_key(b"k" * 377, b"S1"), False),
        ("keys, one key under two ids", twins(KEYS[0][1], b"B" * 8), False),
        ("keys, two keys under one id", twins(KEYS[1][1], KEYS[0][2]), False),
        ("keys, one under two tags", with_key(KEYS[0][1], b"S1"), False),
        ("keys, kept id twice", key_set("0.0.1", KEYS, 1, [good, good]), True),
        ("keys, too short", key_set("0.0.1", KEYS, 1, CA_Key_2=public_line(KEYS[1])[:-4]), False),
        ("keys, kept id too short", key_set("0.0.1", KEYS, 1, CA_Keep_1="00"), False),
        ("keys, made critical", keys.replace(b"CA-Key-1", b"!CA-Key-1"), False),
        ("keys, kept ids made critical", keys.replace(b"CA-Keep-1", b"!CA-Keep-1"), False),
        ("keys, threshold made critical", keys.replace(b"CA-T", b"!CA-T"), False),
        ("keys, with a critical key", keys + b"!Quantum: yes\n", False),
        ("keys, with an unknown key", keys + b"Quantum: yes\n", True),
        ("keys with a payload", key_set("0.0.1", KEYS, 1, Payload_1=line()), False),
        ("keys, withdrawn", key_set("0.0.1", KEYS, 1, Withdrawn="yes"), False),
        ("keys with a window", key_set("0.0.1", KEYS, 1, Window="0"), False),
        ("keys with a gap", key_set("0.0.1", KEYS, 1, **gap), False),
        ("keys from 0", key_set("0.0.1", KEYS, 1, CA_Key_0=first), False),
        ("keys, kept from 2", key_set("0.0.1", KEYS, 1, CA_Keep_2="00" * 32), False),
        ("slot with a key", text(CA_Key_1=first), False),
        ("slot with a threshold", text(CA_Threshold="1"), False),
        ("slot with a key set's version", text(Version="0.0.1"), False),
        ("slot of version 0.1.0", text(Version="0.1.0"), True),
        ("withdrawn, of a key set's version", text(**WITHDRAWN, Version="0.0.1"), False),
    ]


def manifests():
    good = text()
    cases = form_cases(good) + head_cases() + payload_cases() + image_cases()
    cases += audience_cases() + key_set_cases(good)
    for distinct in {name for name, _, _ in cases}, {m for _, m, _ in cases}:
        assert len(distinct) == len(cases)
    return [
        {
            "name": n,
            "section": "2.1",
            "hex": m.hex(),
            "id": hashlib.sha256(m).hexdigest(),
            "ok": ok,
        }
        for n, m, ok in cases
    ]


def signatures():
    """With what is kept of the file (section 2.2, rule 5); None: it is refused."""
    m = text()
    good = [block(b"Ed", k[2], k[0].sign(m)) for k in KEYS]
    foreign = block(b"Ed", FOREIGN[2], FOREIGN[0].sign(m))
    forged = block(b"Ed", KEYS[0][2], FOREIGN[0].sign(m))
    quantum = block(b"S1", b"Q" * 8, b"s" * 7856)
    lattice = block(b"M1", b"L" * 8, b"s" * 4352)
    fourteen = b"".join(block(b"S1", bytes([n] * 8), b"s") for n in range(14))
    two = good[0] + good[1]
    pad = two.index(b"=") - 1  # of whose 6 bits two mean nothing
    short = block(b"S1", b"Q" * 8, b"s")

    def wide(characters):
        """A block that nobody can check, of so many characters of base64."""
        return block(b"S1", b"W" * 8, b"s" * (characters * 3 // 4 - 10))

    cases = [
        ("two of three", good[0] + good[2], good[0] + good[2]),
        ("two of three, the last one first", good[2] + good[0], good[2] + good[0]),
        ("three of three", b"".join(good), b"".join(good)),
        ("with a foreign key's", foreign + two, two + foreign),
        ("with an unknown algorithm's", good[0] + quantum + good[1], two + quantum),
        ("kept, junk first", foreign + good[0] + forged + foreign + good[1], two + foreign),
        (
            "kept, junk beyond 16384 bytes",
            quantum + two + lattice + foreign,
            two + quantum + foreign,
        ),
        ("kept, fourteen others", fourteen + two, two + fourteen),
        ("bad block behind a good one of its key", two + forged, two),
        ("unknown tag of 1 byte", two + short, two + short),
        ("unknown tag of no byte", two + block(b"S1", b"Q" * 8, b""), None),
        ("Ed of 63 bytes", two + block(b"Ed", FOREIGN[2], bytes(63)), None),
        ("Ed of 65 bytes", two + block(b"Ed", FOREIGN[2], bytes(65)), None),
        ("base64 not canonical", two[:pad] + bytes([two[pad] + 1]) + two[pad + 1 :], None),
        ("base64 without padding", two.replace(b"=", b""), None),
        ("32768 bytes", two + wide(16336) + wide(16052), two + wide(16336)),
        ("32772 bytes", two + wide(16336) + wide(16056), None),
        ("line of 24576 characters", two + wide(24576), two),
        ("line of 24580 characters", two + wide(24580), None),
        ("one of three", good[0], None),
        ("one key twice counts once", good[0] + good[0], None),
        ("none", b"", None),
        ("forged beside two good ones", forged + good[1] + good[2], None),
        ("foreign only", foreign, None),
        ("no last line end", two[:-1], None),
        ("other comment", two.replace(b"swdist", b"Swdist", 1), None),
        ("blank line", good[0] + b"\n" + good[1], None),
        ("seventeen blocks", two + foreign * 15, None),
        ("too long", two + quantum * 4, None),
    ]
    cases = [
        {
            "name": n,
            "signatures": s.decode(),
            "ok": kept is not None,
            "kept": (kept or b"").decode(),
        }
        for n, s, kept in cases
    ]
    return {
        "network": NETWORK.hex(),
        "network_name": "vectors",
        "section": "2.2",
        "keys": {k[2].hex(): k[1].hex() for k in KEYS},
        "threshold": 2,
        "manifest": m.hex(),
        "cases": cases,
    }


def keys():
    """What a node of the founding set meets, in this order, and what becomes of it."""
    a, b, c = (text(Version=f"1.{n}.0") for n in (1, 2, 3))
    four, five, six = key(4), key(5), key(6)
    first = key_set("0.0.1", [four], 1, keep=[a])
    others = sorted(
        (key_set("0.0.1", [five], 1, Description=f"{n}") for n in range(8)),
        key=lambda m: hashlib.sha256(m).digest(),
    )
    ids = [hashlib.sha256(m).digest() for m in (others[0], first, others[-1])]
    assert ids == sorted(ids)
    second = key_set("0.0.2", [five, six], 2, keep=[c])

    def signed(m, *by):
        return {
            "manifest": m.hex(),
            "signatures": b"".join(block(b"Ed", k[2], k[0].sign(m)) for k in by).decode(),
        }

    def false(k):
        """Its blocks are another key's."""
        return FOREIGN[0], None, k[2]

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
        ("another first set, lower id", signed(others[0], one, two, five), "bad"),
        ("another set of this number, higher id", signed(others[-1], one, two, five), "bad"),
        ("a, which is kept", signed(a, one, three), "good"),
        ("a, which is kept, by too few", signed(a, one), "bad"),
        ("a, which is kept, by the new key", signed(a, four), "good"),
        ("kept, a bad block by the new set", signed(a, one, three, false(four)), "good"),
        ("kept, a bad block by both sets", signed(a, false(one), three, false(four)), "bad"),
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
        "section": "2.6",
        "keys": {k[2].hex(): k[1].hex() for k in KEYS},
        "threshold": 2,
        "steps": [{"name": n, **s, "is": what} for n, s, what in steps],
        "others": [
            {"name": n, "steps": [{**signed(m, *by), "is": what} for m, by, what in chain]}
            for n, chain in other_chains(a)
        ],
    }


def other_chains(a):
    """Of a node of the founding set each: (manifest, by whom it is signed, what becomes of it)."""
    one, two, three = KEYS
    four = key(4)
    borrowed = (key(5)[0], key(5)[1], one[2])  # with the id of a founding key
    unknown = key_set("0.0.1", [], 1, [a], CA_Key_1=public_line(four, b"S1"))
    mixed = key_set("0.0.1", [four], 1, CA_Key_2=public_line(key(6), b"S1"))
    swapped = key_set("0.0.1", [borrowed, four], 1, keep=[a])
    least = key_set("0.0.1", [four], 1)
    return [
        (
            "unknown tags only: stays",
            [(unknown, (one, two, four), "bad"), (a, (one, two), "good"), (a, (four,), "bad")],
        ),
        (
            "unknown tags and enough Ed",
            [(mixed, (one, two, four), "good"), (a, (four,), "good"), (a, (one, two), "bad")],
        ),
        (
            "key id with another key",
            [
                (swapped, (two, three, four), "good"),
                (a, (one, two), "good"),
                (a, (borrowed,), "good"),
                (a, (borrowed, two), "good"),
            ],
        ),
        ("the later keys alone count", [(least, (one, two, four), "good"), (a, (one,), "bad")]),
    ]
