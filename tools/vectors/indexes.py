"""Indexes, pages and chunks (docs/protocol.md, section 2.3): the one of the other vectors, and each
way in which one is none, is not sound, or can't be inflated."""

import hashlib
import struct

from vectors.base import CHUNKS, INDEX, PAGE, PAYLOAD, PID
from vectors.deflated import DYNAMIC, Bits, repeated

HEAD = 32
STORED, DEFLATE = 0, 1
MOST = 65536


def row(sent, size=None, encoding=STORED, digest=bytes(16)):
    size = sent if size is None else size
    return digest + struct.pack("!HHB", sent % MOST, size % MOST, encoding)


def index_case(name, pages, counts, tail=b"", head=HEAD):
    """An index of pages whose digests are zeros. pages: (how many, as sent, inflated, encoding);
    counts: pages and chunks, or None; tail: bytes behind."""
    data = bytes(head) + b"".join(row(*page) * count for count, *page in pages) + tail
    return {
        "name": name,
        "section": "2.3.1",
        "zeros": head,
        "pages": [list(page) for page in pages],
        "tail": tail.hex(),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "counts": counts,
    }


def index_cases():
    def page(chunks, count=1, **other):
        size = 21 * chunks
        return (count, size, other.get("inflated", size), other.get("encoding", STORED))

    most = page(3120, 20)
    return [
        index_case("one page of one chunk", [page(1)], [1, 1]),
        index_case("one page", [page(3)], [1, 3]),
        index_case("the longest page", [page(3120)], [1, 3120]),
        index_case("pages of several lengths", [page(2), page(1), page(5)], [3, 8]),
        index_case("1,558 pages", [page(41, 1558)], [1558, 63878]),
        index_case("1,559 pages", [page(1, 1559)], None),
        index_case("65,535 pieces", [most, page(3000), page(113)], [22, 65513]),
        index_case("65,536 pieces", [most, page(3000), page(114)], None),
        index_case("no page", [], None),
        index_case("no byte", [], None, head=0),
        index_case("a byte short of its head", [], None, head=31),
        index_case("a byte behind", [page(1)], None, tail=b"\0"),
        index_case("a page's entry cut", [page(1)], None, tail=row(21)[:20]),
        index_case("page deflated", [page(1, encoding=DEFLATE)], None),
        index_case("page deflated, shorter as sent", [(1, 21, 42, DEFLATE)], None),
        index_case("page of an unknown encoding", [page(1, encoding=2)], None),
        index_case("page of two lengths", [page(1, inflated=42)], None),
        index_case("page of half an entry", [(1, 20, 20, STORED)], None),
        index_case("page of an entry and a byte", [(1, 22, 22, STORED)], None),
        index_case("page of 65,536 bytes", [(1, MOST, MOST, STORED)], None),
        index_case("second page bad", [page(1), (1, 1, 1, STORED)], None),
    ]


class Chunk:
    """sent: its bytes; data: inflated, as the packer says; size: what its entry says of that, where
    it is not the truth."""

    def __init__(self, sent, data=None, encoding=DEFLATE, size=None):
        self.sent = sent
        self.data = sent if data is None else data
        self.encoding = encoding
        self.size = len(self.data) if size is None else size

    def entry(self):
        return row(
            len(self.sent), self.size, self.encoding, hashlib.sha256(self.sent).digest()[:16]
        )

    def json(self):
        """Bytes, and how often they are there."""
        letter = self.sent[:1]
        if len(self.sent) > 1000 and self.sent == letter * len(self.sent):
            return [letter.hex(), len(self.sent)]
        return [self.sent.hex(), 1]


def case(name, section, chunks, installs, sound=True, whole=None, per_page=2, **says):
    """installs: None where that is free. says: size and stored of the manifest's line, where they
    are not what the entries say."""
    entries = [c.entry() for c in chunks]
    pages = [b"".join(entries[i : i + per_page]) for i in range(0, len(entries), per_page)]
    data = b"".join(c.data for c in chunks)
    index = hashlib.sha256(data).digest() if whole is None else whole
    index += b"".join(row(len(p), digest=hashlib.sha256(p).digest()[:16]) for p in pages)
    return {
        "name": name,
        "section": section,
        "index": index.hex(),
        "pages": [p.hex() for p in pages],
        "chunks": [c.json() for c in chunks],
        "size": says.get("size", sum(c.size for c in chunks)),
        "stored": says.get("stored", sum(len(c.sent) for c in chunks)),
        "sound": sound,
        "installs": installs,
        "sha256": None if installs is False else hashlib.sha256(data).hexdigest(),
    }


def plain(letter, size):
    return Chunk(letter * size, encoding=STORED)


def sound_cases():
    two = [plain(b"p", 100), Chunk(repeated(b"q", 200), b"q" * 200)]
    stored = 100 + len(two[1].sent)
    return [
        case("stored and deflated", "2.3", two, True),
        case("chunk of 65,536 bytes", "2.3", [plain(b"a", MOST)], True),
        case("chunk of a byte", "2.3", [plain(b"a", 1)], True),
        case("two full pages", "2.3", [plain(b"a", 9), plain(b"b", 9)] * 2, True),
        case("one chunk twice", "2.3", [plain(b"p", 9)] * 3, True, per_page=3),
        case("other digest of the whole", "2.3.6", two, False, whole=bytes(32)),
        case("digest of what is sent", "2.3.6", two, False,
             whole=hashlib.sha256(b"".join(c.sent for c in two)).digest()),
        case("more than SIZE", "2.3.2", two, False, False, size=299),
        case("less than SIZE", "2.3.2", two, False, False, size=301),
        case("more than STORED", "2.3.2", two, False, False, stored=stored - 1),
        case("less than STORED", "2.3.2", two, False, False, stored=stored + 1),
        case("stored in two lengths, longer", "2.3.4",
             [Chunk(b"p" * 100, b"p" * 101, STORED)], False),
        case("stored in two lengths, shorter", "2.3.4",
             [Chunk(b"p" * 100, b"p" * 99, STORED)], False, size=100, sound=False),
        case("deflated to its own length", "2.3.4",
             [Chunk(Bits().fixed().letters(b"p").match(3, 1).end().bytes(), b"pppp")], False),
        case("deflated to less than its own length", "2.3.4",
             [Chunk(Bits().stored(b"abc").bytes(), b"abc"), plain(b"x", 9)], False,
             size=12, stored=12, sound=False),
        case("unknown encoding", "2.3.4", [Chunk(b"p" * 99, b"p" * 100, 2)], False),
        case("the highest encoding", "2.3.4", [Chunk(b"p" * 99, b"p" * 100, 255)], False),
    ]  # fmt: skip


def stream_cases():
    def one(name, sent, installs, data=b"a" * 100, size=None):
        return case(name, "2.3.5", [Chunk(sent, data, DEFLATE, size)], installs)

    def begun(length=99):
        """Letters a, one more than that; its block goes on."""
        return Bits().fixed().letters(b"a").match(length, 1)

    packed = begun().end()
    far = Bits().fixed().letters(b"xy")
    for _ in range(127):
        far.match(258, 1)
    far.match(3, 32768).end()
    blocks = Bits().fixed(last=False).letters(b"a").match(49, 1).end()
    blocks.stored(b"", last=False).fixed().match(50, 50).end()
    near = Bits().fixed().letters(b"abcde").match(95, 5).end()
    endless = Bits().fixed().letters(b"a")
    for _ in range(600):
        endless.match(258, 1)
    empty = b"\0\0\0\xff\xff"

    def beyond(distance):
        return Bits().fixed().letters(b"a").match(99, distance).end().bytes()

    return [
        one("deflated", packed.bytes(), True),
        one("deflated, in three blocks", blocks.bytes(), True),
        one("deflated by codes of its own", DYNAMIC, True, b"a" * MOST),
        one("deflated to 65,536 bytes", repeated(b"a", MOST), True, b"a" * MOST),
        one("distance to the chunk's beginning", near.bytes(), True, b"abcde" * 20),
        one("distance of 32,768", far.bytes(), True, b"x" + b"y" * 32767 + b"xyy"),
        one("bits behind its end", packed.bytes(spare=1), True),
        one("a byte fewer", begun(98).end().bytes(), False),
        one("a byte more", begun(100).end().bytes(), False),
        one("far more", endless.end().bytes(), False, b"a" * 2000),
        one("far fewer", begun(3).end().bytes(), False),
        one("nothing", Bits().fixed().end().bytes(), False),
        one("no end of its block", begun().bytes(), False),
        one("no last block", Bits().fixed(last=False).letters(b"a").match(99, 1).end().bytes(),
            False),
        one("blocks that never end", empty * 15, False),
        one("cut in a block", packed.bytes()[:-1], False),
        one("a byte behind its end", packed.bytes() + b"\0", False),
        one("another stream behind its end", packed.bytes() * 2, False),
        one("a block behind the last", packed.bytes() + empty, False),
        one("distance beyond the chunk's beginning", beyond(2), None, b"a\0" * 50),
        one("distance at once", Bits().fixed().match(100, 1).end().bytes(), None, bytes(100)),
        one("distance beyond the window", beyond(32768), None, b"a" + bytes(99)),
        one("block of type 3", b"\7" + packed.bytes()[1:], False),
        one("stored block, its length not twice", Bits().stored(b"a" * 9, complement=0).fixed()
            .match(91, 1).end().bytes(), False),
        one("of zlib", b"\x78\x9c" + packed.bytes() + b"\0\0\0\0", False),
        one("length code 286", Bits().fixed().letters(b"a").code(0xC6, 8).code(0, 5).end().bytes(),
            False),
        one("distance code 30", Bits().fixed().letters(b"a").code(1, 7).code(30, 5).end().bytes(),
            False),
        one("stored in encoding 1", b"a" * 99, False),
    ]  # fmt: skip


def index():
    indexes, payloads = index_cases(), sound_cases() + stream_cases()
    for cases in indexes, payloads:
        assert len({c["name"] for c in cases}) == len(cases)
    return {
        "payload": "byte i is i * 7 mod 256",
        "payload_size": len(PAYLOAD),
        "chunks": [len(c) for c in CHUNKS],
        "pages": [PAGE.hex()],
        "index": INDEX.hex(),
        "pid": PID.hex(),
        "indexes": indexes,
        "payloads": payloads,
    }
