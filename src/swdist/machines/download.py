"""What one download works on, and how a run of pieces is taken as it comes
(docs/protocol.md, section 4)."""

from swdist.formats.bits import to_hex
from swdist.machines.tftpget import RUNNING

KEEP_BYTES = 8192  # pieces are flushed together, about so many bytes at a time

MANIFEST = 1  # what a download works on; 0: nothing
SIGNATURES = 2
INDEX = 3
RUN = 4
_NAMES = ("", "manifest", "signatures", "index")


class Download:
    """One download at a time. id: of the release or payload; of a run the pieces first..last, their
    lengths in bytes as sent, and how far they are taken: the next piece, and where it begins."""

    def __init__(self, get):
        self.get = get
        self.what = 0
        self.id = None
        self.row = 0
        self.peer = None
        self.port = 0
        self.began_at = 0
        self.check_at = 0  # when to look whether it stalls
        self.manifest = None
        self.first = self.last = self.next = self.at = 0
        self.lengths = ()
        self.probe = False  # asked for though nobody has said that it is there

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
            return False, "store: it is wanted no more"
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
        return "%s of %s" % (
            _NAMES[self.what] if self.what != RUN else "pieces",
            to_hex(self.id[:4]),
        )
