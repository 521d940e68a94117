"""Ed25519 and SHA-512, against the RFC's vectors and for strictness (docs/protocol.md, 2.2)."""

from binascii import unhexlify

from swdist import ed25519, sha512, ucryptolib

# RFC 8032, section 7.1: TEST 1, 2, 3. Public key, message, signature.
RFC = (
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
)
# The eight points of small order, and encodings of them that are not canonical.
SMALL = (
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
)


def test_rfc_8032_signatures_verify():
    for key, message, signature in RFC:
        assert ed25519.verify(unhexlify(key), unhexlify(signature), unhexlify(message))
        assert ucryptolib.ed25519_verify(
            unhexlify(key), unhexlify(signature), unhexlify(message)
        )  # fmt: skip


def test_each_forgery_is_refused():
    key, message, signature = [unhexlify(x) for x in RFC[2]]
    for at in range(0, 512, 17):
        bad = bytearray(signature)
        bad[at // 8] ^= 1 << at % 8
        assert not ed25519.verify(key, bytes(bad), message)
    for at in range(0, 256, 17):
        bad = bytearray(key)
        bad[at // 8] ^= 1 << at % 8
        assert not ed25519.verify(bytes(bad), signature, message)
    assert not ed25519.verify(key, signature, message + b"\0")
    assert not ed25519.verify(key, signature, b"")


def test_malleable_signatures_are_refused():
    key, message, signature = [unhexlify(x) for x in RFC[1]]
    s = int.from_bytes(signature[32:], "little")
    for k in (1, 2, 15):
        more = (s + k * ed25519.L).to_bytes(32, "little")
        assert not ed25519.verify(key, signature[:32] + more, message)


def test_small_order_and_non_canonical_points_are_refused():
    key, message, signature = [unhexlify(x) for x in RFC[0]]
    zero = bytes(32)
    for point in SMALL:
        point = unhexlify(point)
        assert not ed25519.verify(point, point + zero, message)
        assert not ed25519.verify(point, signature, message)
        assert not ed25519.verify(key, point + signature[32:], message)


def test_wrong_lengths_are_refused():
    key, message, signature = [unhexlify(x) for x in RFC[0]]
    for n in (0, 1, 31, 33):
        assert not ed25519.verify((key * 2)[:n], signature, message)
    for n in (0, 1, 63, 65):
        assert not ed25519.verify(key, (signature * 2)[:n], message)


def test_verifier_gives_the_same_answer_in_slices():
    key, message, signature = [unhexlify(x) for x in RFC[2]]
    for bits in (1, 7, 32, 253, 1000):
        v = ed25519.Verifier(key, signature, message, sha512.sha512)
        while v.step(bits):
            assert not v.ok
        assert v.ok


def test_sha512_of_fips_180_4():
    assert sha512.sha512(b"abc") == unhexlify(
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    )
    two = b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
    two += b"ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"
    assert sha512.sha512(two) == unhexlify(
        "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
        "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909"
    )


def test_sha512_agrees_at_the_borders_of_blocks():
    for n in (0, 1, 111, 112, 113, 127, 128, 129, 255, 256):
        data = bytes([i & 0xFF for i in range(n)])
        assert sha512.sha512(data) == ucryptolib.sha512(data)
        assert sha512.sha512(bytearray(data)) == sha512.sha512(data)
