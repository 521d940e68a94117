"""The manifest of a release: parsing (docs/protocol.md, section 2.1)."""

from swdist.crypto.ed25519 import sound
from swdist.crypto.ucryptolib import sha256
from swdist.formats.bits import from_hex, made_of, number, time_s, version
from swdist.formats.usign import public_key

MAX_BYTES = 4096
MAX_LINES = 64
MAX_PAYLOADS = 16
MAX_BOARDS = 16  # of one payload
MAX_GROUPS = 16
MAX_KEYS = 16
MAX_KEY_SETS = 32
MAX_PAYLOAD_BYTES = 134217728
MAX_WINDOW_S = 604800
MAX_HORIZON_S = 43200
FORMAT = b"Format: swdist-release 1\n"
UNPACKED = ("slot", "ipk", "apk")  # kinds of payloads that are archives, and become slots

_WORD_CHARS = "abcdefghijklmnopqrstuvwxyz0123456789-"
_KEY_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + _WORD_CHARS
_GROUP_CHARS = _WORD_CHARS + "_"
_BOARD_CHARS = _GROUP_CHARS + ",."
_REQUIRED = ("Network", "Version", "Revision", "Channel", "Signed-At", "Start")
_KNOWN = _REQUIRED + ("Format", "End", "Window", "Groups", "Share", "Withdrawn", "CA-Threshold")
_KNOWN += ("Description", "Padding", "Clock-Horizon")
_NUMBERED = ("Payload-", "CA-Key-", "CA-Keep-")  # and a number, from 1 without a gap


class Payload:
    """One payload of a release. kind: a word; size: bytes, inflated; stored: bytes of its chunks as
    they are sent; pid: its id, 32 bytes; boards: names, or None for any."""


class Manifest:
    """A well-formed manifest. Times are seconds since 1970; end_s is 0 where there is none.
    payloads: Payload, in order; none if withdrawn or a key set. critical: it has an unknown
    critical key, and is not to be installed. groups, share (permille; 0: none): the audience of an
    experimental release. horizon_s: of a word on time, else 0. With is_keys: keys {key id: public
    key}, of which `threshold` must sign, and keep, a list of ids."""

    def __init__(self):
        self.rid = None
        self.network = b""
        self.version = (0, 0, 0)
        self.revision = 0
        self.signed_at_s = self.start_s = self.end_s = self.window_s = 0
        self.experimental = self.critical = self.withdrawn = self.is_keys = False
        self.payloads = ()
        self.groups = ()
        self.share = self.horizon_s = 0
        self.description = ""


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
    numbered = 0
    m = Manifest()
    for i in range(len(lines)):
        key, colon, value = lines[i].partition(": ")
        name = key[1:] if key[:1] == "!" else key
        if not colon or not made_of(name, 32, _KEY_CHARS):
            return None, "manifest: line %d is not 'Key: value'" % (i + 1)
        if not 0 < len(value) <= 512 or value[0] == " " or value[-1] == " ":
            return None, "manifest: value of %s is empty, too long or padded" % name
        if name in fields:
            return None, "manifest: %s occurs twice" % name
        of_many = _prefix(name) is not None
        if key[0] == "!":
            if name in _KNOWN or of_many:
                return None, "manifest: %s is never critical" % name
            m.critical = True
        numbered += of_many
        fields[name] = value
    for name in _REQUIRED:
        if name not in fields:
            return None, "manifest: %s is missing" % name
    m.rid = sha256(data)
    lists = [_values(fields, prefix) for prefix in _NUMBERED]
    if sum([len(values) for values in lists]) != numbered:
        return None, "manifest: Payload-, CA-Key- or CA-Keep-N is not counted from 1"
    why = _head(m, fields) or _what(m, fields, *lists)
    return (None, "manifest: " + why) if why else (m, None)


def _prefix(name):
    for prefix in _NUMBERED:
        if name.startswith(prefix):
            return prefix
    return None


def _values(fields, prefix):
    """Those of `prefix`1, `prefix`2 and so on, as far as there is no gap."""
    found = []
    while prefix + str(len(found) + 1) in fields:
        found.append(fields[prefix + str(len(found) + 1)])
    return found


def _names(text, most, longest, chars):
    """The names of a list, separated by one space, as a tuple; None if it is not of that form."""
    names = tuple(text.split(" "))
    if len(names) > most or len(set(names)) != len(names):
        return None
    for name in names:
        if not made_of(name, longest, chars):
            return None
    return names


def is_group(name):
    return made_of(name, 32, _GROUP_CHARS)


def _head(m, fields):
    """Reads what every release has. Returns what is wrong, or None."""
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
    m.description = fields.get("Description", "")
    return _audience(m, fields)


def _audience(m, fields):
    if ("Groups" in fields or "Share" in fields) and not m.experimental:
        return "a stable release is for all: Groups and Share go with experimental"
    if "Groups" in fields:
        m.groups = _names(fields["Groups"], MAX_GROUPS, 32, _GROUP_CHARS)
        if m.groups is None:
            return "Groups is not a list of names"
    m.share = number(fields.get("Share", "1"), 1, 1000)
    if m.share is None:
        return "Share is not a number 1..1000"
    if "Share" not in fields:
        m.share = 0
    return None


def _what(m, fields, payloads, keys, keep):
    """Reads payloads, withdrawal or key set: one of the three. Returns what is wrong, or None."""
    m.withdrawn = "Withdrawn" in fields
    m.is_keys = bool(keys or keep or "CA-Threshold" in fields)
    if m.withdrawn and fields["Withdrawn"] != "yes":
        return "Withdrawn is not yes"
    if "Clock-Horizon" in fields:
        m.horizon_s = number(fields["Clock-Horizon"], 1, MAX_HORIZON_S)
        if m.horizon_s is None or not m.withdrawn:
            return "Clock-Horizon is not a number 1..%d, or of no withdrawal" % MAX_HORIZON_S
    if bool(payloads) + m.withdrawn + m.is_keys != 1:
        return "it has not one of Payload-1, Withdrawn and CA-Key-1"
    if (m.version[:2] == (0, 0)) != m.is_keys:
        return "versions 0.0.N and CA-Key-1 go together"
    if m.is_keys:
        return _keys(m, fields, keys, keep) or _window(m, fields)
    found = []
    for text in payloads:
        payload = _payload(text)
        if payload is None:
            return "Payload-%d is not 'KIND SIZE STORED ID BOARD...'" % (len(found) + 1)
        for other in found:
            sizes = (payload.size, payload.stored)
            if other.pid == payload.pid and (other.size, other.stored) != sizes:
                return "one payload with two sizes"
        found.append(payload)
    if len(found) > MAX_PAYLOADS:
        return "more than %d payloads" % MAX_PAYLOADS
    m.payloads = tuple(found)
    return _window(m, fields)


def _window(m, fields):
    images = [p for p in m.payloads if p.kind == "image"]
    m.window_s = number(fields.get("Window", "0"), 0, MAX_WINDOW_S)
    if m.window_s is None or ("Window" in fields) != bool(images):
        return "Window is not a number 0..%d, or not with an image alone" % MAX_WINDOW_S
    return None


def _payload(text):
    """Of one line's value, or None."""
    words = text.split(" ", 4)
    if len(words) != 5 or not made_of(words[0], 16, _WORD_CHARS):
        return None
    p = Payload()
    p.kind = words[0]
    p.size = number(words[1], 1, MAX_PAYLOAD_BYTES)
    if p.size is None:
        return None
    p.stored = number(words[2], 1, p.size)
    p.pid = from_hex(words[3], 32)
    p.boards = _names(words[4], MAX_BOARDS, 64, _BOARD_CHARS)
    if p.stored is None or p.pid is None or p.boards is None:
        return None
    if "any" in p.boards:
        if len(p.boards) > 1:
            return None
        p.boards = None
    return p


def _keys(m, fields, keys, keep):
    """Reads a CA key set. Returns what is wrong, or None."""
    if m.experimental or m.revision or m.critical or not 0 < m.version[2] <= MAX_KEY_SETS:
        return "Channel, Revision, Version or a critical key is no key set's"
    m.keys = {}
    m.keep = []
    if len(keys) > MAX_KEYS:
        return "more than %d keys" % MAX_KEYS
    ids = set()
    material = set()
    for text in keys:
        found = public_key(text.encode())
        ours = found is not None and found[0] == b"Ed"
        if ours and not sound(found[2]):
            return "CA-Key-%d is no key" % (len(ids) + 1)
        if found is None or found[1] in ids or found[2] in material:
            return "CA-Key-%d is malformed, or is there twice" % (len(ids) + 1)
        ids.add(found[1])
        material.add(found[2])
        if ours:
            m.keys[found[1]] = found[2]
    m.threshold = number(fields.get("CA-Threshold", ""), 1, len(keys))
    if m.threshold is None:
        return "CA-Threshold is not a number 1..%d" % len(keys)
    for text in keep:
        for name in text.split(" "):
            rid = from_hex(name, 32)
            if rid is None:
                return "CA-Keep is not a list of ids"
            m.keep.append(rid)
    return None
