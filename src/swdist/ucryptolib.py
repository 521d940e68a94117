"""One interface to cryptography, whatever the runtime has.

SHA-256 is hashlib's everywhere. SHA-512 is hashlib's, or our own where it has none. Ed25519 is our
own, in Python, on every runtime: the same strict answer everywhere (docs/decisions/0002-crypto.md).
"""

import hashlib

from swdist import ed25519

Sha256 = hashlib.sha256

if hasattr(hashlib, "sha512"):
    SHA512 = "hashlib"

    def sha512(data):
        return hashlib.sha512(data).digest()

    _fast = sha512
else:
    SHA512 = "python"
    from swdist.sha512 import sha512

    _fast = None  # so that a Verifier slices it


def sha256(data):
    return hashlib.sha256(data).digest()


def ed25519_verifier(public_key, signature, message):
    """A check in steps: see ed25519.Verifier."""
    return ed25519.Verifier(public_key, signature, message, _fast)


def ed25519_verify(public_key, signature, message):
    """True if the signature (64 bytes) is by this key (32 bytes) over the message."""
    return ed25519.verify(public_key, signature, message, _fast)


def backend():
    """For people: what does the work."""
    return "sha256 hashlib, sha512 %s, ed25519 python" % SHA512
