"""Section 2.1: the manifest of a release."""

import datetime
import hashlib
import re
from dataclasses import dataclass, field

from .trust import Key, Malformed, canonical_base64

KNOWN = set(
    "Format Network Version Revision Channel Signed-At Start End Groups Share Window Description "
    "Padding Withdrawn CA-Threshold".split()
)
NUMBERED = ("Payload-", "CA-Key-", "CA-Keep-")
REQUIRED = "Network Version Revision Channel Signed-At Start".split()

_LINE = re.compile(r"(!?)([A-Za-z0-9-]{1,32}): ([!-~](?:[ -~]{0,510}[!-~])?)")
_DECIMAL = re.compile(r"0|[1-9][0-9]*")


def decimal(text, low, high):
    if not _DECIMAL.fullmatch(text) or not low <= int(text[:20]) <= high:
        raise Malformed("number")
    return int(text)


def matching(text, pattern):
    if not re.fullmatch(pattern, text):
        raise Malformed(pattern)
    return text


def time_s(text):
    matching(text, r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
    try:
        date = datetime.datetime(*map(int, re.split("[-T:]", text[:-1])), tzinfo=datetime.UTC)
    except ValueError:
        raise Malformed("time") from None
    if date.year < 1970:
        raise Malformed("year")
    return int(date.timestamp())


def words(text, pattern, most):
    """1 to `most` distinct words, separated by one space."""
    found = text.split(" ")
    if len(found) > most or len(set(found)) < len(found):
        raise Malformed("words")
    return [matching(word, pattern) for word in found]


@dataclass
class Line:
    """A payload of a release: `Payload-N`."""

    kind: str
    size: int
    stored: int
    pid: bytes
    boards: list

    @classmethod
    def read(cls, text):
        parts = text.split(" ", 4)
        if len(parts) < 5:
            raise Malformed("payload")
        kind, size, stored, pid, boards = parts
        size = decimal(size, 1, 134217728)
        boards = words(boards, "[a-z0-9,._-]{1,64}", 16)
        if "any" in boards and boards != ["any"]:
            raise Malformed("any")
        return cls(
            matching(kind, "[a-z0-9-]{1,16}"), size, decimal(stored, 1, size),
            bytes.fromhex(matching(pid, "[0-9a-f]{64}")), boards,
        )  # fmt: skip


@dataclass
class Manifest:
    rid: bytes
    text: bytes
    network: bytes
    version: tuple
    revision: int
    experimental: bool
    signed_at_s: int
    start_s: int
    end_s: int | None = None
    groups: list = field(default_factory=list)
    share: int = 0
    window_s: int = 0
    withdrawn: bool = False
    critical: bool = False  # has a critical key that is unknown here
    lines: list = field(default_factory=list)
    keys: list = field(default_factory=list)
    threshold: int = 0
    keeps: set = field(default_factory=set)

    @property
    def order(self):
        return (self.version, self.revision, self.rid)

    @property
    def key_set(self):
        """The number of the key set that it brings, 0 if none."""
        return self.version[2] if self.threshold else 0


def parse(text):
    """The Manifest in these bytes; Malformed if they are none."""
    values, unknown_critical = _values(text)
    known = {k: v for k, v in values.items() if k in KNOWN}
    if text.split(b"\n", 1)[0] != b"Format: swdist-release 1" or not known.keys() >= set(REQUIRED):
        raise Malformed("required key")
    version = tuple(decimal(n, 0, 65535) for n in known["Version"].split("."))
    if len(version) != 3:
        raise Malformed("version")
    m = Manifest(
        hashlib.sha256(text).digest(), text,
        bytes.fromhex(matching(known["Network"], "[0-9a-f]{16}")),
        version, decimal(known["Revision"], 0, 65535),
        matching(known["Channel"], "stable|experimental") == "experimental",
        time_s(known["Signed-At"]), time_s(known["Start"]), critical=unknown_critical,
    )  # fmt: skip
    _audience(m, known)
    m.lines = [Line.read(v) for v in _sequence(values, "Payload-")]
    keys = list(_sequence(values, "CA-Key-"))
    keeps = list(_sequence(values, "CA-Keep-"))
    if len(m.lines) > 16:
        raise Malformed("payloads")
    sizes = {}
    for line in m.lines:
        if sizes.setdefault(line.pid, (line.size, line.stored)) != (line.size, line.stored):
            raise Malformed("one payload, two sizes")
    if "Window" in known:
        m.window_s = decimal(known["Window"], 0, 604800)
    if ("Window" in known) != any(line.kind == "image" for line in m.lines):
        raise Malformed("window")
    m.withdrawn = matching(known.get("Withdrawn", "yes"), "yes") and "Withdrawn" in known
    is_key_set = bool(keys or keeps or "CA-Threshold" in known)
    if bool(m.lines) + m.withdrawn + is_key_set != 1 or is_key_set != (version[:2] == (0, 0)):
        raise Malformed("neither payloads nor a withdrawal nor a key set")
    if is_key_set:
        _key_set(m, known, keys, keeps)
    return m


def _values(text):
    if len(text) > 4096 or not text.endswith(b"\n") or text.count(b"\n") > 64:
        raise Malformed("length")
    values, unknown_critical = {}, False
    for line in text.decode("latin-1")[:-1].split("\n"):
        match = _LINE.fullmatch(line)
        if not match:
            raise Malformed("line")
        bang, key, value = match.groups()
        known = key in KNOWN or key.startswith(NUMBERED)
        if key in values or (bang and known):
            raise Malformed("key")
        unknown_critical |= bool(bang)
        values[key] = value
    return values, unknown_critical


def _sequence(values, prefix):
    """The values of PREFIX1, PREFIX2 ..., of which there must be no other."""
    count = sum(key.startswith(prefix) for key in values)
    for n in range(1, count + 1):
        if f"{prefix}{n}" not in values:
            raise Malformed("gap")
        yield values[f"{prefix}{n}"]


def _audience(m, known):
    if m.experimental != ("End" in known):
        raise Malformed("end")
    if not m.experimental and known.keys() & {"Groups", "Share"}:
        raise Malformed("stable, with an audience")
    if m.experimental:
        m.end_s = time_s(known["End"])
        if m.end_s <= m.start_s:
            raise Malformed("ends before it starts")
    if "Groups" in known:
        m.groups = words(known["Groups"], "[a-z0-9_-]{1,32}", 16)
    if "Share" in known:
        m.share = decimal(known["Share"], 1, 1000)


def _key_set(m, known, keys, keeps):
    """Section 2.6, rules 1 to 3."""
    if not 1 <= m.version[2] <= 32 or m.revision or m.experimental or m.critical:
        raise Malformed("key set")
    if not 1 <= len(keys) <= 16 or "CA-Threshold" not in known:
        raise Malformed("keys")
    m.keys = [Key.read(canonical_base64(v)) for v in keys]
    if len({k.key_id for k in m.keys}) < len(keys) or len({k.key for k in m.keys}) < len(keys):
        raise Malformed("key twice")
    m.threshold = decimal(known["CA-Threshold"], 1, len(keys))
    for v in keeps:
        m.keeps |= {bytes.fromhex(matching(rid, "[0-9a-f]{64}")) for rid in v.split(" ")}
