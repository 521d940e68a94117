"""`make lab` on a machine that can't run it says so in one line, and what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.emulated import image

LAB = [sys.executable, "-m", "lab.emulated"]
# What is not there is refused at once, whatever the machine's network is like.
NOWHERE = "http://127.0.0.1:9"


def lab(path, *words, user=None):
    done = subprocess.run(
        [*LAB, *words], capture_output=True, text=True, user=user, cwd=image.ROOT,
        env={**os.environ, "PATH": str(path)},
    )  # fmt: skip
    assert done.returncode == 1
    return done.stderr.splitlines()


@pytest.fixture
def programs(tmp_path):
    """A PATH with the little that it takes to look around: as a system without dpkg."""
    for name in ("sh", "id", "ip"):
        where = next(
            p for p in ("/bin", "/usr/bin", "/sbin", "/usr/sbin") if Path(p, name).exists()
        )
        (tmp_path / name).symlink_to(Path(where, name))
    return tmp_path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is asked for programs")
def test_missing_programs_are_named(programs):
    *_, last = lab(programs)
    assert last.startswith("lab: not to be found: qemu-system-mipsel, ")
    assert "mksquashfs" in last and "sh" not in last.split()


def test_a_loss_that_is_no_share_is_refused():
    command = [*LAB, "--loss", "20"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=image.ROOT)
    assert done.returncode == 2
    assert "from 0 to below 1" in done.stderr


@pytest.mark.slow
def test_a_kernel_that_nobody_has_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", NOWHERE)
    monkeypatch.setenv("https_proxy", NOWHERE)
    with pytest.raises(image.Lacking, match="no kernel for mipsel") as lacking:
        image.fetch()
    assert "\n" not in str(lacking.value)
    assert not (tmp_path / "swdist/malta-1").exists()
