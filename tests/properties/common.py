"""The hypothesis profile, and ways to damage a good input."""

from hypothesis import HealthCheck, settings

# The same inputs each time: a failure here is a failure everywhere. Fuzzing finds new ones.
settings.register_profile(
    "swdist",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
quick = settings.get_profile("swdist")


def cut(data):
    """All that a shorter read, or a power cut, may leave of it."""
    return (data[:n] for n in range(len(data)))


def flipped(data, step=1):
    """(the bit's number, data with that bit changed)."""
    for bit in range(0, len(data) * 8, step):
        other = bytearray(data)
        other[bit >> 3] ^= 1 << (bit & 7)
        yield bit, bytes(other)
