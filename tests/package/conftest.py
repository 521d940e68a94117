"""Packages made once for all tests of this folder, with a community's keys made for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packing import make, make_ca
from router import Router


@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    return make_ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def packages(tmp_path_factory, ca):
    """{name: path of the .ipk}"""
    return make(tmp_path_factory.mktemp("ipk"), "--ca", ca[0])


@pytest.fixture(scope="session")
def release(tmp_path_factory, ca):
    """A signed release 1.1.0, that starts in an hour."""
    folder = tmp_path_factory.mktemp("release")
    (folder / "tree").mkdir()
    (folder / "tree/file").write_text("x")
    build = "release build -o r.swd --version 1.1.0 --start +1h --payload tree".split()
    for words in ([*build, "--ca", ca[0]], ["release", "sign", "r.swd", "--key", ca[1], "--yes"]):
        swdist = Path(sys.executable).with_name("swdist")
        subprocess.run([swdist, *words], cwd=folder, check=True, stdin=subprocess.DEVNULL)
    return folder / "r.swd"


@pytest.fixture
def router(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("a router of its own takes root: mounts, users, network")
    with Router(tmp_path) as router:
        yield router


@pytest.fixture
def field(router, packages, ca, tmp_path):
    """A router with the packages, and a laptop at the other end of its link."""
    from test_self_update import Field

    folder = tmp_path / "laptop"
    folder.mkdir()
    field = Field(router, packages, ca, folder)
    yield field
    field.leave()
