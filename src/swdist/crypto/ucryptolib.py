"""One interface to cryptography, whatever the runtime has.

SHA-256 is hashlib's everywhere. SHA-512 is hashlib's, or our own where it has none. Ed25519 is what
`use` was given (see `native`), or our own: with the strict rules before it the answer is the same
everywhere (docs/decisions/0002-crypto.md).
"""

import gc
import hashlib

from swdist.crypto import ed25519

CHECK_BYTES = 393216  # a check leaves a megabyte behind: seldom collected, it takes a fifth less

if hasattr(hashlib, "sha512"):
    SHA512 = "hashlib"

    def sha512(data):
        return hashlib.sha512(data).digest()

    _fast = sha512
else:
    SHA512 = "python"
    from swdist.crypto.sha512 import sha512

    _fast = None

_collect_each = getattr(gc, "threshold", lambda n=None: None)
meanwhile = None  # what else is to be done now and then during a check: a function, or None


def sha256(data):
    return hashlib.sha256(data).digest()


_native = (None, None)


def use(name, verify):
    """verify(key, signature, message) -> True if the equation holds. (None, None): our own does."""
    global _native
    _native = name, verify


def ed25519_verify(public_key, signature, message):
    """True if the signature (64 bytes) is by this key (32 bytes) over the message."""
    if _native[1] is None:
        before = _collect_each()
        _collect_each(CHECK_BYTES)
        try:
            return ed25519.verify(public_key, signature, message, _fast, meanwhile)
        finally:
            _collect_each(before)
    return ed25519.well_formed(public_key, signature) and _native[1](public_key, signature, message)


def backend():
    """For people: what does the work."""
    return "sha256 hashlib, sha512 %s, ed25519 %s" % (SHA512, _native[0] or "python")
