"""make mesh: what it prints can be typed, and at Ctrl-C nothing of it is left."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import tagged

ROOT = Path(__file__).resolve().parents[2]
NODES = 4
UP_S, SPREAD_S, END_S = 60, 90, 20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="another terminal enters it as root"),
]


@pytest.fixture
def mesh(tmp_path):
    """said(pattern, seconds): the match, as soon as it has printed it."""
    name = "SWDIST_TEST_TAG"
    out = tmp_path / "out"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with open(out, "w") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "lab.mesh", "--nodes", str(NODES)], cwd=ROOT,
            env={**os.environ, name: str(tmp_path), "TMPDIR": str(scratch)},
            stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            # whoever runs this in the background may have SIGINT ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    def said(pattern, seconds):
        end = time.monotonic() + seconds
        while (found := re.search(pattern, out.read_text(), re.S)) is None:
            assert time.monotonic() < end and child.poll() is None, out.read_text()
            time.sleep(0.2)
        return found

    yield said
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=END_S) == 0
    end = time.monotonic() + END_S
    while (left := tagged(f"{name}={tmp_path}")) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == []
    assert list(scratch.iterdir()) == []
    assert not (ROOT / "build/enter").exists()


def test_what_it_says_to_type_brings_a_release_to_all_nodes(mesh):
    text = mesh("In another terminal.*Ctrl-C", UP_S)[0]
    on_node = re.findall(r"^  (build/enter n\d+ swdist.*)$", text, re.M)
    on_laptop = re.findall(r"^    (swdist .*)$", text, re.M)
    assert len(on_node) == 2 and len(on_laptop) == 4
    *before, seed = [["build/enter", "laptop", *words.split()] for words in on_laptop]
    for words in (*[line.split() for line in on_node], *before):
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and done.stdout, (words, done.stderr)
    with subprocess.Popen(seed, cwd=ROOT, stdout=subprocess.DEVNULL) as seeding:
        mesh(", ".join(f"n{i} 1.1.0" for i in range(NODES)), SPREAD_S)
        seeding.terminate()
    words = ["build/enter", "n3", "cat", "state/said"]
    assert subprocess.check_output(words, cwd=ROOT, text=True) == "hello from 1.1.0\n"
