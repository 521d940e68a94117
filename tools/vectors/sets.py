"""Which releases a node holds, and their digest (docs/protocol.md, sections 3.4 and 5.1)."""

import hashlib

from vectors.base import KEYS, WITHDRAWN, entry, key_set, line, text

MOST = 64
WORDS = {"-": "refused", "!": "runs"}
MANIFESTS = {}  # of all cases, by name


def of(version, revision=0, **more):
    """A withdrawal is the shortest release; all count alike."""
    return text(Version=version, Revision=str(revision), **(more or WITHDRAWN))


class Payload:
    """One of two stored chunks, as a node that serves it has it."""

    def __init__(self, letter):
        self.chunks = [letter * 100, letter.upper() * 50]
        page = b"".join(entry(c) for c in self.chunks)
        self.pieces = [page, *self.chunks]
        self.index = hashlib.sha256(b"".join(self.chunks)).digest() + entry(page)
        self.id = hashlib.sha256(self.index).digest()

    def line(self):
        return line(size=150, stored=150, pid=self.id.hex())

    def json(self):
        return {"index": self.index.hex(), "pieces": [p.hex() for p in self.pieces]}


def digest(manifests):
    ids = sorted(hashlib.sha256(m).digest() for m in manifests)
    return hashlib.sha256(b"".join(ids)).digest()[:8].hex()


def case(name, section, manifests, steps, expected, besides=(), payloads=(), held=()):
    """manifests: {name: bytes}. steps: names of what comes, in this order; `-name` is not taken;
    `!name` is what the node runs from then on. expected: names, in the order in which they are
    announced. payloads: those that come whole at the end of the steps, and held: what is left."""
    for n, m in manifests.items():
        assert MANIFESTS.setdefault(n, m) == m
    return {
        "name": name,
        "section": section,
        "steps": [
            [WORDS.get(s[0], "payload" if s in payloads else "taken"), s.lstrip("-!")]
            for s in steps
        ],
        "set": expected,
        "digest": digest(manifests[n] for n in expected),
        "besides": list(besides),
        "payloads": list(held),
    }


def small_cases():
    a, b, c = (of(f"1.{n}.0") for n in (2, 10, 1))
    low, high = sorted(
        (of("1.1.0", Payload_1=line(boards=x)) for x in "ab"),
        key=lambda m: hashlib.sha256(m).digest(),
    )
    three = {"a": a, "b": b, "c": c}
    revisions = {f"r{n}": of("1.1.0", n) for n in (0, 9, 10)}
    keys = {"k1": key_set("0.0.1", KEYS, 2), "k2": key_set("0.0.2", KEYS, 2)}
    return [
        case("digest of nothing", "3.4", {}, [], []),
        case("digest of one", "3.4", {"a": a}, ["a"], ["a"]),
        case("digest of three", "3.4", three, ["a", "b", "c"], ["c", "a", "b"]),
        case("digest of three, in another order", "3.4", three, ["c", "b", "a"], ["c", "a", "b"]),
        case("key sets come first", "3.4", keys | three, ["a", "k1", "k2"], ["k1", "k2", "a"]),
        case("again", "5.1", three, ["a", "a"], ["a"]),
        case("revision drops the lower one", "5.1", revisions, ["r0", "r9", "r10"], ["r10"]),
        case("lower revision is not taken", "5.1", revisions, ["r10", "-r9", "-r0"], ["r10"]),
        case("one revision, higher id", "5.1", {"l": low, "h": high}, ["l", "h"], ["h"]),
        case("one revision, lower id", "5.1", {"l": low, "h": high}, ["h", "-l"], ["h"]),
    ]


def full_cases():
    """64 versions 2.0.1 to 2.0.64, and what comes then."""
    full = {f"2.0.{n}": of(f"2.0.{n}") for n in range(1, MOST + 1)}
    names = list(full)
    keys = {f"k{n}": key_set(f"0.0.{n}", KEYS, 2) for n in (1, 2, 3)}
    back = list(reversed(names))
    more = {
        "lower": of("1.9.9"), "lower, revised": of("1.9.9", 65535),
        "higher": of("2.1.0"), "highest": of("3.0.0"),
        "lowest, revised": of("2.0.1", 1), "middle, revised": of("2.0.30", 1),
    }  # fmt: skip
    every = full | more | keys

    def one(name, steps, expected, besides=(), section="5.1"):
        return case(name, section, every, steps, expected, besides)

    return [
        one("64 held, one lower", [*names, "-lower"], names),
        one("64 held, one lower, of the highest revision", [*names, "-lower, revised"], names),
        one("64 held, one higher", [*names, "higher"], [*names[1:], "higher"]),
        one("64 held, two higher", [*names, "highest", "higher"],
            [*names[2:], "higher", "highest"]),
        one("64 come from the highest down, one lower", [*back, "-lower"], names),
        one("one lower held, 64 come", ["lower", *names], names),
        one(
            "64 held, a revision of the lowest", [*names, "lowest, revised"],
            ["lowest, revised", *names[1:]],
        ),
        one(
            "64 held, a revision of another", [*names, "middle, revised"],
            [*names[:29], "middle, revised", *names[30:]],
        ),
        one("key sets not counted", [*names, *keys], [*keys, *names]),
        one("key sets not counted, one lower", [*names, *keys, "-lower"], [*keys, *names]),
        one("key sets not counted, one higher", [*names, *keys, "higher"],
            [*keys, *names[1:], "higher"]),
        one(
            "what runs is kept besides", [*names, "!2.0.1", "higher", "highest"],
            [*names[2:], "higher", "highest"], ["2.0.1"],
        ),
        one(
            "digest, one kept besides", [*names[:3], "!2.0.1", *names[3:], "higher"],
            [*names[1:], "higher"], ["2.0.1"], section="3.4",
        ),
        one(
            "a revision of what is kept besides", [*names, "!2.0.1", "higher", "-lowest, revised"],
            [*names[1:], "higher"], ["2.0.1"],
        ),
    ]  # fmt: skip


def payload_cases():
    here = {"p": Payload(b"p"), "q": Payload(b"q")}
    every = {
        "of p": of("1.1.0", Payload_1=here["p"].line()),
        "of p again": of("1.1.0", 1, Payload_1=here["p"].line()),
        "of q and p": of("1.1.0", 1, Payload_1=here["q"].line(), Payload_2=here["p"].line()),
        "higher, of p": of("1.2.0", Payload_1=here["p"].line()),
        "of none": of("1.1.0", 1),
    }

    def one(name, steps, expected, held):
        return case(name, "5.1", every, steps, expected, (), here, held)

    return [
        one("its payload stays, named again", ["of p", "p", "of p again"], ["of p again"], ["p"]),
        one("its payload stays, named beside another", ["of p", "p", "of q and p"],
            ["of q and p"], ["p"]),
        one("its payload stays, another version names it", ["of p", "p", "higher, of p", "of none"],
            ["of none", "higher, of p"], ["p"]),
        one("two payloads of one release", ["of q and p", "q", "p"], ["of q and p"], ["p", "q"]),
    ], here  # fmt: skip


def store():
    last, payloads = payload_cases()
    cases = small_cases() + full_cases() + last
    assert len({c["name"] for c in cases}) == len(cases)
    return {
        "manifests": {n: m.hex() for n, m in MANIFESTS.items()},
        "payloads": {n: p.json() for n, p in payloads.items()},
        "cases": cases,
    }
