"""What a neighbour says that steps, and who else may have said it in its name."""

from . import wire
from .clock import Clock, S

STATE = wire.State(True, False, False, False, False)
PERIOD_US = 16 * S


def beacon(offset_us, now_us, rate_ppb=0):
    return wire.Beacon(
        b"neighbor", now_us, offset_us, 0, rate_ppb, (1, 0, 0), 0, STATE, 0, bytes(4), {}, None
    )


def heard(said, cold=False):
    """The offset and the rate that count after each of what comes in periods of 16 s."""
    clock = Clock(0, 0)
    clock.first_us, found = 0, []
    for i, (offset_us, rate_ppb) in enumerate(said):
        now_us = i * PERIOD_US + (0 if cold else 3600 * S)
        clock.hear("key", beacon(offset_us, now_us, rate_ppb), b"ourselves", now_us)
        found.append((clock.neighbours["key"].offset_us, clock.neighbours["key"].rate_ppb))
    return found


def test_step_counts_when_the_neighbour_has_not_said_otherwise_for_32_s():
    near, far = (1000, 7), (600 * S, 9)
    assert heard([near, far, far, far]) == [near, near, far, far]
    assert heard([near, far, near, far, near, far]) == [near] * 6
    assert heard([near, (2000, 8), (61000, 8)]) == [near, (2000, 8), (61000, 8)]


def test_step_counts_at_once_at_a_cold_boot():
    near, far = (1000, 7), (600 * S, 9)
    assert heard([near, far, near], cold=True) == [near, far, near]
