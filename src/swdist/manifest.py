"""The manifest of a release: parsing (docs/protocol.md, section 2.1)."""

from swdist.bits import from_hex, number, time_s, version
from swdist.ucryptolib import sha256
from swdist.usign import public_key

MAX_BYTES = 4096
MAX_LINES = 64
MAX_CHUNKS = 2048
MAX_KEYS = 16
MAX_KEY_SETS = 32
MAX_PAYLOAD_BYTES = 134217728
FORMAT = b"Format: swdist-release 1\n"
INSTALLABLE = ("slot", "ipk", "image", "keys", "none")
SLOTS = ("slot", "ipk")  # what is unpacked
MAX_WINDOW_S = 604800

_KEY_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-"
_WORD_CHARS = "abcdefghijklmnopqrstuvwxyz0123456789-"
_BOARD_CHARS = "abcdefghijklmnopqrstuvwxyz0123456789,._-"
_REQUIRED = ("Network", "Version", "Revision", "Channel", "Signed-At", "Start", "Boards", "Payload")
_SIZED = ("Payload-Size", "Chunk-Size", "Index-SHA256")
_KNOWN = _REQUIRED + _SIZED + ("Format", "End", "Window", "Withdrawn", "Description", "Padding")


class Manifest:
    """A well-formed manifest. Times are seconds since 1970; end_s is 0 where there is none;
    boards is None for any. critical: it is not to be installed, for it has an unknown critical key
    or payload word, or is an image that is experimental or for any board. With payload `keys`: keys
    {key id: public key}, of which `threshold` must sign, and keep, a list of ids."""


def parse(data):
    """(Manifest, None), or (None, why it is refused)."""
    if not 0 < len(data) <= MAX_BYTES:
        return None, "manifest: length %d, not 1..%d" % (len(data), MAX_BYTES)
    data = bytes(data)
    if not data.startswith(FORMAT):
        return None, "manifest: first line is not 'Format: swdist-release 1'"
    if data[-1] != 10:
        return None, "manifest: last line has no end"
    for c in data:
        if c != 10 and not 0x20 <= c <= 0x7E:
            return None, "manifest: byte 0x%02x" % c
    lines = str(data, "ascii")[:-1].split("\n")
    if len(lines) > MAX_LINES:
        return None, "manifest: more than %d lines" % MAX_LINES
    fields = {}
    critical = False
    for i in range(len(lines)):
        key, colon, value = lines[i].partition(": ")
        name = key[1:] if key[:1] == "!" else key
        if not colon or not _word(name, 32, _KEY_CHARS):
            return None, "manifest: line %d is not 'Key: value'" % (i + 1)
        if not 0 < len(value) <= 512 or value[0] == " " or value[-1] == " ":
            return None, "manifest: value of %s is empty, too long or padded" % name
        if name in fields:
            return None, "manifest: %s occurs twice" % name
        if key[0] == "!":
            if name in _KNOWN or name.startswith("CA-"):
                return None, "manifest: %s is never critical" % name
            critical = True
        fields[name] = value
    for name in _REQUIRED:
        if name not in fields:
            return None, "manifest: %s is missing" % name
    m = Manifest()
    m.critical = critical
    m.rid = sha256(data)
    why = _head(m, fields) or _payload(m, fields)
    return (None, "manifest: " + why) if why else (m, None)


def _word(text, longest, chars):
    if not 0 < len(text) <= longest:
        return False
    for c in text:
        if c not in chars:
            return False
    return True


def _head(m, fields):
    """Reads what is not about the payload. Returns what is wrong, or None."""
    m.network = from_hex(fields["Network"], 8)
    if m.network is None:
        return "Network is not 16 hex digits"
    m.version = version(fields["Version"])
    if m.version is None:
        return "Version is not three numbers 0..65535"
    m.revision = number(fields["Revision"], 0, 65535)
    if m.revision is None:
        return "Revision is not a number 0..65535"
    if fields["Channel"] not in ("stable", "experimental"):
        return "Channel is neither stable nor experimental"
    m.experimental = fields["Channel"] == "experimental"
    m.signed_at_s = time_s(fields["Signed-At"])
    m.start_s = time_s(fields["Start"])
    m.end_s = time_s(fields["End"]) if "End" in fields else 0
    if m.signed_at_s is None or m.start_s is None or m.end_s is None:
        return "Signed-At, Start or End is not a time like 2030-01-31T12:00:00Z"
    if m.experimental != ("End" in fields):
        return "End is required with experimental, and only there"
    if m.experimental and m.end_s <= m.start_s:
        return "End is not later than Start"
    m.boards = None
    if fields["Boards"] != "any":
        m.boards = tuple(fields["Boards"].split(" "))
        if len(m.boards) > 16:
            return "more than 16 Boards"
        for board in m.boards:
            if not _word(board, 64, _BOARD_CHARS):
                return "Boards is not a list of names"
    m.description = fields.get("Description", "")
    return None


def _payload(m, fields):
    """Reads what is about the payload. Returns what is wrong, or None."""
    m.payload = fields["Payload"]
    if not _word(m.payload, 16, _WORD_CHARS):
        return "Payload is not a word"
    image = m.payload == "image"
    if m.payload not in INSTALLABLE or (image and (m.experimental or not m.boards)):
        m.critical = True
    m.window_s = number(fields.get("Window", "0"), 0, MAX_WINDOW_S)
    if m.window_s is None or ("Window" in fields) != image:
        return "Window is not a number 0..%d, or not with an image alone" % MAX_WINDOW_S
    m.withdrawn = "Withdrawn" in fields
    if m.withdrawn and fields["Withdrawn"] != "yes":
        return "Withdrawn is not yes"
    if m.withdrawn != (m.payload == "none"):
        return "Payload none and Withdrawn go together"
    m.payload_size = m.chunk_size = m.chunks = 0
    m.index_sha256 = None
    sized = m.payload not in ("keys", "none")
    for name in _SIZED:
        if (name in fields) != sized:
            return name + (" is missing" if sized else " without a payload")
    if (m.version[:2] == (0, 0)) != (m.payload == "keys"):
        return "Version 0.0.N and Payload keys go together"
    if m.payload == "keys":
        return _keys(m, fields)
    if not sized:
        return None
    m.chunk_size = number(fields["Chunk-Size"], 4096, 65536)
    if m.chunk_size not in (4096, 8192, 16384, 32768, 65536):
        return "Chunk-Size is not 4096, 8192, 16384, 32768 or 65536"
    m.payload_size = number(fields["Payload-Size"], 1, MAX_PAYLOAD_BYTES)
    if m.payload_size is None:
        return "Payload-Size is not a number 1..%d" % MAX_PAYLOAD_BYTES
    m.chunks = (m.payload_size + m.chunk_size - 1) // m.chunk_size
    if m.chunks > MAX_CHUNKS:
        return "more than %d chunks" % MAX_CHUNKS
    m.index_sha256 = from_hex(fields["Index-SHA256"], 32)
    if m.index_sha256 is None:
        return "Index-SHA256 is not 64 hex digits"
    return None


def _keys(m, fields):
    """Reads a CA key set. Returns what is wrong, or None."""
    if m.experimental or m.revision or m.boards or not 0 < m.version[2] <= MAX_KEY_SETS:
        return "Channel, Revision, Boards or Version is no key set's"
    m.keys = {}
    m.keep = []
    n = 0
    while n < MAX_KEYS and "CA-Key-%d" % (n + 1) in fields:
        n += 1
        found = public_key(fields["CA-Key-%d" % n].encode())
        if found is None or found[1] in m.keys or found[2] in m.keys.values():
            return "CA-Key-%d is malformed, or is there twice" % n
        if found[0] == b"Ed":
            m.keys[found[1]] = found[2]
    m.threshold = number(fields.get("CA-Threshold", ""), 1, n)
    if m.threshold is None:
        return "CA-Threshold is not a number 1..%d" % n
    n = 1
    while "CA-Keep-%d" % n in fields:
        for text in fields["CA-Keep-%d" % n].split(" "):
            rid = from_hex(text, 32)
            if rid is None:
                return "CA-Keep-%d is not a list of ids" % n
            m.keep.append(rid)
        n += 1
    return None
