"""What the commands on the router show to people."""

import time

from swdist.formats.bits import from_hex


def utc(s):
    return "%04d-%02d-%02dT%02d:%02d:%02dZ" % tuple(time.gmtime(s))[:6]


def ms(us):
    """For people: microseconds as milliseconds."""
    return "?" if us is None else "%s%d.%03d ms" % ("-" * (us < 0), abs(us) // 1000, abs(us) % 1000)


def peer_text(peer):
    """Address and interface index of a peer's 40 hex digits, as people write them."""
    raw = from_hex(peer, 20)
    index = int.from_bytes(raw[16:], "big")
    if raw[:12] == bytes(10) + b"\xff\xff":
        return "%d.%d.%d.%d%%%d" % (tuple(raw[12:16]) + (index,))
    groups = ["%x" % (raw[i] << 8 | raw[i + 1]) for i in range(0, 16, 2)]
    if groups[1:4] == ["0"] * 3:  # link-local ones have these
        return "%s::%s%%%d" % (groups[0], ":".join(groups[4:]), index)
    return "%s%%%d" % (":".join(groups), index)
