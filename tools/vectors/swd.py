"""The release file (docs/protocol.md, section 2.4), whole and in each way in which it is none."""

import hashlib

from vectors.base import KEYS, NETWORK, WITHDRAWN, block, entry, key_set, line, text

BLOCK = 512
END = bytes(2 * BLOCK)


class Payload:
    """Of two stored chunks in one page, or of what is given."""

    def __init__(self, letter, chunks=None, index=None):
        self.chunks = chunks or [letter * 100, letter.upper() * 50]
        self.page = b"".join(entry(c) for c in self.chunks)
        self.size = sum(map(len, self.chunks))
        whole = hashlib.sha256(b"".join(self.chunks)).digest()
        self.index = index or whole + entry(self.page)
        self.id = hashlib.sha256(self.index).hexdigest()
        self.pieces = b"".join([self.page, *self.chunks])

    def line(self, boards="any", size=None, stored=None):
        return line("slot", boards, size or self.size, stored or self.size, self.id)

    def members(self, index=None, pieces=None):
        pieces = self.pieces if pieces is None else pieces
        return [(self.id + "/index", index or self.index), (self.id + "/pieces", pieces)]


def member(name, data, prefix="", kind=b"0", size=None, magic=b"ustar\x0000", **fields):
    """A header and its bytes. size: of that field, as it stands there; fields: others likewise."""
    head = bytearray(BLOCK)
    size = size or b"%011o\0" % len(data)
    for at, value in (
        (0, name.encode()), (100, fields.get("mode", b"0000644\0")),
        (108, fields.get("owner", b"0000000\0" * 2)), (124, size),
        (136, fields.get("time", b"%011o\0" % 0)), (156, kind), (257, magic),
        (265, fields.get("names", b"")), (345, prefix.encode()),
    ):  # fmt: skip
        head[at : at + len(value)] = value
    checksum = sum(head) + 8 * 0x20 + fields.get("off", 0)
    head[148:156] = fields.get("checksum", b"%06o\0 ") % checksum
    return bytes(head) + data + fields.get("fill", b"\0") * (-len(data) % BLOCK)


def archive(members, end=END):
    return b"".join(member(n, d) for n, d in members) + end


def signed(manifest):
    secret, _, key_id = KEYS[0]
    signatures = block(b"Ed", key_id, secret.sign(manifest))
    return [("manifest", manifest), ("signatures", signatures)]


P, Q = Payload(b"p"), Payload(b"q")
ONE = text(Payload_1=P.line())
TWO = text(Payload_1=P.line("a"), Payload_2=Q.line("b"))


def good_cases():
    head, rest = signed(ONE), P.members()
    twice = text(Payload_1=P.line("a"), Payload_2=Q.line("b"), Payload_3=P.line("c"))
    several = Payload(b"r", [b"r" * n for n in (511, 512, 513, 1)])
    around = signed(text(Payload_1=several.line()))
    fields = {"owner": b"0001750\0" * 2, "time": b"14000000000\0", "names": b"root\0wheel"}
    odd = b"".join(
        [
            member(*head[0], **fields, mode=b"0004777\0"),
            member(*head[1], kind=b"\0", size=b"%o " % len(head[1][1])),
            member("index", P.index, prefix=P.id, checksum=b"%06o \0"),
            member(*rest[1], checksum=b"%08o"),
        ]
    )
    return [
        ("one payload", archive(head + rest)),
        ("two payloads", archive(signed(TWO) + P.members() + Q.members())),
        ("one payload twice", archive(signed(twice) + P.members() + Q.members())),
        ("sizes around a block", archive(around + several.members())),
        ("no signatures", archive(head[:1] + rest)),
        ("withdrawal", archive(signed(text(**WITHDRAWN)))),
        ("key set", archive(signed(key_set("0.0.1", KEYS[:1], 1)))),
        ("other metadata", odd + END),
        ("more blocks of zeros at its end", archive(head + rest, bytes(20 * BLOCK))),
    ]  # fmt: skip


def order_cases():
    head, rest = signed(ONE), P.members()
    two = signed(TWO)
    pairs = zip(P.members(), Q.members())
    return [
        ("order, signatures first", head[::-1] + rest),
        ("order, signatures last", head[:1] + rest + head[1:]),
        ("order, pieces before their index", head + rest[::-1]),
        ("order, payloads", two + Q.members() + P.members()),
        ("order, indexes first", two + [m for both in pairs for m in both]),
        ("no member", []),
        ("no manifest", head[1:] + rest),
        ("a payload missing", two + P.members()),
        ("all payloads missing", two),
        ("an index missing", head + rest[1:]),
        ("pieces missing", head + rest[:1]),
        ("a payload twice", head + rest + rest),
        ("manifest twice", head[:1] + head + rest),
        ("signatures twice", head + head[1:] + rest),
        ("another member", head + rest + [("readme", b"x")]),
        ("another member in between", head + [("readme", b"x")] + rest),
        ("a payload that no line names", head + rest + Q.members()),
        ("name with a folder", [("./" + n, d) for n, d in head + rest]),
        ("id in capitals", head + [(n[:64].upper() + n[64:], d) for n, d in rest]),
    ]  # fmt: skip


def content_cases():
    head, rest = signed(ONE), P.members()
    entries = entry(P.page)
    none = Payload(b"p", index=P.index[:32] + entries[:20] + b"\1")
    big = hashlib.sha256(b"").digest() + entries[:16] + b"\0\x2a\0\x2b\0"
    other = Payload(b"p", index=big)

    def bad(piece):
        return P.pieces[:piece] + b"!" + P.pieces[piece + 1 :]

    def of(payload, **says):
        return signed(text(Payload_1=payload.line(**says))) + payload.members()

    return [
        ("manifest malformed", signed(ONE.replace(b"stable", b"Stable")) + rest),
        ("manifest of no byte", [("manifest", b""), *head[1:], *rest]),
        ("manifest too long", signed(ONE + b"A: " + b"x" * 5000 + b"\n") + rest),
        ("signatures malformed", [head[0], ("signatures", b"x"), *rest]),
        ("signatures of no byte", [head[0], ("signatures", b""), *rest]),
        ("index of another payload", head + P.members(index=Q.index)),
        ("index cut", head + P.members(index=P.index[:-1])),
        ("index with a byte more", head + P.members(index=P.index + b"x")),
        ("index that is none", of(none)),
        ("index that is none, a page of two lengths", of(other)),
        ("first byte of the page", head + P.members(pieces=bad(0))),
        ("first byte of a chunk", head + P.members(pieces=bad(len(P.page)))),
        ("last byte of the last chunk", head + P.members(pieces=bad(len(P.pieces) - 1))),
        ("pieces cut", head + P.members(pieces=P.pieces[:-1])),
        ("pieces without the last chunk", head + P.members(pieces=P.pieces[:-50])),
        ("pieces with a byte more", head + P.members(pieces=P.pieces + b"x")),
        ("pieces of no byte", head + P.members(pieces=b"")),
        ("pages say more than SIZE", of(P, size=149, stored=149)),
        ("pages say less than SIZE", of(P, size=151)),
        ("pages say more than STORED", of(P, stored=149)),
    ]


def archive_cases():
    head, rest = signed(ONE), P.members()
    good = archive(head + rest)
    size = len(head[1][1])

    def second(**fields):
        """With other fields in the header of the signatures."""
        return archive(head[:1], member(*head[1], **fields)) + archive(rest)

    folder = member(P.id + "/", b"", kind=b"5", mode=b"0000755\0")
    return [
        ("no byte", b""),
        ("no archive", ONE),
        ("zeros only", END),
        ("no end", good[: -2 * BLOCK]),
        ("one block of zeros at its end", good[:-BLOCK]),
        ("half a block of zeros more", good + bytes(BLOCK // 2)),
        ("a byte behind its end", good + b"x"),
        ("a block behind its end", good + b"x" * BLOCK),
        ("another archive behind its end", good + good),
        ("a block of zeros in between", archive(head, bytes(BLOCK)) + archive(rest)),
        ("cut in a header", good[: BLOCK // 2]),
        ("cut in a member", good[: BLOCK + 100]),
        ("cut in the last member", archive(head + rest, b"")[: -BLOCK + 10]),
        ("a folder", archive(head, folder) + archive(rest)),
        ("a symbolic link", second(kind=b"2")),
        ("a hard link", second(kind=b"1")),
        ("a header of pax", second(kind=b"x")),
        ("magic of GNU tar", second(magic=b"ustar  \0")),
        ("no magic", second(magic=bytes(8))),
        ("checksum off by one", second(off=1)),
        ("size in base 256", second(size=b"\x80" + size.to_bytes(11, "big"))),
        ("size with an underscore", second(size=b"0000_%06o\0" % size)),
        ("size with a space before", second(size=b" %10o\0" % size)),
        ("a block filled up with other bytes than zeros", second(fill=b"x")),
        ("size beyond the file", second(size=b"%011o\0" % 40000)),
    ]


def runs(data):
    """[[hex, zeros]]: bytes, and how many bytes 0 follow."""
    out = []
    at = 0
    while at < len(data):
        begin = at
        while at < len(data) and any(data[at : at + 16]):
            at += 16
        end = begin + len(data[begin:at].rstrip(b"\0"))
        while at < len(data) and not data[at]:
            at += 1
        out.append([data[begin:end].hex(), min(at, len(data)) - end])
    return out


def swd():
    good = [(n, f, True) for n, f in good_cases()]
    bad = [(n, archive(members), False) for n, members in order_cases() + content_cases()]
    bad += [(n, f, False) for n, f in archive_cases()]
    cases = [
        {
            "name": n,
            "section": "2.4",
            "ok": ok,
            "signed": n != "no signatures",
            "bytes": len(f),
            "file": runs(f),
        }
        for n, f, ok in good + bad
    ]
    for case, (_, f, _) in zip(cases, good + bad):
        assert b"".join(bytes.fromhex(h) + bytes(n) for h, n in case["file"]) == f
    assert len({c["name"] for c in cases}) == len(cases)
    _, public, key_id = KEYS[0]
    return {
        "network": NETWORK.hex(),
        "keys": {key_id.hex(): public.hex()},
        "threshold": 1,
        "cases": cases,
    }
