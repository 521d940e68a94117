"""`make host-binary`: one file, in a root file system with nothing but a C library."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packing import ROOT, make_ca

from lab.rootfs import libraries, put_program
from swdist import VERSION as TODAY

pytestmark = pytest.mark.slow
BINARY = ROOT / "build/host/swdist"


@pytest.fixture(scope="module")
def binary():
    subprocess.run([sys.executable, ROOT / "tools/host_binary.py"], check=True)
    return BINARY


def run(root, *words, check=True):
    """The file in a root of its own, where it has /proc and /tmp, and nobody else's processes."""
    enter = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork"]
    enter += ["--mount-proc=/proc", "--root", root, "--wd", "/home"]
    return subprocess.run(
        [*enter, "/swdist", *words],
        capture_output=True,
        text=True,
        check=check,
        env={},
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def bare(tmp_path, binary):
    root = tmp_path / "root"
    (root / "tmp").mkdir(parents=True)
    (root / "home").mkdir()
    (root / "proc").mkdir()
    put_program(root, binary, "swdist")
    for name in ("libm.so.6", "libresolv.so.2", "librt.so.1", "libutil.so.1"):  # glibc's others
        here = next(Path(path).parent for path in libraries(binary) if "libc.so" in path)
        shutil.copy(here / name, root / str(here)[1:] / name)
    return root


def test_bare_root_has_no_python(bare):
    names = [path.name for path in bare.rglob("*") if path.is_file()]
    assert len(names) <= 11 and not any("python" in name for name in names), names
    assert run(bare, "--version").stdout == f"swdist {TODAY}\n"


def test_signs_and_verifies_as_the_normal_tool_does(bare, tmp_path):
    normal = Path(sys.executable).with_name("swdist")
    make_ca(bare / "home")
    tree = bare / "home/tree"
    (tree / "hooks").mkdir(parents=True)
    (tree / "hooks/activate").write_text("#!/bin/sh\nexit 0\n")
    words = ["release", "build", "--ca", "ca", "--version", "1.1.0", "--payload", "tree"]
    words += ["--start", "2030-01-01T00:00:00Z"]
    run(bare, *words, "-o", "one.swd")
    (bare / "home/two.swd").write_bytes((bare / "home/one.swd").read_bytes())
    sign = ["--key", "alice.sec", "--yes"]
    run(bare, "release", "sign", "one.swd", *sign)
    here = {"cwd": bare / "home", "check": True, "capture_output": True}
    subprocess.run([normal, "release", "sign", "two.swd", *sign], **here)
    assert (bare / "home/one.swd").read_bytes() == (bare / "home/two.swd").read_bytes()
    said = run(bare, "release", "verify", "two.swd", "--ca", "ca").stdout
    assert (
        said
        == subprocess.run(
            [normal, "release", "verify", "one.swd", "--ca", "ca"], text=True, **here
        ).stdout
    )
    # One byte of the payload less true.
    data = bytearray((bare / "home/one.swd").read_bytes())
    data[data.index(b"/pieces\0") // 512 * 512 + 512 + 21] ^= 1  # behind a page of one entry
    (bare / "home/bad.swd").write_bytes(data)
    bad = run(bare, "release", "verify", "bad.swd", "--ca", "ca", check=False)
    assert bad.returncode == 1


def test_makes_keys_of_its_own(bare):
    run(bare, "keygen", "bob", "--no-passphrase")
    run(bare, "network", "init", "ca", "--name", "x", "--key", "bob.pub", "--threshold", "1")
    assert (bare / "home/ca/network").read_text().startswith("name: x\n")
    assert oct((bare / "home/bob.sec").stat().st_mode)[-3:] == "600"
