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
    """The integer power-th root of x."""
    low, high = 0, 1 << 80
    while high - low > 1:
        mid = (low + high) // 2
        if mid**power <= x:
            low = mid
        else:
            high = mid
    return low


# Section 4.2.3 and 5.3.5: the first 64 bits of the fractional parts of roots of the first primes.
_K = [_root(p << 192, 3) & _M for p in _primes(80)]
_H = [_root(p << 128, 2) & _M for p in _primes(8)]


def sha512(data):
    """The 64-byte digest of a bytes-like object."""
    n = len(data)
    tail = bytes(data[n - n % 128 :]) + b"\x80"
    tail += bytes(-(len(tail) + 16) % 128) + pack("!QQ", 0, n * 8)
    h = _H[:]
    w = [0] * 80
    for at in range(0, n - n % 128, 128):
        _block(h, w, data, at)
    for at in range(0, len(tail), 128):
        _block(h, w, tail, at)
    return pack("!8Q", *h)


def _block(h, w, data, at):
    """Section 6.4.2."""
    w[:16] = unpack_from("!16Q", data, at)
    for t in range(16, 80):
        x = w[t - 15]
        y = w[t - 2]
        w[t] = (
            w[t - 16]
            + ((x >> 1 | x << 63) & _M ^ (x >> 8 | x << 56) & _M ^ x >> 7)
            + w[t - 7]
            + ((y >> 19 | y << 45) & _M ^ (y >> 61 | y << 3) & _M ^ y >> 6)
        ) & _M
    a, b, c, d, e, f, g, k = h
    for t in range(80):
        s = (e >> 14 | e << 50) ^ (e >> 18 | e << 46) ^ (e >> 41 | e << 23)
        one = k + (s & _M) + (e & f ^ ~e & g) + _K[t] + w[t]
        s = (a >> 28 | a << 36) ^ (a >> 34 | a << 30) ^ (a >> 39 | a << 25)
        two = (s & _M) + (a & b ^ a & c ^ b & c)
        k, g, f, e, d, c, b, a = g, f, e, (d + one) & _M, c, b, a, (one + two) & _M
    for i, v in enumerate((a, b, c, d, e, f, g, k)):
        h[i] = (h[i] + v) & _M
