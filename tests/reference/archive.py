"""Sections 2.4 and 2.7: ustar archives, and the release file made of one."""

import re
from dataclasses import dataclass

from . import manifest
from .payload import Payload
from .trust import Malformed, parse_signatures

BLOCK = 512
_OCTAL = re.compile(rb"([0-7]*)[\0 ]*")


def octal(field):
    match = _OCTAL.fullmatch(field)
    if not match:
        raise Malformed("octal")
    return int(match[1] or b"0", 8)


@dataclass
class Member:
    name: bytes
    header: bytes
    data: bytes
    filling: bytes

    @property
    def is_folder(self):
        return self.header[156:157] == b"5"

    @property
    def is_file(self):
        return self.header[156:157] in b"0\0"


def members(data):
    """The members of an archive, rules 1 and 2 of section 2.7; the rest is up to the caller."""
    if len(data) % BLOCK:
        raise Malformed("half a block")
    at, found = 0, []
    while at < len(data) and any(data[at : at + BLOCK]):
        header = data[at : at + BLOCK]
        if header[257:265] != b"ustar\00000":
            raise Malformed("magic")
        if octal(header[148:156]) != sum(header[:148] + b" " * 8 + header[156:]):
            raise Malformed("checksum")
        size = octal(header[124:136])
        name, prefix = header[:100].split(b"\0")[0], header[345:500].split(b"\0")[0]
        end = at + BLOCK + size
        at += BLOCK + -(-size // BLOCK) * BLOCK
        if at > len(data):
            raise Malformed("cut")
        name = prefix + b"/" + name if prefix else name
        found.append(Member(name, header, data[end - size : end], data[end:at]))
    if len(data) - at < 2 * BLOCK or any(data[at:]):
        raise Malformed("end")
    return found


def unpack(data, size):
    """{path: bytes, or None for a folder} and the paths that are executable."""
    files, executable, total = {}, set(), 0
    found = members(data)
    if len(found) > 4096:
        raise Malformed("headers")
    for member in found:
        if not (member.is_file or member.is_folder) or octal(member.header[100:108]) & 0o7000:
            raise Malformed("type or mode")
        total += len(member.data)
        if total > size or (member.is_folder and member.data):
            raise Malformed("bytes")
        path = _path(member)
        parents = path.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            if files.setdefault("/".join(parents[:depth])) is not None:
                raise Malformed("below a file")
        if path in files and not (member.is_folder and files[path] is None):
            raise Malformed("name twice")
        files[path] = None if member.is_folder else member.data
        if member.is_file and octal(member.header[100:108]) & 0o100:
            executable.add(path)
    return files, executable


def _path(member):
    name = member.name
    if not re.fullmatch(rb"[ -\[\]-~]{1,255}", name):
        raise Malformed("name")
    if member.is_folder and name.endswith(b"/"):
        name = name[:-1]
    parts = name.split(b"/")
    if len(parts) > 32 or any(part in (b"", b".", b"..") for part in parts):
        raise Malformed("parts")
    return name.decode()


def read_release(data):
    """(Manifest, signatures, payloads by id) of a release file `NAME.swd` (section 2.4)."""
    found = members(data)
    if any(not member.is_file or any(member.filling) for member in found):
        raise Malformed("member")
    rest = [(member.name, member.data) for member in found]

    def take(name):
        if not rest or rest[0][0] != name:
            raise Malformed("order")
        return rest.pop(0)[1]

    m = manifest.parse(take(b"manifest"))
    signatures = b""
    if rest and rest[0][0] == b"signatures":
        signatures = take(b"signatures")
        parse_signatures(signatures)
    payloads = {}
    for line in m.lines:
        if line.pid in payloads:
            continue
        folder = line.pid.hex().encode()
        payload = Payload(take(folder + b"/index"))
        pieces = take(folder + b"/pieces")
        while not payload.is_complete:
            sent = payload.next_entry().sent
            if not payload.add(pieces[:sent]):
                raise Malformed("piece")
            pieces = pieces[sent:]
        if pieces or payload.pid != line.pid or not payload.is_sound(line):
            raise Malformed("payload")
        payloads[line.pid] = payload
    if rest:
        raise Malformed("member")
    return m, signatures, payloads
