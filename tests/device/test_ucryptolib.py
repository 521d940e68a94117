"""The one door to cryptography answers alike on every runtime."""

import json
from binascii import unhexlify

from swdist import sha512, ucryptolib


def load(name):
    at = __file__.rfind("/")
    folder = __file__[: at + 1] if at >= 0 else ""
    with open(folder + "../vectors/ed25519/" + name + ".json") as f:
        return json.load(f)["cases"]


def test_sha256_of_fips_180_4():
    assert ucryptolib.sha256(b"abc") == unhexlify(
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert ucryptolib.sha256(bytearray(b"abc")) == ucryptolib.sha256(b"abc")


def test_sha256_in_pieces_is_that_of_the_whole():
    data = bytes([i & 0xFF for i in range(500)])
    h = ucryptolib.Sha256()
    for at in range(0, 500, 33):
        h.update(memoryview(data)[at : at + 33])
    assert h.digest() == ucryptolib.sha256(data)


def test_sha512_is_that_of_our_own():
    for n in (0, 3, 111, 112, 300):
        assert ucryptolib.sha512(bytes(n)) == sha512.sha512(bytes(n))


def test_verification_answers_as_the_vectors_say_at_once_and_in_slices():
    for name in ("rfc8032", "speccheck", "wycheproof", "strict"):
        for case in load(name):
            args = [unhexlify(case[k]) for k in ("key", "signature", "message")]
            assert ucryptolib.ed25519_verify(*args) is case["ok"], (name, case["name"])
            v = ucryptolib.ed25519_verifier(*args)
            while v.step(50):
                assert not v.ok
            assert v.ok is case["ok"], (name, case["name"])


def test_backend_says_what_does_the_work():
    assert ucryptolib.SHA512 in ("hashlib", "python")
    text = ucryptolib.backend()
    assert "sha512 " + ucryptolib.SHA512 in text and "ed25519 python" in text
