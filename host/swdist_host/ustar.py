"""Plain archives (ustar, POSIX.1-1988), as a release's file and most payloads are."""

import gzip
import io
import tarfile
import zlib

from swdist.formats import untar
from swdist_host.errors import Refused

BLOCK = tarfile.BLOCKSIZE


def members(data):
    """[(its header's prefix and name, begin, end)] of an archive's members, in bytes with their
    headers; none if it is no archive. What is behind the last one belongs to no member."""
    found = []
    at = 0
    while data[at + 257 : at + 263] == b"ustar\0":
        digits = data[at + 124 : at + 136].strip(b"\0 ")
        if digits.strip(b"01234567"):  # 8 GiB or more, or damaged
            break
        end = at + BLOCK + -(-int(digits or b"0", 8) // BLOCK) * BLOCK
        if end > len(data):
            break
        found.append((data[at + 345 : at + 500] + data[at : at + 100], at, end))
        at = end
    return found


def contents(data, with_header=False):
    """{name: bytes} of an archive's files; with_header: with their modes and names, too."""
    found = {}
    for fields, begin, end in members(data):
        prefix, name = (field.split(b"\0")[0] for field in (fields[:155], fields[155:]))
        path = prefix + b"/" + name if prefix else name
        if not path.endswith(b"/"):
            size = int(data[begin + 124 : begin + 136].strip(b"\0 ") or b"0", 8)
            body = slice(begin, end) if with_header else slice(begin + BLOCK, begin + BLOCK + size)
            found[path.decode("ascii", "replace")] = data[body]
    return found


def unzipped(data, most):
    """(name without "./", bytes) of each file of a .tar.gz, of which at most `most` bytes are
    unpacked. Raises ValueError."""
    try:
        with (
            gzip.open(io.BytesIO(data)) as unpacked,
            tarfile.open(fileobj=_Bounded(unpacked, most), mode="r|") as archive,
        ):
            for member in archive:
                if member.isfile():
                    yield member.name.removeprefix("./"), archive.extractfile(member).read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as e:
        raise ValueError(str(e)) from None


class _Bounded:
    """A file that refuses to be longer than `most` bytes."""

    def __init__(self, file, most):
        self._file = file
        self._left = most

    def read(self, size):
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError("it unpacks to more than can be")
        return data


class Reader:
    """Takes the members of a release's file in the order that they have to have. tarfile would
    go on behind much that is no plain archive."""

    def __init__(self, data):
        self._data = data
        self._at = 0
        self._last = None  # name of the member that was taken last

    def _cut(self):
        where = f"after '{self._last}'" if self._last else "at its beginning"
        return Refused(f"cut off or damaged {where}; get the file anew")

    def _head(self):
        """(name, type, size) of the next member, or None where zeros end the archive."""
        head = self._data[self._at : self._at + BLOCK]
        if len(head) < BLOCK:
            raise self._cut()
        if not any(head):
            return None
        why, name, size = untar.header(head)
        if why == untar.FOREIGN:
            raise Refused("not a release: not a plain ustar archive")
        if why is not None:
            raise self._cut()
        return name.decode("ascii", "replace"), head[156:157], size

    def name(self):
        head = self._head()
        return None if head is None else head[0]

    def take(self, name, most):
        """The bytes of the next member, which must have that name."""
        head = self._head()
        if head is None:
            raise Refused(f"not a release: it has no '{name}'")
        found, kind, size = head
        if found != name:
            raise Refused(f"not a release: it has {found[:80]!a} in the place of '{name}'")
        if kind not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise Refused(f"'{name}' is not a regular file")
        if not 0 < size <= most:
            raise Refused(f"'{name}' has {size} bytes, which can't be")
        begin = self._at + BLOCK
        data = self._data[begin : begin + size]
        if len(data) < size:
            raise Refused(f"cut off in '{name}'; get the file anew")
        self._last = name
        self._at = begin + -(-size // BLOCK) * BLOCK
        if any(self._data[begin + size : self._at]):
            raise self._cut()
        return data

    def end(self):
        head = self._head()
        if head is not None:
            raise Refused(f"not a release: it has a member {head[0][:80]!a} too many")
        left = self._data[self._at :]
        if len(left) < 2 * BLOCK or len(left) % BLOCK or any(left):
            raise self._cut()
