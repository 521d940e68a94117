"""A short run of the namespace lab: real daemons, real sockets, lossy links."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_mesh_takes_a_release_and_switches_in_the_same_second():
    done = subprocess.run(
        [sys.executable, "-m", "lab.demo", "--nodes", "6", "--scene", "spread", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout[done.stdout.index("\n{") : done.stdout.rindex("}") + 1])
    assert found["nodes"] == 6
    assert len(found["switch_spread_ms"]) == 1 and found["switch_spread_ms"][0] <= 100
    assert all(result["holds"] for result in found["results"])


@pytest.mark.slow
def test_daemon_says_in_one_line_what_is_wrong_with_its_configuration(tmp_path):
    micropython = str(ROOT / "build/runtime/bin/micropython")
    (tmp_path / "config").write_text(
        "config swdist\n\tlist interface 'lo'\n\toption quota_kb 'x'\n"
    )
    for daemon in ("netd", "switchd"):
        done = subprocess.run(
            [micropython, "-m", f"swdist.{daemon}", "--config", str(tmp_path / "config")],
            cwd=tmp_path,
            env={"MICROPYPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1 and "quota_kb" in done.stderr
        assert done.stdout == ""
