"""A node's flash in memory: platform.Fs over inodes, with a write cost and power cuts.

What a cut leaves is what jffs2, ubifs or ext4 may leave: of the changes of names since the last
flush (which commits all that came before it) a prefix, and of a file that was not flushed the old
content, or the new one cut short. Pieces of equal content are shared among nodes, not copied.
"""

from bisect import bisect_right
from errno import EISDIR, ENOENT, ENOSPC, ENOTDIR, ENOTEMPTY

from swdist.shell import platform


class PowerCut(BaseException):
    """Raised in the midst of device code. No device code catches it: it is no Exception."""


class Inode:
    """Content as a list of bytes objects. `kept` is what a cut leaves of an overwritten file."""

    __slots__ = ("pieces", "starts", "size", "synced", "kept")

    def __init__(self):
        self.pieces = []
        self.starts = []
        self.size = 0
        self.synced = 0  # bytes from the start that a cut leaves
        self.kept = None

    def append(self, data):
        self.pieces.append(data)
        self.starts.append(self.size)
        self.size += len(data)

    def set(self, data):
        self.pieces, self.starts, self.size = [], [], 0
        if data:
            self.append(data)

    def whole(self):
        return b"".join(self.pieces)

    def piece(self, offset, size):
        """The bytes at offset, shared where they are one piece."""
        i = bisect_right(self.starts, offset) - 1
        if i >= 0:
            start, data = self.starts[i], self.pieces[i]
            if start == offset and len(data) == size:
                return data
            if offset + size <= start + len(data):
                return data[offset - start : offset - start + size]
            end = bisect_right(self.starts, offset + size)
            return b"".join(self.pieces[i:end])[offset - start : offset - start + size]
        return b""

    def overwrite(self, offset, data):
        if self.kept is None:
            self.kept = (list(self.pieces), self.synced)
        i = bisect_right(self.starts, offset) - 1
        if self.starts[i] == offset and offset + len(data) >= self.size:
            del self.pieces[i:], self.starts[i:]
            self.size = offset
            self.append(data)
            return
        old = self.whole().ljust(offset, b"\0")
        self.set(old[:offset] + data + old[offset + len(data) :])

    def sync(self):
        self.kept = None
        self.synced = self.size

    def cut(self, rand):
        """What a power cut leaves."""
        if self.kept is not None and rand(2):
            pieces, synced = self.kept
            self.set(b"".join(pieces))
            self.synced = synced
        low = min(self.synced, self.size) if self.kept is None else 0
        if low < self.size:
            self.set(self.whole()[: low + rand(self.size - low + 1)])
        self.sync()


class Handle:
    """An open binary file."""

    def __init__(self, fs, inode, at, mode):
        self._fs = fs
        self.inode = inode
        self._at = at
        self._mode = mode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def close(self):
        pass

    def flush(self):
        pass

    def seek(self, offset):
        self._at = offset

    def read(self, size=-1):
        inode = self.inode
        left = max(inode.size - self._at, 0)
        size = left if size < 0 else min(size, left)
        data = inode.piece(self._at, size) if size else b""
        self._at += size
        self._fs.read_bytes += size
        return data

    def readinto(self, view):
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def write(self, data):
        self._fs.step(len(data))
        inode = self.inode
        data = self._fs.share(data)
        if self._at >= inode.size or self._mode == "ab":
            if self._mode != "ab" and self._at > inode.size:
                inode.append(bytes(self._at - inode.size))
            inode.append(data)
            self._at = inode.size
        elif data:
            inode.overwrite(self._at, data)
            self._at += len(data)
        return len(data)


class Fs(platform.Fs):
    """One node's files. rand(n) decides what a cut leaves; spent_us counts what writing has cost
    until somebody takes it off; cut_after: so many more steps until PowerCut, or None."""

    inode = Inode  # tests/crash has one that loses more

    def __init__(self, rand, write_us_per_kib=0, sync_us=0, capacity=1 << 62, share=bytes):
        self._rand = rand
        self._us_per_kib = write_us_per_kib
        self._sync_us = sync_us
        self._capacity = capacity
        self.share = share
        self.files = {}  # path: Inode
        self.dirs = {"": {}}  # path: {name: None}, in the order of making
        self._log = []  # how to undo the changes of names since the last flush, oldest first
        self._dirty = {}  # inodes with content not flushed: {inode: None}
        self.spent_us = 0
        self.read_bytes = 0  # also of names
        self.written = 0
        self.cut_after = None

    # --- what is counted, and cuts

    def step(self, size=0):
        """One change of the flash: it costs time, and the power may fail before it."""
        if self.cut_after is not None:
            self.cut_after -= 1
            if self.cut_after < 0:
                raise PowerCut
        if size:
            self.written += size
            self.spent_us += size * self._us_per_kib >> 10
            if self.written > self._capacity and self.used() + size > self._capacity:
                raise OSError(ENOSPC, "no space left")

    def used(self):
        return sum(inode.size for inode in self.files.values())

    def free(self, path):
        return self._capacity - self.used() if self._capacity < 1 << 62 else 1 << 62

    def power_cut(self):
        """Throws away what was not flushed. Changes of names survive up to a random one."""
        self.cut_after = None
        survive = self._rand(len(self._log) + 1)
        while len(self._log) > survive:
            self._log.pop()()
        self._log = []
        for inode in self._dirty:
            inode.cut(self._rand)
        self._dirty = {}

    # --- names

    def _split(self, path):
        head, _, name = path.rstrip("/").rpartition("/")
        if head not in self.dirs:
            raise OSError(ENOENT, "no such directory: " + head)
        return head, name

    def _link(self, path, inode):
        """A new name, or another inode under an old one."""
        self.step()
        head, name = self._split(path)
        old = self.files.get(path)
        new_name = name not in self.dirs[head]

        def undo():
            if old is not None:
                self.files[path] = old
                return
            self.files.pop(path, None)
            if new_name:
                self.dirs.get(head, {}).pop(name, None)

        self.files[path] = inode
        self.dirs[head][name] = None
        self._log.append(undo)

    def open(self, path, mode):
        if path in self.dirs:
            raise OSError(EISDIR, "is a directory: " + path)
        inode = self.files.get(path)
        if mode in ("rb", "r+b"):
            if inode is None:
                raise OSError(ENOENT, "no such file: " + path)
        elif mode in ("wb", "ab"):
            if inode is None:
                inode = self.inode()
                self._link(path, inode)
            elif mode == "wb":
                self.step()
                if inode.kept is None:
                    inode.kept = (inode.pieces, inode.synced)
                inode.set(b"")
        else:
            raise ValueError(f"mode {mode}")
        if mode != "rb":
            self._dirty[inode] = None
        return Handle(self, inode, 0, mode)

    def read(self, path, limit):
        inode = self.files.get(path)
        if inode is None or inode.size > limit:
            return None
        self.read_bytes += inode.size
        return inode.piece(0, inode.size)

    def sync(self, f):
        self.step()
        self.spent_us += self._sync_us
        f.inode.sync()
        self._dirty.pop(f.inode, None)
        self._log.clear()

    def sync_dir(self, path):
        self.step()
        self.spent_us += self._sync_us
        self._log.clear()

    def write_atomic(self, path, data):
        with self.open(path + ".tmp", "wb") as f:
            f.write(data)
            self.sync(f)
        self.rename(path + ".tmp", path)

    def append_line(self, path, text):
        with self.open(path, "ab") as f:
            f.write(text.encode() + b"\n")
            self.sync(f)

    def rename(self, a, b):
        self.rename_only(a, b)
        self.sync_dir(b.rpartition("/")[0] or "")

    def rename_only(self, a, b):
        """rename(2): what a cut leaves of it is settled by the flush of the directory."""
        self.step()
        if a in self.files:
            if b in self.dirs:
                raise OSError(EISDIR, "is a directory: " + b)
            old = self.files.get(b)
            self._move_file(a, b)

            def undo():
                self._move_file(b, a)
                if old is not None:
                    self.files[b] = old
                    head, name = self._split(b)
                    self.dirs[head][name] = None

        elif a in self.dirs:
            if self.dirs.get(b) or b in self.files:
                raise OSError(ENOTEMPTY, "not empty: " + b)
            self._move_dir(a, b)

            def undo():
                self._move_dir(b, a)

        else:
            raise OSError(ENOENT, "no such file: " + a)
        self._log.append(undo)

    def _move_file(self, a, b):
        head, name = self._split(b)
        self.files[b] = self.files.pop(a)
        self.dirs[head][name] = None
        head, name = self._split(a)
        del self.dirs[head][name]

    def _move_dir(self, a, b):
        head, name = self._split(b)
        self.dirs[head][name] = None
        head, name = self._split(a)
        del self.dirs[head][name]
        for table in (self.files, self.dirs):
            for path in [p for p in table if p == a or p.startswith(a + "/")]:
                table[b + path[len(a) :]] = table.pop(path)

    def listdir(self, path, most=platform.MAX_NAMES):
        names = sorted(self.dirs.get(path, ()))[:most]
        self.read_bytes += sum(map(len, names))
        return names

    def is_dir(self, path):
        return path.rstrip("/") in self.dirs

    def size(self, path):
        inode = self.files.get(path)
        if inode is not None:
            return inode.size
        return 0 if path in self.dirs else None

    def mkdirs(self, path):
        done = ""
        for part in path.strip("/").split("/"):
            done += "/" + part
            if done in self.files:
                raise OSError(ENOTDIR, "not a directory: " + done)
            if done not in self.dirs:
                self._mkdir(done)
                self.sync_dir(done.rpartition("/")[0])

    def _mkdir(self, path):
        self.step()
        head, name = self._split(path)
        self.dirs[head][name] = None
        self.dirs[path] = {}

        def undo():
            del self.dirs[head][name], self.dirs[path]

        self._log.append(undo)

    def remove(self, path):
        if path not in self.files:
            raise OSError(ENOENT, "no such file: " + path)
        self.step()
        head, name = self._split(path)
        inode = self.files.pop(path)
        del self.dirs[head][name]

        def undo():
            self.files[path] = inode
            self.dirs[head][name] = None

        self._log.append(undo)

    def rmtree(self, path):
        if path in self.files:
            self.remove(path)
        elif path in self.dirs:
            for name in list(self.dirs[path]):
                self.rmtree(path + "/" + name)
            self.step()
            head, name = self._split(path)
            del self.dirs[path], self.dirs[head][name]

            def undo():
                self.dirs[path] = {}
                self.dirs[head][name] = None

            self._log.append(undo)

    def chmod(self, path, mode):
        pass

    def chown(self, path, uid, gid):
        pass
