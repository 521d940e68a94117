"""Ed25519 by what the system has: libsodium through ffi, or usign (or signify) as a program.

Each is tried on known signatures first. What it may answer is bounded by the strict rules that
`ucryptolib` applies before it asks (docs/decisions/0002-crypto.md).
"""

from binascii import a2b_base64, b2a_base64

from swdist.shell import libc, platform

_LIBRARIES = ("libsodium.so.26", "libsodium.so.23")
_PROGRAMS = ("usign", "signify-openbsd", "signify")
_ID = bytes(8)  # key id: keys are told apart before we come in
_TIMEOUT_S = 60
# Over 46 zero bytes, which usign before 2019-08 gets wrong: a good signature, and one that holds
# only times the cofactor (tests/vectors/ed25519/make_strict.py).
KNOWN_KEY = a2b_base64(b"G6dLdm0lvz1VfAd7l8idQ8jshCDq2id5SQ7l4mAizY4=")
KNOWN = a2b_base64(
    b"MW9+cOBGwE5I1cJ8DeqgzcHxGk7twLFTc7cShQga+sTnVNHiS9EAF1+LgAuCBYST2KCuQwJuZFLq0rFRvdCRCQ=="
)
COFACTORED = a2b_base64(
    b"FpX6VGnpHOPMrI+Zl0zr1S9fpUbKAT55F7ywWKkAvuk6OTvIy7A5HGH2f1panR28q/5P1JCkuXW1c5HRmfTlBg=="
)


def sodium():
    """(name, verify) of a libsodium, or (None, None)."""
    for name in _LIBRARIES:
        library = libc.library(name)
        if library is not None:
            verify = _sodium(library)
            if right(verify):
                return name, verify
    return None, None


def _sodium(library):
    call = library.func("i", "crypto_sign_verify_detached", "PPQP")
    return lambda key, signature, message: call(signature, message, len(message), key) == 0


def _program(name, fs, folder):
    """Its files are in `folder`, which nobody else may write."""
    path = folder + "/ed25519"

    def verify(key, signature, message):
        for end, data in ((".msg", None), (".pub", key), (".sig", signature)):
            with fs.open(path + end, "wb") as f:
                if data is None:
                    f.write(message)
                else:
                    f.write(b"untrusted comment: swdist\n" + b2a_base64(b"Ed" + _ID + data))
        words = (name, "-V", "-q", "-p", path + ".pub", "-x", path + ".sig", "-m", path + ".msg")
        return platform.run(words, _TIMEOUT_S, True) == 0

    return verify


def right(verify):
    try:
        refused = (KNOWN, bytes(47)), (COFACTORED, bytes(46))
        good = verify(KNOWN_KEY, KNOWN, bytes(46))
        return good and not any(verify(KNOWN_KEY, *what) for what in refused)
    except OSError:
        return False


def program(fs, folder):
    """(name, verify) of an installed program, or (None, None)."""
    for name in _PROGRAMS:
        verify = _program(name, fs, folder)
        if right(verify):
            return name, verify
    return None, None


def find(fs, folder):
    """(name, verify) of what is there and works, or (None, None)."""
    found = sodium()
    return found if found[1] is not None else program(fs, folder)
