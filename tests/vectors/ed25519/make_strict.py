"""Makes strict.json, by slow affine arithmetic that shares nothing with the device code."""

import hashlib
import json
from pathlib import Path

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT = pow(2, (P - 1) // 4, P)  # of -1
ORDERS = (1, 8, 4, 8, 2, 8, 4, 8)  # of the multiples of a point of order 8


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P


def times(n, point):
    total = (0, 1)
    while n:
        if n & 1:
            total = add(total, point)
        point = add(point, point)
        n >>= 1
    return total


def decode(data):
    """Laxly: y is taken modulo P, and the sign of x = 0 is ignored. None if there is no point."""
    y = int.from_bytes(data, "little")
    odd = y >> 255
    y = (y & (2**255 - 1)) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * ROOT % P
    if x * x % P != square:
        return None
    return (-x % P if x & 1 != odd else x), y


def encode(point):
    return scalar(point[1] | (point[0] & 1) << 255)


def scalar(n):
    return n.to_bytes(32, "little")


def challenge(r, key, message):
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L


B = decode(b"\x58" + b"\x66" * 31)
T = decode(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"))
TORSION = [times(i, T) for i in range(8)]
SECRET = int.from_bytes(hashlib.sha512(b"swdist").digest(), "little") % L
A = times(SECRET, B)
KEY = encode(A)

cases = []


def case(name, key, message, signature, ok=False):
    hexes = {"key": key.hex(), "message": message.hex(), "signature": signature.hex()}
    cases.append({"name": name, **hexes, "ok": ok})


def holds(r, key, s, k):
    return times(s, B) == add(r, times(k, key))


def messages():
    return (b"message %d" % n for n in range(1000))


def sign(r, message, key=KEY):
    big_r = encode(times(r, B))
    return big_r + scalar((r + challenge(big_r, key, message) * SECRET) % L)


def small_order():
    """(what, bytes, point): the 14 encodings that a lax decoder takes for points of small order."""
    for order, point in zip(ORDERS, TORSION, strict=True):
        yield f"order {order}", encode(point), point
    for text in ("01" + 30 * "00" + "80", "ec" + 31 * "ff"):
        yield "not canonical, x = 0 with a sign", bytes.fromhex(text), None
    for y in (P, P + 1):
        for sign_bit in (0, 1 << 255):
            yield "not canonical, y = p or p + 1", scalar(y | sign_bit), None


for what, data, point in small_order():
    point = point or decode(data)
    # As a key it has signatures by nobody.
    r = 123456789
    big_r = encode(times(r, B))
    for message in messages():
        if holds(times(r, B), point, r, challenge(big_r, data, message)):
            break
    case(f"A of small order, the equation holds: {what}", data, message, big_r + scalar(r))
    # As R it serves the owner of a key of mixed order.
    mixed = add(A, T)
    for message in messages():
        k = challenge(data, encode(mixed), message)
        s = k * SECRET % L
        if holds(point, mixed, s, k):
            break
    case(f"R of small order, the equation holds: {what}", encode(mixed), message, data + scalar(s))

neutral = encode((0, 1))
s = challenge(neutral, KEY, b"m") * SECRET % L
case("R is the neutral point, by the key's owner", KEY, b"m", neutral + scalar(s))

good = sign(987654321, b"m")
s = int.from_bytes(good[32:], "little")
case("honest", KEY, b"m", good, ok=True)
for j in (1, 2, 4, 8, 14):
    case(f"S + {j} L", KEY, b"m", good[:32] + scalar(s + j * L))
for y in range(2, 19):
    if decode(scalar(P + y)):
        case(f"A not canonical: y = p + {y}", scalar(P + y), b"m", good)
        case(f"R not canonical: y = p + {y}", KEY, b"m", scalar(P + y) + good[32:])
for y in [y for y in range(2, 40) if not decode(scalar(y))][:3]:
    case(f"A not on the curve: y = {y}", scalar(y), b"m", good)
    case(f"R not on the curve: y = {y}", KEY, b"m", scalar(y) + good[32:])
case("R negated", KEY, b"m", good[:31] + bytes([good[31] ^ 0x80]) + good[32:])
case("A negated", KEY[:31] + bytes([KEY[31] ^ 0x80]), b"m", good)

# A key of mixed order is legal where the equation holds, without the cofactor.
for i in range(1, 8):
    mixed = add(A, TORSION[i])
    missing = {True, False}
    for message in messages():
        signature = sign(55555 + i, message, encode(mixed))
        k = challenge(signature[:32], encode(mixed), message)
        ok = holds(times(55555 + i, B), mixed, int.from_bytes(signature[32:], "little"), k)
        if ok in missing:
            missing.remove(ok)
            what = "holds" if ok else "holds only times the cofactor"
            name = f"A of mixed order (times {ORDERS[i]}): {what}"
            case(name, encode(mixed), message, signature, ok)
        if not missing:
            break

# By these two a node tells before it asks a library whether that checks with the cofactor.
case("honest, over 46 zero bytes", KEY, bytes(46), sign(271828, bytes(46)), ok=True)
big_r = encode(add(times(314159, B), T))
s = 314159 + challenge(big_r, KEY, bytes(46)) * SECRET
big_k = times(challenge(big_r, KEY, bytes(46)), A)
assert times(8 * s, B) == times(8, add(decode(big_r), big_k)), "no library would be told apart"
case("R of mixed order: holds only times the cofactor", KEY, bytes(46), big_r + scalar(s % L))

source = "made for this project by make_strict.py, apart from the device code"
text = json.dumps({"source": source, "cases": cases}, indent=1)
(Path(__file__).parent / "strict.json").write_text(text + "\n")
