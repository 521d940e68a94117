"""A short run of the namespace lab: real daemons, real sockets, lossy links."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
from processes import tagged

ROOT = Path(__file__).resolve().parents[2]


def lab(*flags):
    return [sys.executable, "-m", "lab.demo", "--nodes", "4", "--scene", "spread", *flags]


@pytest.mark.slow
@pytest.mark.parametrize("world", [[], ["--loopback"]], ids=["namespaces", "loopback"])
def test_mesh_takes_a_release_and_switches_in_the_same_second(world):
    command = lab("--json", *world)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["nodes"] == 4
    assert len(found["switch_spread_ms"]) == 1 and found["switch_spread_ms"][0] <= 100
    assert all(result["holds"] for result in found["results"])


@pytest.fixture
def scratch():
    """A TMPDIR with a short name, as sockets need it."""
    with tempfile.TemporaryDirectory(prefix="swdist-test-") as folder:
        yield Path(folder)


def test_temporary_folder_whose_name_is_too_long_is_named(tmp_path):
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    done = subprocess.run(
        lab("--loopback"), cwd=ROOT, capture_output=True, text=True, timeout=60,
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    assert done.returncode == 2 and "is too long a name for sockets in it" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("world", [[], ["--loopback"]], ids=["namespaces", "loopback"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_stopped_demo_leaves_no_process_and_no_file(how, world, tmp_path, scratch):
    tag = f"SWDIST_TEST_TAG={tmp_path}"
    name, _, value = tag.partition("=")
    out = tmp_path / "out"
    with open(out, "w") as file:
        demo = subprocess.Popen(
            lab(*world), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            env={**os.environ, name: value, "TMPDIR": str(scratch)},
            # whoever runs this in the background may have SIGINT ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
    end = time.monotonic() + 20
    while len(tagged(tag)) < 8 and time.monotonic() < end:
        time.sleep(0.1)
    assert len(tagged(tag)) >= 8, "the nodes are up"
    page = re.search(r"http://\S+", out.read_text())[0]
    assert b"<title>" in fetched(page)
    found = json.loads(fetched(page.replace("/swdist/", "/cgi-bin/swdist")))
    assert "active" in found or "trouble" in found  # it may have said nothing yet
    demo.send_signal(how)
    demo.wait(timeout=20)
    end = time.monotonic() + 5
    while tagged(tag) and time.monotonic() < end:
        time.sleep(0.1)
    assert tagged(tag) == []
    if not (world and how == signal.SIGKILL):  # then nobody is left to remove the folder
        assert list(scratch.iterdir()) == []
    with pytest.raises(OSError):
        fetched(page)


def fetched(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


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


def play(*flags, limit_s):
    command = [sys.executable, "-m", "lab.demo", "--nodes", "5", "--json", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit_s)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.soak
def test_releases_that_do_harm_are_left_by_all_nodes():
    play("--scene", "bad-release", limit_s=300)


@pytest.mark.soak
def test_keys_change_twice_while_a_node_sleeps_and_the_stolen_ones_are_of_no_worth():
    play("--scene", "rekey", limit_s=300)


@pytest.mark.soak
@pytest.mark.skipif(os.geteuid() != 0, reason="only root's daemons can be ahead of others")
def test_twenty_switches_are_at_most_20_ms_apart():
    play("--scene", "switches", limit_s=300)


@pytest.mark.soak
def test_two_groups_that_hear_nothing_of_each_other_meet_on_their_fallback_link():
    play("--scene", "rendezvous", limit_s=500)


@pytest.mark.soak
def test_image_goes_through_a_mesh_and_whoever_it_is_for_flashes_it_once():
    play("--scene", "image", limit_s=300)


@pytest.mark.soak
@pytest.mark.skipif(os.geteuid() != 0, reason="the attacker forges addresses")
def test_one_attacker_with_any_number_of_addresses_hardly_delays_a_release():
    play("--scene", "siege", limit_s=500)


def test_scene_that_takes_namespaces_says_so_over_loopback():
    command = [sys.executable, "-m", "lab.demo", "--loopback", "--scene", "image"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "the scene image takes network namespaces\n"


@pytest.mark.slow
def test_daemons_that_are_killed_come_to_run_what_they_should():
    play("--scene", "kills", limit_s=150)


@pytest.mark.soak
def test_daemons_that_are_killed_500_times_come_to_run_what_they_should():
    play("--scene", "kills", "--kills", "500", limit_s=1800)
