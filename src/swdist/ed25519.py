"""Ed25519 verification (RFC 8032, section 5.1.7) under the strict rules of docs/protocol.md.

Integers only. Not constant-time, and it need not be: all it works on is public.
"""

from swdist import sha512

P = (1 << 255) - 19
L = (1 << 252) + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
_SQRT_M1 = pow(2, (P - 1) // 4, P)
# The y of the points of order 1, 2, 4 and 8.
_Y8 = 0x5FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL = (1, P - 1, 0, _Y8, P - _Y8)
_LOW = (1 << 255) - 1


def well_formed(public_key, signature):
    """The rules that need no arithmetic: lengths, S below the group order, A and R with a canonical
    y and not of small order. (With y = 1 and -1 go the points where x = 0 could have a sign.)"""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    for data in (public_key, signature[:32]):
        y = int.from_bytes(data, "little") & _LOW
        if y >= P or y in _SMALL:
            return False
    return int.from_bytes(signature[32:], "little") < L


def _decode_x(y, odd):
    """The x of a point (RFC 8032, section 5.1.3), or None if there is none."""
    u = y * y - 1
    v = D * y * y + 1
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x - u) % P:
        x = x * _SQRT_M1 % P
        if (v * x * x - u) % P:
            return None
    return P - x if x & 1 != odd else x


# The base point B: y is 4/5.
_BY = int.from_bytes(b"\x58" + b"\x66" * 31, "little")
_BX = _decode_x(_BY, 0)


def _addend(x, y, z, t):
    """A point as the sum in _check takes it (Hisil et al. 2008, extended coordinates)."""
    return ((y - x) % P, (y + x) % P, 2 * D * t % P, 2 * z % P)


def _check(public_key, signature, message, digest):
    """Is [S]B - [k]A = R? Both multiples at once, bit by bit (Straus). A generator: it yields the
    cost of what it has just done, in bits (some 20 us on a PC, 2 to 4 ms on a 200 MHz router)."""
    data = signature[:32] + public_key + bytes(message)
    if digest is None:
        k = yield from sha512.slices(data)
    else:
        k = digest(data)
    k = int.from_bytes(k, "little") % L
    s = int.from_bytes(signature[32:], "little")
    y = int.from_bytes(public_key, "little")
    x = _decode_x(y & _LOW, y >> 255)
    yield 24
    if x is None:
        return False
    x = P - x  # -A
    y &= _LOW
    t = D * x * y * _BX * _BY % P
    e, f, g, h = _BX * y + x * _BY, 1 - t, 1 + t, _BY * y + _BX * x  # B - A
    table = (
        None,
        _addend(_BX, _BY, 1, _BX * _BY),
        _addend(x, y, 1, x * y),
        _addend(e * f % P, g * h % P, f * g % P, e * h % P),
    )
    x, y, z = 0, 1, 1
    for bit in range(252, -1, -1):
        a = x * x % P
        b = y * y % P
        e = x + y
        h = a + b
        e = (h - e * e) % P
        g = a - b
        f = 2 * z * z % P + g
        x = e * f % P
        y = g * h % P
        z = f * g % P
        q = table[(s >> bit & 1) + (k >> bit & 1) * 2]
        if q:
            a = (y - x) * q[0] % P
            b = (y + x) * q[1] % P
            c = e * h % P * q[2] % P
            d = z * q[3] % P
            e, f, g, h = b - a, d - c, d + c, b + a
            x = e * f % P
            y = g * h % P
            z = f * g % P
        yield 1
    r = int.from_bytes(signature[:32], "little")
    if (y - (r & _LOW) * z) % P:
        return False
    return x * pow(z, P - 2, P) % P & 1 == r >> 255


class Verifier:
    """One check in slices, so that a slow machine does other things between them.

    public_key: 32 bytes; signature: 64; both, and the message, may be any bytes-like object, which
    is not kept. digest: a fast SHA-512 function; without one, our own is used, in slices too.
    """

    def __init__(self, public_key, signature, message, digest=None):
        self.ok = False
        self._work = ()
        public_key, signature = bytes(public_key), bytes(signature)
        if well_formed(public_key, signature):
            self._work = self._run(_check(public_key, signature, message, digest))

    def _run(self, check):
        self.ok = yield from check

    def step(self, n=16):
        """Works for about n units (2 to 4 ms each on a 200 MHz router; a slice may take 24 more).
        True while there is more to do; then .ok tells."""
        for cost in self._work:
            n -= cost
            if n <= 0:
                return True
        return False


def verify(public_key, signature, message, digest=None):
    """True if the signature is good. Never raises on bytes of any length."""
    v = Verifier(public_key, signature, message, digest)
    while v.step(1000):
        pass
    return v.ok
