"""Sections 2.2, 2.5 and 2.6: signatures, the network id, key sets."""

import base64
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

COMMENT = b"untrusted comment: swdist release signature\n"
MAX_BYTES, MAX_BLOCKS, MAX_LINE, MAX_OTHERS = 32768, 16, 24576, 16384

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
_Y8 = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
SMALL = {0, 1, P - 1, _Y8, P - _Y8}  # y of the points whose order divides 8


class Malformed(Exception):
    """Refused as a whole."""


def must(condition, why):
    if not condition:
        raise Malformed(why)


def canonical_base64(text):
    text = text.encode() if isinstance(text, str) else text
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Malformed("base64") from None
    must(base64.b64encode(data) == text, "base64 is not canonical")
    return data


def is_strict(point):
    """Canonically encoded, and not of small order. Whether it is a point is not looked at."""
    y = int.from_bytes(point, "little") & (2**255 - 1)
    return len(point) == 32 and y < P and y not in SMALL


def verifies(key, message, signature):
    """Ed25519 by the strict rules of section 2.2. The library checks that [S]B - [k]A encodes to R
    and that S is below the order; it takes keys that are not canonical, and small orders."""
    if len(signature) != 64 or not is_strict(key) or not is_strict(signature[:32]):
        return False
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return int.from_bytes(signature[32:], "little") < L


def network_id(name, keys):
    text = b"swdist-network 1\n" + name.encode("ascii") + b"\n" + b"".join(sorted(keys))
    return hashlib.sha256(text).digest()[:8]


@dataclass(frozen=True)
class Key:
    tag: bytes
    key_id: bytes
    key: bytes

    @classmethod
    def read(cls, data):
        tag, key_id, key = data[:2], data[2:10], data[10:]
        must(is_strict(key) if tag == b"Ed" else key, "key")
        return cls(tag, key_id, key)


@dataclass(frozen=True)
class Block:
    text: bytes  # both lines
    tag: bytes
    key_id: bytes
    signature: bytes


def parse_signatures(text):
    """The blocks of a file of signatures; Malformed if it is none."""
    *lines, end = text.split(b"\n")
    must(len(text) <= MAX_BYTES and lines and not end and len(lines) % 2 == 0, "form")
    must(len(lines) <= 2 * MAX_BLOCKS, "blocks")
    blocks = []
    for comment, line in zip(lines[::2], lines[1::2]):
        must(comment + b"\n" == COMMENT and len(line) <= MAX_LINE, "line")
        data = canonical_base64(line)
        block = Block(COMMENT + line + b"\n", data[:2], data[2:10], data[10:])
        must(len(block.signature) == 64 if block.tag == b"Ed" else block.signature, "signature")
        blocks.append(block)
    return blocks


@dataclass
class KeySet:
    keys: list
    threshold: int
    rid: bytes = b""
    keeps: frozenset = frozenset()

    def judge(self, message, blocks):
        """(the blocks that verified, whether the file is signed by this set)."""
        keys = {k.key_id: k for k in self.keys if k.tag == b"Ed"}
        good = []
        for block in blocks:
            key = keys.get(block.key_id)
            if block.tag != b"Ed" or not key or block.key_id in {b.key_id for b in good}:
                continue
            if not verifies(key.key, message, block.signature):
                return good, False
            good.append(block)
        return good, len(good) >= self.threshold


def kept(blocks, good, sets):
    """Rule 5 of section 2.2: of these blocks those that a node keeps, as a file."""
    ids = {k.key_id for s in sets for k in s.keys if k.tag == b"Ed"}
    keep = [block for block in dict.fromkeys(blocks) if block in good]
    room = MAX_OTHERS
    for block in blocks:
        known = block.tag == b"Ed" and block.key_id in ids
        if known or block in keep or len(keep) == MAX_BLOCKS or len(block.text) > room:
            continue
        room -= len(block.text)
        keep.append(block)
    return b"".join(block.text for block in keep)


class Trust:
    """The key sets that a node holds, and what it believes by them (section 2.6)."""

    def __init__(self, network, founding, threshold):
        self.network = network
        self.sets = [KeySet(founding, threshold)]

    def judge(self, m, signatures, more=None):
        """("good", what is to be kept of the file), ("bad", b"") or ("later", b""). more: another
        file of the same release, whose blocks are judged behind those of the first."""
        number = m.key_set
        if m.network != self.network:
            return "bad", b""
        if number > len(self.sets):
            return "later", b""
        try:
            blocks = parse_signatures(signatures)
            blocks += parse_signatures(more) if more is not None else []
        except Malformed:
            return "bad", b""
        verdict = self._judge_set(m, number, blocks) if number else self._judge_release(m, blocks)
        return ("good", kept(blocks, *verdict)) if verdict else ("bad", b"")

    def _judge_set(self, m, number, blocks):
        if number < len(self.sets) and self.sets[number].rid != m.rid:
            return None  # the first one stays
        sets = [self.sets[number - 1], KeySet(m.keys, m.threshold)]
        (own, own_signed), (new, new_signed) = [s.judge(m.text, blocks) for s in sets]
        return (own + new, sets) if own_signed and new_signed else None

    def _judge_release(self, m, blocks):
        sets = self.sets if m.rid in self.sets[-1].keeps else self.sets[-1:]
        good = []
        for n, s in enumerate(sets, 1):
            more, signed = s.judge(m.text, blocks)
            good += more
            if signed:
                return good, sets[:n]
        return None

    def take(self, m):
        """Go over to the key set that this verified manifest brings; whether that changes any."""
        if m.key_set != len(self.sets):
            return False
        self.sets.append(KeySet(m.keys, m.threshold, m.rid, frozenset(m.keeps)))
        return True
