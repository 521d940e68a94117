"""Ed25519 verification (RFC 8032, section 5.1.7) under the strict rules of docs/protocol.md.

Integers only. Not constant-time, and it need not be: all it works on is public.
"""

P = (1 << 255) - 19
L = (1 << 252) + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
_SQRT_M1 = pow(2, (P - 1) // 4, P)

# Extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, x*y = T/Z (Hisil et al. 2008).
_BY = 4 * pow(5, P - 2, P) % P
_ZERO = (0, 1, 1, 0)


def _add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _double(p):
    a = p[0] * p[0] % P
    b = p[1] * p[1] % P
    h = a + b
    e = h - (p[0] + p[1]) * (p[0] + p[1]) % P
    g = a - b
    f = 2 * p[2] * p[2] % P + g
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _decode(data):
    """The point of 32 bytes, or None if they are not its canonical encoding."""
    y = int.from_bytes(data, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    if y >= P:
        return None
    u = y * y - 1
    v = D * y * y + 1
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if (v * x * x - u) % P:
        x = x * _SQRT_M1 % P
        if (v * x * x - u) % P:
            return None
    if x == 0 and sign:
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def _small(p):
    """Is its order 8 or less?"""
    p = _double(_double(_double(p)))
    return p[0] % P == 0 and (p[1] - p[2]) % P == 0


_B = _decode(_BY.to_bytes(32, "little"))


class Verifier:
    """One check in steps, so that a slow machine does other things between them.

    digest: a function for SHA-512. While step() is True there is more to do; then .ok tells.
    """

    def __init__(self, public_key, signature, message, digest):
        self.ok = False
        self._bit = -1
        if len(public_key) != 32 or len(signature) != 64:
            return
        s = int.from_bytes(signature[32:], "little")
        a = _decode(public_key)
        r = _decode(signature[:32])
        if s >= L or a is None or r is None or _small(a) or _small(r):
            return
        k = bytes(signature[:32]) + bytes(public_key) + bytes(message)
        self._k = int.from_bytes(digest(k), "little") % L
        self._s = s
        self._r = r
        minus_a = (P - a[0], a[1], 1, P - a[3])
        self._points = (None, _B, minus_a, _add(_B, minus_a))
        self._sum = _ZERO
        self._bit = 252

    def step(self, bits=32):
        """[S]B - [k]A, both at once (Straus), `bits` bits at a time."""
        if self._bit < 0:
            return False
        total = self._sum
        for bit in range(self._bit, max(self._bit - bits, -1), -1):
            total = _double(total)
            which = (self._s >> bit & 1) | (self._k >> bit & 1) << 1
            if which:
                total = _add(total, self._points[which])
        self._sum = total
        self._bit -= bits
        if self._bit < 0:
            r = self._r
            self.ok = not ((total[0] - r[0] * total[2]) % P or (total[1] - r[1] * total[2]) % P)
        return self._bit >= 0


def verify(public_key, signature, message, digest=None):
    """True if the signature is good. Never raises on bytes of any length."""
    if digest is None:
        from swdist.sha512 import sha512 as digest
    v = Verifier(public_key, signature, message, digest)
    while v.step(253):
        pass
    return v.ok
