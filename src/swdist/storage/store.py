"""What the network side holds: what comes in, what is given, and what goes
(docs/architecture.md, section 5)."""

from swdist.crypto.ucryptolib import sha256
from swdist.formats.bits import from_hex, number, to_hex
from swdist.formats.index import MAX_PIECES
from swdist.storage import reuse
from swdist.storage.catalogue import Catalogue
from swdist.storage.needs import Needs
from swdist.storage.payloads import RESERVE, Payloads
from swdist.trust.dates import Dates

SPARE = 8  # signatures that can't be checked here may have such a part of the quota
# One step of reuse() may take as long as datagrams may wait for it.
LOOKS = 8  # into others' indexes
REUSE_BYTES = 16384  # taken from another payload: two chunks of the usual size


class Store:
    """catalogue: the releases; payloads: what is held of their payloads; needs: what is to be.
    Why something is not taken is said as (is it for us to mend, or the sender's fault?, text)."""

    def __init__(self, fs, path, trust, log, room):
        self._fs = fs
        self._path = path
        self._log = log
        self.room = room
        ram = room.ram
        spare_bytes = room.quota // SPARE
        self.catalogue = Catalogue(fs, path + "/releases", trust, log, self._disk, spare_bytes)
        self.payloads = Payloads(fs, path + "/payloads", ram.path if ram is not None else None)
        self.needs = Needs(room, self.catalogue, self.payloads, log)
        self.dates = Dates(fs, path + "/doubted")
        self._buf = memoryview(bytearray(REUSE_BYTES))
        self._fault = None  # of the disk, that was said last
        self._scrubbed = 0  # pieces that were read again

    @property
    def releases(self):
        return self.catalogue.releases

    def load(self, tick=None):
        """Verifies all that is held again: others may write there, and power cuts leave halves.
        tick() is called between pieces."""
        for name in ("/releases", "/payloads"):
            self._fs.mkdirs(self._path + name)
        self.catalogue.load()
        try:
            self.payloads.load(tick)
        except OSError as e:
            self._disk(e)
        self._drop_unnamed()

    # --- what is held

    def newest_signed_at_s(self, sure_s=None):
        """sure_s: the time, where this node and others agree on it."""
        if sure_s is not None:
            self.dates.doubt(self.releases, sure_s, self._log)
        return self.dates.newest_s(self.releases)

    def held(self, pid):
        return self.payloads.held.get(pid)

    def percent(self, pid):
        """How much of a payload is held."""
        h = self.held(pid)
        return 100 * h.held // h.total if h is not None else 0

    def ready(self, release, p):
        """For choose: is a payload held whole, and is it what the manifest's line says?"""
        h = self.held(p.pid)
        return h is not None and h.complete() and h.sound(p)

    def open(self, name):
        """A File of what is verified, by its TFTP name (docs/protocol.md, section 4), or None."""
        try:
            parts = str(bytes(name), "ascii").split("/")
        except (UnicodeError, ValueError):
            return None
        key = from_hex(parts[1], 32) if len(parts) == 3 and parts[0] == "1" else None
        if key is None:
            return None
        if parts[2] in ("manifest", "signatures"):
            return self.catalogue.open(key, parts[2])
        h = self.held(key)
        if h is None:
            return None
        if parts[2] == "index":
            return self.payloads.open_index(h)
        first, dash, last = parts[2].partition("-")
        first = number(first, 0, MAX_PIECES - 1)
        last = number(last, 0, MAX_PIECES - 1) if dash else first
        if first is None or last is None or first > last:
            return None
        return self.payloads.open(h, first, last)

    # --- what comes in

    def add(self, manifest, signatures):
        """(Release, None), or (None, why not): see Catalogue.add."""
        release, why = self.catalogue.add(manifest, signatures, self.needs.pinned)
        if release is not None:
            self._drop_unnamed()
        return release, why

    def _drop_unnamed(self):
        self.needs.changed()
        for pid in list(self.payloads.held):
            if pid not in self.needs.lines():
                self._forget(pid, "no release names it")

    def put_index(self, pid, data):
        """None, or why not; as with put()."""
        if sha256(data) != pid:
            return False, "index: digest is not the payload's id"
        if self.held(pid) is not None:
            return None
        try:
            h = self.payloads.put_index(pid, data, self.needs.in_ram(pid))
            self._fault = None
        except OSError as e:
            return self._disk(e)
        if h is None:
            self.needs.no_index(pid)
        return None

    def put(self, h, view):
        """Keeps the next pieces, which `view` begins with: (bytes that were kept or lost, why
        not)."""
        try:
            if not h.in_ram:  # for an image the plan has looked at memory
                if not self._make_room(h, len(view)):
                    return 0, (True, "over the quota")
                if self._fs.free(h.path) < len(view) + RESERVE:
                    raise OSError("flash is full")
            pages = h.held < h.pages
            taken, why = self.payloads.put(h, view)
            self._fault = None
        except OSError as e:
            return 0, self._disk(e)
        if pages and h.held >= h.pages:
            self.needs.changed()  # now it is known which lines are true
            if not self.needs.sound(h):
                self.needs.refuse(h.pid, "its pages are not what the manifest says")
        return taken, why and (False, why)

    def reuse(self):
        """One step of taking pieces from other payloads that are held. (Is there more to do at
        once?, was a piece taken?)"""
        for pid in self.needs.wanted():
            h = self.held(pid)
            if h is None:
                continue
            try:
                if self.payloads.behind(h):
                    return True, True
                for _ in range(LOOKS):
                    if not reuse.step(self.payloads, h):
                        break
                else:
                    return True, False
                view = reuse.take(self.payloads, h, self._buf)
            except OSError as e:
                self._disk(e)
                continue
            if view is not None:  # what another has may be spoilt: it comes in like a stranger's
                taken, why = self.put(h, view)
                if why is None or not why[0]:
                    if why is not None:
                        reuse.spoilt(h)
                    return True, taken > 0
        return False, False

    # --- what goes

    def collect(self, pinned):
        """pinned: see Needs. Removes payloads while more than the quota is held."""
        self.needs.pin(pinned)
        if self.room.ram is not None:
            self._collect_ram()
        self._make_room(None, 0)

    def _collect_ram(self):
        """The switch side takes an image away when it is flashed; and memory may be short."""
        self.needs.changed()
        for pid, h in list(self.payloads.held.items()):
            if not h.in_ram:
                continue
            plan = self.needs.plan()
            if h.chunks_end and self._fs.size(h.path + "/payload") is None:
                self._forget(pid, "the switch side is done with it")
            elif self.room.ram.short() or pid not in plan.own + plan.relayed:
                self._forget(pid, "nobody needs it, or memory is short")

    def _make_room(self, h, more_bytes):
        """Removes others that give way until so many more of a payload fit. False if they can't.
        Only now, when there are bytes to be written: what is here may be asked for until then, and
        may come to be wanted again."""
        needs = self.needs
        for x in needs.gives_way():
            if needs.fits(more_bytes):
                break
            if x is not h:
                self._forget(x.pid, "to make room")
        return needs.fits(more_bytes)

    def scrub(self):
        """Reads the next piece of all that is held again: flash forgets, and a neighbour should not
        be the first to see it. What does not hold is fetched anew."""
        payloads = self.payloads
        n = self._scrubbed % max(sum([h.held for h in payloads.held.values()]), 1)
        self._scrubbed += 1
        for h in payloads.held.values():
            if n < h.held:
                break
            n -= h.held
        else:
            return
        try:
            if payloads.piece(h, n) is not None:
                return
        except OSError:
            pass  # flash that forgets may say so
        self._log.warn("piece %d of payload %s is spoilt" % (n, to_hex(h.pid[:4])))
        try:
            payloads.scan(h)  # or its index is
        except OSError as e:
            self._disk(e)
        self.needs.changed()

    def _forget(self, pid, why):
        self._log.info("removed payload %s: %s" % (to_hex(pid[:4]), why))
        self.needs.changed()
        try:
            self.payloads.forget(self.held(pid))
        except OSError as e:
            self._disk(e)

    def _disk(self, e):
        """Why not; said once until a piece is kept again, for it is tried again with each run that
        comes."""
        if self._fault != e.args[0]:
            self._fault = e.args[0]
            self._log.error("store: %s" % e)
        return True, str(e)
