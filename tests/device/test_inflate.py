"""Packed chunks, on what each runtime has: exact, or refused."""

from binascii import unhexlify
from struct import pack

from made import LETTERS, ZEROS

from swdist.formats.inflate import inflate, window_bits


def out(view, size):
    """What comes out, or None; and the byte behind it, which nobody may touch."""
    room = bytearray(size + 1)
    room[size] = 0x5A
    good = inflate(memoryview(view), memoryview(room)[:size])
    assert room[size] == 0x5A
    return bytes(room[:size]) if good else None


def stored_block(data, last=1):
    return bytes([last]) + pack("<HH", len(data), len(data) ^ 0xFFFF) + data


def test_what_was_packed_comes_out():
    assert out(ZEROS, 4096) == bytes(4096)
    assert out(LETTERS, 65536) == b"a" * 65536
    assert out(stored_block(b"hello"), 5) == b"hello"
    assert out(stored_block(b"hel", 0) + stored_block(b"lo"), 5) == b"hello"
    assert out(bytes([0x4B, 0x04, 0x00]), 1) == b"a"  # of fixed codes


def test_one_byte_more_or_fewer_than_the_entry_says_is_refused():
    for packed, size in ((ZEROS, 4096), (LETTERS, 65536), (stored_block(b"hello"), 5)):
        for wrong in (size - 1, size + 1, 1, 2 * size):
            if wrong <= 65536:
                assert out(packed, wrong) is None, (size, wrong)


def test_what_ends_early_is_refused_at_each_length():
    for packed, size in ((ZEROS, 4096), (LETTERS, 65536), (stored_block(b"hello"), 5)):
        for n in range(len(packed)):
            assert out(packed[:n], size) is None, (size, n)


def test_what_follows_the_end_is_refused():
    for packed, size in ((ZEROS, 4096), (LETTERS, 65536), (stored_block(b"hello"), 5)):
        for more in (b"\0", b"x", bytes(100), packed):
            assert out(packed + more, size) is None, (size, more[:1])


def test_what_never_ends_is_refused():
    blocks = b"".join([stored_block(b"abc", 0)] * 100)
    for size in (1, 3, 299, 300, 301, 4096):
        assert out(blocks, size) is None, size
    assert out(stored_block(b"", 0) * 1000, 5) is None


def test_garbage_is_refused():
    for size in (1, 100, 65536):
        for data in (b"", b"\xff" * 50, b"\x07", b"\x06" + bytes(9), bytes(50), bytes(range(256))):
            assert out(data, size) is None, (size, data[:2])
    seed = 1
    for n in range(200):
        data = bytearray(ZEROS)
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        data[(seed >> 8) % len(data)] ^= 1 << (seed >> 20) % 8
        found = out(data, 4096)
        assert found is None or len(found) == 4096, n


def test_distance_beyond_what_has_come_is_refused():
    # Fixed codes: the letter a, then three bytes from 4 before.
    assert out(unhexlify("4b04620000"), 4) is None


def test_window_is_the_smallest_that_holds_the_chunk_and_at_most_32_kib():
    for size, bits in (
        (1, 8), (256, 8), (257, 9), (512, 9), (513, 10), (4096, 12), (4097, 13),
        (32768, 15), (32769, 15), (65536, 15),
    ):  # fmt: skip
        assert window_bits(size) == bits, size


def repeat(data):
    """A chunk that is `data`, 258 bytes or more, and its first 258 bytes once more, packed by hand:
    a stored block, and one of fixed codes with a match of the greatest length."""
    distance = len(data)
    code, extra = 0, 0
    base = 1
    while True:
        extra = max(code // 2 - 1, 0)
        if distance < base + (1 << extra):
            break
        base += 1 << extra
        code += 1
    bits = [1, 1, 0]  # last block, fixed codes (01, low bit first)
    bits += [int(b) for b in "11000101"]  # 285: length 258
    bits += [code >> (4 - i) & 1 for i in range(5)]
    bits += [(distance - base) >> i & 1 for i in range(extra)]
    bits += [0] * 7  # end of block
    bits += [0] * (-len(bits) % 8)
    tail = bytes([sum([bits[8 * i + j] << j for j in range(8)]) for i in range(len(bits) // 8)])
    return stored_block(data, 0) + tail


def test_repetition_across_a_whole_window_of_each_size():
    for bits in range(9, 16):
        size = 1 << bits
        data = bytes([(i * i >> 3) & 255 for i in range(size - 258)])
        if len(data) < 258:
            data = data + bytes(258 - len(data))
        assert out(repeat(data), len(data) + 258) == data + data[:258], bits
    data = bytes([(i * i >> 3) & 255 for i in range(32768)])
    assert out(repeat(data), 32768 + 258) == data + data[:258]  # the farthest that there is
