"""Unpacking a slot's archive safely: ustar (POSIX.1-1988), fed piece by piece.

Only directories and regular files with plain relative names; anything else refuses the whole
archive. Nothing is ever written outside the root, and no set-id bit is ever set.
"""

MAX_ENTRIES = 4096
MAX_NAME_BYTES = 255
MAX_PARTS = 32  # how deep: whoever removes a tree goes down it by recursion
FOREIGN = "it is not ustar"
_BLOCK = 512


class Untar:
    """feed() takes the archive's bytes in order, end() says that it was all of it. Both give None,
    or why the archive is refused: then, or after an OSError (the disk's fault, not the archive's),
    close() is all that may follow. The root directory must be there, and empty."""

    def __init__(self, fs, root, max_bytes):
        self._fs = fs
        self._root = root
        self._left_bytes = max_bytes  # that files may still have in all
        self._head = bytearray(_BLOCK)
        self._have = 0  # bytes of the header so far
        self._left = 0  # bytes of the current file still to come
        self._pad = 0  # bytes to skip behind it
        self._zeros = 0  # blocks of zeros seen: two end the archive
        self._entries = 0
        self._file = None

    def feed(self, view):
        at = 0
        while at < len(view):
            if self._left:
                n = min(self._left, len(view) - at)
                self._file.write(view[at : at + n])
                self._left -= n
                if not self._left:
                    self._finish_file()
            elif self._pad:
                n = min(self._pad, len(view) - at)
                self._pad -= n
            else:
                n = min(_BLOCK - self._have, len(view) - at)
                self._head[self._have : self._have + n] = view[at : at + n]
                self._have += n
                if self._have == _BLOCK:
                    self._have = 0
                    why = self._entry()
                    if why is not None:
                        return "archive: " + why
            at += n
        return None

    def end(self):
        self.close()
        if self._left or self._pad or self._have or self._zeros < 2:
            return "archive: it ends early"
        return None

    def close(self):
        if self._file is not None:
            self._file.close()
            self._file = None

    def _finish_file(self):
        self._fs.sync(self._file)
        self.close()
        if self._mode & 0o100:
            self._fs.chmod(self._path, 0o755)

    def _entry(self):
        """Takes a header. Returns what is wrong, or None."""
        head = self._head
        total = sum(head)
        if total == 0:
            self._zeros += 1
            return None
        if self._zeros:
            return "its end is not the end"
        why, name, size = header(head)
        if why is not None:
            return why
        self._entries += 1
        if self._entries > MAX_ENTRIES:
            return "too many entries"
        self._mode = _octal(head[100:108])
        if self._mode is None:
            return "a number is not octal"
        kind = head[156]
        if size is None or self._mode is None:
            return "a number is not octal"
        if kind == 0x35:  # "5", a directory
            if name.endswith(b"/"):
                name = name[:-1]
            if size:
                return "a directory has a size"
        elif kind not in (0, 0x30):  # "0", a regular file
            return "an entry of type %d" % kind
        if self._mode & 0o7000:
            return "a set-id or sticky bit"
        why = _name_fault(name)
        if why is not None:
            return why
        path = self._root + "/" + str(name, "ascii")
        at = len(self._root)
        while at >= 0:
            at = path.find("/", at + 1)
            above = path[:at] if at >= 0 else path
            if self._fs.size(above) is not None and not self._fs.is_dir(above):
                return "a name taken"
        if kind == 0x35:
            self._fs.mkdirs(path)
            return None
        if self._fs.is_dir(path):
            return "a name taken"
        self._left_bytes -= size
        if self._left_bytes < 0:
            return "larger than itself"
        self._fs.mkdirs(path.rpartition("/")[0])
        self._path = path
        self._file = self._fs.open(path, "wb")
        self._left = size
        self._pad = -size % _BLOCK
        if not size:
            self._finish_file()
        return None


def header(head):
    """(None, name, size) of a member, or what is wrong with its header, first."""
    if bytes(head[257:265]) != b"ustar\x0000":
        return FOREIGN, b"", 0
    if _octal(head[148:156]) != sum(head) - sum(head[148:156]) + 8 * 0x20:
        return "a wrong checksum", b"", 0
    name, prefix = [bytes(field).split(b"\0")[0] for field in (head[:100], head[345:500])]
    size = _octal(head[124:136])
    why = "a number is not octal" if size is None else None
    return why, prefix + b"/" + name if prefix else name, size


def _octal(field):
    """A number, or None."""
    value = 0
    for c in bytes(field).rstrip(b"\0 "):
        if not 0x30 <= c <= 0x37:
            return None
        value = value * 8 + c - 0x30
    return value


def _name_fault(name):
    """What is wrong with a name, or None."""
    if not 0 < len(name) <= MAX_NAME_BYTES:
        return "a name of %d bytes" % len(name)
    for c in name:
        if not 0x20 <= c < 0x7F or c == 0x5C:
            return "a name with byte 0x%02x" % c
    parts = name.split(b"/")
    if len(parts) > MAX_PARTS:
        return "a name of %d parts" % len(parts)
    for part in parts:
        if part in (b"", b".", b".."):
            return "a name with an empty, . or .. part"
    return None
