"""What the network side holds, and how long: releases, payloads, and the room for them
(docs/architecture.md, section 5)."""

from swdist.crypto.ucryptolib import sha256
from swdist.formats.bits import from_hex, number
from swdist.formats.index import MAX_PIECES
from swdist.storage import reuse
from swdist.storage.catalogue import Catalogue
from swdist.storage.payloads import File, Payloads
from swdist.trust.dates import Dates

RESERVE = 32768  # bytes of flash that no payload takes: for manifests, and to switch and go back
SPARE = 8  # signatures that can't be checked here may have such a part of the quota
SCRUB_TURNS = 24  # of collect(), each some 5 s after the last
LOOKS = 8  # into others' indexes in one step
REUSE_BYTES = 16384  # taken from another payload in one step
MAX_TOLD = 64


class Store:
    """catalogue: the releases; payloads: what is held of their payloads; room: a room.Room.
    relayed: ids of payloads that are to be held for others."""

    def __init__(self, fs, path, trust, log, room):
        self._fs = fs
        self._path = path
        self._log = log
        self.room = room
        ram = room.ram
        spare_bytes = room.quota // SPARE
        self.catalogue = Catalogue(fs, path + "/releases", trust, log, self._disk, spare_bytes)
        self.payloads = Payloads(fs, path + "/payloads", ram.path if ram is not None else None)
        self.dates = Dates(fs, path + "/doubted")
        self.get = self.catalogue.get
        self.digest = self.catalogue.digest
        self.weigh = self.catalogue.weigh
        self.new_word_s = self.catalogue.new_word_s
        self.relayed = ()
        self._buf = memoryview(bytearray(REUSE_BYTES))
        self._pinned = ()
        self._plan = None
        self._lines = None
        self._told = []  # ids of payloads that don't fit, once said
        self._none = []  # ids of payloads whose index is none
        self._turns = 0
        self._scrubbed = (b"", 0)  # payload and piece that were read again last
        self._fault = None  # of the disk, that was said last

    @property
    def releases(self):
        return self.catalogue.releases

    def load(self, tick=None):
        """Verifies all that is held again. tick() is called between pieces."""
        for name in ("/releases", "/payloads"):
            self._fs.mkdirs(self._path + name)
        self.catalogue.load()
        try:
            self.payloads.load(tick)
        except OSError as e:
            self._disk(e)
        self._changed()
        for pid in list(self.payloads.held):
            if pid not in self.lines():
                self._forget(pid, "no release names it")

    # --- what is held

    def newest_signed_at_s(self, sure_s=None):
        """sure_s: the time, where this node and others agree on it."""
        if sure_s is not None:
            self.dates.doubt(self.releases, sure_s, self._log)
        return self.dates.newest_s(self.releases)

    def lines(self):
        """{payload id: manifest.Payload} of all that the releases held name: of several lines for
        one the last that the payload's index bears out."""
        if self._lines is None:
            self._lines = {}
            for r in self.releases:
                for p in r.manifest.payloads:
                    h = self.held(p.pid)
                    if p.pid not in self._lines or h is None or h.sound(p):
                        self._lines[p.pid] = p
        return self._lines

    def held(self, pid):
        return self.payloads.held.get(pid)

    def whole(self, p):
        """Is a payload held whole, and is it what the manifest's line says?"""
        h = self.held(p.pid)
        return h is not None and h.complete() and h.sound(p)

    def ready(self, release, p):
        """For choose: what it takes to run it."""
        return self.whole(p)

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
            return self._open_head(key, parts[2])
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

    def _open_head(self, rid, what):
        if self.get(rid) is None:
            return None
        path = self.catalogue.folder(rid) + "/" + what
        size = self._fs.size(path)
        try:
            return File(self._fs.open(path, "rb"), 0, size) if size else None
        except OSError:
            return None

    # --- what comes in

    def add(self, manifest, signatures):
        """(Release, None), or (None, why not): see Catalogue.add."""
        release, why = self.catalogue.add(manifest, signatures, self._pinned)
        if release is not None:
            self._changed()
            for pid in list(self.payloads.held):
                if pid not in self.lines():
                    self._forget(pid, "no release names it any more")
        return release, why

    def put_index(self, pid, data):
        """None, or why not; as with put()."""
        if sha256(data) != pid:
            return "index: digest is not the payload's id"
        if self.held(pid) is not None:
            return None
        try:
            h = self.payloads.put_index(pid, data, self._in_ram(pid))
            self._fault = None
        except OSError as e:
            return self._disk(e)
        if h is None:
            self._none = self._none[1 - MAX_TOLD :] + [pid]
            self._refuse(pid, "its index is none")
        return None

    def put(self, h, view):
        """Keeps the next pieces, which `view` begins with: (bytes that were kept or lost, why not).
        Reasons that begin with `store:` are ours, all others are the sender's fault."""
        try:
            if not h.in_ram:
                if not self._make_room(h, len(view)):
                    return 0, "store: over the quota"
                if self._fs.free(h.path) < len(view) + RESERVE:
                    raise OSError("flash is full")
            pages = h.held < h.pages
            taken, why = self.payloads.put(h, view)
            self._fault = None
        except OSError as e:
            return 0, self._disk(e)
        if pages and h.held >= h.pages:
            self._changed()  # now it is known which lines are true
            if not self._sound(h):
                self._refuse(h.pid, "its pages are not what the manifest says")
        return taken, why

    def _sound(self, h):
        p = self.lines().get(h.pid)
        return p is not None and h.sound(p)

    def _in_ram(self, pid):
        p = self.lines().get(pid)
        return p is not None and p.kind == "image" and self.room.ram is not None

    def _refuse(self, pid, why):
        """The CA has signed what can't be: nobody is to blame, and nobody can have it."""
        if pid not in self._told:
            self._told = self._told[1 - MAX_TOLD :] + [pid]
            self._log.error("payload %s is not held: %s" % (pid_text(pid), why))
        self._plan = None

    # --- what is wanted

    def plan(self):
        """A room.Plan of what is to be held."""
        if self._plan is None:
            lines = self.lines()
            relayed = [lines[pid] for pid in self.relayed if pid in lines]
            self._plan = self.room.plan(self.releases, self._pinned, relayed, self.payloads.held)
            for pid, why in self._plan.refused.items():
                if pid not in self._told:
                    self._told = self._told[1 - MAX_TOLD :] + [pid]
                    words = (self._names(pid), lines[pid].stored, why)
                    self._log.warn("payload of release %s, %d bytes, %s" % words)
        return self._plan

    def _names(self, pid):
        """The newest release that has it."""
        for r in reversed(self.releases):
            if pid in [p.pid for p in r.manifest.payloads]:
                return r.name()
        return None

    def wanted(self):
        """Ids of the payloads that are to be fetched, own ones first."""
        plan = self.plan()
        return [pid for pid in plan.own + plan.relayed if self.lacks(pid)]

    def lacks(self, pid):
        """Is a part of it missing that somebody can have?"""
        h = self.held(pid)
        if h is None:
            return pid not in self._none
        return not h.complete() and self._sound(h)

    def relay(self, pids):
        """Ids of payloads that neighbours lack and this node is to hold for them."""
        if list(pids) != list(self.relayed):
            self.relayed = tuple(pids)
            self._plan = None

    def reuse(self):
        """One step of taking pieces from other payloads that are held. (Is there more to do at
        once?, was a piece taken?)"""
        for pid in self.wanted():
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
            if view is not None:
                taken, why = self.put(h, view)
                if why is None or not why.startswith("store:"):
                    if why is not None:
                        reuse.spoilt(h)
                    return True, taken > 0
        return False, False

    # --- room

    def collect(self, pinned):
        """pinned: ids of releases (active, fallback, scheduled) whose payloads are never
        removed to make room. Removes payloads while more than the quota is held, and now and then
        reads one piece again."""
        self._turns += 1
        if self._turns % SCRUB_TURNS == 0:
            self._scrub()
        if self.room.ram is not None:
            self._collect_ram()
        if set(pinned) != set(self._pinned):
            self._pinned = tuple(pinned)
            self._plan = None
        self._make_room(None, 0)

    def _collect_ram(self):
        """The switch side takes an image away when it is flashed; and memory may be short."""
        self._plan = None
        for pid, h in list(self.payloads.held.items()):
            if not h.in_ram:
                continue
            if h.chunks_end and self._fs.size(h.path + "/payload") is None:
                self._forget(pid, "the switch side is done with it")
            elif self.room.ram.short() or pid not in self.plan().own + self.plan().relayed:
                self._forget(pid, "nobody needs it, or memory is short")

    def _make_room(self, h, size):
        """Removes payloads that don't deserve room until `size` more bytes fit: what is neither own
        nor relayed, then what is relayed, the largest first. False if they can't."""
        used = size + self.catalogue.spare_bytes()
        here = [x for x in self.payloads.held.values() if not x.in_ram]
        for x in here:
            used += x.chunks_end
        if used <= self.room.quota:
            return True
        plan = self.plan()
        relayed = [self.held(pid) for pid in reversed(plan.relayed)]
        others = [x for x in here if x.pid not in plan.own and x.pid not in plan.relayed]
        for x in others + [x for x in relayed if x is not None and not x.in_ram]:
            if used <= self.room.quota:
                break
            if x is not h:
                used -= x.chunks_end
                self._forget(x.pid, "to make room")
        return used <= self.room.quota

    def _forget(self, pid, why):
        self._log.info("removed payload %s: %s" % (pid_text(pid), why))
        try:
            self.payloads.forget(self.held(pid))
        except OSError as e:
            self._disk(e)

    def _scrub(self):
        """Reads the next piece again: flash forgets. What does not hold is fetched anew."""
        pid, n = self._scrubbed
        h = self.held(pid)
        n += 1
        try:
            if h is None or n >= h.held:
                some = [x for x in self.payloads.held.values() if x.held]
                if not some:
                    return
                h = min([x for x in some if x.pid > pid] or some, key=lambda x: x.pid)
                n = 0
            self._scrubbed = h.pid, n
            if self._holds(h, n):
                return
            self._log.warn("piece %d of payload %s is spoilt" % (n, pid_text(h.pid)))
            self.payloads.scan(h)  # or the index is
        except OSError as e:
            self._disk(e)

    def _holds(self, h, n):
        try:
            return self.payloads.piece(h, n) is not None
        except OSError:
            return False  # flash that forgets may say so

    def replan(self):
        """What is for this node has changed."""
        self._plan = None

    def _changed(self):
        self._plan = self._lines = None

    def _disk(self, e):
        """Why not; said once until a piece is kept again, for it is tried again and again."""
        why = "store: %s" % e
        if self._fault != e.args[0]:
            self._fault = e.args[0]
            self._log.error(why)
        return why


def pid_text(pid):
    """For people."""
    return "".join(["%02x" % c for c in pid[:4]])
