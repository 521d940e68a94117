"""seed, status and watch beside a real node, each in a network namespace of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    done = subprocess.run(
        [sys.executable, "-m", "tests.host.two_hosts", tmp_path_factory.mktemp("two")],
        cwd=ROOT, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def events(command):
    return [json.loads(line) for line in command["out"].splitlines()]


def test_no_node_is_one_line_and_status_1(found):
    assert found["nobody"]["status"] == 1 and found["nobody"]["err"].count("\n") == 1


def test_seed_ends_when_the_neighbour_has_all_of_it(found):
    seen = events(found["seed"])
    assert found["seed"]["status"] == 0
    assert seen[0]["event"] == "up" and seen[0]["id"] == found["rid"]
    assert seen[-1] == {
        "event": "end", "complete": 1, "neighbours": 1, "left_alone": ["1 (slot)"]
    }  # fmt: skip
    assert {"neighbour"} == {e["event"] for e in seen[1:-1]}


def test_seed_says_which_payload_no_neighbour_has(found):
    assert found["seed"]["err"].count("\n") == 1
    assert "no neighbour has payload 1 (slot)" in found["seed"]["err"]


def test_status_knows_version_progress_clock_and_what_comes_next(found):
    (node,) = json.loads(found["status"]["out"])
    assert node["version"] == "1.0.0"
    assert [r["id"] for r in node["releases"]] == [found["rid"]]
    assert [(p["id"], p["percent"]) for p in node["payloads"]] == [(found["pids"][1], 100)]
    assert node["pending"]["version"] == "1.1.0" and 3400 < node["pending"]["seconds"] <= 3600
    # The node was 5000 s behind, and the release's Signed-At has moved it to within the test.
    assert -60e6 < node["offset_us"] < 0 and 0 <= node["offset_bound_us"] < 100_000


def test_one_that_sends_nothing_gives_a_bound_only(found):
    (node,) = json.loads(found["silent"]["out"])
    assert node["offset_us"] < 0 and node["offset_bound_us"] is None


def test_words_are_plain_where_there_is_no_terminal(found):
    lines = found["words"]["out"].splitlines()
    assert len(lines) == 2 and "\x1b" not in found["words"]["out"]
    assert "1.1.0" in lines[1] and f"{found['pids'][1][:8]} 100 %" in lines[1]
    assert "+-" in lines[1]


def test_watch_gives_a_line_for_each_change(found):
    assert found["watch"]["status"] == 0
    assert events(found["watch"])[-1]["payloads"][0]["complete"]


def test_withdrawal_is_seeded_without_a_ca_and_says_so(found):
    assert found["withdraw"]["status"] == 0
    assert "not checked" in found["withdraw"]["err"]
    assert "1.1.0-r1 withdrawn" in found["withdraw"]["out"]


def test_seeding_what_is_replaced_says_why_nobody_takes_it(found):
    assert found["superseded"]["status"] == 1
    assert "revision 1" in found["superseded"]["err"]


def test_the_node_had_nothing_to_complain_about(found):
    assert found["router"]["refusals"] == 0
    assert set(found["router"]["rejects"].values()) == {0}
    assert "warn" not in found["log"] and "refused" not in found["log"]
