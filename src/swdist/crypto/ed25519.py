"""Ed25519 verification (RFC 8032, section 5.1.7) under the strict rules of docs/protocol.md.

Integers only. Not constant-time, and it need not be: all it works on is public.
"""

from swdist.crypto import sha512

# pow, since << would be folded into 77 digits each.
P = pow(2, 255) - 19
L = pow(2, 252) + 27742317777372353535851937790883648493
_LOW = P + 18


def _mul(x, y):
    """x * y modulo P. 2**255 is 19, which does half of it: MicroPython divides slowly."""
    z = x * y
    return ((z & _LOW) + 19 * (z >> 255)) % P


def _inverse(z):
    """1 / z (Euclid's)."""
    r, s, t = P, 0, 1
    while z:
        q = r // z
        r, z = z, r - q * z
        s, t = t, s - q * t
    return s


def _power(z):
    """z ** (2**252 - 3). t is z to the power of n ones in binary; 250 is 0b11111010."""
    t = z
    n = 1
    for bit in b"1111010":
        x = t
        for _ in range(n):
            x = _mul(x, x)
        t = _mul(x, t)
        n *= 2
        if bit & 1:
            t = _mul(_mul(t, t), z)
            n += 1
    t = _mul(t, t)
    return _mul(_mul(t, t), z)


D = -121665 * _inverse(121666) % P
_SQRT_M1 = 2 * _power(2) ** 2 % P
# The y of the points of order 1, 2, 4 and 8.
_Y8 = 0x5FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL = (1, P - 1, 0, _Y8, P - _Y8)


def well_formed(public_key, signature):
    """The rules that need no arithmetic: lengths, S below the group order, A and R with a canonical
    y and not of small order. (With y = 1 and -1 go the points where x = 0 could have a sign.)"""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    if not sound(public_key) or not sound(signature[:32]):
        return False
    return int.from_bytes(signature[32:], "little") < L


def sound(point):
    """Is the y of 32 bytes canonical, and not that of a point of small order?"""
    y = int.from_bytes(point, "little") & _LOW
    return y < P and y not in _SMALL


def _decode_x(y, odd):
    """The x of a point (RFC 8032, section 5.1.3), or None if there is none."""
    u = y * y - 1
    v = (D * y * y + 1) % P
    x = u * v**3 % P
    x = x * _power(x * v**4 % P) % P
    if (v * x * x - u) % P:
        x = x * _SQRT_M1 % P
        if (v * x * x - u) % P:
            return None
    return P - x if x & 1 != odd else x


# A point is (x, y, z, e, h): its coordinates are x/z and y/z, and their product is e*h/z (Hisil et
# al. 2008, extended coordinates). An addend is a point as _add takes it.


def _point(e, f, g, h):
    """The point with x = e/g and y = h/f: sums of products of numbers below 2**256, so that the way
    to 2**263 is enough before the next product."""
    m = _LOW
    e = (e & m) + 19 * (e >> 255)
    f = (f & m) + 19 * (f >> 255)
    g = (g & m) + 19 * (g >> 255)
    h = (h & m) + 19 * (h >> 255)
    return _mul(e, f), _mul(g, h), _mul(f, g), e, h


def _double(point):
    x, y, z, _, _ = point
    a = x * x
    b = y * y
    g = a - b
    return _point(-2 * x * y, 2 * z * z + g, g, a + b)


def _add(point, addend):
    x, y, z, e, h = point
    a = (y - x) * addend[0]
    b = (y + x) * addend[1]
    c = _mul(e, h) * addend[2]
    d = z * addend[3]
    return _point(b - a, d - c, d + c, b + a)


def _addend(point):
    x, y, z, e, h = point
    return y - x, y + x, _mul(e, h) * 2 * D % P, 2 * z


def _multiples(x, y):
    """Addends [n]: n times the point for n = 1, 3, 5, 7, and by way of the end -1, -3, -5, -7."""
    found = [None] * 16
    point = x, y, 1, x, y
    twice = _addend(_double(point))
    for n in (1, 3, 5, 7):
        a, b, c, d = found[n] = _addend(point)
        found[-n] = b, a, -c, d
        point = _add(point, twice)
    return found


def _digits(n):
    """n in binary with digits 0, +-1, +-3, +-5, +-7, the lowest first: behind each but 0 are three
    zeros at least."""
    digits = []
    while n:
        if n & 1:
            digit = (n & 15 ^ 8) - 8
            digits += [digit, 0, 0, 0]
            n = n - digit >> 4
        else:
            digits.append(0)
            n >>= 1
    return digits + [0] * (254 - len(digits))


# The base point B: y is 4/5.
_BY = 4 * _inverse(5) % P
_BX = _decode_x(_BY, 0)
_B = _multiples(_BX, _BY)


def verify(public_key, signature, message, digest=None, meanwhile=None):
    """True if the signature (64 bytes) is by this key (32 bytes). Never raises on bytes-like
    objects of any length. digest: a fast SHA-512, if there is one. meanwhile(): called 32 times,
    and by our own SHA-512, so that a slow machine does other things too."""
    public_key, signature = bytes(public_key), bytes(signature)
    if not well_formed(public_key, signature):
        return False
    data = signature[:32] + public_key + bytes(message)
    k = digest(data) if digest else sha512.sha512(data, meanwhile)
    k = _digits(int.from_bytes(k, "little") % L)
    s = _digits(int.from_bytes(signature[32:], "little"))
    y = int.from_bytes(public_key, "little")
    x = _decode_x(y & _LOW, y >> 255)
    if x is None:
        return False
    a = _multiples(P - x, y & _LOW)
    # Is [S]B - [k]A = R? Both multiples at once (Straus).
    point = 0, 1, 1, 0, 1
    for i in range(253, -1, -1):
        if meanwhile and i % 8 == 0:
            meanwhile()
        point = _double(point)
        for addend in (_B[s[i]], a[k[i]]):
            if addend:
                point = _add(point, addend)
    x, y, z, _, _ = point
    r = int.from_bytes(signature[:32], "little")
    if (y - (r & _LOW) * z) % P:
        return False
    return x * _inverse(z) % P & 1 == r >> 255
