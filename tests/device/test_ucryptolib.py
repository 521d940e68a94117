"""The one door to cryptography answers alike on every runtime."""

import json
from binascii import hexlify, unhexlify

from swdist.crypto import sha512, ucryptolib
from swdist.shell import libc, native, platform


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


def test_sha512_is_that_of_our_own():
    for n in (0, 3, 111, 112, 300):
        assert ucryptolib.sha512(bytes(n)) == sha512.sha512(bytes(n))


def answers_are_right():
    count = 0
    for name in ("rfc8032", "speccheck", "wycheproof", "strict"):
        for case in load(name):
            args = [unhexlify(case[k]) for k in ("key", "signature", "message")]
            assert ucryptolib.ed25519_verify(*args) is case["ok"], (name, case["name"])
            count += 1
    assert count > 100


def test_verification_answers_as_the_vectors_say():
    assert ucryptolib.backend().endswith("ed25519 python")
    answers_are_right()


def with_native(name, verify):
    try:
        ucryptolib.use(name, verify)
        assert ucryptolib.backend().endswith("ed25519 " + name)
        answers_are_right()
    finally:
        ucryptolib.use(None, None)


def test_libsodium_through_ffi_answers_alike():
    name, verify = native.sodium()
    assert (verify is None) == (libc.ffi is None)  # tools/setup.sh installs it
    if verify is not None:
        with_native(name, verify)


def test_program_that_verifies_answers_alike():
    folder = "/tmp/swdist-test-" + str(hexlify(platform.rand_bytes(8)), "ascii")
    fs = platform.Fs()
    fs.mkdirs(folder)
    try:
        name, verify = native.program(fs, folder)
        assert name == "signify-openbsd"
        with_native(name, verify)
    finally:
        fs.rmtree(folder)


def test_backend_that_is_wrong_about_a_known_signature_is_not_used():
    key, signature = native.KNOWN_KEY, native.KNOWN
    for case, want in zip(load("strict")[-2:], (signature, native.COFACTORED)):
        assert [unhexlify(case[k]) for k in ("key", "signature")] == [key, want]
    assert ucryptolib.ed25519_verify(key, signature, bytes(46))
    assert native.right(ucryptolib.ed25519_verify)
    assert not native.right(lambda key, signature, message: True)
    assert not native.right(lambda key, signature, message: len(message) % 128 not in (46, 47))
    assert not native.right(
        lambda *what: what[1:] == (native.COFACTORED, bytes(46)) or ucryptolib.ed25519_verify(*what)
    )

    def broken(key, signature, message):
        raise OSError(28)

    assert not native.right(broken)


def test_sha512_says_what_does_the_work():
    assert ucryptolib.SHA512 in ("hashlib", "python")
    assert "sha512 " + ucryptolib.SHA512 in ucryptolib.backend()


def test_garbage_is_collected_less_often_during_a_check_and_as_before_after_it():
    threshold = ucryptolib._collect_each  # None on CPython, which counts otherwise
    before = threshold()
    during = []
    ucryptolib.meanwhile = lambda: during.append(threshold())
    try:
        assert ucryptolib.ed25519_verify(native.KNOWN_KEY, native.KNOWN, bytes(46))
        assert threshold() == before
        assert len(during) >= 32
        assert before is None or set(during) == {393216}
    finally:
        ucryptolib.meanwhile = None
