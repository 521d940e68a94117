"""Stock NTP clients follow the mesh, and nodes a stock server's broadcasts: chronyd, on links with
real nodes (tests/ntp/world.py)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from peers import program

from lab.namespaces import net

ROOT = Path(__file__).resolve().parents[2]
NEAR_US = 1000
ONE_WAY_US = 10000  # the least of three delays


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    around = net.unshare_command()
    if around is None:
        pytest.skip("network namespaces are not allowed here")
    words = [tmp_path_factory.mktemp("time"), program("chronyd"), program("chronyc")]
    words += [ROOT / "build/runtime/bin/micropython", "-X", "heapsize=1M"]
    done = subprocess.run(
        [*around, sys.executable, ROOT / "tests/ntp/world.py", *words],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/src:{ROOT}/host"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert not found["dead"]
    return found


@pytest.mark.slow
def test_chronyd_takes_no_time_from_a_node_that_is_alone(world):
    status, ahead_us, said = world["alone"]
    assert status != 0 and ahead_us is None and "Timeout reached" in said, said


@pytest.mark.slow
def test_chronyd_asks_once_and_gets_the_mesh_s_time(world):
    status, ahead_us, said = world["once"]
    assert status == 0 and ahead_us is not None, said
    assert abs(ahead_us - world["once_mesh"]) < NEAR_US


@pytest.mark.slow
def test_chronyd_follows_the_mesh_s_time(world):
    stratum, ahead_us, _ = world["followed"]
    assert stratum == 10
    assert abs(ahead_us - world["followed_mesh"]) < NEAR_US


@pytest.mark.slow
@pytest.mark.parametrize("family", ["four", "six"])
def test_a_node_takes_what_chronyd_broadcasts_for_the_time(world, family):
    (ahead_before, _, led_before, _), (ahead_us, error_us, led, synced), dead = world[family]
    assert abs(ahead_before - 37000000) < 1000000 and not led_before
    assert led and synced and not dead
    assert abs(ahead_us) < ONE_WAY_US < error_us < 1000000
