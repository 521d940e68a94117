"""Deflate streams by hand (RFC 1951): no packer's choices, so the same bytes on each machine."""

# Of 65,536 letters a, in one block of Huffman codes of its own.
DYNAMIC = bytes.fromhex("edc181000000008020d6fd2516a90a" + "00" * 63 + "6a")
LENGTHS = [(3 + i, 257 + i, 0) for i in range(8)]  # (least length, code, extra bits)
for _bits in range(1, 6):
    LENGTHS += [(3 + (4 + i << _bits), 261 + 4 * _bits + i, _bits) for i in range(4)]
LENGTHS[-1:] = [(227, 284, 5), (258, 285, 0)]
DISTANCES = [(1 + i, i, 0) for i in range(4)]  # (least distance, code, extra bits)
for _bits in range(1, 14):
    DISTANCES += [(1 + (2 + i << _bits), 2 + 2 * _bits + i, _bits) for i in range(2)]


class Bits:
    """Writes a stream, lowest bit first; codes of Huffman have their highest first."""

    def __init__(self):
        self._value = self._count = 0

    def put(self, value, count):
        self._value |= value << self._count
        self._count += count
        return self

    def code(self, value, count):
        return self.put(int(f"{value:0{count}b}"[::-1], 2), count)

    def bytes(self, spare=0):
        """spare: the bits that fill the last byte up, 0 or 1."""
        fill = -self._count % 8
        value = self._value | ((1 << fill) - 1) * spare << self._count
        return value.to_bytes((self._count + fill) // 8, "little")

    def align(self):
        self._count += -self._count % 8
        return self

    # --- blocks

    def fixed(self, last=True):
        """Begins a block of fixed codes."""
        return self.put(last, 1).put(1, 2)

    def letters(self, data):
        for c in data:
            self._symbol(c)
        return self

    def match(self, length, distance):
        for table, value, symbol in (
            (LENGTHS, length, self._symbol),
            (DISTANCES, distance, lambda code: self.code(code, 5)),
        ):
            least, code, extra = [row for row in table if row[0] <= value][-1]
            symbol(code)
            self.put(value - least, extra)
        return self

    def end(self):
        return self._symbol(256)

    def _symbol(self, n):
        if n < 144:
            return self.code(0x30 + n, 8)
        if n < 256:
            return self.code(0x190 + n - 144, 9)
        return self.code(n - 256, 7) if n < 280 else self.code(0xC0 + n - 280, 8)

    def stored(self, data, last=True, complement=0xFFFF):
        self.put(last, 1).put(0, 2).align()
        self.put(len(data), 16).put(len(data) ^ complement, 16)
        for c in data:
            self.put(c, 8)
        return self


def repeated(letter, size):
    """A stream of so many of one letter."""
    bits = Bits().fixed().letters(letter)
    left = size - 1
    while left:
        n = min(left, 258)
        if 0 < left - n < 3:
            n -= 3
        bits.match(n, 1)
        left -= n
    return bits.end().bytes()
