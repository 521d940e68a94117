"""Every harness of fuzz/targets.py on bytes without sense, and on good inputs with a few edits.
The harnesses say what must hold."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fuzz.seeds import seeds
from fuzz.targets import TARGETS

from .common import quick

SEEDS = seeds()
EDITS = st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 5), st.binary(max_size=4)))


def edited(data, edits):
    for at, drop, insert in edits:
        at %= len(data) + 1
        drop = len(insert) if drop == 5 else drop  # of the same length: nothing moves
        data = data[:at] + insert + data[at + drop :]
    return data


@pytest.mark.parametrize("name", TARGETS)
def test_bytes_without_sense(name):
    @quick
    @given(st.binary(max_size=300))
    @example(b"")
    def anything(data):
        TARGETS[name](data)

    anything()


@pytest.mark.parametrize("name", TARGETS)
def test_good_input_with_edits(name):
    @quick
    @given(st.sampled_from(SEEDS[name]), EDITS)
    def almost_good(data, edits):
        TARGETS[name](edited(data, edits))

    almost_good()
