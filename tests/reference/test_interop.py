"""Reference nodes and this project's daemons in one mesh: tests/reference/interop.py."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab.namespaces import net

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(net.unshare_command() is None, reason="network namespaces are not allowed")
def test_releases_cross_a_mesh_of_both_kinds_in_both_directions():
    command = [sys.executable, "-m", "tests.reference.interop"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout and done.stdout.count("holds") == 8
