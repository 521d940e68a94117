"""Section 2.3: index, pages, chunks."""

import hashlib
import struct
import zlib
from dataclasses import dataclass

from .trust import Malformed, must

MAX_RUN = 65536
STORED, DEFLATE = 0, 1


@dataclass(frozen=True)
class Entry:
    digest: bytes
    sent: int  # length as it is sent
    inflated: int
    encoding: int

    def matches(self, piece):
        return len(piece) == self.sent and hashlib.sha256(piece).digest()[:16] == self.digest


def entries(data):
    found = []
    for at in range(0, len(data), 21):
        digest, sent, inflated, encoding = struct.unpack_from("!16sHHB", data, at)
        found.append(Entry(digest, sent or 65536, inflated or 65536, encoding))
    return found


def parse_index(data):
    """(SHA-256 of the whole, entries of the pages); Malformed if the index is none (rule 1)."""
    pages, odd = divmod(len(data) - 32, 21)
    must(not odd and 1 <= pages <= 1558, "index: length")
    found = entries(data[32:])
    for page in found:
        lengths_ok = page.sent == page.inflated and page.sent % 21 == 0
        must(page.encoding == STORED and lengths_ok, "index: page")
    must(pages + sum(page.sent // 21 for page in found) <= 65535, "index: pieces")
    return data[:32], found


def inflate(entry, piece):
    """A chunk's bytes; Malformed as rules 4 and 5 say."""
    if entry.encoding == STORED and entry.sent == entry.inflated:
        return piece
    must(entry.encoding == DEFLATE and entry.sent < entry.inflated, "chunk: encoding")
    decoder = zlib.decompressobj(-min(max((entry.inflated - 1).bit_length(), 9), 15))
    try:
        data = decoder.decompress(piece, entry.inflated + 1)
    except zlib.error:
        raise Malformed("chunk: stream") from None
    is_whole = decoder.eof and not decoder.unused_data
    must(is_whole and len(data) == entry.inflated, "chunk: length")
    return data


class Payload:
    """A payload of which the index is held, and its pieces from the first without a gap."""

    def __init__(self, index):
        self.pid = hashlib.sha256(index).digest()
        self.index = index
        self.whole, self.page_entries = parse_index(index)
        self.chunk_entries = []
        self.pieces = []
        self.count = len(self.page_entries) + sum(p.sent // 21 for p in self.page_entries)

    @property
    def is_complete(self):
        return len(self.pieces) == self.count

    @property
    def knows_pages(self):
        return len(self.pieces) >= len(self.page_entries)

    def next_entry(self):
        """The entry of the next piece, None if all are held."""
        if self.knows_pages:
            chunk = len(self.pieces) - len(self.page_entries)
            return None if self.is_complete else self.chunk_entries[chunk]
        return self.page_entries[len(self.pieces)]

    def add(self, piece):
        """Take the next piece; False if it is not what its entry says."""
        entry = self.next_entry()
        if entry is None or not entry.matches(piece):
            return False
        if len(self.pieces) < len(self.page_entries):
            self.chunk_entries += entries(piece)
        self.pieces.append(piece)
        return True

    def _lengths(self):
        entries = self.chunk_entries
        return sum(e.sent for e in entries), sum(e.inflated for e in entries)

    def is_sound(self, line):
        """Rule 2, when all pages are held."""
        return self.knows_pages and self._lengths() == (line.stored, line.size)

    def can_be_sound(self, line):
        """False as soon as the pages held show that it never will be."""
        sent, inflated = self._lengths()
        so_far = sent < line.stored and inflated < line.size
        return self.is_sound(line) if self.knows_pages else so_far

    def is_whole(self, line):
        return self.is_complete and self.is_sound(line)

    def content(self):
        """What it is when inflated; Malformed if it can't be installed."""
        chunks = self.pieces[len(self.page_entries) :]
        data = b"".join(inflate(e, c) for e, c in zip(self.chunk_entries, chunks))
        must(hashlib.sha256(data).digest() == self.whole, "payload: digest")
        return data

    def run(self, first, last):
        """The pieces from `first` to `last`, as many as are held and fit (section 4, rule 1)."""
        data, n = b"", first
        while n <= last and n < len(self.pieces):
            if n > first and len(data) + len(self.pieces[n]) > MAX_RUN:
                break
            data += self.pieces[n]
            n += 1
        return data or None
