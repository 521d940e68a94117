"""A release's parts as they lie on flash, to be read: manifest, signatures, index, chunks."""

from swdist.bits import number
from swdist.manifest import MAX_CHUNKS
from swdist.ucryptolib import sha256


class File:
    """A part of a file, for the TFTP server."""

    def __init__(self, f, base, size):
        self._f = f
        self._base = base
        self.size = size

    def read_into(self, offset, view):
        """Bytes read into the view, fewer only at the end, or where the disk has a fault."""
        n = max(min(len(view), self.size - offset), 0)
        got = 0
        try:
            self._f.seek(self._base + offset)
            while got < n:
                more = self._f.readinto(memoryview(view)[got:n])
                if not more:
                    break
                got += more
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
        path += "payload"
        base = n * m.chunk_size
        size = chunk_bytes(m, n)
    try:
        return File(fs.open(path, "rb"), base, size)
    except OSError:
        return None


def holds(fs, path, release, n):
    """Is chunk n on flash what the index says?"""
    m = release.manifest
    size = chunk_bytes(m, n)
    if (fs.size(path + "/payload") or 0) < n * m.chunk_size + size:
        return False
    try:
        with fs.open(path + "/index", "rb") as f:
            f.seek(32 * n)
            digest = f.read(32)
        with fs.open(path + "/payload", "rb") as f:
            view = memoryview(bytearray(size))
            return File(f, n * m.chunk_size, size).read_into(0, view) == size and (
                sha256(view) == digest
            )
    except OSError:
        return False


def same_chunk(fs, path, release, other_path, other):
    """The first chunk that a release lacks, as another release holds it, or None."""
    size = chunk_bytes(release.manifest, release.held)
    at = 32 * release.held
    digest = (fs.read(path + "/index", 32 * MAX_CHUNKS) or b"")[at : at + 32]
    at = (fs.read(other_path + "/index", 32 * MAX_CHUNKS) or b"").find(digest)
    n = at // 32
    if not digest or at % 32 or n >= other.held or chunk_bytes(other.manifest, n) != size:
        return None  # also for at == -1, which is 31 modulo 32
    file = open_part(fs, other_path, other, "%d" % n)
    if file is None:
        return None
    view = memoryview(bytearray(size))
    file.read_into(0, view)
    file.close()
    return view
