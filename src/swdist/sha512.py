"""SHA-512 (FIPS 180-4) for runtimes whose hashlib lacks it."""

from struct import pack, unpack_from

_M = 0xFFFFFFFFFFFFFFFF


def _primes(n):
    found = []
    p = 2
    while len(found) < n:
        if all([p % q for q in found]):
            found.append(p)
        p += 1
    return found


def _root(x, power):
    """The integer power-th root of x, below 2**68 (Newton's, from above)."""
    root = 1 << 68
    while True:
        y = ((power - 1) * root + x // root ** (power - 1)) // power
        if y >= root:
            return root
        root = y


# Section 4.2.3 and 5.3.5: the first 64 bits of the fractional parts of roots of the first primes.
_K = [_root(p << 192, 3) & _M for p in _primes(80)]
_H = [_root(p << 128, 2) & _M for p in _primes(8)]


def sha512(data):
    """The 64-byte digest of a bytes-like object. Allocates no more than a few blocks at a time."""
    work = slices(data)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def slices(data):
    """The same as a generator: yields after each block of 128 bytes, and returns the digest.
    What it yields is the cost, in the units of ed25519.Verifier."""
    n = len(data)
    tail = bytes(data[n - n % 128 :]) + b"\x80"
    tail += bytes(-(len(tail) + 16) % 128) + pack("!QQ", 0, n * 8)
    h = _H[:]
    w = [0] * 80
    for at in range(0, n - n % 128, 128):
        _block(h, w, data, at)
        yield 20
    for at in range(0, len(tail), 128):
        _block(h, w, tail, at)
        yield 20
    return pack("!8Q", *h)


def _block(h, w, data, at):
    """Section 6.4.2. A word beside itself (x | x << 64) makes each rotation one shift."""
    m = _M
    w[:16] = unpack_from("!16Q", data, at)
    for t in range(16, 80):
        x = w[t - 15]
        y = w[t - 2]
        xx = x | x << 64
        yy = y | y << 64
        w[t] = (
            w[t - 16]
            + ((xx >> 1 ^ xx >> 8) & m ^ x >> 7)
            + w[t - 7]
            + ((yy >> 19 ^ yy >> 61) & m ^ y >> 6)
        ) & m
    a, b, c, d, e, f, g, k = h
    for t in range(80):
        x = e | e << 64
        y = a | a << 64
        x = k + ((x >> 14 ^ x >> 18 ^ x >> 41) & m) + (g ^ e & (f ^ g)) + _K[t] + w[t]
        y = ((y >> 28 ^ y >> 34 ^ y >> 39) & m) + (a & b | c & (a | b))
        k = g
        g = f
        f = e
        e = (d + x) & m
        d = c
        c = b
        b = a
        a = (x + y) & m
    for i, v in enumerate((a, b, c, d, e, f, g, k)):
        h[i] = (h[i] + v) & m
