"""Files in memory, with the interface of shell.platform.Fs. Each path that is written is noted."""

import io


class Memory:
    def __init__(self, files=()):
        self.dirs = {"/"}
        self.files = {}
        self.modes = {}
        self.touched = set()
        self.open_files = 0
        for path, data in dict(files).items():
            self.mkdirs(path.rpartition("/")[0])
            self.files[path] = bytes(data)
        self.touched.clear()

    def read(self, path, limit):
        data = self.files.get(path)
        return data if data is not None and len(data) <= limit else None

    def open(self, path, mode):
        if path in self.dirs or (mode != "wb" and path not in self.files):
            raise OSError(2, path)
        if mode == "rb":
            return io.BytesIO(self.files[path])
        if path.rpartition("/")[0] not in self.dirs:
            raise OSError(2, path)
        self.touched.add(path)
        return Written(self, path, b"" if mode == "wb" else self.files[path])

    def sync(self, f):
        f.flush()

    def sync_dir(self, path):
        if path not in self.dirs:
            raise OSError(2, path)

    def write_atomic(self, path, data):
        with self.open(path, "wb") as f:
            f.write(data)

    def rename(self, a, b):
        if a in self.files:
            self.files[b] = self.files.pop(a)
        elif a in self.dirs:
            for path in [p for p in self.files if p.startswith(a + "/")]:
                self.files[b + path[len(a) :]] = self.files.pop(path)
            for path in [p for p in self.dirs if (p + "/").startswith(a + "/")]:
                self.dirs.remove(path)
                self.dirs.add(b + path[len(a) :])
        else:
            raise OSError(2, a)
        self.touched |= {a, b}

    def listdir(self, path, most=512):
        if path not in self.dirs:
            return []
        below = [p[len(path) + 1 :] for p in [*self.files, *self.dirs] if p.startswith(path + "/")]
        return sorted({name.split("/")[0] for name in below})[:most]

    def is_dir(self, path):
        return path in self.dirs

    def free(self, path):
        return 1 << 30

    def size(self, path):
        if path in self.files:
            return len(self.files[path])
        return 4096 if path in self.dirs else None

    def mkdirs(self, path):
        parts = path.split("/")
        for n in range(2, len(parts) + 1):
            above = "/".join(parts[:n])
            if above in self.files:
                raise OSError(17, above)
            self.dirs.add(above)
        self.touched.add(path)

    def remove(self, path):
        if path not in self.files:
            raise OSError(2, path)
        del self.files[path]
        self.touched.add(path)

    def rmtree(self, path):
        for p in [p for p in self.files if (p + "/").startswith(path + "/")]:
            del self.files[p]
        self.dirs = {p for p in self.dirs if not (p + "/").startswith(path + "/")}
        self.touched.add(path)

    def chmod(self, path, mode):
        if self.size(path) is None:
            raise OSError(2, path)
        self.modes[path] = mode


class Written(io.BytesIO):
    """A file that is being written: what was flushed can be read."""

    def __init__(self, fs, path, data):
        super().__init__(data)
        self._fs = fs
        self._path = path
        fs.files[path] = data
        fs.open_files += 1

    def flush(self):
        self._fs.files[self._path] = self.getvalue()

    def close(self):
        if not self.closed:
            self.flush()
            self._fs.open_files -= 1
        super().close()
