"""Ed25519 and its file formats against other implementations: `cryptography` and signify."""

import base64
import hashlib
import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from swdist.crypto import ed25519, sha512, ucryptolib
from swdist.formats import usign
from swdist_host import sigfile

VECTORS = sorted((Path(__file__).parent / "vectors/ed25519").glob("*.json"))


def openssl_accepts(key, signature, message):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def pairs(seed, count):
    """Random keys with a signature over a random message each."""
    rand = random.Random(seed)
    for _ in range(count):
        secret = Ed25519PrivateKey.from_private_bytes(rand.randbytes(32))
        message = rand.randbytes(rand.choice((0, 1, 63, 64, 65, 300, 4096)))
        yield rand, secret.public_key().public_bytes_raw(), secret.sign(message), message


def test_random_signatures_are_accepted_and_every_kind_of_change_refused():
    for rand, key, signature, message in pairs(1, 100):
        assert ed25519.verify(key, signature, message)
        assert ucryptolib.ed25519_verify(key, signature, message)
        for which in range(3):
            parts = [bytearray(key), bytearray(signature), bytearray(message or b"\0")]
            parts[which][rand.randrange(len(parts[which]))] ^= 1 << rand.randrange(8)
            if which == 2 and not message:
                parts[2] = bytearray(b"\1")
            changed = [bytes(p) for p in parts]
            assert not ed25519.verify(*changed)
            assert not openssl_accepts(*changed)


def test_openssl_agrees_wherever_our_formal_rules_are_kept():
    # The formal rules come first; what they let through, any cofactorless verifier judges alike.
    formal = 0
    for path in VECTORS:
        for case in json.loads(path.read_text())["cases"]:
            key, signature, message = (
                bytes.fromhex(case[k]) for k in ("key", "signature", "message")
            )
            ours = ed25519.verify(key, signature, message)
            assert ours is case["ok"], (path.name, case["name"])
            if ed25519.well_formed(key, signature):
                assert openssl_accepts(key, signature, message) is ours, case["name"]
            else:
                formal += openssl_accepts(key, signature, message)
    assert formal > 10  # the rules are needed: OpenSSL alone takes signatures that we must not


def test_sha512_agrees_with_hashlib():
    rand = random.Random(2)
    for n in [*range(0, 300, 7), 4096, 20000]:
        data = rand.randbytes(n)
        assert sha512.sha512(data) == hashlib.sha512(data).digest()


@pytest.fixture
def signify(tmp_path):
    """signify-openbsd, run in a directory of its own."""
    program = shutil.which("signify-openbsd")
    assert program, "signify-openbsd is missing: apt-get install signify-openbsd"

    def run(*arguments):
        done = subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True)
        return done.returncode == 0

    return run


def test_what_signify_signs_we_verify(signify, tmp_path):
    message = b"Format: swdist-release 1\n" * 30
    (tmp_path / "m").write_bytes(message)
    assert signify("-G", "-n", "-p", "k.pub", "-s", "k.sec", "-c", "a comment of ours")
    assert signify("-S", "-s", "k.sec", "-m", "m", "-x", "m.sig")
    tag, key_id, key = usign.parse_public_key((tmp_path / "k.pub").read_text())
    block = sigfile.read((tmp_path / "m.sig").read_bytes())
    ((sig_tag, sig_id, signature),) = usign.parse_signatures(block)
    assert (tag, sig_tag) == (b"Ed", b"Ed") and sig_id == key_id
    assert ed25519.verify(key, signature, message)
    assert not ed25519.verify(key, signature, message + b"\n")
    # And our canonical form of it is still signify's.
    (tmp_path / "ours.sig").write_bytes(block)
    assert signify("-V", "-p", "k.pub", "-x", "ours.sig", "-m", "m")
    (tmp_path / "m").write_bytes(message + b"\n")
    assert not signify("-V", "-p", "k.pub", "-x", "ours.sig", "-m", "m")


def test_what_we_write_signify_verifies(signify, tmp_path):
    for number, (_, key, signature, message) in enumerate(pairs(3, 8)):
        key_id = bytes([number]) * 8
        line = base64.b64encode(b"Ed" + key_id + key)
        (tmp_path / "k.pub").write_bytes(b"untrusted comment: ours\n" + line + b"\n")
        (tmp_path / "m").write_bytes(message)
        (tmp_path / "s").write_bytes(sigfile.block(b"Ed", key_id, signature))
        assert signify("-V", "-p", "k.pub", "-x", "s", "-m", "m")
        bad = bytes([signature[0] ^ 1]) + signature[1:]
        (tmp_path / "s").write_bytes(sigfile.block(b"Ed", key_id, bad))
        assert not signify("-V", "-p", "k.pub", "-x", "s", "-m", "m")


def test_signify_and_we_take_the_key_id_from_the_same_place(signify, tmp_path):
    assert signify("-G", "-n", "-p", "k.pub", "-s", "k.sec")
    secret = base64.b64decode((tmp_path / "k.sec").read_text().split("\n")[1])
    _, key_id, key = usign.parse_public_key((tmp_path / "k.pub").read_bytes())
    assert secret[32:40] == key_id and secret[72:104] == key
    assert sigfile.fingerprint(key_id) == f"{int.from_bytes(key_id, 'big'):016x}"
