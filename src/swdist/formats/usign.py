"""Keys and signatures in the formats of OpenWrt's usign and OpenBSD's signify
(docs/protocol.md, section 2.2)."""

from binascii import a2b_base64, b2a_base64

COMMENT = b"untrusted comment: "
CANONICAL = b"untrusted comment: swdist release signature\n"
MAX_BLOCKS = 16
MAX_BYTES = 32768
MAX_LINE_BYTES = 24576


def _decode(line):
    """Bytes of canonical base64 without the line's end, or None."""
    if not 0 < len(line) <= MAX_LINE_BYTES:
        return None
    try:
        data = a2b_base64(line)
    except ValueError:
        return None
    return data if b2a_base64(data)[:-1] == line else None


def _body(data):
    """(tag, key id, the rest) of a decoded line, or None."""
    if data is None or len(data) < 11:
        return None
    return data[:2], data[2:10], data[10:]


def second_line(data):
    """The base64 line of a key or signature file (text or bytes), or None. As signify, with any
    comment, with lines that end in CR LF, and with blank ones behind."""
    lines = (data.encode() if isinstance(data, str) else bytes(data)).split(b"\n")
    if len(lines) < 3 or b"".join(lines[2:]).strip() or not lines[0].startswith(COMMENT):
        return None
    return lines[1].rstrip(b"\r")


def parse_public_key(data):
    """(tag, key id of 8 bytes, key) of a public key file, or None."""
    line = second_line(data)
    return None if line is None else public_key(line)


def public_key(line):
    """The same of its second line alone."""
    found = _body(_decode(line))
    if found is None or (found[0] == b"Ed" and len(found[2]) != 32):
        return None
    return found


def parse_signatures(data):
    """[(tag, key id, signature)] of a release's `signatures`, or None if any byte is not of the
    canonical form. Unknown tags are given back; `Ed` ones have 64 bytes."""
    data = bytes(data)
    if not 0 < len(data) <= MAX_BYTES:
        return None
    blocks = []
    at = 0
    while at < len(data):
        end = data.find(b"\n", at + len(CANONICAL))
        if data[at : at + len(CANONICAL)] != CANONICAL or end < 0 or len(blocks) == MAX_BLOCKS:
            return None
        block = _body(_decode(data[at + len(CANONICAL) : end]))
        if block is None or (block[0] == b"Ed" and len(block[2]) != 64):
            return None
        blocks.append(block)
        at = end + 1
    return blocks


def block(tag, key_id, signature):
    """One block of `signatures`, in the one form that there is."""
    return CANONICAL + b2a_base64(tag + key_id + signature)
