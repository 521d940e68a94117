"""Routers of the OpenWrt that ROOTFS is, and our packages for its package manager."""

import subprocess
import sys
from pathlib import Path

import pytest

from openwrt.node import ROOTFS, Made, Mesh, Node

ROOT = Path(__file__).resolve().parent.parent.parent


def pytest_collection_modifyitems(items):
    if not ROOTFS:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip("make openwrt ROOTFS=FILE runs this"))


@pytest.fixture(scope="session")
def made(tmp_path_factory, kind):
    folder = tmp_path_factory.mktemp("made")
    made = Made(folder, kind)
    made.swdist("keygen", "alice", "--no-passphrase")
    made.swdist(
        "network", "init", "ca", "--name", "openwrt", "--key", "alice.pub", "--threshold", "1"
    )
    words = ["--ca", folder / "ca", "--out", folder / "packages"]
    subprocess.run([sys.executable, ROOT / "tools/ipk.py", *words], check=True, capture_output=True)
    return made


@pytest.fixture(scope="session")
def kind():
    listed = subprocess.run(["tar", "tf", ROOTFS], capture_output=True, text=True).stdout
    return "apk" if "/usr/bin/apk\n" in listed or Path(ROOTFS, "usr/bin/apk").exists() else "ipk"


@pytest.fixture
def node(made, tmp_path):
    with Node(made, tmp_path) as node:
        node.up()
        yield node


@pytest.fixture
def mesh(made):
    with Mesh(made) as mesh:
        yield mesh
