"""Ed25519: the RFC's and other projects' vectors, strictness, and what goes on meanwhile."""

import json
from binascii import unhexlify

from swdist.crypto import ed25519, sha512

FILES = ("rfc8032", "speccheck", "wycheproof", "strict")


def load(name):
    at = __file__.rfind("/")
    folder = __file__[: at + 1] if at >= 0 else ""
    with open(folder + "../vectors/ed25519/" + name + ".json") as f:
        cases = json.load(f)["cases"]
    fields = ("key", "signature", "message")
    return [[c["name"]] + [unhexlify(c[x]) for x in fields] + [c["ok"]] for c in cases]


def rfc(n):
    """Key, signature, message of the RFC's n-th vector."""
    return load("rfc8032")[n][1:4]


def flip(data, bit):
    bad = bytearray(data)
    bad[bit // 8] ^= 1 << bit % 8
    return bytes(bad)


def test_vectors_get_the_answer_they_say():
    for name in FILES:
        good = 0
        for what, key, signature, message, ok in load(name):
            assert ed25519.verify(key, signature, message) is ok, (name, what)
            good += ok
        assert good, name  # each file has signatures that are accepted, too


def test_cheap_rules_alone_refuse_small_order_s_out_of_range_and_bad_lengths():
    # Without them the equation holds in these cases, so nothing else would refuse them.
    seen = 0
    for what, key, signature, _, ok in load("strict"):
        formal = "small order" in what or "neutral" in what or "canonical" in what or " L" in what
        assert ed25519.well_formed(key, signature) is not formal, what
        seen += formal
        assert not (ok and formal)
    assert seen > 40


def test_each_flipped_bit_is_refused():
    key, signature, message = rfc(2)
    for bit in range(0, 512, 5):
        assert not ed25519.verify(key, flip(signature, bit), message), bit
    for bit in range(0, 256, 5):
        assert not ed25519.verify(flip(key, bit), signature, message), bit
    for bit in range(16):
        assert not ed25519.verify(key, signature, flip(message, bit)), bit
    assert ed25519.verify(key, signature, message)


def test_longer_shorter_and_swapped_inputs_are_refused():
    key, signature, message = rfc(1)
    for changed in (b"", message + b"\0", b"\0" + message, message + message):
        assert not ed25519.verify(key, signature, changed)
    for n in (0, 1, 31, 33, 64):
        assert not ed25519.verify((key * 2)[:n], signature, message)
    for n in (0, 1, 32, 63, 65, 128):
        assert not ed25519.verify(key, (signature * 2)[:n], message)
    assert not ed25519.verify(rfc(0)[0], signature, message)
    assert not ed25519.verify(key, signature[32:] + signature[:32], message)


def test_key_can_take_no_byte_from_the_message():
    # SHA-512 runs over R, A and M without borders between them.
    for what, key, signature, message, _ in load("wycheproof"):
        if what.startswith("tcId 76:"):  # of twelve zero bytes
            assert ed25519.verify(key, signature, message)
            assert not ed25519.verify(key + message[:1], signature, message[1:])


def test_scalars_up_to_the_group_order_count_in_full():
    # Bit 252 of S and k is hardly ever set: here a digest of our own makes it so, with A = B.
    b = ed25519._BY.to_bytes(32, "little")
    last = (ed25519.L - 1).to_bytes(32, "little")
    minus_b = flip(b, 255)
    assert ed25519.verify(b, minus_b + last, b"", lambda data: bytes(64))
    assert not ed25519.verify(b, b + last, b"", lambda data: bytes(64))
    assert ed25519.verify(b, b + bytes(32), b"", lambda data: last)
    assert not ed25519.verify(b, minus_b + bytes(32), b"", lambda data: last)


def test_y_without_a_point_has_no_x():
    found = 0
    for y in range(2, 40):
        x = ed25519._decode_x(y, 1)
        found += x is not None
        right = ed25519.D * y * y + 1
        assert x is None or (x & 1 and (x * x * right - y * y + 1) % ed25519.P == 0), y
    assert 10 < found < 30
    assert ed25519._decode_x(2, 0) is None


def test_any_bytes_of_any_form_never_raise():
    state = 7
    for n in range(60):
        block = bytearray(96)
        for i in range(96):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            block[i] = state >> 16 & 0xFF
        block[63] &= 0x0F if n % 2 else 0xFF
        assert not ed25519.verify(block[64:], block[:64], block)
    assert not ed25519.verify(b"\xff" * 32, b"\xff" * 64, b"")
    assert not ed25519.verify(b"", b"", b"")


def test_bytes_like_inputs_are_taken_and_not_looked_at_again():
    key, signature, message = [bytearray(x) for x in rfc(3)]
    assert ed25519.verify(memoryview(key), memoryview(signature), memoryview(message))

    def overwrite():
        for buf in (key, signature, message):
            for i in range(len(buf)):
                buf[i] = 0xA5

    assert ed25519.verify(key, signature, message, None, overwrite)
    assert key == bytes([0xA5]) * 32


def test_something_else_is_done_all_along_and_the_answer_is_the_same():
    key, signature, message = rfc(3)  # 1,023 bytes: 9 blocks of SHA-512
    for good in (True, False):
        called = []
        given = signature if good else flip(signature, 77)
        note = called.append
        assert ed25519.verify(key, given, message, None, lambda note=note: note(1)) is good
        assert len(called) == 9 + 32


def test_forgeries_of_the_form_cost_nothing():
    key, signature, message = rfc(2)
    called = []
    bad = signature[:63] + b"\xff"
    assert not ed25519.verify(key, bad, message, None, lambda: called.append(1))
    assert not called


def test_digits_are_those_of_the_number_and_far_apart():
    for n in (0, 1, 7, 8, 9, 15, 16, 255, 2**252, 2**253 - 1, ed25519.L - 1, 5**108):
        digits = ed25519._digits(n)
        assert sum([d << i for i, d in enumerate(digits)]) == n
        for i, d in enumerate(digits):
            assert d in (-7, -5, -3, -1, 0, 1, 3, 5, 7)
            assert not d or not any(digits[i + 1 : i + 4]), n
        assert not any(digits[254:])


def test_products_inverses_and_powers_are_right_at_the_borders():
    p = ed25519.P
    for x in (0, 1, 2, p - 1, p, p + 1, 2 * p, 2**255, 2**263 - 1, -(2**262), 3**160):
        for y in (0, 1, p - 1, 2**263 - 1, -(2**263)):
            assert ed25519._mul(x, y) == x * y % p, (x, y)
    for x in (1, 2, 5, 2**200 + 1, p - 1):
        assert x * ed25519._inverse(x) % p == 1
        assert ed25519._power(x) == pow(x, 2**252 - 3, p)


def test_given_digest_is_the_one_that_is_used():
    key, signature, message = rfc(2)
    asked = []

    def digest(data):
        asked.append(bytes(data))
        return sha512.sha512(data)

    assert ed25519.verify(key, signature, message, digest)
    assert asked == [signature[:32] + key + message]
    assert not ed25519.verify(key, signature, message, lambda data: bytes(64))


def test_constants_are_those_of_rfc_8032():
    p = ed25519.P
    assert p == 2**255 - 19
    assert ed25519.L == 2**252 + 0x14DEF9DEA2F79CD65812631A5CF5D3ED
    assert ed25519.D == int(
        "37095705934669439343138083508754565189542113879843219016388785533085940283555"
    )
    x = int("15112221349535400772501151409588531511454012693041857206046113283949847762202")
    y = int("46316835694926478169428394003475163141307993866256225615783033603165251855960")
    assert (ed25519._BX, ed25519._BY) == (x, y)
    assert (5 * y - 4) % p == 0
    # The eighth-order y: doubled, such a point has y = 0, so x**2 = -y**2 on the curve.
    y8 = ed25519._Y8
    assert (-y8 * y8 * (1 + ed25519.D * y8 * y8) - (y8 * y8 - 1)) % p == 0
