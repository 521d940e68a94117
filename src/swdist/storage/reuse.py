"""Pieces that another payload has too are taken from there, and mostly not fetched.

For some pieces of one payload at a time, the other payloads' indexes are read once each, in steps:
so what it costs does not grow with the number of pieces times that of indexes.
"""

from array import array

from swdist.formats.index import DIGEST_BYTES, ENTRY_BYTES
from swdist.storage.payloads import MAX_RUN_BYTES

SEGMENT = 256  # pieces looked for at once
NOBODY = 0xFFFF
BRIDGE_BYTES = 512  # that are here, and asked for to save a round trip


class Twins:
    """Where the pieces first..first + count - 1 of a payload are held too."""

    def __init__(self, first, count):
        self.first = first
        self.count = count
        self.found = array("H", [NOBODY] * count)  # piece number in the other payload
        self.owner = bytearray(count)  # and which of `others` that is
        self.others = []
        self._wanted = {}
        self._other = self._at = 0

    def begin(self, payloads, h):
        n = self.first
        while n < self.first + self.count:
            view = payloads.entries(h, n, self.first + self.count - n)
            for at in range(0, len(view), ENTRY_BYTES):
                self._wanted.setdefault(bytes(view[at : at + DIGEST_BYTES]), []).append(n)
                n += 1
        # Pages are looked for among pages and chunks among chunks, the newest payloads first.
        pages = self.first < h.pages
        others = list(payloads.held.values())
        if payloads.own is not None:
            others.append(payloads.own)
        for other in others:
            if other is not h and other.held > (0 if pages else other.pages):
                if len(self.others) < 255:
                    self.others.append(other)
        self._pages = pages

    def step(self, payloads):
        """Looks into one batch of another payload's entries. False when all are looked at."""
        if self._wanted is None:
            return False
        if self._other == len(self.others):
            self._wanted = None
            return False
        other = self.others[self._other]
        end = min(other.held, other.pages) if self._pages else other.held
        n = self._at if self._pages else max(self._at, other.pages)
        view = b""
        if n < end and payloads.has(other):
            try:
                view = payloads.entries(other, n, end - n)
            except OSError:
                pass  # one that can't be read must not keep us from the others
        for at in range(0, len(view), ENTRY_BYTES):
            for mine in self._wanted.pop(bytes(view[at : at + DIGEST_BYTES]), ()):
                self.found[mine - self.first] = n
                self.owner[mine - self.first] = self._other
            n += 1
        self._at = n
        if not len(view):
            self._other += 1
            self._at = 0
        return True

    def knows(self, n):
        return self._wanted is None and self.first <= n < self.first + self.count

    def of(self, payloads, n):
        """(the other Held, its piece's number) of piece n, or None."""
        i = n - self.first
        if not 0 <= i < self.count or self.found[i] == NOBODY:
            return None  # also where it is not known yet
        other = self.others[self.owner[i]]
        if not payloads.has(other) or self.found[i] >= other.held:
            return None
        return other, self.found[i]


def step(payloads, h):
    """One step of finding out where the next pieces of a payload are held too; False if that is
    known, or nothing is to be looked for."""
    if h.complete() or not h.total:
        return False
    t = h.twins
    if t is None or not t.first <= h.held < t.first + t.count:
        known = h.total if h.held >= h.pages else h.pages
        t = h.twins = Twins(h.held, min(SEGMENT, known - h.held))
        t.begin(payloads, h)
    return t.step(payloads)


def alone(payloads, h, n):
    """The first piece from n on that nobody here has; None where that is not known yet."""
    t = h.twins
    while t is not None and t.knows(n):
        if t.of(payloads, n) is None:
            return n
        n += 1
    return None


def gap(payloads, h, n, lengths, most_bytes):
    """How many pieces are best asked for at once, from n on; lengths: of them and those behind. It
    ends with one that nobody here has: a few bytes that are here are no reason to ask twice."""
    count = size = here = 0
    for i in range(len(lengths)):
        if not h.twins.knows(n + i) or (
            i and (size >= most_bytes or size + lengths[i] > MAX_RUN_BYTES)
        ):
            break
        size += lengths[i]
        if h.twins.of(payloads, n + i) is None:
            count = i + 1
            here = 0
        else:
            here += lengths[i]
            if here > BRIDGE_BYTES:
                break
    return count


def take(payloads, h, buf):
    """A view, into buf where it fits, with the next pieces, as many as another payload has in the
    same order and buf holds, unverified; an empty one if they can't be read, so that they are
    fetched; None if there are none, or they are awaited."""
    found = h.twins.of(payloads, h.held) if h.twins is not None else None
    if found is None:
        return None
    other, first = found
    size = count = 0
    lengths = payloads.lengths(h, h.held, h.twins.count)
    for sent in lengths:
        if count == 0 and sent > len(buf):
            buf = memoryview(bytearray(sent))  # one that is larger comes alone
        if size + sent > len(buf) or h.twins.of(payloads, h.held + count) != (other, first + count):
            break
        size += sent
        count += 1
    if other.reader is not None and first >= other.pages:
        got = other.reader.read(first, lengths[:count], buf)
        if got is None:
            return None
    else:
        got = 0
        file = payloads.open(other, first, first + count - 1)
        if file is not None:
            got = file.read_into(0, buf[:size]) if file.size == size else 0
            file.close()
        if got != size:
            got = 0
    if not got:
        spoilt(h)
    return buf[:got]


def spoilt(h):
    """The twin of the next piece is none."""
    if h.twins is not None and h.twins.knows(h.held):
        h.twins.found[h.held - h.twins.first] = NOBODY
