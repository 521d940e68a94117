"""Inputs that once showed what was wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz import targets
from fuzz.given import join
from fuzz.memory import Memory
from fuzz.seeds import data_packet
from swdist.storage.slots import Slots
from swdist.wiring import config

from .common import quick

ONE, TWO = b"\x11" * 32, b"\x22" * 32


def test_failure_is_remembered_beside_a_long_line():
    fs = Memory({"/state/failed": ONE.hex().encode() + b" " + b"x" * 8100 + b"\n"})
    Slots(fs, "/store", "/state").fail(TWO, "why " * 25)
    assert Slots(fs, "/store", "/state").failed() == [ONE, TWO]


def test_reason_of_a_failure_names_no_other_release():
    fs = Memory()
    Slots(fs, "/store", "/state").fail(ONE, "disk: \n" + TWO.hex())
    assert Slots(fs, "/store", "/state").failed() == [ONE]


def test_board_file_of_two_lines_is_refused_in_one_line(capsys):
    files = {
        config.DEFAULT_FILE: b"config swdist\nlist interface a\n",
        config.BOARD_FILE: b"a b\nc\n",
    }
    with pytest.raises(SystemExit):
        config.load([], "netd", Memory(files))
    assert capsys.readouterr().err.count("\n") == 1


def test_last_block_before_kept_ones_is_no_whole_file():
    @quick
    @given(st.integers(0, 1427), st.integers(2, 9))
    def short_block(size, behind):
        oack = b"\0\6blksize\x001428\0windowsize\x0016\0keep\x001\0"
        kept = data_packet(behind, b"x" * 1428)
        messages = [oack, kept, *(data_packet(n, b"x" * 1428) for n in range(1, behind - 1))]
        messages.append(data_packet(behind - 1, b"x" * size))
        targets.download(join([(1 << 5, message) for message in messages]))

    short_block()
