"""Payloads of kind slot: a directory as an archive that comes out the same each time."""

import io
import os
import re
import shutil
import stat
import tarfile
import tempfile
from pathlib import Path

from swdist.formats.manifest import MAX_PAYLOAD_BYTES
from swdist.formats.untar import Untar
from swdist_host import files, ustar
from swdist_host.errors import Refused

_MODULES = "usr/lib/micropython/swdist/"  # in swdist's own package
_MODULE = re.compile(r"(\w+/)*\w+\.m?py", re.ASCII)
CODE = "lib/swdist"  # in a slot: docs/decisions/0010-self-update.md
_END = 2 * tarfile.BLOCKSIZE  # two blocks of zeros end an archive


def from_dir(directory):
    """The bytes of a ustar archive: sorted, owners 0, time 0, only files and empty directories."""
    directory = Path(directory)
    out = io.BytesIO()
    try:
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            _add(archive, directory, directory)
            end = archive.offset
    except OSError as e:
        raise Refused(f"{e.filename or directory}: can't be read ({e.strerror})") from None
    if not end:
        raise Refused(f"{directory}: is empty; a payload holds at least one file")
    data = out.getvalue()[:end] + bytes(_END)
    check(data, directory)
    return data


def with_swdist(directory, packages):
    """The same with swdist's own modules, from its .ipk files. directory: None for nothing else."""
    with tempfile.TemporaryDirectory(prefix="swdist-payload-") as folder:
        tree = Path(folder, "tree")
        if directory is not None:
            from_dir(directory)  # says what is wrong with the names that the user knows
            shutil.copytree(directory, tree, symlinks=True)
        code = tree / CODE
        if code.exists():
            raise Refused(f"{directory}/{CODE}: is there already; remove it, or leave out --swdist")
        code.mkdir(parents=True)
        for package in packages:
            for name, data in _modules(package).items():
                (code / name).parent.mkdir(parents=True, exist_ok=True)
                (code / name).write_bytes(data)
        if not any((code / f"__init__.{kind}").exists() for kind in ("mpy", "py")):
            raise Refused(f"{packages[0]}: has no swdist in it; give swdist_VERSION_all.ipk")
        return from_dir(tree)


def _modules(package):
    """{name: bytes} of the modules in an .ipk."""
    try:
        outer = dict(ustar.unzipped(files.read(package, MAX_PAYLOAD_BYTES), MAX_PAYLOAD_BYTES))
        inner = ustar.unzipped(outer.get("data.tar.gz", b""), MAX_PAYLOAD_BYTES)
        found = {n.removeprefix(_MODULES): data for n, data in inner if n.startswith(_MODULES)}
    except ValueError as e:
        raise Refused(f"{package}: is no .ipk ({e})") from None
    for name in found:
        if not _MODULE.fullmatch(name):
            raise Refused(f"{package}: {name!a} is no name of a module")
    return found


def _add(archive, directory, root):
    for entry in sorted(os.scandir(directory), key=lambda e: os.fsencode(e.name)):
        mode = entry.stat(follow_symlinks=False).st_mode
        info = tarfile.TarInfo(os.path.relpath(entry.path, root))
        if stat.S_ISDIR(mode):
            info.type = tarfile.DIRTYPE
            info.mode = 0o755
        elif stat.S_ISREG(mode):
            info.size = entry.stat().st_size
            info.mode = 0o755 if mode & 0o100 else 0o644
        else:
            what = "a link" if stat.S_ISLNK(mode) else "neither file nor directory"
            raise Refused(f"{entry.path}: is {what}, which a slot can't hold; remove it")
        if archive.offset + info.size > MAX_PAYLOAD_BYTES:
            raise Refused(f"{root}: more than {MAX_PAYLOAD_BYTES} bytes, the most that is allowed")
        try:
            info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
        except (ValueError, UnicodeError):
            raise Refused(f"{entry.path}: name is too long or not ASCII; rename it") from None
        if info.isdir():
            if not any(os.scandir(entry.path)):  # any other is made for what is in it
                archive.addfile(info)
            _add(archive, entry.path, root)
        else:
            with open(entry.path, "rb") as f:
                archive.addfile(info, f)


def read(path):
    """The bytes of a payload that is made already."""
    data = files.read(path, MAX_PAYLOAD_BYTES)
    if not data:
        raise Refused(f"{path}: is empty; a payload holds at least one byte")
    return data


def check(data, name):
    """Refuses what a node would refuse to unpack, by the node's own code."""
    untar = Untar(_Nowhere(), "", len(data))
    why = untar.feed(memoryview(data)) or untar.end()
    if why is not None:
        hint = "give the directory, or a tar of --format=ustar"
        raise Refused(f"{name}: no node would unpack it ({why}); {hint}")


class _Nowhere:
    """Files that are forgotten: what Untar needs of a file system."""

    def __init__(self):
        self._sizes = {}
        self._dirs = set()

    def size(self, path):
        return 0 if path in self._sizes or path in self._dirs else None

    def is_dir(self, path):
        return path in self._dirs

    def mkdirs(self, path):
        parts = path.split("/")
        for n in range(1, len(parts) + 1):
            at = "/".join(parts[:n])
            if at in self._sizes:
                raise OSError(f"{at} is a file")
            self._dirs.add(at)

    def open(self, path, mode):
        self._sizes[path] = 0
        return _Sink()

    def sync(self, f):
        pass

    def chmod(self, path, mode):
        pass


class _Sink:
    def write(self, data):
        return len(data)

    def close(self):
        pass
