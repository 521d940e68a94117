"""Files written whole or not at all."""

import os
import tempfile
from pathlib import Path

from swdist_host.errors import Refused

_PART_BYTES = 1 << 20


def exists(path):
    return Refused(f"{path}: exists already; choose another name, or move it away")


def read(path, limit=1 << 30):
    """The file's bytes. Refused if it can't be read or is longer than limit."""
    try:
        with open(path, "rb") as f:
            data = bytearray()  # by parts: read() first makes room for all that it is allowed
            while len(data) <= limit and (part := f.read(_PART_BYTES)):
                data += part
    except OSError as e:
        raise Refused(f"{path}: {e.strerror}; check the name") from None
    if len(data) > limit:
        raise Refused(f"{path}: longer than {limit} bytes; is it the right file?")
    return bytes(data)


def head(path, size):
    """The file's first bytes, at most `size` of them. Refused if it can't be read."""
    try:
        with open(path, "rb") as f:
            return f.read(size)
    except OSError as e:
        raise Refused(f"{path}: {e.strerror}; check the name") from None


def write(path, data, *, mode=0o644, overwrite=False):
    """A temporary file that has its final mode from the start, then a rename or a link."""
    path = Path(path)
    try:
        fd, name = tempfile.mkstemp(dir=path.parent, prefix="." + path.name)
    except OSError as e:
        raise Refused(f"{path}: {e.strerror}; choose a directory that can be written") from None
    try:
        with os.fdopen(fd, "wb") as f:
            os.fchmod(f.fileno(), mode)
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        if overwrite:
            os.replace(name, path)
        else:
            os.link(name, path)  # fails where a file is, also one that has just come
    except FileExistsError:
        raise exists(path) from None
    except OSError as e:
        raise Refused(f"{path}: {e.strerror}") from None
    finally:
        Path(name).unlink(missing_ok=True)
