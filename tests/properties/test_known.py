"""Inputs that show what is wrong and not yet mended. Whoever mends it takes the mark away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz import targets
from fuzz.given import join
from fuzz.memory import Memory
from fuzz.seeds import data_packet
from swdist import config, ipc
from swdist.slots import Slots

from .common import quick

ONE, TWO, THREE = b"\x11" * 32, b"\x22" * 32, b"\x33" * 32


@pytest.mark.xfail(strict=True, reason="ipc.MAX_BYTES, which nobody uses, is too small")
def test_longest_message_between_the_processes_is_of_its_maximum():
    assert len(ipc.pack_active(ONE, (1, 2, 3), 4, True, [TWO] * ipc.MAX_FAILED)) <= ipc.MAX_BYTES


@pytest.mark.xfail(
    strict=True, reason="a spoilt long line is kept whole: then the file is too long"
)
def test_failure_is_remembered_beside_a_long_line():
    fs = Memory({"/state/failed": ONE.hex().encode() + b" " + b"x" * 8100 + b"\n"})
    Slots(fs, "/store", "/state").fail(TWO, "why " * 25)
    assert Slots(fs, "/store", "/state").failed() == [ONE, TWO]


@pytest.mark.xfail(strict=True, reason="a reason is written as it is, line ends too")
def test_reason_of_a_failure_names_no_other_release():
    fs = Memory()
    Slots(fs, "/store", "/state").fail(ONE, "disk: \n" + TWO.hex())
    assert Slots(fs, "/store", "/state").failed() == [ONE]


@pytest.mark.xfail(strict=True, reason="the board's name is quoted as it is, line ends too")
def test_board_file_of_two_lines_is_refused_in_one_line(capsys):
    files = {
        config.DEFAULT_FILE: b"config swdist\nlist interface a\n",
        config.BOARD_FILE: b"a b\nc\n",
    }
    with pytest.raises(SystemExit):
        config.load([], "netd", Memory(files))
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.xfail(reason="a last block before blocks that were kept ends a file with a hole")
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
