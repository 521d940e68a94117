"""A short run of tests/reference/differential.py; by hand it may take an hour. In a process of its
own: it imports tests of the device, whose names other tests have too."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*words):
    command = [sys.executable, "-m", "tests.reference.differential", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_both_accept_answer_and_choose_the_same(tmp_path):
    done = run("--seconds", 5, "--seed", 17, "--folder", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.findall(r"'(\w+)': (\d+)", done.stdout)
    assert len(counts) == 15 and all(int(count) for _, count in counts)


def test_difference_is_seen_and_kept(tmp_path):
    done = run("--seconds", 5, "--only", "Different", "--folder", tmp_path)
    assert done.returncode == 1 and "ours      9" in done.stdout
    again = run("--again", next(tmp_path.iterdir()))
    assert again.returncode == 1 and again.stdout == "ours 9\nreference 0\n"
