"""What a package of apk 3's own form says of itself: apk-tools, doc/apk-v3.5.scd and src/adb.h.

A header, then a block of values, little-endian: a value is 32 bits, its type in the topmost four
and in the rest the place in the block of what it stands for. An object is the number of its
values, itself included, and the values."""

import struct
import zlib

_MAX_BYTES = 1 << 20  # of the block that tells of the package; the files are in others
_BLOB_8, _OBJECT = 8, 14
_PKGINFO = 1  # in the root
_NAME, _VERSION, _ARCH = 1, 2, 5  # in that


def about(data):
    """(name, version, architecture), None for what is left out. Raises ValueError."""
    try:
        block = _block(_unpacked(data))
        root = _object(block, struct.unpack_from("<I", block, 4)[0])
        info = _object(block, root[_PKGINFO])
        return tuple(_text(block, info, n) for n in (_NAME, _VERSION, _ARCH))
    except (struct.error, IndexError, UnicodeError, zlib.error) as e:
        raise ValueError(str(e)) from None


def _unpacked(data):
    if data[:4] == b"ADB.":
        return data
    if data[:4] == b"ADBd":
        return zlib.decompressobj(-15).decompress(data[4:], _MAX_BYTES)
    if data[:5] == b"ADBc\1":  # deflate, and its level
        return zlib.decompressobj(-15).decompress(data[6:], _MAX_BYTES)
    raise ValueError("compressed in another way than by deflate")


def _block(data):
    magic, schema, head = struct.unpack_from("<4s4sI", data)
    size = head & 0x3FFFFFFF  # with its head; the type is 0
    if magic != b"ADB." or schema != b"pckg" or head >> 30 or not 12 <= size <= len(data) - 8:
        raise ValueError("no package")
    return data[12 : 8 + size]


def _object(block, value):
    place = value & 0x0FFFFFFF
    count = struct.unpack_from("<I", block, place)[0]
    if value >> 28 != _OBJECT or not 0 < count < 256:
        raise ValueError("malformed")
    return struct.unpack_from(f"<{count}I", block, place)


def _text(block, values, n):
    value = values[n] if n < len(values) else 0
    if value >> 28 != _BLOB_8:
        return None
    place = value & 0x0FFFFFFF
    return block[place + 1 : place + 1 + block[place]].decode("ascii")
