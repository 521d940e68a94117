"""Section 2.1: the manifest of a release."""

import datetime
import hashlib
import re
from dataclasses import dataclass

from .trust import Key, Malformed, canonical_base64, must

REQUIRED = set("Format Network Version Revision Channel Signed-At Start".split())
OPTIONAL = set(
    "End Groups Share Window Description Padding Clock-Horizon Withdrawn CA-Threshold".split()
)
NUMBERED = ("Payload-", "CA-Key-", "CA-Keep-")

_LINE = re.compile(r"(!?)([A-Za-z0-9-]{1,32}): ([!-~](?:[ -~]{0,510}[!-~])?)")


def matching(text, pattern):
    must(re.fullmatch(pattern, text), pattern)
    return text


def decimal(text, low, high):
    matching(text, "0|[1-9][0-9]{0,19}")
    must(low <= int(text) <= high, "number")
    return int(text)


def time_s(text):
    matching(text, "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
    try:
        date = datetime.datetime(*map(int, re.split("[-T:]", text[:-1])), tzinfo=datetime.UTC)
    except ValueError:
        raise Malformed("time") from None
    must(date.year >= 1970, "year")
    return int(date.timestamp())


def words(text, pattern, most):
    """1 to `most` distinct words, separated by one space."""
    found = text.split(" ")
    must(len(set(found)) == len(found) <= most, "words")
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
        form = "([a-z0-9-]{1,16}) ([0-9]+) ([0-9]+) ([0-9a-f]{64}) (.*)"
        kind, size, stored, pid, boards = re.fullmatch(form, matching(text, form)).groups()
        size = decimal(size, 1, 134217728)
        boards = words(boards, "[a-z0-9,._-]{1,64}", 16)
        must("any" not in boards or boards == ["any"], "any")
        return cls(kind, size, decimal(stored, 1, size), bytes.fromhex(pid), boards)


class Manifest:
    """What these bytes say; Malformed if they are none."""

    def __init__(self, text):
        self.text, self.rid = text, hashlib.sha256(text).digest()
        self._read_lines()
        known = self._known
        must(text.split(b"\n")[0] == b"Format: swdist-release 1", "format")
        must(known.keys() >= REQUIRED, "a required key is missing")
        self.network = bytes.fromhex(matching(known["Network"], "[0-9a-f]{16}"))
        self.version = tuple(decimal(n, 0, 65535) for n in known["Version"].split("."))
        must(len(self.version) == 3, "version")
        self.revision = decimal(known["Revision"], 0, 65535)
        self.experimental = matching(known["Channel"], "stable|experimental") == "experimental"
        self.signed_at_s, self.start_s = time_s(known["Signed-At"]), time_s(known["Start"])
        self._read_audience(known)
        self.lines = [Line.read(v) for v in self._sequence("Payload-")]
        must(len(self.lines) <= 16, "payloads")
        for line in self.lines:
            same = {(x.size, x.stored) for x in self.lines if x.pid == line.pid}
            must(len(same) == 1, "one payload, two sizes")
        self.window_s = decimal(known.get("Window", "0"), 0, 604800)
        has_image = any(line.kind == "image" for line in self.lines)
        must(("Window" in known) == has_image, "window")
        self.withdrawn = matching(known.get("Withdrawn", "yes"), "yes") and "Withdrawn" in known
        if "Clock-Horizon" in known:
            decimal(known["Clock-Horizon"], 1, 43200)
            must(self.withdrawn, "a horizon without a withdrawal")
        self._read_key_set(known)
        one_of_three = bool(self.lines) + self.withdrawn + bool(self.keys)
        must(one_of_three == 1, "neither payloads nor a withdrawal nor a key set")

    @property
    def order(self):
        return (self.version, self.revision, self.rid)

    @property
    def key_set(self):
        """The number of the key set that it brings, 0 if none."""
        return self.version[2] if self.keys else 0

    def _read_lines(self):
        text = self.text
        must(len(text) <= 4096 and text.endswith(b"\n") and text.count(b"\n") <= 64, "length")
        self._known, self._numbered, unknown = {}, {}, {}
        self.critical = False  # has a critical key that is unknown here
        for line in text.decode("latin-1")[:-1].split("\n"):
            bang, key, value = _LINE.fullmatch(matching(line, _LINE)).groups()
            table = self._numbered if key.startswith(NUMBERED) else unknown
            table = self._known if key in REQUIRED | OPTIONAL else table
            must(key not in table and not (bang and table is not unknown), "key")
            self.critical |= bool(bang)
            table[key] = value

    def _sequence(self, prefix):
        """The values of PREFIX1, PREFIX2 ..., of which there must be no other."""
        count = sum(key.startswith(prefix) for key in self._numbered)
        must(all(f"{prefix}{n}" in self._numbered for n in range(1, count + 1)), "gap")
        return [self._numbered[f"{prefix}{n}"] for n in range(1, count + 1)]

    def _read_audience(self, known):
        must(self.experimental == ("End" in known), "end")
        must(self.experimental or not known.keys() & {"Groups", "Share"}, "audience")
        self.end_s = time_s(known["End"]) if self.experimental else None
        must(not self.experimental or self.end_s > self.start_s, "ends before it starts")
        self.groups = words(known["Groups"], "[a-z0-9_-]{1,32}", 16) if "Groups" in known else []
        self.share = decimal(known["Share"], 1, 1000) if "Share" in known else 0

    def _read_key_set(self, known):
        """Section 2.6, rules 1 to 3."""
        self.keys = [Key.read(canonical_base64(v)) for v in self._sequence("CA-Key-")]
        lists = [v.split(" ") for v in self._sequence("CA-Keep-")]
        self.keeps = {bytes.fromhex(matching(r, "[0-9a-f]{64}")) for v in lists for r in v}
        count = len(self.keys)
        must(bool(count) == ("CA-Threshold" in known) == (self.version[:2] == (0, 0)), "key set")
        must(count or not lists, "key set")
        self.threshold = decimal(known["CA-Threshold"], 1, count) if count else 0
        if count:
            must(count <= 16 and 1 <= self.version[2] <= 32, "key set")
            must(not (self.revision or self.experimental or self.critical), "key set")
            must(len({k.key_id for k in self.keys}) == len({k.key for k in self.keys}) == count,
                 "key twice")  # fmt: skip
