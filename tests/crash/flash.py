"""The simulator's flash, on a file system without barriers.

`disk.Fs` says what is there; this says what a power cut leaves of it, at worst what POSIX allows:
a flushed file has its bytes, a flushed directory its names, and of all else any part, in any order.
Of a rename also both names may stay, as on jffs2. Unflushed bytes are lost by the sector.
"""

from errno import EIO

from swdist_host.sim import disk

SECTOR = 512
WAYS = ("nothing", "everything", "in order", "any part")  # what is left of what was not flushed


class Inode(disk.Inode):
    __slots__ = ()

    def cut(self, rand):
        """Each sector is the old or the new one; the last that was written may be torn."""
        old = self.whole()[: self.synced]
        if self.kept is not None:
            pieces, synced = self.kept
            old = b"".join(pieces)[:synced]
        new = self.whole()
        least, most = sorted((len(old), len(new)))
        size = (least, most, least + rand(most - least + 1))[rand(3)]
        mixed = bytearray()
        for at in range(0, size, SECTOR):
            take = new if rand(2) else old
            mixed += take[at : at + SECTOR].ljust(SECTOR, b"\0")
        self.settle(bytes(mixed[:size]))

    def settle(self, data):
        self.set(data)
        self.kept = None
        self.synced = self.size

    def lose(self):
        """Nothing that was not flushed is left."""
        if self.kept is not None:
            pieces, self.synced = self.kept
            self.set(b"".join(pieces))
        self.settle(self.whole()[: self.synced])


class _Dir:
    """A directory's names as they are on flash."""

    __slots__ = ("names",)

    def __init__(self, names=()):
        self.names = dict(names)


class Flash(disk.Fs):
    """steps: changes so far. fault: errno of each change from step fault_from on, or None.
    reads_fail: reading fails too. faults: how many changes have failed."""

    inode = Inode

    def __init__(self, capacity=1 << 62):
        super().__init__(None, capacity=capacity)
        self.steps = 0
        self.fault = None
        self.fault_from = 0
        self.faults = 0
        self.reads_fail = False
        self._nodes = {"": _Dir()}  # path: _Dir
        self._pending = []  # changes of names, oldest first; each a list of (_Dir, name, what)

    def step(self, size=0):
        super().step(size)
        self.steps += 1
        if self.fault is not None and self.steps >= self.fault_from:
            self.faults += 1
            raise OSError(self.fault, "injected")

    def rename(self, a, b):
        held, self.fault = self.fault, None if b.startswith("/run/") else self.fault  # in RAM
        try:
            super().rename(a, b)
        finally:
            self.fault = held

    def read(self, path, limit):
        return None if self.reads_fail else super().read(path, limit)  # as platform.Fs.read does

    def open(self, path, mode):
        if self.reads_fail and mode in ("rb", "r+b"):
            raise OSError(EIO, "injected")
        return super().open(path, mode)

    # --- changes of names

    def _note(self, *changes):
        self._log.clear()  # of disk.Fs: not needed here
        noted = []
        for path, what in changes:
            head, _, name = path.rpartition("/")
            noted.append((self._nodes[head], name, what))
        self._pending.append(noted)

    def _link(self, path, inode):
        super()._link(path, inode)
        self._note((path, inode))

    def _mkdir(self, path):
        super()._mkdir(path)
        self._nodes[path] = _Dir()
        self._note((path, self._nodes[path]))

    def remove(self, path):
        super().remove(path)
        self._note((path, None))

    def rmtree(self, path):
        was_dir = path in self.dirs
        super().rmtree(path)
        if was_dir:
            del self._nodes[path]
            self._note((path, None))

    def rename_only(self, a, b):
        what = self._nodes.get(a) or self.files.get(a)
        super().rename_only(a, b)
        for path in [p for p in self._nodes if p == a or p.startswith(a + "/")]:
            self._nodes[b + path[len(a) :]] = self._nodes.pop(path)
        self._note((b, what), (a, None))

    # --- flushes

    def sync(self, f):
        self.step()
        f.inode.sync()
        self._dirty.pop(f.inode, None)

    def sync_dir(self, path):
        self.step()
        node = self._nodes[path.rstrip("/")]
        left = []
        for changes in self._pending:
            self._apply([c for c in changes if c[0] is node])
            rest = [c for c in changes if c[0] is not node]
            if rest:
                left.append(rest)
        self._pending = left

    def flush_all(self):
        """As a clean shutdown does."""
        self.power_cut("everything", None)

    @staticmethod
    def _apply(changes):
        for node, name, what in changes:
            if what is None:
                node.names.pop(name, None)
            else:
                node.names[name] = what

    # --- power cuts

    def power_cut(self, way, rand):
        """way: one of WAYS; rand(n) decides, where there is something to decide."""
        self.cut_after = None
        pending, self._pending = self._pending, []
        if way == "in order":
            pending = pending[: rand(len(pending) + 1)]
        elif way == "any part":
            pending = [self._part(changes, rand) for changes in pending if rand(2)]
        for changes in [] if way == "nothing" else pending:
            self._apply(changes)
        for inode in self._dirty:
            if way == "nothing":
                inode.lose()
            elif way == "everything":
                inode.sync()
            else:
                inode.cut(rand)
        self._dirty = {}
        root = self._nodes[""]
        self.files, self.dirs, self._nodes = {}, {}, {}
        self._mount("", root, set())

    @staticmethod
    def _part(changes, rand):
        return changes[:1] if rand(3) == 0 else changes  # of a rename: the new name, also the old

    def _mount(self, path, node, seen):
        seen.add(id(node))
        self._nodes[path] = node
        self.dirs[path] = dict.fromkeys(node.names)
        for name, what in node.names.items():
            if isinstance(what, _Dir):
                if id(what) in seen:
                    what = node.names[name] = _Dir(what.names)  # one directory with two names
                self._mount(path + "/" + name, what, seen)
            else:
                self.files[path + "/" + name] = what

    def image(self):
        """All that is there, to be compared."""
        files = sorted((path, inode.whole()) for path, inode in self.files.items())
        return hash((tuple(files), tuple(sorted(self.dirs))))
