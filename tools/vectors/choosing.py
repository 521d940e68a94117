"""Which release is active: docs/protocol.md, sections 1.2, 2.1, 5.1 to 5.7. What runs is written
down here by hand, as the text says it."""

import hashlib
import time

from vectors.base import KEYS, WITHDRAWN, key_set, line, text

T = 1795489200  # 2026-11-24T03:00:00Z, from which most releases here may run
SIGNED = T - 61200
FACTORY = "factory"
LOT = bytes(range(16))  # lots of 1.1.0 and of 1.2.0: see lots()


def lot(drawn, version):
    parts = b"".join(n.to_bytes(2, "big") for n in version)
    return int.from_bytes(hashlib.sha256(drawn + parts).digest()[:4], "big") % 1000


def stamp(second):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


class Release:
    """A manifest that differs from others in what a case is about. start, end, signed: seconds
    behind T. lines: (kind, boards) of its payloads, each of its own bytes."""

    def __init__(
        self, version, start=0, end=None, revision=0, lines=(("slot", "any"),), signed=None, **more
    ):
        fields = {"Version": version, "Revision": str(revision), "Start": stamp(T + start)}
        fields["Signed_At"] = stamp(SIGNED if signed is None else T + signed)
        if end is not None:
            fields |= {"Channel": "experimental", "End": stamp(T + end)}
        if not lines:
            fields |= WITHDRAWN
        seed = repr((version, revision, start, end, lines, more))
        for n, (kind, boards) in enumerate(lines, 1):
            pid = hashlib.sha256(f"{seed} {n}".encode()).hexdigest()
            fields[f"Payload_{n}"] = line(kind, boards, pid=pid)
            if kind == "image":
                fields.setdefault("Window", "600")
        fields |= more
        self.manifest = text(**fields)
        self.lines = len(lines)


NODE = {"board": "b", "kinds": ["slot", "ipk", "image"], "groups": [], "lot": None}
NODE["factory"] = "1.0.0"


def case(name, section, held, *at, ready=None, failed=(), active=FACTORY, hold=False, **node):
    """held: {name: Release}. at: (seconds behind T, what runs[, more of the step]). ready: (name,
    line) of the payloads that are held whole and ready to run; all, if not said."""
    if ready is None:
        ready = [(n, i) for n, r in held.items() for i in range(1, r.lines + 1)]
    return {
        "name": name,
        "section": section,
        "node": NODE | node,
        "held": {n: r.manifest.hex() for n, r in held.items()},
        "ready": [list(r) for r in ready],
        "failed": list(failed),
        "active": active,
        "hold": hold,
        "at": [
            {"now_s": T + s, "synchronised": True, "runs": runs} | dict(*more)
            for s, runs, *more in at
        ],
    }


UNSYNCED = {"synchronised": False}


def order_cases():
    one, two = Release("1.1.0"), Release("1.2.0", start=100)
    twins = [Release("1.1.0", Description=d) for d in ("a", "b")]
    twins.sort(key=lambda r: hashlib.sha256(r.manifest).digest())
    return [
        case("nothing is held", "5.2", {}, (0, FACTORY)),
        case("its first second", "5.2", {"a": one}, (-1, FACTORY), (0, "a"), (10**8, "a")),
        case("one after the other", "5.2", {"a": one, "b": two}, (99, "a"), (100, "b")),
        case(
            "versions are numbers", "5.2",
            {"a": Release("1.10.0"), "b": Release("1.9.9")}, (0, "a"),
        ),
        case("below the factory release", "5.2", {"a": Release("0.9.9")}, (0, FACTORY)),
        case("factory version, verified", "5.2", {"a": Release("1.0.0")}, (-1, FACTORY), (0, "a")),
        case(
            "a key set is none that runs", "5.2", {"a": one, "k": Keys()}, (0, "a"),
        ),
        case(
            "its payload is not here", "5.2", {"a": one, "b": two}, (100, "a"), ready=[("a", 1)]
        ),
        case(
            "one revision, two ids", "5.1", {"high": twins[1], "low": twins[0]}, (0, "high")
        ),
        case(
            "one revision, two ids, and no payload", "5.1",
            {"low": twins[0], "high": twins[1]}, (0, FACTORY), ready=[("low", 1)],
        ),
    ]  # fmt: skip


class Keys:
    """A key set among what is held."""

    lines = 0
    manifest = key_set("0.0.1", KEYS, 2)


def revision_cases():
    one = Release("1.1.0")
    lower = Release("1.0.5")
    later = Release("1.1.0", revision=1, start=50)
    none = Release("1.1.0", revision=1, lines=())
    other = Release("1.1.0", revision=1, lines=[("slot", "c")])
    experiment = Release("1.2.0", end=50)
    promoted = Release("1.2.0", revision=1)
    return [
        case(
            "postponed", "5.1", {"a": one, "b": later, "l": lower},
            (0, "l"), (49, "l"), (50, "b"), active="a",
        ),
        case("withdrawn", "5.1", {"a": one, "b": none, "l": lower}, (0, "l"), active="a"),
        case("withdrawn, nothing below", "5.1", {"a": one, "b": none}, (0, FACTORY), active="a"),
        case("withdrawn before it began", "5.1", {"b": none, "a": one}, (0, FACTORY)),
        case("revision for other boards", "5.1", {"a": one, "b": other}, (0, FACTORY), active="a"),
        case(
            "revision without its payload", "5.1", {"a": one, "b": later}, (50, FACTORY),
            ready=[("a", 1)],
        ),
        case(
            "revisions are numbers", "5.1",
            {"a": Release("1.1.0", revision=9), "b": Release("1.1.0", revision=10)}, (0, "b"),
        ),
        case("promoted", "5.1", {"a": experiment, "b": promoted}, (0, "b"), (50, "b"), active="a"),
    ]  # fmt: skip


def fit_cases():
    def one(name, runs, *lines, section="2.1", **more):
        r = Release("1.1.0", lines=lines)
        return case(name, section, {"a": r}, (0, *runs), **more)

    factory = (FACTORY,)

    def at(n):
        return ("a", {"line": n})

    return [
        one("another board", factory, ("slot", "c")),
        one("one of several boards", at(1), ("slot", "a b c")),
        one("board of which this one's name is a part", factory, ("slot", "bb ab")),
        one("any board", at(1), ("slot", "any")),
        one("the first that fits", at(2), ("slot", "c"), ("slot", "b"), ("slot", "any")),
        one("any before its board", at(1), ("slot", "any"), ("slot", "b")),
        one(
            "the first that fits is not here", factory, ("slot", "b"), ("slot", "any"),
            ready=[("a", 2)],
        ),
        one("kind that it can't install", at(2), ("apk", "any"), ("ipk", "any")),
        one("kind that nobody knows", factory, ("hologram", "any")),
        one("kind that nobody knows, and another", at(2), ("hologram", "any"), ("slot", "any")),
        case(
            "unknown critical key", "2.1", {"a": Release("1.1.0", **{"!Quantum": "yes"})},
            (0, FACTORY),
        ),
        case(
            "unknown critical key in a revision", "2.1",
            {"a": Release("1.1.0"), "b": Release("1.1.0", revision=1, **{"!Quantum": "yes"})},
            (0, FACTORY),
        ),
        case(
            "unknown key", "2.1", {"a": Release("1.1.0", Quantum="yes")}, (0, "a"),
        ),
    ]  # fmt: skip


def audience_cases():
    here = lot(LOT, (1, 1, 0))
    assert 0 < here < 999

    def to(name, runs, groups=(), drawn=LOT, **audience):
        r = Release("1.1.0", end=99, **audience)
        number = drawn and drawn.hex()
        return case(name, "2.1", {"a": r}, (0, runs), groups=list(groups), lot=number)

    both = {"Groups": "north testers", "Share": str(here)}
    return [
        to("in one of its groups", "a", ["testers", "x"], Groups="north testers"),
        to("in none of its groups", FACTORY, ["test", "x"], Groups="north testers"),
        to("its lot is below the share", "a", Share=str(here + 1)),
        to("its lot is the share", FACTORY, Share=str(here)),
        to("share of all", "a", Share="1000"),
        to("share of all, and no lot", FACTORY, drawn=None, Share="1000"),
        to("in a group, its lot not below the share", "a", ["north"], **both),
        to("in a group, and no lot", "a", ["north"], drawn=None, **both),
        to("in no group, its lot below the share", "a", Groups="x", Share=str(here + 1)),
        to("in no group, its lot not below the share", FACTORY, **both),
        case(
            "a revision draws the same nodes", "2.1",
            {
                "a": Release("1.1.0", end=99, Share=str(here + 1)),
                "b": Release("1.1.0", end=98, revision=1, Share=str(here + 1)),
            },
            (0, "b"), lot=LOT.hex(),
        ),
        case(
            "not in the audience of a revision", "5.1",
            {"a": Release("1.1.0"), "b": Release("1.1.0", end=99, revision=1, Groups="x")},
            (0, FACTORY), active="a",
        ),
    ]  # fmt: skip


def experiment_cases():
    stable = Release("1.1.0")
    trial = Release("1.2.0", start=10, end=20)
    both = {"s": stable, "x": trial}
    image = Release("1.1.0", lines=[("image", "b")])
    return [
        case(
            "experiment", "5.2", both, (9, "s"), (10, "x"), (19, "x"), (20, "s"),
            (15, FACTORY, {"synchronised": False, "kept_s": T - 1}),
            (15, "s", {"synchronised": False, "kept_s": T + 15}),
        ),
        case("experiment, ended while it runs", "5.2", both, (20, "s"), active="x"),
        case("experiment, the clock is lost while it runs", "5.2", both,
             (15, "s", {"synchronised": False, "kept_s": T + 15}), active="x"),
        case(
            "experiment, fallback known, not held", "5.3", both, (15, FACTORY), ready=[("x", 1)]
        ),
        case("experiment, fallback ready", "5.3", both, (15, "x")),
        case(
            "experiment, it runs already", "5.3", both, (15, "x"), ready=[("x", 1)], active="x"
        ),
        case(
            "experiment, fallback failed", "5.3", both, (15, "x"), ready=[("x", 1)], failed=["s"]
        ),
        case(
            "experiment, fallback is an image", "5.3", {"s": image, "x": trial}, (15, "x"),
            ready=[("x", 1)],
        ),
        case(
            "experiment, fallback begins later", "5.3",
            {"s": Release("1.1.0", start=16), "x": trial}, (15, "x"), (16, FACTORY),
            ready=[("x", 1)],
        ),
        case(
            "experiment, fallback above it", "5.3",
            {"s": Release("1.3.0"), "x": trial}, (15, FACTORY), ready=[("x", 1)],
        ),
        case(
            "experiment, fallback for another board", "5.3",
            {"s": Release("1.1.0", lines=[("slot", "c")]), "x": trial}, (15, "x"),
        ),
        case(
            "experiment, an older stable one is ready", "5.3",
            {"o": Release("1.0.1"), **both}, (15, "o"), ready=[("o", 1), ("x", 1)],
        ),
        case(
            "experiment, a second one, fallback known, not held", "5.3",
            {**both, "y": Release("1.3.0", start=10, end=20)}, (15, "x"),
            ready=[("x", 1), ("y", 1)], active="x",
        ),
    ]  # fmt: skip


def floor_cases():
    a = Release("1.1.0")
    signed = {"a": a, "b": Release("1.2.0", start=10**6, signed=5)}
    withdrawn = {"a": a, "b": Release("1.2.0", start=10**6, signed=5, lines=())}

    def lost(kept):
        return {"synchronised": False, "kept_s": T + kept}

    return [
        case(
            "not synchronised, floor by Signed-At", "5.5", signed,
            (99, "a", lost(-10**6)), (99, "a", lost(10**6 - 1)), (99, "b", lost(10**6)),
        ),
        case(
            "not synchronised, floor by a withdrawal's Signed-At", "5.5", withdrawn,
            (99, "a", lost(-10**6)),
        ),
        case("synchronised, below the floor", "5.5", signed, (-100, "a")),
        case(
            "not synchronised, floor by kept time", "5.5", {"a": a},
            (99, FACTORY, lost(-1)), (99, "a", lost(0)),
        ),
    ]  # fmt: skip


def failed_cases():
    a, b = Release("1.1.0"), Release("1.2.0")
    again = Release("1.2.0", revision=1)
    return [
        case("failed", "5.6", {"a": a, "b": b}, (0, "a"), failed=["b"]),
        case("failed while it runs", "5.6", {"a": a, "b": b}, (0, "a"), failed=["b"], active="b"),
        case("failed, its revision", "5.6", {"b": b, "c": again}, (0, "c"), failed=["b"]),
        case("failed, a revision of it", "5.6", {"b": b, "c": again}, (0, FACTORY), failed=["c"]),
    ]


def image_cases():
    def one(version="2.0.0", boards="b", **more):
        return Release(version, lines=[("image", boards)], **more)

    def drawn(name, first, last):
        return {"flashes": name, "first_us": (T + first) * 10**6, "last_us": (T + last) * 10**6}

    a = Release("1.1.0")
    i = one()
    return [
        case(
            "image, window", "5.4", {"a": a, "i": i},
            (-1, FACTORY), (0, "a", drawn("i", 60, 660)),
        ),
        case("image, here later", "5.4", {"i": i}, (1000, FACTORY, drawn("i", 1060, 1660))),
        case(
            "image, window of no seconds", "5.4", {"i": one(Window="0")},
            (0, FACTORY, drawn("i", 60, 60)),
        ),
        case("image, no clock", "5.4", {"a": a, "i": i}, (0, "a", UNSYNCED | {"kept_s": T + 9999})),
        case("image, not here", "5.4", {"a": a, "i": i}, (0, "a"), ready=[("a", 1)]),
        case("image, failed", "5.4", {"a": a, "i": i}, (0, "a"), failed=["i"]),
        case(
            "image, the highest of two", "5.4", {"i": i, "j": one("2.0.1")},
            (0, FACTORY, drawn("j", 60, 660)),
        ),
        case(
            "image, below an experiment that can't begin", "5.4",
            {"i": i, "x": Release("2.1.0", end=9999), "s": Release("2.2.0")},
            (10, FACTORY, drawn("i", 70, 670)), ready=[("i", 1), ("x", 1)],
        ),
        case(
            "image, below an experiment that could begin if it counted", "5.4",
            {"a": a, "i": i, "x": Release("2.1.0", end=9999)}, (10, FACTORY),
            ready=[("i", 1), ("x", 1)],
        ),
        case("image, below a slot", "5.4", {"s": Release("3.0.0"), "i": i}, (0, "s")),
        case("factory version, image", "5.2", {"i": one("1.0.0")}, (0, FACTORY)),
        case("factory version, image of a revision", "5.2", {"i": one("1.0.0", revision=9)},
             (0, FACTORY)),
        case("image for any board", "2.1", {"i": one(boards="any")}, (0, FACTORY)),
        case("image, experimental", "2.1", {"i": one(end=9999)}, (0, FACTORY)),
        case(
            "image, deflated", "2.1", {"i": one(Payload_1=line("image", "b", stored=9999))},
            (0, FACTORY),
        ),
        case(
            "image, deflated, and another line", "2.1",
            {
                "i": Release(
                    "2.0.0", lines=[("image", "b"), ("slot", "any")],
                    Payload_1=line("image", "b", stored=9999),
                )
            },
            (0, "i", {"line": 2}),
        ),
    ]  # fmt: skip


def hold_cases():
    low, mid, high = Release("1.0.5"), Release("1.1.0"), Release("1.2.0")
    three = {"l": low, "m": mid, "h": high}

    def held(name, held, *at, active="m", **more):
        return case(name, "5.7", held, *at, active=active, hold=True, **more)

    trial = Release("1.1.0", end=20)
    image = Release("2.0.0", lines=[("image", "b")])
    return [
        held("held by its owner", three, (0, "m")),
        held("held by its owner at the factory release", three, (0, FACTORY), active=FACTORY),
        held("held by its owner, no image", {"m": mid, "i": image}, (0, "m")),
        held("held by its owner, what runs failed", {"l": low, "m": mid}, (0, "l"), failed=["m"]),
        held("held by its owner, what runs ends", {"l": low, "m": trial}, (19, "m"), (20, "l")),
        held(
            "held by its owner, what runs is withdrawn",
            {"l": low, "m": mid, "w": Release("1.1.0", revision=1, lines=())}, (0, "l"),
        ),
        held(
            "held by its owner, what runs has a revision",
            {"l": low, "m": mid, "r": Release("1.1.0", revision=1)}, (0, "r"),
        ),
    ]  # fmt: skip


def lots():
    """A node's number, a version, and its lot."""
    drawn = [LOT, bytes(16), b"\xff" * 16, hashlib.sha256(b"swdist").digest()[:16]]
    versions = [(0, 1, 0), (1, 1, 0), (1, 2, 0), (1, 1, 256), (65535, 65535, 65535)]
    return [
        {"number": d.hex(), "version": ".".join(map(str, v)), "permille": lot(d, v)}
        for d in drawn
        for v in versions
    ]


def choosing():
    cases = order_cases() + revision_cases() + fit_cases() + audience_cases()
    cases += experiment_cases() + floor_cases() + failed_cases() + image_cases() + hold_cases()
    assert len({c["name"] for c in cases}) == len(cases)
    return {"lots": {"section": "2.1", "cases": lots()}, "cases": cases}
