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

MAX_RUN_BYTES = 65536  # of a file that is served (docs/protocol.md, section 4)
RESERVE = 32768  # bytes of flash that nothing fetched takes: for manifests, to switch and go back
# An index says how long pieces are, not where they begin. Of so many chunks one's offset is kept:
# to know all takes 16 KB for an image of 32 MB, and to know none is to read all pages for one.
MARK = 32
BATCH = 64  # entries read at once, into one buffer of 1,344 bytes


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
        # In order, so one number says what is held (docs/decisions/0014-in-order.md), and a file
        # ends where the next piece goes.
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

    def begin(self, data):
        """Nothing is held but the index. False if it is none."""
        counts = index.pages(data)
        if counts is None:
            return False
        self.pages = counts[0]
        self.total = sum(counts)
        self.held = self.sent = self.size = self.pages_end = self.chunks_end = 0
        self.marks = array("I")
        return True

    def take(self, piece):
        """The next one is held. Of a page, counts the chunks that it tells of."""
        if self.held >= self.pages:
            self.chunks_end += len(piece)
        else:
            for at in range(0, len(piece), ENTRY_BYTES):
                sent, size, _ = index.lengths(piece, at)
                if (self.pages_end + at) // ENTRY_BYTES % MARK == 0:
                    self.marks.append(self.sent)
                self.sent += sent
                self.size += size
            self.pages_end += len(piece)
        self.held += 1


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

    def verified(self, digest):
        """All of it if it has that digest, else None. Closes it."""
        view = memoryview(bytearray(self.size))
        got = self.read_into(0, view)
        self.close()
        return view if got == self.size and sha256(view)[:DIGEST_BYTES] == digest else None

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
        if data is None or sha256(data) != h.pid or not h.begin(data):
            self.forget(h)
            return
        try:
            self._scan(h, "/index", HEAD_BYTES, "/pages", h.pages, tick)
            if h.held == h.pages:
                self._scan(h, "/pages", 0, "/payload", h.total, tick)
                if (fs.size(h.path + "/payload") or 0) > h.sent:
                    fs.rmtree(h.path + "/payload")  # nothing that was written here is longer
                    h.held, h.chunks_end = h.pages, 0
        except OSError:
            pass  # what can't be read is as good as not there

    def _scan(self, h, table, at, name, end, tick):
        """Takes the pieces in a file up to piece `end`, by the entries from `at` on in another."""
        if not self._fs.size(h.path + name):
            return
        entries = memoryview(self._entries)
        buf = memoryview(bytearray(4096))
        with self._fs.open(h.path + table, "rb") as f, self._fs.open(h.path + name, "rb") as pieces:
            f.seek(at)
            while h.held < end:
                n = min(BATCH, end - h.held) * ENTRY_BYTES
                if f.readinto(entries[:n]) != n:
                    return
                for at in range(0, n, ENTRY_BYTES):
                    sent = index.lengths(entries, at)[0]
                    if sent > len(buf):
                        buf = memoryview(bytearray(sent))
                    piece = buf[:sent]
                    got = pieces.readinto(piece)
                    digest = sha256(piece)[:DIGEST_BYTES]
                    if got != sent or digest != bytes(entries[at : at + DIGEST_BYTES]):
                        return
                    h.take(piece)
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

    def _bytes(self, h, first, end):
        """How many the pieces first..end - 1 have."""
        size = 0
        while first < end:
            lengths = self.lengths(h, first, end - first)
            size += sum(lengths)
            first += len(lengths)
        return size

    def offset(self, h, n):
        """Where piece n begins in its file."""
        if n < h.pages:
            return self._bytes(h, 0, n)
        mark = (n - h.pages) // MARK
        return h.marks[mark] + self._bytes(h, h.pages + mark * MARK, n)

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
            at = self.offset(h, first)
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
        file = self.open(h, n, n)
        return file.verified(self.entry(h, n)[1]) if file is not None else None

    def behind(self, h):
        """Counts the next chunk as held if it lies there already: one before it had been spoilt."""
        n = h.held
        if n < h.pages or n >= h.total or h.sought == n:
            return False
        h.sought = n
        if not self._fs.size(h.path + "/payload"):
            return False
        sent, digest = self.entry(h, n)
        piece = File(self._fs.open(h.path + "/payload", "rb"), h.chunks_end, sent).verified(digest)
        if piece is None:
            return False
        h.take(piece)
        return True

    # --- what comes in

    def put_index(self, pid, data, in_ram):
        """The Held of a payload whose index has come, and holds; None if it is none at all."""
        h = self.new(pid, in_ram)
        if not h.begin(data):
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
            piece = view[taken : taken + sent]
            if sha256(piece)[:DIGEST_BYTES] != entries[at : at + DIGEST_BYTES]:
                why = "piece %d: digest is not the index's" % (h.held + len(kept))
                break
            taken += sent
            kept.append(piece)
        if kept:
            self._write(h, view[:taken], kept)
        return taken, why

    def _write(self, h, view, pieces):
        fs = self._fs
        pages = h.held < h.pages  # a batch never has both: chunks are known after the pages only
        name, at = ("/pages", h.pages_end) if pages else ("/payload", h.chunks_end)
        # What lies behind `at` may be good still, where a piece before it was spoilt: see behind().
        there = at or fs.size(h.path + name) is not None
        with fs.open(h.path + name, "r+b" if there else "wb") as f:
            f.seek(at)
            f.write(view)
            fs.sync(f)
        if not there:
            fs.sync_dir(h.path)  # its name, too
        for piece in pieces:
            h.take(piece)
