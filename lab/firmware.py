"""Images as a WRT54GS takes them: TRX, behind a Linksys header."""

import zlib

LINKSYS_BYTES, TRX_BYTES = 32, 28


def trx(body, magic=b"HDR0", crc=None, length=None):
    """As firmware-utils make it: the CRC is over all behind it, and not inverted."""
    body += bytes(-len(body) % 4)
    length = TRX_BYTES + len(body) if length is None else length
    behind = bytes([0, 0, 1, 0]) + TRX_BYTES.to_bytes(4, "little") + bytes(8) + body
    crc = zlib.crc32(behind) ^ 0xFFFFFFFF if crc is None else crc
    return magic + length.to_bytes(4, "little") + crc.to_bytes(4, "little") + behind


def linksys(image, pattern=b"W54S", magic=b"U2ND"):
    return pattern + bytes(10) + magic + bytes(14) + image
