"""A chunk as it was before it was packed: raw deflate (RFC 1951) by what the runtime has.

Called only for what the CA has signed: the digest of the packed bytes holds.
"""

try:
    from io import BytesIO
except ImportError:
    from uio import BytesIO

MIN_WINDOW_BITS = 8
MAX_WINDOW_BITS = 15


def window_bits(size):
    """Of the smallest window in which `size` bytes can refer to each other."""
    bits = MIN_WINDOW_BITS
    while bits < MAX_WINDOW_BITS and 1 << bits < size:
        bits += 1
    return bits


def _by_deflate(view, out, deflate):
    """MicroPython from 1.21 on."""
    return _by_stream(BytesIO(view), out, lambda f, bits: deflate.DeflateIO(f, deflate.RAW, bits))


def _by_stream(packed, out, reader):
    f = reader(packed, window_bits(len(out)))
    at = 0
    while at < len(out):
        n = f.readinto(out[at:])
        if not n:
            return False
        at += n
    # Only one byte more shows where the stream ends, and that nothing follows.
    return not f.read(1) and not packed.read(1)


def _by_zlib(view, out, zlib):
    """CPython."""
    stream = zlib.decompressobj(-window_bits(len(out)))
    data = stream.decompress(view, len(out) + 1)
    if len(data) != len(out) or not stream.eof or stream.unused_data:
        return False
    out[:] = data
    return True


def _by_decompio(view, out, zlib):
    """MicroPython up to 1.20."""
    return _by_stream(BytesIO(view), out, lambda f, bits: zlib.DecompIO(f, -bits))


try:
    import zlib as _module  # in MicroPython up to 1.20, and in CPython
except ImportError:
    _module = None
if hasattr(_module, "decompressobj"):
    _inflate = _by_zlib
elif hasattr(_module, "DecompIO"):
    _inflate = _by_decompio
else:
    import deflate as _module

    _inflate = _by_deflate
_FAULTS = (OSError, EOFError, ValueError, getattr(_module, "error", OSError))


def inflate(view, out):
    """True if the packed bytes fill `out`, a memoryview, exactly, and end there."""
    try:
        return _inflate(view, out, _module)
    except _FAULTS:
        return False
