"""Pure functions, computed once for all nodes: equal bytes have equal digests and signatures.

Installed into the modules from outside; their answers do not change.
"""

import hashlib
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from swdist.crypto import ucryptolib
from swdist_host import pack

MAX_KEPT = 65536  # answers; beyond that all are forgotten
MAX_PACKED = 64  # payloads
_digests = {}  # {id of a bytes object: (the object, so that the id stays its own, digest)}
_checks = {}  # {(key, signature, message): bool}
_packed = {}  # {(payload, may it be deflated?): pack.Packed}


def sha256(data):
    """Of bytes that are shared among nodes, or of a view of all of them."""
    whole = data.obj if type(data) is memoryview else data
    if type(whole) is not bytes or len(whole) != len(data) or len(whole) < 512:
        return hashlib.sha256(data).digest()
    found = _digests.get(id(whole))
    if found is None:
        if len(_digests) >= MAX_KEPT:
            _digests.clear()
        found = _digests[id(whole)] = (whole, hashlib.sha256(whole).digest())
    return found[1]


def verify(key, signature, message):
    call = (bytes(key), bytes(signature), bytes(message))
    if call not in _checks:
        if len(_checks) >= MAX_KEPT:
            _checks.clear()
        try:
            Ed25519PublicKey.from_public_bytes(call[0]).verify(call[1], call[2])
            _checks[call] = True
        except (InvalidSignature, ValueError):
            _checks[call] = False
    return _checks[call]


def packed(data, deflate=True):
    """Runs with one seed have the same payloads, and to cut one takes a second."""
    found = _packed.get((data, deflate))
    if found is None:
        if len(_packed) >= MAX_PACKED:
            _packed.clear()
        found = _packed[data, deflate] = _PACK(data, deflate)
    return found


_DEVICE_SHA256 = ucryptolib.sha256
_PACK = pack.pack


def install():
    ucryptolib.use("memo", verify)
    _replace(_DEVICE_SHA256, sha256)
    pack.pack = packed


def uninstall():
    ucryptolib.use(None, None)
    _replace(sha256, _DEVICE_SHA256)
    pack.pack = _PACK


def _replace(old, new):
    """In all device modules that have imported it."""
    for name, module in list(sys.modules.items()):
        if name.startswith("swdist.") and getattr(module, "sha256", None) is old:
            module.sha256 = new


class Pieces:
    """Equal bytes become one object, whatever node writes them."""

    def __init__(self):
        self._known = {}

    def share(self, data):
        """A bytes object equal to data, which may be any bytes-like object."""
        if type(data) is memoryview and type(data.obj) is bytes and len(data.obj) == len(data):
            data = data.obj
        elif type(data) is not bytes:
            data = bytes(data)
        if len(data) < 512:
            return data
        if len(self._known) >= MAX_KEPT:
            self._known.clear()
        return self._known.setdefault(data, data)
