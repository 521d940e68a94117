"""A mesh of frozen nodes (tests/museum) and of today's: they keep each other up to date.

Routers in a row, each with its package and the launcher in it; see test_self_update.py.
"""

import contextlib
import hashlib
import os
import subprocess
from itertools import combinations

import pytest
from packing import ROOT
from router import Router
from test_self_update import FACTORY, TODAY, VERSION, Field, code

MUSEUM = sorted((ROOT / "tests/museum").glob("*/swdist_*.ipk"))
NOW = None  # today's package
# Each frozen version on both sides of today's, and each two of them as neighbours.
MESHES = [(a, NOW, a) for a in MUSEUM] + [(a, b, NOW) for a, b in combinations(MUSEUM, 2)]


def name(mesh):
    return "+".join("today" if package is NOW else package.parent.name for package in mesh)


def version(package):
    return TODAY if package is NOW else package.name.split("_")[1].split("-")[0]


def link(a, b):
    """A cable from the `right` of one router to the `left` of another."""
    ends = ["right", "netns", a.pid, "type", "veth", "peer", "name", "left", "netns", b.pid]
    subprocess.run(["ip", "link", "add", *ends], check=True)
    a.run("ip link set right up")
    b.run("ip link set left up")


@pytest.fixture
def row(packages, ca, tmp_path):
    """row(package, ...): a Field for each, the laptop beside the first."""
    if os.geteuid() != 0:
        pytest.skip("routers of their own take root: mounts, users, network")
    with contextlib.ExitStack() as stack:

        def start(*given):
            routers = []
            for n, _ in enumerate(given):
                folder = tmp_path / f"n{n}"
                folder.mkdir()
                routers.append(stack.enter_context(Router(folder)))
            for a, b in zip(routers, routers[1:]):
                link(a, b)
            fields = []
            for n, (router, package) in enumerate(zip(routers, given)):
                links = ["left"] * (n > 0) + ["right"] * (n < len(given) - 1)
                both = {**packages, "swdist": package}
                fields.append(Field(router, both, ca, tmp_path / f"n{n}", links))
                stack.callback(fields[-1].leave)
            return fields

        yield start


@pytest.mark.parametrize("frozen", MUSEUM, ids=lambda path: path.parent.name)
def test_frozen_package_is_as_it_was(frozen):
    readme = (ROOT / "tests/museum/README.md").read_text()
    assert hashlib.sha256(frozen.read_bytes()).hexdigest() in readme


@pytest.mark.slow
@pytest.mark.parametrize("mesh", MESHES, ids=name)
def test_frozen_nodes_and_those_of_today_take_todays_code_together(row, mesh, packages, tmp_path):
    fields = row(*[packages["swdist"] if package is NOW else package for package in mesh])
    for field in fields:
        field.wait(lambda f=field: f.status("net")["synced"], "it knows the time")
    assert [field.status("net")["swdist"] for field in fields] == [version(p) for p in mesh]
    assert all(field.runs(field.status("net")["swdist"], FACTORY) for field in fields)
    tree = code(tmp_path / "tree", packages["swdist"], {"__init__": VERSION})
    rid = fields[0].hand_in("1.1.0", "--payload", tree, start="+10s")
    for field in fields:
        field.wait(lambda f=field: f.runs("1.0.1", rid), "the release's own swdist")
    switches = [field.switches() for field in fields]
    assert [[s["reason"] for s in found] for found in switches] == [["start"]] * 3
    # One kernel, one counter: no two nodes were further apart than a tenth of a second.
    counters = [found[0]["counter_us"] for found in switches]
    assert max(counters) - min(counters) < 100_000
    # Each is confirmed, so it hears the others: it had neighbours before.
    assert [field.state("company") for field in fields] == ["y"] * 3
    assert [field.state("failed") for field in fields] == [""] * 3
