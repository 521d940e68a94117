"""What the host writes, and reads of others, in the formats of signify and usign; what a node reads
is in the device's `usign`."""

from binascii import b2a_base64

from swdist.formats import usign


def block(tag, key_id, signature):
    """One block of a release's `signatures`."""
    return usign.CANONICAL + b2a_base64(tag + key_id + signature)


def read(data):
    """The block of a signature file as signify takes it, or None."""
    line = usign.second_line(data)
    found = usign.CANONICAL + (line or b"") + b"\n"
    return None if usign.parse_signatures(found) is None else found


def fingerprint(key_id):
    """The key id as both print it, a big-endian number, in all its 16 hex digits. (`usign -F`
    leaves out leading zeros.)"""
    return key_id.hex()
