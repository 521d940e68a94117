"""A newcomer's path: what docs/operations.md says to type first, typed as it stands there on the
mesh of `make mesh`; and at Ctrl-C nothing of that is left."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from processes import tagged

ROOT = Path(__file__).resolve().parents[2]
UP_S, SEEN_S, END_S = 60, 90, 20

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
            [sys.executable, "-m", "lab.mesh", "--nodes", "7"], cwd=ROOT,
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


def lines_of(section):
    """What it says to type."""
    text = (ROOT / "docs/operations.md").read_text().partition(f"\n## {section}\n")[2]
    blocks = re.findall(r"^```\n(.*?)^```", text.partition("\n## ")[0], re.S | re.M)
    return "".join(blocks).replace("\\\n", "").splitlines()


def typed(where, line):
    words = [*where, "sh", "-c", line]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_what_operations_says_to_type_first_does_what_it_says(mesh):
    first, *lines = lines_of("First, on your desk")
    assert first == "make mesh NODES=7"  # which runs what the fixture has started
    printed = mesh("In another terminal.*Ctrl-C", UP_S)[0]
    page = mesh(r"http://\S+", 0)[0]
    on_node = re.findall(r"^  (build/enter n\d+ swdist.*)$", printed, re.M)
    on_laptop = re.findall(r"^    (swdist .*)$", printed, re.M)
    assert len(on_node) == 2 and len(on_laptop) == 4
    assert set(on_laptop[1:]) < set(lines), "it prints what the document says"
    for where, line in (
        *(((), line) for line in on_node),
        (("build/enter", "laptop"), on_laptop[0]),
    ):
        status, text = typed(where, line)
        assert status == 0 and text, line
    where = ()
    for line in lines:
        if line == "build/enter laptop":
            where = tuple(line.split())
            continue
        line, _, seen = (part.strip() for part in line.partition("#"))
        end = time.monotonic() + SEEN_S
        while True:
            status, text = typed((), line) if line.startswith("build/") else typed(where, line)
            if status == 0 and seen in text:
                break
            assert seen and time.monotonic() < end, (line, seen, text)
            time.sleep(0.5)
    with urllib.request.urlopen(page.replace("/swdist/", "/cgi-bin/swdist"), timeout=10) as answer:
        assert json.load(answer)["name"] == "n6"
    told = json.loads(typed((), "build/enter n6 swdist status --mesh --json")[1])
    assert {row["name"] for row in told["rows"]} == {f"n{i}" for i in range(7)}
