"""A run of 20 nodes, recorded on CPython and replayed on each interpreter byte by byte."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from interpreters import BIN

import swdist
from swdist_host.sim import record, simulation, station, topology

ROOT = Path(__file__).resolve().parents[2]
SRC = str(Path(swdist.__file__).parent.parent)
NODES = 20


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """One file a node: 30 s, then a release spreads. Also the digest of what each has sent."""
    folder = tmp_path_factory.mktemp("record")
    graph = topology.make("geometric", NODES, 5, degree=6)
    sim = simulation.Simulation(graph, 5, station.Settings(clock="saved"))
    taps = [record.Tap(s) for s in sim.stations]
    sim.boot()
    sim.run(15)
    swd = sim.release("1.1.0", start_s=sim.now_s() + 20, size=20000)
    sim.inject(3, swd)
    sim.run(40)
    assert sim.coverage(swd.rid) == NODES
    trust = sim.trust
    keys = " ".join(f"{i.hex()}:{k.hex()}" for i, k in trust.keys.items())
    head = f"{trust.network.hex()} {trust.threshold} {keys}"
    paths, digests = [], []
    for n, tap in enumerate(taps):
        path = folder / f"node{n}"
        path.write_text("\n".join([head, *tap.lines]) + "\n")
        sent = hashlib.sha256()
        for line in tap.lines:
            if line[0] == ">":
                sent.update(bytes.fromhex(line.rpartition(" ")[2]))
        paths.append(str(path))
        digests.append(sent.hexdigest())
    return paths, digests


@pytest.mark.parametrize("interpreter", ["cpython", "micropython", "micropython-noffi"])
def test_what_each_of_20_nodes_sends_is_the_same_on(interpreter, recorded):
    paths, digests = recorded
    if interpreter == "cpython":
        command, environment = [sys.executable], {"PYTHONPATH": SRC}
    else:
        command = [str(BIN / interpreter), "-X", "heapsize=4M"]
        environment = {"MICROPYPATH": f".frozen:{SRC}"}
        assert (BIN / interpreter).exists(), "`make runtime` builds it"
    done = subprocess.run(
        [*command, str(ROOT / "tests/sim/replay.py"), *paths],
        env=environment, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == digests


def test_a_replay_notices_one_changed_byte(recorded):
    paths, _ = recorded
    lines = Path(paths[0]).read_text().split("\n")
    at = max(i for i, line in enumerate(lines) if line.startswith("> n"))
    lines[at] = lines[at][:-1] + ("0" if lines[at][-1] != "0" else "1")
    changed = Path(paths[0] + ".changed")
    changed.write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/sim/replay.py"), str(changed)],
        env={"PYTHONPATH": SRC}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 1 and f"line {at + 1}" in done.stdout
