"""The network side's user may hold a lease on each file of its own: whoever opens one waits until
it is given up, at most 45 s. What root's side reads there must not wait."""

import fcntl
import os
import signal
import subprocess
import time

import pytest
from interpreters import command

READ = """
import sys
from swdist.shell import platform

fs = platform.Fs()
print(fs.read(sys.argv[1], 99), fs.read(sys.argv[2], 99))
"""


@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])  # without ffi it waits
def test_reading_does_not_wait_for_who_holds_a_lease(interpreter, tmp_path):
    program = tmp_path / "read.py"
    program.write_text(READ)
    leased, plain = tmp_path / "leased", tmp_path / "plain"
    for path in (leased, plain):
        path.write_text("mine")
    arguments, environment = command(interpreter)
    kept = signal.signal(signal.SIGIO, signal.SIG_IGN)
    fd = os.open(leased, os.O_RDWR)
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        began = time.monotonic()
        words = [*arguments, str(program), str(leased), str(plain)]
        out = subprocess.run(words, env=environment, capture_output=True, timeout=60).stdout
        assert out == b"None b'mine'\n"
        assert time.monotonic() - began < 10
    finally:
        os.close(fd)
        signal.signal(signal.SIGIO, kept)
