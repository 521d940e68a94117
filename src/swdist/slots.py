"""Slots on flash: unpacked releases, and small files that say which one is active.

Order of writes. A slot is unpacked as ID.new, flushed, renamed to ID: a directory of that name is
whole. `active`, `confirmed` and `failed` are replaced by one rename each: after a power cut there
is the old or the new one. So whatever the instant, the node comes up in a slot that is whole.
"""

from swdist.bits import from_hex, to_hex
from swdist.choose import FACTORY
from swdist.ucryptolib import sha256
from swdist.untar import Untar

MAX_FAILED = 16
_ID_BYTES = 65


class Slots:
    def __init__(self, fs, store, state):
        self._fs = fs
        self._store = store
        self._state = state
        fs.mkdirs(state + "/slots")
        for name in fs.listdir(state + "/slots"):
            if from_hex(name, 32) is None:  # ID.new: a power cut while it was unpacked
                fs.rmtree(state + "/slots/" + name)

    def path(self, rid):
        return self._state + "/slots/" + to_hex(rid)

    def offered(self, release):
        """Does the store hold all of its payload, going by the sizes?"""
        m = release.manifest
        path = self._store + "/" + to_hex(release.rid)
        return (
            m.payload == "slot"
            and self._fs.size(path + "/payload") == m.payload_size
            and self._fs.size(path + "/index") == 32 * m.chunks
        )

    def prepared(self, rid):
        return rid == FACTORY or self._fs.is_dir(self.path(rid))

    def prepare(self, release):
        return Prepare(
            self._fs, self._store + "/" + to_hex(release.rid), self.path(release.rid), release
        )

    def _pointer(self, name):
        data = self._fs.read(self._state + "/" + name, _ID_BYTES) or b""
        try:
            rid = from_hex(str(data, "ascii").strip(), 32)
        except (UnicodeError, ValueError):
            rid = None
        return rid if rid is not None and self.prepared(rid) else FACTORY

    def active(self):
        """Release id of the active slot; the factory's where there is none, or it is not whole."""
        return self._pointer("active")

    def confirmed(self):
        return self._pointer("confirmed")

    def activate(self, rid):
        self._fs.write_atomic(self._state + "/active", (to_hex(rid) + "\n").encode())

    def confirm(self, rid):
        self._fs.write_atomic(self._state + "/confirmed", (to_hex(rid) + "\n").encode())

    def failed(self):
        """Ids of releases that failed on this node, oldest first."""
        data = self._fs.read(self._state + "/failed", _ID_BYTES * MAX_FAILED) or b""
        found = []
        for line in data.split(b"\n"):
            try:
                rid = from_hex(str(line, "ascii"), 32)
            except (UnicodeError, ValueError):
                rid = None
            if rid is not None:
                found.append(rid)
        return found

    def fail(self, rid):
        rids = [r for r in self.failed() if r != rid][1 - MAX_FAILED :] + [rid]
        text = "".join([to_hex(r) + "\n" for r in rids])
        self._fs.write_atomic(self._state + "/failed", text.encode())

    def collect(self, keep):
        """Removes slots that are not in keep, nor active, nor confirmed."""
        keep = list(keep) + [self.active(), self.confirmed()]
        for name in self._fs.listdir(self._state + "/slots"):
            rid = from_hex(name, 32)
            if rid is not None and rid not in keep:
                self._fs.rmtree(self._state + "/slots/" + name)


class Prepare:
    """Verifies a release's payload and unpacks it, the very same bytes, one chunk a step().
    step() is True while there is more to do; then .why is None, or what is wrong."""

    def __init__(self, fs, source, target, release):
        self.release = release
        self.why = None
        self._fs = fs
        self._source = source
        self._target = target
        self._n = 0
        self._index = None
        self._untar = None
        self._buf = None

    def step(self):
        try:
            self.why = self._begin() if self._index is None else self._chunk()
        except OSError as e:
            self.why = "store: %s" % e
        if self.why is not None:
            self._give_up()
            return False
        return self._n < self.release.manifest.chunks

    def _begin(self):
        fs = self._fs
        m = self.release.manifest
        index = fs.read(self._source + "/index", 32 * m.chunks)
        if index is None or len(index) != 32 * m.chunks or sha256(index) != m.index_sha256:
            return "store: the index does not hold"
        fs.rmtree(self._target + ".new")
        fs.mkdirs(self._target + ".new")
        self._index = index
        self._buf = memoryview(bytearray(m.chunk_size))
        self._untar = Untar(fs, self._target + ".new", m.payload_size)
        return None

    def _chunk(self):
        m = self.release.manifest
        n = self._n
        want = min(m.chunk_size, m.payload_size - n * m.chunk_size)
        view = self._buf[:want]
        with self._fs.open(self._source + "/payload", "rb") as f:
            f.seek(n * m.chunk_size)
            got = f.readinto(view)
        if got != want or sha256(view) != self._index[32 * n : 32 * n + 32]:
            return "store: chunk %d does not hold" % n
        why = self._untar.feed(view)
        if why is not None:
            return why
        self._n += 1
        if self._n < m.chunks:
            return None
        why = self._untar.end()
        if why is None:
            self._fs.sync_dir(self._target + ".new")
            self._fs.rename(self._target + ".new", self._target)
        return why

    def _give_up(self):
        if self._untar is not None:
            self._untar.close()
        try:
            self._fs.rmtree(self._target + ".new")
        except OSError:
            pass  # removed at the next start
