"""Ed25519 keys and signatures, written from RFC 8032 section 5.1.

Slow and not constant-time: for making test vectors only, never for keys that
matter.
"""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def _recover_x(y, sign):
    """The x of the point with this y whose lowest bit is sign (5.1.3)."""
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert v * x * x % P == u, "not a point of the curve"
    return P - x if x & 1 != sign else x


def _extended(x, y):
    return (x, y, 1, x * y % P)


_BY = 4 * pow(5, P - 2, P) % P
BASE = _extended(_recover_x(_BY, 0), _BY)
NEUTRAL = _extended(0, 1)


def _add(a, b):
    """Point addition in extended homogeneous coordinates (5.1.4)."""
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    p, q = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = q - p, d - c, d + c, q + p
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _multiply(n, point):
    result = NEUTRAL
    while n:
        if n & 1:
            result = _add(result, point)
        point = _add(point, point)
        n >>= 1
    return result


def _encode(point):
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _expand(seed):
    h = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(h[:32], "little") & ((1 << 254) - 8) | 1 << 254
    return scalar, h[32:]


def public_key(seed):
    """The 32-byte public key of a 32-byte seed (5.1.5)."""
    return _encode(_multiply(_expand(seed)[0], BASE))


def sign(seed, message):
    """The 64-byte signature of message under the key of seed (5.1.6)."""
    scalar, prefix = _expand(seed)
    public = _encode(_multiply(scalar, BASE))

    def modl(*parts):
        return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L

    r = modl(prefix, message)
    point = _encode(_multiply(r, BASE))
    s = (r + modl(point, public, message) * scalar) % L
    return point + s.to_bytes(32, "little")
