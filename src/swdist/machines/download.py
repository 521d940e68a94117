"""What one download works on, and how a run of pieces is taken as it comes
(docs/protocol.md, section 4)."""

from swdist.formats import manifest, usign
from swdist.formats.bits import to_hex
from swdist.formats.index import MAX_INDEX_BYTES
from swdist.machines.tftpget import RUNNING

# A flush costs flash some 10 ms however little it is for. So pieces are kept together, about so
# many bytes at a time; what is smaller waits for the end of its run.
KEEP_BYTES = 8192
PATIENCE_US = 1000000  # so long nothing may come before it is looked who else has the same
# And so long where the neighbour has given nothing yet, twice as long after each fault: there may
# be many who only say that they have it. Long enough for the request to be said twice.
STRANGE_US = 400000

MANIFEST = 1  # what a download works on; 0: nothing
SIGNATURES = 2
INDEX = 3
RUN = 4
_NAMES = ("", "manifest", "signatures", "index")
_LIMITS = (0, manifest.MAX_BYTES, usign.MAX_BYTES, MAX_INDEX_BYTES)


class Download:
    """One download at a time, or none (what is 0): then nothing else here means anything."""

    def __init__(self, get):
        self.get = get
        self.what = 0

    def begin(self, what, key, row, now):
        """Asks the neighbour of a row. key: id of the release or payload."""
        self.what = what
        self.id = key
        self.row = row
        self.peer = row.peer  # the row may be another's by the time that this has ended
        self.port = row.port()
        self.began_at = now
        self.check_at = now + STRANGE_US  # when to look whether it stalls
        get = self.get
        get.small_blocks = now < row.small_until
        limit = sum(self.lengths) if what == RUN else _LIMITS[what]
        get.start(self.peer, self.port, self.name().encode(), limit, now)
        if what == RUN:
            get.mark = KEEP_BYTES

    def set_run(self, n, lengths, probe):
        """What begin() asks for next: pieces from n on, of these lengths in bytes as sent. probe:
        though nobody has said that they are there."""
        self.first = self.next = n  # the next one is kept when it is here as a whole,
        self.at = 0  # and begins there
        self.last = n + len(lengths) - 1
        self.lengths = lengths
        self.probe = probe

    def free(self):
        """Nothing is to come of it any more."""
        self.get.stop()
        self.what = 0
        self.manifest = None

    def name(self):
        what = _NAMES[self.what] if self.what != RUN else "%d-%d" % (self.first, self.last)
        return "1/%s/%s" % (to_hex(self.id), what)

    def ripe(self):
        """Bytes of the download that are worth a flush."""
        ahead = self.get.length - self.at
        return ahead if ahead >= KEEP_BYTES or self.get.state != RUNNING else 0

    def keep(self, store):
        """Keeps the pieces of a run that are whole: (was one added?, what is wrong with the next
        one or with us, or None)."""
        h = store.held(self.id)
        if h is None:
            return False, (True, "it is wanted no more")
        while self.next < h.held and self.next <= self.last:  # somebody was faster
            self.at += self.lengths[self.next - self.first]
            self.next += 1
        if self.next > self.last or self.next != h.held:
            return False, None
        ahead = self.ripe()
        if ahead < self.lengths[self.next - self.first]:
            return False, None
        was = h.held
        taken, why = store.put(h, self.get.view[self.at : self.at + ahead])
        self.at += taken
        self.next += h.held - was
        self.get.mark = self.at + KEEP_BYTES
        return h.held > was, why

    def text(self):
        """For people."""
        what = _NAMES[self.what] if self.what != RUN else "pieces"
        return "%s of %s" % (what, to_hex(self.id[:4]))
