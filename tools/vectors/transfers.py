"""What a TFTP server answers (docs/protocol.md, section 4)."""

import hashlib
import struct

from vectors.base import entry, line, text

MOST = 65536
CHUNKS = [(b"a", 65536), (b"b", 30000), (b"c", 30000), (b"d", 5536), (b"e", 1), (b"f", 2)]


def payload():
    """(index, pieces): two pages of three chunks each, of which the first is as long as can be, and
    the next three are so together."""
    chunks = [letter * n for letter, n in CHUNKS]
    entries = [digest_entry(c) for c in chunks]
    pages = [b"".join(entries[:3]), b"".join(entries[3:])]
    index = hashlib.sha256(b"".join(chunks)).digest() + b"".join(entry(p) for p in pages)
    return index, pages, chunks


def digest_entry(chunk):
    n = len(chunk) % MOST
    return hashlib.sha256(chunk).digest()[:16] + struct.pack("!HHB", n, n, 0)


INDEX, PAGES, PIECES = payload()
PIECES = PAGES + PIECES
PID = hashlib.sha256(INDEX).hexdigest()
SIZE = sum(n for _, n in CHUNKS)
MANIFEST = text(Payload_1=line("slot", "any", SIZE, SIZE, PID))
RID = hashlib.sha256(MANIFEST).hexdigest()
ALL = len(PIECES)


def ends(first, last, held):
    """At how many bytes an answer may end, of pieces from first on."""
    out = []
    size = 0
    for piece in PIECES[first : min(last + 1, held)]:
        size += len(piece)
        if size <= MOST:
            out.append(size)
    return out


def run_cases():
    def run(name, what, first, last, held=ALL):
        return name, f"1/{PID}/{what}", held, {"first": first, "ends": ends(first, last, held)}

    return [
        run("page", "0", 0, 0),
        run("piece of 65,536 bytes", "2", 2, 2),
        run("piece of a byte", "6", 6, 6),
        run("the last piece", "7", 7, 7),
        run("run", "3-4", 3, 4),
        run("run of one", "3-3", 3, 3),
        run("run of pages", "0-1", 0, 1),
        run("run of pages and chunks", "0-7", 0, 7),
        run("run of 65,536 bytes", "3-5", 3, 5),
        run("run of more than 65,536 bytes", "3-6", 3, 6),
        run("run behind a piece of 65,536 bytes", "2-3", 2, 3),
        run("LAST beyond the end", "6-8", 6, 8),
        run("LAST beyond the end, the highest", "5-65534", 5, 65534),
        run("run ends early", "3-7", 3, 7, held=4),
        run("run of one page, the next one not held", "0-65534", 0, 65534, held=1),
        run("piece held, later ones not", "2", 2, 2, held=3),
    ]


def missing_cases():
    def none(name, what, held=ALL, folder="1/" + PID):
        return name, folder if what is None else f"{folder}/{what}", held, {"error": 1}

    malformed = [
        "", " ", "-", "1-", "-1", "+1", "00", "01", "0-01", "00-1", "0x1", "1-2-3", "1--2", "1,2",
        "1 ", " 1", "1- 2", "1:2", "7-6", "65535", "0-65535", "99999999999999999999",
        "0-99999999999999999999", "Index", "indexx", "pages", "payload", "pieces", "1/2", "./1",
        "1/", "*",
    ]  # fmt: skip
    return [
        none("piece not held", "4", 4),
        none("run, FIRST not held", "4-7", 4),
        none("chunk, with the index alone", "2", 0),
        none("page, with the index alone", "0", 0),
        none("second page, with the first alone", "1", 1),
        none("piece beyond the end", "8"),
        none("run beyond the end", "8-9"),
        none("the highest piece", "65534"),
        none("manifest of a payload", "manifest"),
        none("signatures of a payload", "signatures"),
        none("index of a release", "index", folder="1/" + RID),
        none("piece of a release", "0", folder="1/" + RID),
        none("index of a payload that is not held", "index", folder="1/" + "0" * 64),
        none("piece of a payload that is not held", "0", folder="1/" + "0" * 64),
        none("manifest of a release that is not held", "manifest", folder="1/" + "0" * 64),
        none("id in capitals", "0", folder="1/" + PID.upper()),
        none("id a digit short", "0", folder="1/" + PID[:-1]),
        none("id a digit long", "0", folder="1/" + PID + "0"),
        none("id with a digit that is none", "0", folder="1/" + PID[:-1] + "g"),
        none("id alone", None, folder="1/" + PID),
        none("no id", "index", folder="1"),
        none("other version", "0", folder="2/" + PID),
        none("version with a zero", "0", folder="01/" + PID),
        none("slash in front", "0", folder="/1/" + PID),
        none("two slashes", "/0"),
        none("from above", "0", folder="../1/" + PID),
        *(none(f"no name: {what!r}", what) for what in malformed),
    ]


def names():
    whole = [
        ("manifest", f"1/{RID}/manifest", 0, {"file": "manifest"}),
        ("signatures", f"1/{RID}/signatures", 0, {"file": "signatures"}),
        ("index", f"1/{PID}/index", 0, {"file": "index"}),
        ("index, all held", f"1/{PID}/index", ALL, {"file": "index"}),
    ]
    return [
        {"name": n, "section": "4", "asked": asked, "held": held} | answer
        for n, asked, held, answer in whole + run_cases() + missing_cases()
    ]


def request(*words, op=1, end=b"\0"):
    packed = b"\0".join(w if isinstance(w, bytes) else w.encode() for w in words)
    return struct.pack("!H", op) + packed + end


def requests():
    """What comes back for one packet on the well-known port, by a server that holds all and serves
    nobody else: nothing, an ERROR, the first block of 512 bytes, or an OACK. That may grant what
    "oack" says, a number at most that high; of tsize exactly that."""
    name = f"1/{PID}/3"

    def one(what, answer, *words, **form):
        return {"name": what, "packet": request(*words, **form).hex(), "answer": answer}

    def asks(what, answer, *options):
        return one(what, answer, name, "octet", *options)

    def not_asked(option, value):
        return asks(f"{option} {value}", "data", option, value)

    return [
        one("octet", "data", name, "octet"),
        one("octet in capitals", "data", name, "OCTET"),
        one("netascii", "error 4", name, "netascii"),
        one("mail", "error 4", name, "mail"),
        one("no mode", "none", name),
        one("mode of no character", "error 4", name, ""),
        one("mode without its end", "none", name, "octet", end=b""),
        one("write", "error 2", name, "octet", op=2),
        one("data", "none", b"\0\1x", op=3, end=b""),
        one("acknowledgement", "none", b"\0\0", op=4, end=b""),
        one("error", "none", b"\0\1x", op=5),
        one("OACK", "none", "blksize", "512", op=6),
        one("operation 0", "none", name, "octet", op=0),
        one("operation 7", "none", name, "octet", op=7),
        one("operation 257", "none", name, "octet", op=257),
        one("not held", "error 1", f"1/{PID}/8", "octet"),
        one("not held, with options", "error 1", f"1/{PID}/8", "octet", "blksize", "1024"),
        asks("blksize 1024", {"blksize": 1024}, "blksize", "1024"),
        asks("option in capitals", {"blksize": 1024}, "BLKSIZE", "1024"),
        asks("blksize 8", {"blksize": 8}, "blksize", "8"),
        asks("blksize 65464", {"blksize": 65464}, "blksize", "65464"),
        asks("windowsize 16", {"windowsize": 16}, "windowsize", "16"),
        asks("windowsize 65535", {"windowsize": 65535}, "windowsize", "65535"),
        asks("tsize 0", {"tsize": 30000}, "tsize", "0"),
        asks("keep 1", {"keep": 1}, "keep", "1"),
        asks("leading zeros", {"blksize": 1024}, "blksize", "000001024"),
        asks("a number of ten digits", "data", "blksize", "0000001024"),
        asks("a sign", "data", "blksize", "+1024"),
        asks("a blank", "data", "blksize", " 1024"),
        asks("an option without a name", "error 8", "", "512"),
        asks("an option without a value", "data", "blksize", ""),
        asks("sixteen strings", "data", *("a 1 b 2 c 3 d 4 e 5 f 6 g 7".split())),
        asks("eighteen strings", "none", *("a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8".split())),
        asks("512 bytes", "data", "a", "b" * 432),
        asks("513 bytes", "none", "a", "b" * 433),
        asks("unknown option", "data", "colour", "7"),
        asks("unknown option beside another", {"tsize": 30000}, "colour", "7", "tsize", "0"),
        asks("half an option", "error 8", "blksize"),
        asks("an option twice", "error 8", "blksize", "512", "blksize", "512"),
        asks("an option twice, first with no number", "error 8", "blksize", "5x", "blksize", "512"),
        not_asked("blksize", "7"),
        not_asked("blksize", "0"),
        not_asked("blksize", "65465"),
        not_asked("windowsize", "0"),
        not_asked("windowsize", "65536"),
        not_asked("keep", "0"),
        not_asked("keep", "2"),
    ]


def serving():
    """A transfer of 40 blocks of 512 bytes, which begins with an OACK for a window of 4: what the
    client acknowledges, and the blocks that the server then sends at once."""

    def of(name, keep, *steps):
        return {"name": name, "keep": keep, "steps": [list(s) for s in steps]}

    first = (0, [1, 2, 3, 4])
    return [
        of("keep, nothing lost", 1, first, (4, [5, 6, 7, 8]), (8, [9, 10, 11, 12])),
        of("keep, one lost", 1, first, (1, [2, 5]), (4, [5, 6, 7, 8])),
        of("keep, two lost", 1, first, (1, [2, 5]), (2, [3, 6]), (5, [6, 7, 8, 9])),
        of("keep, the last of a window lost", 1, first, (3, [4, 5, 6, 7]), (7, [8, 9, 10, 11])),
        of("without keep", 0, first, (1, [2, 3, 4, 5]), (5, [6, 7, 8, 9])),
        of("without keep, the last of a window lost", 0, first, (3, [4, 5, 6, 7])),
    ]


def keeping():
    """The same of a client that keeps: which block comes, and what it then acknowledges at once."""

    def of(name, *steps):
        return {"name": name, "steps": [list(s) for s in steps]}

    return [
        of("nothing lost", (1, None), (2, None), (3, None), (4, 4), (5, None)),
        of("one lost", (1, None), (3, 1), (2, 3), (4, None), (5, None), (6, None), (7, 7)),
        of("two lost", (1, None), (4, 1), (2, 2)),
        of("the first lost", (2, 0), (1, 2)),
    ]


def tftp():
    cases = names()
    for some in cases, requests(), serving(), keeping():
        assert len({c["name"] for c in some}) == len(some)
    return {
        "section": "4",
        "manifest": MANIFEST.hex(),
        "index": INDEX.hex(),
        "pages": [p.hex() for p in PAGES],
        "chunks": [[letter.hex(), n] for letter, n in CHUNKS],
        "names": cases,
        "requests": requests(),
        "server": serving(),
        "client": keeping(),
    }
