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
# At the first digest: who has `usign` needs none, and they leave 0.6 MB behind.
_K = []
_H = []


def sha512(data, meanwhile=None):
    """The 64-byte digest of a bytes-like object. Allocates no more than a few blocks at a time.
    meanwhile(): called before each block of 128 bytes."""
    if not _K:
        _K.extend([_root(p << 192, 3) & _M for p in _primes(80)])
        _H.extend([_root(p << 128, 2) & _M for p in _primes(8)])
    n = len(data)
    tail = bytes(data[n - n % 128 :]) + b"\x80"
    tail += bytes(-(len(tail) + 16) % 128) + pack("!QQ", 0, n * 8)
    h = _H[:]
    w = [0] * 80
    for at in range(0, n - n % 128 + len(tail), 128):
        if meanwhile:
            meanwhile()
        whole = at + 128 <= n
        w[:16] = unpack_from("!16Q", data if whole else tail, at if whole else at + n % 128 - n)
        _block(h, w)
    return pack("!8Q", *h)


def _block(h, w):
    """Section 6.4.2. A word beside itself (x * (1 + 2**64)) makes each rotation one shift. What is
    above 64 bits goes at the end of each sum: a mask costs as much as any other operation."""
    m = _M
    twice = m + 2
    for t in range(16, 80):
        x = w[t - 15]
        y = w[t - 2]
        xx = x * twice
        yy = y * twice
        x = (xx >> 1 ^ xx >> 8 ^ x >> 7) + (yy >> 19 ^ yy >> 61 ^ y >> 6)
        w[t] = w[t - 16] + w[t - 7] + x & m
    a, b, c, d, e, f, g, k = h
    bc = b ^ c
    for x, y in zip(w, _K):
        x += y + k + (g ^ e & (f ^ g))
        y = e * twice
        x += y >> 14 ^ y >> 18 ^ y >> 41
        k = g
        g = f
        f = e
        e = d + x & m
        y = a * twice
        x += y >> 28 ^ y >> 34 ^ y >> 39
        d = c
        c = b
        ab = a ^ b
        x += b ^ ab & bc  # what two of a, b, c say; ab is the next round's bc
        bc = ab
        b = a
        a = x & m
    for i, v in enumerate((a, b, c, d, e, f, g, k)):
        h[i] = (h[i] + v) & m
