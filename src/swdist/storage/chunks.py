"""The bytes of a payload, out of what the network side has stored: verified, then inflated, one
chunk after the other (docs/protocol.md, section 2.3).

What does not hold may be mended, and is an OSError like any fault of the disk. Why a step is
refused, `archive: ...`, is the CA's own fault, for good.
"""

import hashlib

from swdist.crypto.ucryptolib import sha256
from swdist.formats import index
from swdist.formats.index import DIGEST_BYTES, ENTRY_BYTES, HEAD_BYTES
from swdist.formats.inflate import inflate
from swdist.storage.payloads import File


class Chunks:
    """path: the payload's folder; line: its manifest.Payload. After a step() that gave None, `view`
    is the next chunk, inflated, or None behind the last one: then all of it holds."""

    def __init__(self, fs, path, line):
        self.view = None
        self._fs = fs
        self._path = path
        self._line = line
        self._index = None
        self._page = b""
        self._at = 0  # of the next entry in that page
        self._pages = self._pages_end = self._chunks_end = 0
        self._size = 0  # bytes that came out
        self._whole = hashlib.sha256()
        self._in = self._out = memoryview(b"")

    def step(self):
        """None, or why not."""
        return (self._begin() if self._index is None else None) or self._next()

    def _begin(self):
        data = self._fs.read(self._path + "/index", index.MAX_INDEX_BYTES)
        if data is None or sha256(data) != self._line.pid:
            raise OSError("the index does not hold")
        if index.pages(data) is None:
            return "archive: its index is none"
        self._index = data
        return None

    def _next(self):
        if self._at == len(self._page):
            at = HEAD_BYTES + self._pages * ENTRY_BYTES
            if at == len(self._index):
                return self._end()
            sent = index.lengths(self._index, at)[0]
            page = self._read("/pages", self._pages_end, sent)
            if page is None or sha256(page)[:DIGEST_BYTES] != self._index[at : at + DIGEST_BYTES]:
                raise OSError("page %d does not hold" % self._pages)
            self._page = bytes(page)
            self._pages += 1
            self._pages_end += sent
            self._at = 0
        at = self._at
        self._at += ENTRY_BYTES
        return self._chunk(self._page[at : at + DIGEST_BYTES], *index.lengths(self._page, at))

    def _chunk(self, digest, sent, size, encoding):
        if encoding not in (index.STORED, index.DEFLATE):
            return "archive: encoding %d is not known here" % encoding
        if not index.sane(sent, size, encoding) or self._size + size > self._line.size:
            return "archive: its pages are not what the manifest says"
        view = self._read("/payload", self._chunks_end, sent)
        if view is None or sha256(view)[:DIGEST_BYTES] != digest:
            raise OSError("a chunk at %d does not hold" % self._chunks_end)
        self._chunks_end += sent
        if encoding == index.DEFLATE:
            if len(self._out) < size:
                self._out = memoryview(bytearray(size))
            if not inflate(view, self._out[:size]):
                return "archive: a chunk does not inflate to %d bytes" % size
            view = self._out[:size]
        self._size += size
        self._whole.update(view)
        self.view = view
        return None

    def _end(self):
        self.view = None
        line = self._line
        if (self._size, self._chunks_end) != (line.size, line.stored):
            return "archive: its pages are not what the manifest says"
        if self._whole.digest() != self._index[:HEAD_BYTES]:
            return "archive: its digest is not the index's"
        return None

    def _read(self, name, at, n):
        """A view that holds until the next one, or None."""
        if len(self._in) < n:
            self._in = memoryview(bytearray(n))
        view = self._in[:n]
        file = File(self._fs.open(self._path + name, "rb"), at, n)
        got = file.read_into(0, view)
        file.close()
        return view if got == n else None
