"""Most of the next image lies in the flash already: it is in the one that runs, of which the index
and its pages are kept (docs/decisions/0012-ipk-and-image.md). An optional part of both sides.

The network side may not read flash, for behind the image lies what this router is configured with.
The switch side reads for it, and gives away nothing but what it knows to be a piece of that image.
"""

from swdist.crypto.ucryptolib import sha256
from swdist.formats import ipc
from swdist.formats.bits import plain
from swdist.formats.index import (
    DIGEST_BYTES,
    ENTRY_BYTES,
    HEAD_BYTES,
    MAX_INDEX_BYTES,
    lengths,
    pages,
)
from swdist.storage.payloads import RESERVE, File, Held, Payloads

OWN = "/own"  # in STATE: of the image that runs; in RUN: pieces of it
COMING = "/coming"  # of the one that sysupgrade was given
MAX_PAGES_BYTES = 131072  # of an image of some 25 MB
GIVEN_BYTES = 16384  # at once, and hashed: 20 ms at 200 MHz
ANSWER_US = 1000000  # the switch side may have better to do;
REST_US = 60000000  # then it is left alone for so long, and pieces are fetched
MISSES = 8  # pieces in a row that are not there: it is another image, or lies elsewhere
HEADERS = (0, 32)  # bytes of a file that are not written to flash: none, or Linksys'


class Own:
    """The network side's: reads for a Held that is never announced, served or counted. socket: the
    one to the switch side; wake(): what was asked for is here, or will not come."""

    def __init__(self, fs, conf, payloads, socket, wake):
        self._held = Held(b"", conf.state + OWN, False)
        self._held.reader = self
        self._fs = fs
        self._run = conf.run
        self._payloads = payloads
        self._socket = socket
        self._wake = wake
        self._loaded = False
        self._first = None  # piece from which on some were asked for
        self._count = None  # how many of them are in RUN
        self._late_at = None
        self._rest_until = None
        self._misses = 0

    def hear(self, message):
        """A message of the switch side. With its first one it has judged which image runs."""
        if message is None:
            return
        if message[0] == ipc.ACTIVE and not self._loaded:
            self._loaded = True
            if load(self._fs, self._held, self._payloads):
                self._payloads.own = self._held
                self._wake()
        elif message[0] == ipc.OWN and message[1] == self._first:
            self._count = message[2]
            self._late_at = None
            self._wake()

    def read(self, first, sizes, buf):
        """Asks for pieces from `first` on, of such sizes. Bytes that were read into the buffer; 0:
        the first is not there; None: it is awaited."""
        if self._first is not None and self._count is None:
            return None
        if self._first != first:
            self._first = first
            self._count = None
            self._late_at = 0  # the next tick knows what time it is
            message = ipc.pack_own(first, len(sizes))
            self._socket.send_to(self._run + ".sock", message)
            return None
        size = sum(sizes[: self._count])
        self._first = None
        got = self._take(buf[:size]) if size else 0
        self._misses = 0 if got else self._misses + 1
        if self._misses >= MISSES:
            self._rest_until = 0
        return got if got == size else 0

    def _take(self, view):
        try:
            file = File(self._fs.open(self._run + OWN, "rb"), 0, len(view))
            got = file.read_into(0, view)
            file.close()
            self._fs.remove(self._run + OWN)  # it is in RAM
            return got
        except OSError:
            return 0

    def tick(self, now):
        """Counter at which it wants to be woken."""
        if self._late_at == 0:
            self._late_at = now + ANSWER_US
        if self._late_at is not None and now >= self._late_at:
            self._late_at = self._first = None
            self._rest_until = 0
        if self._rest_until == 0:
            self._rest_until = now + REST_US
            self._misses = 0
            self._held.held = self._held.pages  # so no chunk is looked for there
            self._wake()
            return now
        if self._rest_until is not None and now >= self._rest_until:
            self._rest_until = None
            self._held.held = self._held.total
        return self._late_at or self._rest_until or now + REST_US


class Giver:
    """The switch side's. put(name, data): a file of RUN."""

    def __init__(self, fs, conf, put, socket):
        self._fs = fs
        self._put = put
        self._socket = socket
        self._sock = conf.run + "/net.sock"
        self._held = Held(b"", conf.state + OWN, False)
        self._payloads = Payloads(fs, "")
        self._headers = HEADERS

    def give(self, _, first, count):
        """Answers a message: one piece, or some small ones."""
        h = self._held
        data = bytearray()
        n = first
        if h.total or load(self._fs, h, self._payloads):
            while n < min(first + count, h.held):
                piece = self._piece(n)
                if piece is None or (data and len(data) + len(piece) > GIVEN_BYTES):
                    break
                data += piece
                n += 1
        self._put(OWN, data)
        self._socket.send_to(self._sock, ipc.pack_own(first, n - first))

    def _piece(self, n):
        """A chunk as it lies in flash, if it is what the index says. sysupgrade has changed some of
        what it was given; and whatever else is there is nobody's business."""
        h = self._held
        path = partition(self._fs)
        if n < h.pages or path is None:
            return None
        try:
            sent, digest = self._payloads.entry(h, n)
            at = self._payloads.offset(h, n)
            for header in self._headers:
                if at < header:
                    continue
                view = File(self._fs.open(path, "rb"), at - header, sent).verified(digest)
                if view is not None:
                    self._headers = (header,)
                    return view
        except OSError:
            pass
        return None


def load(fs, h, payloads):
    """Fills a Held with what is kept of the image that runs. True if there is something."""
    data = fs.read(h.path + "/index", MAX_INDEX_BYTES)
    if not data:
        return False
    h.pid = sha256(data)
    try:
        payloads.scan(h)
    except OSError:  # it is not the network side's to remove
        h.held = 0
    if not h.pages or h.held < h.pages:
        h.held = h.total = 0
    h.held = h.total
    return h.total > 0


def head(fs, path):
    """What a file begins with, also one without a size; nothing where there is none."""
    try:
        with fs.open(path, "rb") as f:
            return f.read(4096) or b""
    except OSError:
        return b""


def partition(fs):
    """The device in which an image lies as it is, from its first byte on; or None."""
    for line in head(fs, "/proc/mtd").split(b"\n"):
        if line.split(b'"')[1:2] in ([b"firmware"], [b"linux"]):
            return "/dev/" + plain(line.split(b":")[0])
    return None


def keep(fs, state, path, pid):
    """Before sysupgrade gets an image: its index and pages, which lie in `path`, if they hold. Why
    they are not kept, or None."""
    coming = state + COMING
    if partition(fs) is None:
        return None  # it could not be read from there
    if sha256(fs.read(coming + "/index", MAX_INDEX_BYTES) or b"") == pid:
        return None  # the last time
    data = fs.read(path + "/index", MAX_INDEX_BYTES) or b""
    counts = pages(data)
    if counts is None or sha256(data) != pid:
        return "its index does not hold"
    table = memoryview(fs.read(path + "/pages", MAX_PAGES_BYTES) or b"")
    at = 0
    for n in range(HEAD_BYTES, HEAD_BYTES + counts[0] * ENTRY_BYTES, ENTRY_BYTES):
        sent = lengths(data, n)[0]
        if sha256(table[at : at + sent])[:DIGEST_BYTES] != data[n : n + DIGEST_BYTES]:
            return "its pages do not hold"
        at += sent
    try:
        fs.rmtree(coming)
        fs.mkdirs(coming)
        if fs.free(coming) < at + len(data) + RESERVE:
            return "flash is full"
        fs.write_atomic(coming + "/pages", table[:at])
        fs.write_atomic(coming + "/index", data)  # the last: now it is whole
    except OSError as e:
        return str(e)
    return None


def judged(fs, state, came):
    """What was given to sysupgrade runs now, or never will."""
    coming = state + COMING
    if came and fs.size(coming + "/index"):
        fs.rmtree(state + OWN)
        fs.rename(coming, state + OWN)
    fs.rmtree(coming)
