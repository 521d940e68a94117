"""Slots on flash: unpacked releases, and small files that say which one is active.

Order of writes. A slot is unpacked as ID.new, flushed with all its directories, renamed to ID; it
is removed as ID.old. So a directory of the name ID is whole. The files `active`, `confirmed` and
`failed` are replaced by one rename each: after a power cut there is the old or the new one. So
whatever the instant, the node comes up in a slot that is whole. The launcher (files/usr/bin/swdist)
reads all three, and writes the last where switchd does not run.

Whoever has filled the flash must not keep a node from going back: some files are held in reserve,
and one of them is written over where there is no room for another. What was in it goes on behind
the first line.
"""

from swdist.crypto.ucryptolib import sha256
from swdist.formats.bits import from_hex, plain, to_hex
from swdist.formats.manifest import UNPACKED
from swdist.formats.untar import MAX_ENTRIES, Untar
from swdist.storage.chunks import Chunks
from swdist.trust.choose import FACTORY
from swdist.trust.dates import Dates

ENOSPC = 28
MAX_FAILED = 16  # beyond that the oldest failure is forgotten
MAX_REASON = 100  # characters of a reason that are kept
SPARE_FILES = 4  # to fail, activate and confirm
SPARE_BYTES = 4096  # of each; more than any of those has


class Slots:
    def __init__(self, fs, store, state):
        self._fs = fs
        self._store = store
        self._state = state
        # Oldest first. What is too long, or no text, is not ours, and cut rather than believed.
        lines = (fs.read(state + "/failed", 8192) or b"").split(b"\n")
        self._failed = [line[: 65 + MAX_REASON] for line in lines if _rid(line) is not None]
        self.dates = Dates(fs, state + "/doubted")
        self._spent = True  # is there less in reserve than there should be?
        try:
            for name in ("/slots", "/reserve"):
                fs.mkdirs(state + name)
            self._sweep(None)
        except OSError:
            pass  # collect() does it; a broken disk is no reason to be down

    def path(self, rid):
        return self._state + "/slots/" + to_hex(rid)

    def source(self, p):
        """Where the network side keeps a payload."""
        return self._store + "/payloads/" + to_hex(p.pid)

    def offered(self, p):
        """Does the store hold all of a payload to be unpacked, going by the sizes?"""
        return p.kind in UNPACKED and self._fs.size(self.source(p) + "/payload") == p.stored

    def prepared(self, rid):
        return rid == FACTORY or self._fs.is_dir(self.path(rid))

    def prepare(self, release, p):
        return Prepare(self._fs, self.source(p), self.path(release.rid), release, p)

    def _pointer(self, name):
        data = self._fs.read(self._state + "/" + name, SPARE_BYTES) or b""
        line = data.split(b"\n")[0].strip()
        rid = _rid(line) if len(line) == 64 else None
        return rid if rid is not None and self.prepared(rid) else FACTORY

    def _write(self, name, data):
        path = self._state + "/" + name
        try:
            self._fs.write_atomic(path, data)
        except OSError as e:
            if e.args[0] != ENOSPC or not self._write_over(path, data):
                raise

    def _write_over(self, path, data):
        """In the place of what is held in reserve: on some flash that takes no room at all, and so
        none that somebody else could be faster to take. True if it is done."""
        fs = self._fs
        self._spent = True
        for n in range(SPARE_FILES):
            try:
                fs.rename(self._reserve(n), path + ".tmp")
                try:
                    with fs.open(path + ".tmp", "r+b") as f:
                        f.write(data)
                        fs.sync(f)
                    fs.rename(path + ".tmp", path)
                except OSError:
                    fs.write_atomic(path, data)  # where it was
                return True
            except OSError:
                pass
        return False

    def _reserve(self, n):
        return self._state + "/reserve/%d" % n

    def _spare(self):
        """Makes what is to be held in reserve, of what no file system can make smaller."""
        data = None
        try:
            for n in range(SPARE_FILES):
                path = self._reserve(n)
                if self._fs.size(path) != SPARE_BYTES:
                    if self._fs.free(self._state) < 4 * SPARE_BYTES:
                        return
                    data = data or b"".join([sha256(b"%d" % i) for i in range(SPARE_BYTES // 32)])
                    self._fs.write_atomic(path, data)
        except OSError:
            pass  # after the next start, then
        self._spent = False

    def active(self):
        """Release id of the active slot; the factory's where there is none, or it is not whole."""
        return self._pointer("active")

    def confirmed(self):
        return self._pointer("confirmed")

    def activate(self, rid, company):
        if company != self.company():
            self._write("company", b"y" if company else b"n")
        self._write("active", (to_hex(rid) + "\n").encode())

    def confirm(self, rid):
        self._write("confirmed", (to_hex(rid) + "\n").encode())

    def failed(self):
        """Ids of releases that failed on this node, oldest first."""
        return [_rid(line) for line in self._failed]

    def reasons(self):
        """Of each of them, why."""
        return [plain(line[65:]) for line in self._failed]

    def fail(self, rid, why):
        """Also after an OSError it counts as failed, until the next start."""
        if rid not in self.failed():
            line = to_hex(rid) + " " + why.replace("\n", " ")[:MAX_REASON]
            self._failed = self._failed[1 - MAX_FAILED :] + [line.encode()]
        self._write("failed", b"".join([line + b"\n" for line in self._failed]))

    def forgive(self, why):
        """Forgets the failures whose reasons end like that."""
        kept = [line for line in self._failed if not line.endswith(why)]
        if kept != self._failed:
            self._failed = kept
            self._write("failed", b"".join([line + b"\n" for line in kept]))

    def has_code(self, rid):
        """Does the slot bring its own swdist? The launcher asks the same."""
        return self._fs.is_dir(self.path(rid) + "/lib/swdist")

    def company(self):
        """Was there a neighbour before the active slot was?"""
        return (self._fs.read(self._state + "/company", SPARE_BYTES) or b"")[:1] == b"y"

    def collect(self, keep):
        """Removes slots that are not in keep, nor active, nor confirmed. Not during a Prepare."""
        if self._spent:
            self._spare()
        self._sweep(list(keep) + [self.active(), self.confirmed()])

    def _sweep(self, keep):
        """keep: ids, or None for all. What is not of the form ID is left from a power cut."""
        for name in self._fs.listdir(self._state + "/slots"):
            rid = from_hex(name, 32)
            path = self._state + "/slots/" + name
            if rid is None:
                self._fs.rmtree(path)
            elif keep is not None and rid not in keep:
                self._fs.rmtree(path + ".old")
                self._fs.rename(path, path + ".old")
                self._fs.rmtree(path + ".old")


class Prepare:
    """Verifies a release's payload and unpacks it, the very same bytes, one chunk a step().
    step() is True while there is more to do; then .why is None, or what is wrong, for people.
    .for_good: is that the release's own fault? All else may be better next time."""

    def __init__(self, fs, source, target, release, p):
        self.release = release
        self.payload = p
        self.why = None
        self.for_good = True
        self._fs = fs
        self._target = target
        self._chunks = Chunks(fs, source, p)
        self._untar = None

    def step(self):
        more = False
        try:
            if self._untar is None:
                self._fs.rmtree(self._target + ".new")
                self._fs.mkdirs(self._target + ".new")
                self._untar = Untar(self._fs, self._target + ".new", self.payload.size)
            self.why = self._chunks.step()
            if self.why is None:
                more = self._chunks.view is not None
                self.why = self._untar.feed(self._chunks.view) if more else self._end()
        except OSError as e:
            self.why = "disk: %s" % e
            self.for_good = False
        if self.why is not None:
            self._give_up()
            return False
        return more

    def _end(self):
        """All that was unpacked is what the CA has signed: now it may have its name."""
        why = self._untar.end()
        if why is None:
            self._flush(self._target + ".new")
            self._fs.rename(self._target + ".new", self._target)
        return why

    def _flush(self, path):
        """The names in it and below; the files were flushed when they were written."""
        for name in self._fs.listdir(path, MAX_ENTRIES):
            if self._fs.is_dir(path + "/" + name):
                self._flush(path + "/" + name)
        self._fs.sync_dir(path)

    def _give_up(self):
        try:
            if self._untar is not None:
                self._untar.close()
            self._fs.rmtree(self._target + ".new")
        except OSError:
            pass  # removed by the next collect()


def _rid(line):
    """The release id, 64 hex digits, that a line begins with, or None."""
    try:
        return from_hex(str(line[:64], "ascii"), 32)
    except ValueError:
        return None
