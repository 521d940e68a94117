"""What all golden vectors are made of: keys, payloads, and manifests that differ from a good one
in what a case is about."""

import base64
import hashlib
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def key(n):
    secret = Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)
    return secret, secret.public_key().public_bytes_raw(), bytes([0xA0 + n]) * 8


def block(tag, key_id, signature):
    line = base64.b64encode(tag + key_id + signature)
    return b"untrusted comment: swdist release signature\n" + line + b"\n"


KEYS = [key(n) for n in (1, 2, 3)]
FOREIGN = key(9)
NETWORK = hashlib.sha256(
    b"swdist-network 1\nvectors\n" + b"".join(sorted(k[1] for k in KEYS))
).digest()[:8]
PAYLOAD = bytes(i * 7 % 256 for i in range(10000))
CHUNKS = [PAYLOAD[i : i + 4096] for i in range(0, len(PAYLOAD), 4096)]


def entry(piece):
    """Of a piece that is sent as it is."""
    return hashlib.sha256(piece).digest()[:16] + struct.pack("!HHB", len(piece), len(piece), 0)


PAGE = b"".join(entry(c) for c in CHUNKS)
INDEX = hashlib.sha256(PAYLOAD).digest() + entry(PAGE)
PID = hashlib.sha256(INDEX).digest()
SIZE, ID = len(PAYLOAD), PID.hex()


def line(kind="slot", boards="any", size=SIZE, stored=SIZE, pid=ID):
    """What a manifest says of a payload."""
    return f"{kind} {size} {stored} {pid} {boards}"


BASE = {
    "Format": "swdist-release 1",
    "Network": NETWORK.hex(),
    "Version": "1.1.0",
    "Revision": "0",
    "Channel": "stable",
    "Signed-At": "2026-11-23T10:00:00Z",
    "Start": "2026-11-24T03:00:00Z",
    "Payload-1": line(),
}


def text(**changes):
    fields = dict(BASE)
    for name, value in changes.items():
        name = name.replace("_", "-")
        fields.pop(name, None)
        if value is not None:
            fields[name] = value
    return "".join(f"{k}: {v}\n" for k, v in fields.items()).encode()


def public_line(k, tag=b"Ed"):
    return base64.b64encode(tag + k[2] + k[1]).decode()


def key_set(version, keys, threshold, keep=(), **changes):
    """A manifest that brings these CA keys."""
    fields = {"Version": version, "Payload_1": None, "CA_Threshold": str(threshold)}
    for n, k in enumerate(keys, 1):
        fields[f"CA_Key_{n}"] = public_line(k)
    if keep:
        fields["CA_Keep_1"] = " ".join(hashlib.sha256(m).hexdigest() for m in keep)
    return text(**{**fields, **changes})


EXPERIMENTAL = {"Channel": "experimental", "End": "2026-11-25T03:00:00Z"}
WITHDRAWN = {"Payload_1": None, "Withdrawn": "yes"}
