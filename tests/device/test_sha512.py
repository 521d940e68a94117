"""SHA-512 against FIPS 180-4's examples, and against itself in other pieces."""

from binascii import unhexlify

from swdist.crypto.sha512 import sha512

EXAMPLES = (
    (
        b"",
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
        "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    ),
    (
        b"abc",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ),
    (
        b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
        b"hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
        "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
        "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
    ),
    (
        b"a" * 10000,
        "0593036f4f479d2eb8078ca26b1d59321a86bdfcb04cb40043694f1eb0301b8a"
        "cd20b936db3c916ebcc1b609400ffcf3fa8d569d7e39293855668645094baf0e",
    ),
)
# The last of these, and the digest of the digests of 0 to 260 bytes, come from OpenSSL.
ALL_LENGTHS = (
    "915194eeddc617c5bd81bd9009da1a1bb6bf61c658f2cc3fa92d1ad94cac47fb"
    "f727c3ee5746d48a869b163c9493ed26ea7bca0e02dcf87e066dfad0f74abfe7"
)


def test_examples_of_fips_180_4():
    for data, digest in EXAMPLES:
        assert sha512(data) == unhexlify(digest), len(data)


def test_every_length_around_one_and_two_blocks():
    together = b""
    for n in range(261):
        together += sha512(bytes([(7 * i + n) & 0xFF for i in range(n)]))
    assert sha512(together) == unhexlify(ALL_LENGTHS)


def test_any_bytes_like_object_also_inside_another():
    data = bytes([i & 0xFF for i in range(300)])
    want = sha512(data)
    assert sha512(bytearray(data)) == want
    assert sha512(memoryview(b"x" + data + b"y")[1:301]) == want


def test_one_changed_bit_changes_the_digest():
    data = bytearray(200)
    want = sha512(data)
    for bit in range(0, 1600, 37):
        data[bit // 8] ^= 1 << bit % 8
        assert sha512(data) != want, bit
        data[bit // 8] ^= 1 << bit % 8
    assert sha512(data) == want


def test_something_else_is_done_before_each_block():
    for n, blocks in ((0, 1), (111, 1), (112, 2), (128, 2), (239, 2), (240, 3), (4096, 33)):
        called = []
        assert sha512(bytes(n), lambda called=called: called.append(1)) == sha512(bytes(n))
        assert len(called) == blocks, n
