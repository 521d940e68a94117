"""What the harnesses take as given: the vectors' network, keys and release, and odds and ends."""

import json
from pathlib import Path

from swdist.crypto.ucryptolib import sha256
from swdist.formats import manifest
from swdist.trust import verify

VECTORS = Path(__file__).resolve().parent.parent / "tests/vectors"


def vectors(name):
    return json.loads((VECTORS / (name + ".json")).read_text())


SIGNED = vectors("signatures")
NETWORK = bytes.fromhex(SIGNED["network"])
KEYS = {bytes.fromhex(i): bytes.fromhex(key) for i, key in SIGNED["keys"].items()}
MANIFEST = bytes.fromhex(SIGNED["manifest"])
SIGNATURES = SIGNED["cases"][0]["signatures"].encode()


class Trust(verify.Trust):
    """Checks the one good pair once: two signatures in Python cost more than all else here."""

    known = False

    def check(self, m, signatures, more=b""):
        if self.known and (m, signatures, more) == (MANIFEST, SIGNATURES, b""):
            return verify.Release(manifest.parse(m)[0]), SIGNATURES
        release, kept = super().check(m, signatures, more)
        self.known = self.known or release is not None and signatures == SIGNATURES
        return release, kept


TRUST = Trust(KEYS, SIGNED["threshold"], NETWORK)
RID = sha256(MANIFEST)
PAYLOAD = bytes(i * 7 % 256 for i in range(10000))
INDEX = bytes.fromhex(vectors("index")["index"])
PAGE = bytes.fromhex(vectors("index")["pages"][0])
PID = sha256(INDEX)
CHUNK = 4096
PIECES = [PAGE, PAYLOAD[:CHUNK], PAYLOAD[CHUNK : 2 * CHUNK], PAYLOAD[2 * CHUNK :]]
FILES = {
    f"releases/{RID.hex()}/manifest": MANIFEST,
    f"releases/{RID.hex()}/signatures": SIGNATURES,
    f"payloads/{PID.hex()}/index": INDEX,
    f"payloads/{PID.hex()}/pages": PAGE,
    f"payloads/{PID.hex()}/payload": PAYLOAD,
}  # of a store


class Log:
    """Keeps what is logged: it may quote what a stranger wrote."""

    def __init__(self):
        self.lines = []

    def _say(self, text):
        self.lines.append(text)

    error = warn = info = debug = _say


def dice(seed=1):
    """rand(n): 0..n-1, the same each time."""
    state = seed

    def rand(n):
        nonlocal state
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        return (state >> 8) % n

    return rand


def pieces(data):
    """[(first byte, the rest)]: data as a list of messages. Each has 2 bytes of length before it;
    the last may be cut. So a fuzzer can reach what several messages in a row do."""
    found = []
    at = 0
    while at + 3 <= len(data):
        end = at + 3 + int.from_bytes(data[at : at + 2], "big")
        found.append((data[at + 2], data[at + 3 : end]))
        at = end
    return found


def join(messages):
    """The reverse of pieces()."""
    return b"".join(
        len(rest).to_bytes(2, "big") + bytes([first]) + rest for first, rest in messages
    )


def lend(data, room):
    """(buffer, n): data at the start of a reused buffer, with what an earlier message left."""
    n = min(len(data), room)
    return bytearray(data[:n]) + bytearray(b"\xa5" * (room - n)), n
