"""Sections 2.4 and 2.7: ustar archives, and the release file made of one."""

import re
from dataclasses import dataclass

from . import manifest
from .payload import Payload
from .trust import must, parse_signatures

BLOCK = 512
_OCTAL = re.compile(rb"([0-7]*)[\0 ]*")


def octal(field):
    match = _OCTAL.fullmatch(field)
    must(match, "octal")
    return int(match[1] or b"0", 8)


@dataclass
class Member:
    name: bytes
    type: bytes
    mode: bytes
    data: bytes
    filling: bytes


def members(data):
    """The members of an archive, rules 1 and 2 of section 2.7; the rest is up to the caller."""
    must(len(data) % BLOCK == 0, "half a block")
    at, found = 0, []
    while any(data[at : at + BLOCK]):
        header = data[at : at + BLOCK]
        must(header[257:265] == b"ustar\00000", "magic")
        checksum = sum(header[:148] + b" " * 8 + header[156:])
        must(octal(header[148:156]) == checksum, "checksum")
        name, prefix = header[:100].split(b"\0")[0], header[345:500].split(b"\0")[0]
        name = prefix + b"/" + name if prefix else name
        begin, end = at + BLOCK, at + BLOCK + octal(header[124:136])
        at = -(-end // BLOCK) * BLOCK
        must(at <= len(data), "cut")
        kind, mode = header[156:157], header[100:108]
        found.append(Member(name, kind, mode, data[begin:end], data[end:at]))
    must(len(data) - at >= 2 * BLOCK and not any(data[at:]), "end")
    return found


def unpack(data, size):
    """{path: bytes, or None for a folder} and the paths that are executable."""
    files, executable = {}, set()
    found = members(data)
    must(len(found) <= 4096 and sum(len(m.data) for m in found) <= size, "too much")
    for member in found:
        is_folder = member.type == b"5"
        must(member.type in (b"0", b"\0") or (is_folder and not member.data), "type")
        must(not octal(member.mode) & 0o7000, "mode")
        parts = _parts(member.name.removesuffix(b"/") if is_folder else member.name)
        for depth in range(1, len(parts)):
            must(files.setdefault("/".join(parts[:depth])) is None, "below a file")
        path = "/".join(parts)
        must(path not in files or (is_folder and files[path] is None), "name twice")
        files[path] = None if is_folder else member.data
        if not is_folder and octal(member.mode) & 0o100:
            executable.add(path)
    return files, executable


def _parts(name):
    must(re.fullmatch(rb"[ -\[\]-~]{1,255}", name), "name")
    parts = name.decode().split("/")
    must(len(parts) <= 32 and not {"", ".", ".."} & set(parts), "parts")
    return parts


def read_release(data):
    """(Manifest, signatures, payloads by id) of a release file `NAME.swd` (section 2.4)."""
    rest = members(data)
    for member in rest:
        must(member.type in (b"0", b"\0") and not any(member.filling), "member")

    def take(name):
        must(rest and rest[0].name == name, "order")
        return rest.pop(0).data

    m = manifest.Manifest(take(b"manifest"))
    signatures = b""
    if rest and rest[0].name == b"signatures":
        signatures = take(b"signatures")
        parse_signatures(signatures)
    payloads = {}
    for line in m.lines:
        if line.pid in payloads:
            continue
        folder = line.pid.hex().encode()
        payload = payloads[line.pid] = Payload(take(folder + b"/index"))
        pieces = take(folder + b"/pieces")
        while not payload.is_complete:
            sent = payload.next_entry().sent
            must(payload.add(pieces[:sent]), "piece")
            pieces = pieces[sent:]
        must(not pieces and payload.pid == line.pid and payload.is_sound(line), "payload")
    must(not rest, "member")
    return m, signatures, payloads
