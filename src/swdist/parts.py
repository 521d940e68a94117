"""A release's parts as they lie on flash: manifest, signatures, index; the chunks in its .file."""

from swdist.bits import number
from swdist.manifest import MAX_CHUNKS
from swdist.ucryptolib import sha256


def write_head(fs, path, manifest, signatures):
    """A new release begins with them."""
    fs.rmtree(path)  # left where only the last flush failed
    fs.rmtree(path + ".new")
    fs.mkdirs(path + ".new")
    for name, data in (("/manifest", manifest), ("/signatures", signatures)):
        with fs.open(path + ".new" + name, "wb") as f:
            f.write(data)
            fs.sync(f)
    fs.sync_dir(path + ".new")
    fs.rename(path + ".new", path)


class File:
    """A part of a file, for the TFTP server."""

    def __init__(self, f, base, size):
        self._f = f
        self._base = base
        self._at = -1  # offset of what is read next without a seek; -1: unknown
        self.size = size

    def read_into(self, offset, view):
        """Bytes read into the view, fewer only at the end, or where the disk has a fault."""
        n = len(view)
        left = self.size - offset
        got = 0
        try:
            if offset != self._at:
                self._f.seek(self._base + offset)
            self._at = -1  # unless all goes well
            if n <= left:
                got = self._f.readinto(view)
            else:
                n = max(left, 0)
            while got < n:
                more = self._f.readinto(view[got:n])
                if not more:
                    return got
                got += more
            self._at = offset + n
        except OSError:
            pass
        return got

    def close(self):
        self._f.close()


def chunk_bytes(manifest, n):
    """Size of chunk n."""
    return min(manifest.chunk_size, manifest.payload_size - n * manifest.chunk_size)


def open_part(fs, path, release, what):
    """A File of one part, by the last word of its TFTP name, if it is verified; else None."""
    m = release.manifest
    path += "/"
    base = 0
    if what in ("manifest", "signatures") or (what == "index" and release.indexed):
        path += what
        size = fs.size(path)
        if not size:
            return None
    else:
        n = number(what, 0, MAX_CHUNKS - 1)
        if n is None or n >= release.held:
            return None
        path = release.file
        base = n * m.chunk_size
        size = chunk_bytes(m, n)
    try:
        return File(fs.open(path, "rb"), base, size)
    except OSError:
        return None


def digest_of(fs, path, n):
    """Of chunk n, by the index. OSError if that can't be read."""
    with fs.open(path + "/index", "rb") as f:
        f.seek(32 * n)
        return f.read(32)


def _chunk(fs, release, n):
    """Chunk n as it lies on flash, unverified. None if it is not all there."""
    size = chunk_bytes(release.manifest, n)
    at = n * release.manifest.chunk_size
    if (fs.size(release.file) or 0) < at + size:
        return None
    view = memoryview(bytearray(size))
    with fs.open(release.file, "rb") as f:
        return view if File(f, at, size).read_into(0, view) == size else None


def holds(fs, path, release, n):
    """Is chunk n on flash what the index says?"""
    try:
        view = _chunk(fs, release, n)
        return view is not None and sha256(view) == digest_of(fs, path, n)
    except OSError:
        return False


def scan(fs, path, release, tick=None):
    """Sets the release's .indexed, and .held to how many chunks from the first on hold. tick() is
    called after each. OSError where the disk can't be read any further."""
    m = release.manifest
    release.indexed = False
    release.held = release.sought = 0
    index = fs.read(path + "/index", 32 * m.chunks) if m.chunks else None
    if index is None or len(index) != 32 * m.chunks or sha256(index) != m.index_sha256:
        return
    release.indexed = True
    size = fs.size(release.file)
    if size is None:
        return
    if size > m.payload_size:
        fs.rmtree(release.file)
        return
    buf = memoryview(bytearray(m.chunk_size))
    with fs.open(release.file, "rb") as f:
        for n in range(m.chunks):
            file = File(f, n * m.chunk_size, chunk_bytes(m, n))
            view = buf[: file.size]
            if file.read_into(0, view) != file.size or (
                sha256(view) != index[32 * n : 32 * n + 32]
            ):
                return
            release.held = n + 1
            if tick is not None:
                tick()


def same_chunk(fs, path, release, other_path, other):
    """The first chunk that a release lacks, as another release holds it, or None."""
    size = chunk_bytes(release.manifest, release.held)
    try:
        digest = digest_of(fs, path, release.held)
        at = (fs.read(other_path + "/index", 32 * MAX_CHUNKS) or b"").find(digest)
        n = at // 32
        if not digest or at % 32 or n >= other.held or chunk_bytes(other.manifest, n) != size:
            return None  # also for at == -1, which is 31 modulo 32
        return _chunk(fs, other, n)
    except OSError:
        return None
