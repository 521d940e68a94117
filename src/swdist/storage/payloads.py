"""Payloads as they lie on flash: PID/index; PID/pages, which is a table of the entries of all
chunks; PID/payload, the chunks as they are sent (docs/protocol.md, section 2.3).

A piece is written only after its digest holds, in order, and flushed. What a power cut leaves is
verified again by `load`, which goes on behind the last good piece.
"""

from array import array

from swdist.crypto.ucryptolib import sha256
from swdist.formats import index
from swdist.formats.bits import from_hex, to_hex
from swdist.formats.index import DIGEST_BYTES, ENTRY_BYTES, HEAD_BYTES

MAX_RUN_BYTES = 65536
MARK = 32  # of so many chunks one's offset is kept, so that none is far to count to
BATCH = 64  # entries read at once


class Held:
    """What is held of one payload. pages, total: pieces (0 until the index is here); held: pieces
    from the first without a gap; sent, size: what all chunks amount to, as sent and inflated, by
    the pages that are here."""

    def __init__(self, pid, path, in_ram):
        self.pid = pid
        self.path = path
        self.in_ram = in_ram
        self.pages = self.total = self.held = 0
        self.sent = self.size = 0
        self.pages_end = self.chunks_end = 0  # bytes of `pages` and of `payload` that are here
        self.marks = array("I")
        self.sought = -1  # piece that was looked for behind a gap in `payload`
        self.twins = None  # where other payloads have the same pieces: see reuse.py
        self.reader = None  # of chunks that no file of ours has

    def complete(self):
        return 0 < self.total == self.held

    def sound(self, p):
        """Is it what a manifest's line says, as far as its pages are here?"""
        return self.held < self.pages or (self.sent, self.size) == (p.stored, p.size)


class File:
    """A part of a file, for the TFTP server."""

    def __init__(self, f, base, size):
        self._f = f
        self._base = base
        self._at = -1  # offset of what is read next without a seek; -1: unknown
        self.size = size

    def read_into(self, offset, view):
        """Bytes read into the view, fewer only at the end, or where the disk has a fault."""
        n = len(view)
        left = self.size - offset
        got = 0
        try:
            if offset != self._at:
                self._f.seek(self._base + offset)
            self._at = -1  # unless all goes well
            if n <= left:
                got = self._f.readinto(view)
            else:
                n = max(left, 0)
            while got < n:
                more = self._f.readinto(view[got:n])
                if not more:
                    return got
                got += more
            self._at = offset + n
        except OSError:
            pass
        return got

    def close(self):
        self._f.close()


class Payloads:
    """held: {payload id: Held} of all that is here in part. path: where they lie; in RAM those of
    which in_ram is said. Where the disk has a fault, OSError."""

    def __init__(self, fs, path, ram_path=None):
        self.held = {}
        self.own = None  # Held of the image that runs, for reuse alone: see ownflash.py
        self._fs = fs
        self._path = path
        self._ram_path = ram_path
        self._entries = bytearray(BATCH * ENTRY_BYTES)

    def load(self, tick=None):
        """Verifies all that is there again. tick() is called between pieces."""
        for path, in_ram in ((self._path, False), (self._ram_path, True)):
            names = path
            while names:  # a listing is bounded, and what is of no use in it is removed
                names = [n for n in self._fs.listdir(path) if from_hex(n, 32) not in self.held]
                for name in names:
                    pid = from_hex(name, 32)
                    if pid is not None:
                        self.scan(self.new(pid, in_ram), tick)
                    else:
                        self._fs.rmtree(path + "/" + name)

    def new(self, pid, in_ram):
        path = (self._ram_path if in_ram else self._path) + "/" + to_hex(pid)
        h = self.held[pid] = Held(pid, path, in_ram)
        return h

    def has(self, h):
        return h is self.own or self.held.get(h.pid) is h

    def forget(self, h):
        self.held.pop(h.pid, None)
        self._fs.rmtree(h.path)

    # --- what the files hold

    def scan(self, h, tick=None):
        """Sets what is held by what the files hold; what holds of no index at all is removed."""
        fs = self._fs
        h.pages = h.total = h.held = 0
        data = fs.read(h.path + "/index", index.MAX_INDEX_BYTES)
        if data is None or sha256(data) != h.pid or not self._begin(h, data):
            self.forget(h)
            return
        try:
            if fs.size(h.path + "/pages"):
                with fs.open(h.path + "/pages", "rb") as f:
                    self._scan_pages(h, f, tick)
                    if h.held == h.pages and fs.size(h.path + "/payload"):
                        with fs.open(h.path + "/payload", "rb") as chunks:
                            self._scan_chunks(h, f, chunks, tick)
                        if fs.size(h.path + "/payload") > h.sent:
                            fs.rmtree(
                                h.path + "/payload"
                            )  # nothing that was written here is longer
                            h.held, h.chunks_end = h.pages, 0
        except OSError:
            pass  # what can't be read is as good as not there

    def _begin(self, h, data):
        counts = index.pages(data)
        if counts is None:
            return False
        h.pages = counts[0]
        h.total = counts[0] + counts[1]
        h.pages_end = h.chunks_end = h.sent = h.size = 0
        h.marks = array("I")
        return True

    def _scan_pages(self, h, f, tick):
        while h.held < h.pages:
            sent, digest = self.entry(h, h.held)
            page = f.read(sent)
            if len(page) != sent or sha256(page)[:DIGEST_BYTES] != digest:
                return
            self._count_chunks(h, page)
            h.pages_end += sent
            h.held += 1
            if tick is not None:
                tick()

    def _count_chunks(self, h, page):
        """Adds up what the entries of the next page say."""
        for at in range(0, len(page), ENTRY_BYTES):
            sent, size, _ = index.lengths(page, at)
            if (h.pages_end + at) // ENTRY_BYTES % MARK == 0:
                h.marks.append(h.sent)
            h.sent += sent
            h.size += size

    def _scan_chunks(self, h, f, chunks, tick):
        entries = memoryview(self._entries)
        buf = memoryview(bytearray(4096))
        f.seek(0)
        while h.held < h.total:
            n = min(BATCH, h.total - h.held)
            if f.readinto(entries[: n * ENTRY_BYTES]) != n * ENTRY_BYTES:
                return
            for at in range(0, n * ENTRY_BYTES, ENTRY_BYTES):
                sent = index.lengths(entries, at)[0]
                if sent > len(buf):
                    buf = memoryview(bytearray(sent))
                got = chunks.readinto(buf[:sent])
                digest = sha256(buf[:sent])[:DIGEST_BYTES]
                if got != sent or digest != bytes(entries[at : at + DIGEST_BYTES]):
                    return
                h.held += 1
                h.chunks_end += sent
                if tick is not None:
                    tick()

    # --- entries

    def entries(self, h, n, count):
        """A view of the entries of pieces n and up to `count` - 1 behind it, as far as they are
        known, at most BATCH. It holds until the next call."""
        known = h.pages if n < h.pages else h.total if h.held >= h.pages else n
        count = max(min(count, known - n, BATCH), 0)
        view = memoryview(self._entries)[: count * ENTRY_BYTES]
        name, at = ("/index", HEAD_BYTES + n * ENTRY_BYTES)
        if n >= h.pages:
            name, at = ("/pages", (n - h.pages) * ENTRY_BYTES)
        with self._fs.open(h.path + name, "rb") as f:
            f.seek(at)
            if f.readinto(view) != len(view):
                raise OSError("an index is cut short")
        return view

    def entry(self, h, n):
        """(bytes as sent, digest) of a piece."""
        view = self.entries(h, n, 1)
        return index.lengths(view, 0)[0], bytes(view[:DIGEST_BYTES])

    def lengths(self, h, n, count):
        """[bytes as sent] of pieces n, n + 1 ..., as far as they are known, at most BATCH."""
        view = self.entries(h, n, count)
        return [index.lengths(view, at)[0] for at in range(0, len(view), ENTRY_BYTES)]

    def offset(self, h, n):
        """Where chunk n (not counting pages) begins in `payload`."""
        at = h.marks[n // MARK]
        first = n // MARK * MARK
        for sent in self.lengths(h, h.pages + first, n - first) if n > first else ():
            at += sent
        return at

    def _page_offset(self, h, n):
        at = done = 0
        while done < n:
            lengths = self.lengths(h, done, n - done)
            at += sum(lengths)
            done += len(lengths)
        return at

    # --- what is given

    def open(self, h, first, last):
        """A File of the pieces first..last, of as many as are held and a run may have; or None."""
        last = min(last, h.held - 1)
        name = "/payload"
        if first < h.pages:
            name = "/pages"
            last = min(last, h.pages - 1)  # pages and chunks lie in two files
        if first > last:
            return None
        try:
            if first < h.pages:
                at = self._page_offset(h, first)
            else:
                at = self.offset(h, first - h.pages)
            size = 0
            n = first
            while n <= last:
                for sent in self.lengths(h, n, last + 1 - n):
                    if size and size + sent > MAX_RUN_BYTES:
                        last = n - 1
                        break
                    size += sent
                    n += 1
            return File(self._fs.open(h.path + name, "rb"), at, size)
        except OSError:
            return None

    def open_index(self, h):
        try:
            f = self._fs.open(h.path + "/index", "rb")
        except OSError:
            return None
        return File(f, 0, HEAD_BYTES + h.pages * ENTRY_BYTES)

    def piece(self, h, n):
        """Bytes of piece n if they hold, else None."""
        sent, digest = self.entry(h, n)
        file = self.open(h, n, n)
        if file is None:
            return None
        view = memoryview(bytearray(sent))
        got = file.read_into(0, view) if file.size == sent else -1
        file.close()
        return view if got == sent and sha256(view)[:DIGEST_BYTES] == digest else None

    def behind(self, h):
        """Counts the next chunk as held if it lies there already: one before it had been spoilt."""
        n = h.held
        if n < h.pages or n >= h.total or h.sought == n:
            return False
        h.sought = n
        sent, digest = self.entry(h, n)
        if (self._fs.size(h.path + "/payload") or 0) < h.chunks_end + sent:
            return False
        view = memoryview(bytearray(sent))
        with self._fs.open(h.path + "/payload", "rb") as f:
            got = File(f, h.chunks_end, sent).read_into(0, view)
        if got != sent or sha256(view)[:DIGEST_BYTES] != digest:
            return False
        h.held += 1
        h.chunks_end += sent
        return True

    # --- what comes in

    def put_index(self, pid, data, in_ram):
        """The Held of a payload whose index has come, and holds; None if it is none at all."""
        h = self.new(pid, in_ram)
        if not self._begin(h, data):
            self.held.pop(pid)
            return None
        try:
            self._fs.mkdirs(h.path)
            self._fs.write_atomic(h.path + "/index", data)
        except OSError:
            self.held.pop(pid)
            raise
        return h

    def put(self, h, view):
        """Keeps the pieces behind the last one held that `view` begins with, as many of them as are
        whole: (how many bytes they had, None), or (those of the good ones, what is wrong)."""
        entries = bytes(self.entries(h, h.held, BATCH))
        kept = []
        taken = 0
        why = None
        for at in range(0, len(entries), ENTRY_BYTES):
            sent = index.lengths(entries, at)[0]
            if taken + sent > len(view):
                break
            digest = sha256(view[taken : taken + sent])[:DIGEST_BYTES]
            if digest != entries[at : at + DIGEST_BYTES]:
                why = "piece %d: digest is not the index's" % (h.held + len(kept))
                break
            taken += sent
            kept.append(sent)
        if kept:
            self._write(h, view[:taken], kept)
        return taken, why

    def _write(self, h, view, lengths):
        fs = self._fs
        pages = h.held < h.pages  # a batch never has both: chunks are known after the pages only
        name, at = ("/pages", h.pages_end) if pages else ("/payload", h.chunks_end)
        there = at or fs.size(h.path + name) is not None
        with fs.open(h.path + name, "r+b" if there else "wb") as f:
            f.seek(at)
            at = 0
            for sent in lengths:
                f.write(view[at : at + sent])
                at += sent
            fs.sync(f)
        if not there:
            fs.sync_dir(h.path)  # its name, too
        at = 0
        for sent in lengths:
            if pages:
                self._count_chunks(h, bytes(view[at : at + sent]))
                h.pages_end += sent
            else:
                h.chunks_end += sent
            at += sent
            h.held += 1
