"""Benches take minutes: that they begin, and refuse what makes no sense."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def bench(*words):
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def test_begins_in_a_namespace():  # where it runs as a module, not as a file
    status, said = bench("-m", "bench.tftp", "--help")
    assert status == 0 and "--pairs" in said


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("bench/coverage.py", "--loss", "20"), "20 is no share from 0 to 1: 20 % is 0.2"),
        (("bench/tftp.py", "--rounds", "0"), "0 is less than 1"),
    ],
)
def test_refuses(words, complaint):
    status, said = bench(*words)
    assert status == 2 and complaint in said
