"""Signatures are checked by `cryptography` here, after our own rules: thousands in a second."""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from swdist.crypto import ed25519
from swdist.trust import verify


def check(key, signature, message):
    if not ed25519.well_formed(key, signature):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes(key)).verify(bytes(signature), bytes(message))
    except InvalidSignature:
        return False
    return True


@pytest.fixture(scope="module", autouse=True)
def fast_signatures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "ed25519_verify", check)
        yield
