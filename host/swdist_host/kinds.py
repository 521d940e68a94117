"""Payloads that change the system: packages, and whole images. What nodes would refuse is refused
here, where somebody can still do something about it; docs/decisions/0012-ipk-and-image.md."""

import io
import re
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path

from swdist_host import adb, files, payload, ustar
from swdist_host.errors import BadValue, Refused

PACKAGES = ("ipk", "apk")  # kinds that are archives of files with that suffix
KNOWN = ("slot", *PACKAGES, "image")
WINDOW = "1h"
_CONTROL_BYTES = 1 << 22  # of what a package says of itself, with its scripts
_TRX_HEAD = 28
_LINKSYS_HEAD = 32
_OUR_OWN = re.compile(r"swdist|micropython")
# In the order of files/usr/lib/swdist/flash: the board's name, and how its images begin.
_PATTERNS = (
    (re.compile(r"wrt54gs"), b"W54S"),
    (re.compile(r"wrt54g($|[-,_])|wrt54gl"), b"W54G"),
)


def from_packages(kind, paths):
    """The bytes of an archive of packages of one kind."""
    with tempfile.TemporaryDirectory(prefix="swdist-payload-") as folder:
        seen = {}
        for path in map(Path, paths):
            name = _NAMED[kind](path.name, files.read(path, payload.MAX_PAYLOAD_BYTES))[0]
            if name in seen:
                raise BadValue(f"{path}: is {name}, as {seen[name]} is; give it once")
            seen[name] = path
            shutil.copy(path, Path(folder, f"{name}.{kind}"))
        return payload.from_dir(folder)


def packages(kind, data):
    """[(name, version, architecture)] of those at the top of a payload. There must be one."""
    found = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                name = member.name
                if member.isfile() and "/" not in name and name.endswith(f".{kind}"):
                    found.append(_NAMED[kind](name, archive.extractfile(member).read()))
    except (tarfile.TarError, OSError, EOFError, ValueError) as e:
        raise Refused(f"it is no archive that nodes unpack ({e})") from None
    if not found:
        raise Refused(f"there is no .{kind} file at its top; give packages by --package")
    return found


def _ipk(where, data):
    """What a package of opkg says of itself."""
    try:
        inner = _member(data, "control.tar.gz", payload.MAX_PAYLOAD_BYTES)
        text = _member(inner, "control", _CONTROL_BYTES).decode("utf-8", "replace")
    except ValueError as e:
        raise Refused(f"{where}: is no .ipk ({e})") from None
    fields = dict(re.findall(r"(?m)^([A-Za-z-]+): (.*)$", text))
    return _checked(where, fields.get("Package"), fields.get("Version"), fields.get("Architecture"))


def _apk(where, data):
    """The same of one of apk, of its form 3 or 2."""
    if data[:3] == b"ADB":
        try:
            return _checked(where, *adb.about(data))
        except ValueError as e:
            raise Refused(f"{where}: is no .apk ({e})") from None
    try:
        text = _member(data, ".PKGINFO", _CONTROL_BYTES).decode("utf-8", "replace")
    except ValueError as e:
        raise Refused(f"{where}: is no .apk ({e})") from None
    fields = dict(re.findall(r"(?m)^([a-z]+) = (.*)$", text))
    return _checked(where, fields.get("pkgname"), fields.get("pkgver"), fields.get("arch"))


def _member(data, name, most):
    """The bytes of a file in a .tar.gz. Raises ValueError."""
    for found, inner in ustar.unzipped(data, most):
        if found == name:
            return inner
    raise ValueError(f"there is no {name} in it")


_NAMED = {"ipk": _ipk, "apk": _apk}


def _checked(where, name, version, architecture):
    if not re.fullmatch(r"[a-zA-Z0-9+._-]+", name or "") or not version:
        raise Refused(f"{where}: has no name and version as a package has")
    if _OUR_OWN.match(name):
        raise Refused(
            f"{where}: {name} is what swdist itself runs on, and no node installs it; "
            "swdist's own code travels in a slot: --swdist"
        )
    return name, version, architecture or "?"


def image(data):
    """(pattern or b"", bytes of its TRX) of an image of Broadcom's kind, Refused if it is broken.
    None for another one, which each node's own sysupgrade has to know."""
    at = 0 if data[:4] == b"HDR0" else _LINKSYS_HEAD
    if at and data[14:18] != b"U2ND":
        return None
    if data[at : at + 4] != b"HDR0":
        raise Refused("it has a Linksys header, but no TRX behind it; build it anew")
    length = int.from_bytes(data[at + 4 : at + 8], "little")
    if not _TRX_HEAD < length <= len(data) - at:
        raise Refused(f"its TRX should have {length} bytes, and has {len(data) - at}; get it anew")
    crc = zlib.crc32(data[at + 12 : at + length]) ^ 0xFFFFFFFF
    if crc.to_bytes(4, "little") != data[at + 8 : at + 12]:
        raise Refused("the CRC of its TRX is wrong; get it anew")
    return data[:4] if at else b"", length


def check_image(data, boards, experimental):
    """Refuses what no node of these boards would flash."""
    if experimental:
        raise BadValue(
            "an image can't be experimental: a node can't keep two of them, and could not come "
            "back when it ends; try it as a slot, or on a bench"
        )
    if not boards:
        raise BadValue("an image is for a board; say which, like --image FILE@linksys,wrt54gs")
    found = image(data)
    for board in boards:
        if "wrt54" not in board:
            continue
        pattern = next((p for name, p in _PATTERNS if name.search(board)), None)
        if pattern is None:
            raise Refused(f"how to know an image for {board} is not known; nodes would refuse it")
        if found is None:
            raise Refused(f"it is no image for {board}: it has neither Linksys header nor TRX")
        if found[0] not in (b"", pattern):
            raise Refused(
                f"it is no image for {board}: it begins with {found[0]!a}, not {pattern!a}"
            )


def about(kind, data):
    """What is in a payload, for people."""
    if kind in PACKAGES:
        return [f"{name} {version} ({arch})" for name, version, arch in packages(kind, data)]
    if kind == "image":
        found = image(data)
        if found is None:
            return ["an image without TRX, which each node's own sysupgrade checks"]
        where = "without a Linksys header"
        if found[0]:
            where = f"behind a Linksys header ({found[0].decode('ascii', 'replace')})"
        return [f"a TRX of {found[1]:,} bytes {where}; its CRC holds"]
    return []
