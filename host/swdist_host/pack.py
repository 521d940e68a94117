"""A payload as index, pages and chunks (docs/protocol.md, section 2.3): cutting, packing, and the
way back.

How it is cut is this tool's own affair: nodes go by the index. But the same payload has to give the
same bytes on every machine, and a payload that is much like an earlier one should share most chunks
and pages with it. So a cut depends on what is near it alone: the names of an archive's members, or
the bytes; and the encoder is pinned by package, for no two zlibs give the same bytes.
"""

import hashlib
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from struct import pack as packed_form

import deflate as encoder

from swdist.formats import index as device_index
from swdist.formats.index import (
    DEFLATE,
    DIGEST_BYTES,
    ENTRY_BYTES,
    HEAD_BYTES,
    MAX_PIECE_BYTES,
    STORED,
)
from swdist.formats.inflate import inflate
from swdist.formats.manifest import MAX_PAYLOAD_BYTES
from swdist_host import ustar
from swdist_host.errors import Refused

LEVEL = 12  # of libdeflate, the highest
_HASH_BITS = 30  # one digit of Python's integers; that many bytes count
_HASH_MASK = (1 << _HASH_BITS) - 1
# Any table of random numbers does, but all hosts need the same.
_GEAR = tuple(
    int.from_bytes(hashlib.sha256(b"swdist gear %d" % n).digest()[:4], "big") & _HASH_MASK
    for n in range(256)
)


@dataclass(frozen=True)
class Packed:
    """A payload as it is sent. pieces: pages first, then chunks; pages: how many are pages; size:
    bytes of the payload, inflated."""

    index: bytes = field(repr=False)
    pieces: tuple = field(repr=False)
    pages: int
    size: int

    @cached_property
    def pid(self):
        """The payload's id, 32 bytes."""
        return hashlib.sha256(self.index).digest()

    @cached_property
    def stored(self):
        """Bytes of the chunks as they are sent."""
        return sum(map(len, self.pieces[self.pages :]))

    @cached_property
    def whole(self):
        """Bytes that are sent to a node that has nothing: index, pages and chunks."""
        return len(self.index) + sum(map(len, self.pieces))

    @property
    def is_plain(self):
        """Are the chunks, one behind the other, the payload itself?"""
        return self.stored == self.size

    def inflated(self):
        """The payload's bytes, made anew each time. Refused unless all holds that a node checks."""
        return b"".join(bytes(part) for part in self._parts())

    def check(self):
        """Refused in the same way. It takes no more room than a chunk, whatever it inflates to."""
        for _ in self._parts():
            pass

    def _parts(self):
        """The chunks, inflated, each until the next one is asked for."""
        if self.size > MAX_PAYLOAD_BYTES:
            raise Refused(f"it has {self.size} bytes inflated; the most is {MAX_PAYLOAD_BYTES}")
        room = memoryview(bytearray(MAX_PIECE_BYTES))
        digest = hashlib.sha256()
        entries = (entry for page in self.pieces[: self.pages] for entry in _entries(page))
        for n, (_, size, encoding) in enumerate(entries):
            part = room[:size]
            _inflate(self.pieces[self.pages + n], encoding, part, n)
            digest.update(part)
            yield part
        if digest.digest() != self.index[:HEAD_BYTES]:
            raise Refused("its digest is not the index's")


# --- cutting. What grows with the payload keeps the number of its chunks below 2^16.

IN_FILES = 2048  # bytes of the shortest chunk of what is no archive; four times that of the longest
_FILE_BITS = 13  # a file of more than 2^that times as many bytes has longer chunks
# In an archive a chunk ends where the directory changes, once it holds
IN_DIRECTORY = 2304
# and within one before a member that may begin a chunk, one in ONE_IN, once it holds
IN_ARCHIVES = 4096
ONE_IN = 8
MOST = 16384  # of small members; one that is larger is a chunk by itself, up to
LARGE = 32768
_PACKS_AWAY = 448  # bytes of a member's header that deflate leaves nothing of: they don't count
_TWICE_BYTES = 1 << 25  # an archive of more than that has chunks twice as long


def _least(size):
    least = IN_FILES
    while size > least << _FILE_BITS:
        least *= 2
    return least


def _by_content(data, begin, end, least):
    """Where to cut between `begin` and `end`, and at `end`: where a gear hash over the last bytes
    has its highest bits zero, fewer of them from the average length on (FastCDC, Xia et al. 2016,
    3.2 to 3.4)."""
    gear = _GEAR
    seldom = (1 << _HASH_BITS) // (2 * least)
    often = 4 * seldom
    while end - begin > least:
        first, middle, last = (min(begin + n * least, end) for n in (1, 2, 4))
        value = 0
        for byte in data[first - _HASH_BITS : first]:
            value = (value << 1) + gear[byte] & _HASH_MASK
        cut = last
        for at, byte in enumerate(data[first:last], first + 1):
            value = (value << 1) + gear[byte] & _HASH_MASK
            if value < often and (value < seldom or at > middle):
                cut = at
                break
        yield cut
        begin = cut
    if begin < end:
        yield end


def _at_members(data, found):
    """The same for an archive. Small members share a chunk, and what ends it depends on names
    alone: so a member that comes, goes or changes leaves the chunks around it as they are. A large
    one has its own."""
    scale = 2 if len(data) > _TWICE_BYTES else 1
    begin = weight = 0
    directory = None
    for name, at, end in found:
        more = end - at - _PACKS_AWAY
        before, directory = directory, name.rstrip(b"\0").rpartition(b"/")[0]
        moves = directory != before
        enough = scale * (IN_DIRECTORY if moves else IN_ARCHIVES)
        may_begin = moves or zlib.crc32(name) % ONE_IN == 0
        is_full = weight + more > scale * MOST or end - begin > scale * LARGE
        if begin < at and (is_full or (weight >= enough and may_begin)):
            yield at
            begin, weight = at, 0
        weight += more
        if more > scale * MOST:
            if end - at <= scale * LARGE:
                yield end
            else:
                yield from _by_content(data, at, end, scale * LARGE // 4)
            begin, weight = end, 0
    yield from _by_content(data, begin, len(data), scale * LARGE // 4)


def cuts(data):
    """Where its chunks end, the last one at its end."""
    found = ustar.members(data)
    if found:
        return list(_at_members(data, found))
    return list(_by_content(data, 0, len(data), _least(len(data))))


# --- packing


def _entry(piece, size, encoding):
    """What an index or a page says of a piece. 65,536 is 0 in two bytes."""
    digest = hashlib.sha256(piece).digest()[:DIGEST_BYTES]
    return digest + packed_form("!HHB", len(piece) & 0xFFFF, size & 0xFFFF, encoding)


def _chunk(data, may_deflate):
    """(the chunk as it is sent, its entry)"""
    if may_deflate:
        shorter = encoder.deflate_compress(data, LEVEL)
        if len(shorter) < len(data):
            return bytes(shorter), _entry(shorter, len(data), DEFLATE)
    return data, _entry(data, len(data), STORED)


def _pages(entries):
    """The pages, cut by content, too: behind an entry whose digest ends in zero bits. With longer
    pages the index is shorter, but an update has to fetch more for each change."""
    average = 4  # entries
    while average * average * 8 < len(entries):
        average *= 2
    page = []
    for entry in entries:
        page.append(entry)
        ends = entry[DIGEST_BYTES - 1] % average == 0
        if (ends and len(page) >= average // 2) or len(page) == average * 4:
            yield b"".join(page)
            page = []
    if page:
        yield b"".join(page)


def pack(data, deflate=True):
    """The Packed of a payload, 1 to MAX_PAYLOAD_BYTES. Without deflate its chunks, one behind the
    other, are the payload itself: so a node has an image in RAM ready to be flashed."""
    assert 0 < len(data) <= MAX_PAYLOAD_BYTES
    chunks, entries = [], []
    begin = 0
    for end in cuts(data):
        chunk, entry = _chunk(data[begin:end], deflate)
        chunks.append(chunk)
        entries.append(entry)
        begin = end
    pages = list(_pages(entries))
    table = b"".join(_entry(page, len(page), STORED) for page in pages)
    index = hashlib.sha256(data).digest() + table
    assert device_index.pages(index) == (len(pages), len(chunks))
    return Packed(index, (*pages, *chunks), len(pages), len(data))


# --- the way back


def split(index, data):
    """The Packed of an index, and its pieces one behind the other. Refused unless every length and
    digest holds; what is in the chunks is not looked at."""
    counted = device_index.pages(index)
    if counted is None:
        raise Refused("its index is malformed")
    pieces = []
    at = _take(pieces, data, 0, index[HEAD_BYTES:], "page")
    size = 0
    for page in list(pieces):
        at = _take(pieces, data, at, page, "chunk", counted[0])
        size += sum(n for _, n, _ in _entries(page))
    if at != len(data):
        raise Refused(f"behind its last chunk are {len(data) - at} bytes")
    return Packed(bytes(index), tuple(pieces), counted[0], size)


def _entries(table):
    for at in range(0, len(table), ENTRY_BYTES):
        yield device_index.lengths(table, at)


def _take(pieces, data, at, table, what, before=0):
    """Appends the pieces that a table tells of; gives where they end."""
    for n, (sent, size, encoding) in enumerate(_entries(table)):
        where = f"{what} {len(pieces) - before}"
        if not device_index.sane(sent, size, encoding):
            raise Refused(f"the entry of {where} contradicts itself")
        piece = data[at : at + sent]
        if len(piece) < sent:
            raise Refused(f"{where} is cut off")
        if hashlib.sha256(piece).digest()[:DIGEST_BYTES] != table[n * ENTRY_BYTES :][:DIGEST_BYTES]:
            raise Refused(f"the digest of {where} is not the index's")
        pieces.append(bytes(piece))
        at += sent
    return at


def unpack(index, pieces):
    """The payload of an index and its pieces. Refused unless all holds that a node checks."""
    return split(index, b"".join(pieces)).inflated()


def _inflate(piece, encoding, out, n):
    if encoding == STORED:
        out[:] = piece
    elif encoding != DEFLATE:
        raise Refused(f"chunk {n} has an encoding, {encoding}, that is not known here")
    elif not inflate(piece, out):
        raise Refused(f"chunk {n} does not inflate to {len(out)} bytes")
