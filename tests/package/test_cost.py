"""What a signature and a payload cost on a router, in counted instructions."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from packing import ROOT
from test_mipsel import ipk_runtime

from swdist_host import pack, payload

pytestmark = pytest.mark.slow
# 200 MHz at 0.35 instructions a cycle, the slower of two guesses.
PER_SECOND = 70_000_000
BUDGET_S = 2
LONG_BYTES = 4096  # the longest manifest
UNPACK_S_PER_MB = 15
CODE = """
from swdist.crypto import ucryptolib
from swdist.shell import native
ucryptolib.sha512(b"")  # its constants are made once in a process
for _ in range({times}):
    ucryptolib.ed25519_verify(native.KNOWN_KEY, native.KNOWN, bytes({length}))
"""


@pytest.fixture(scope="module")
def count(tmp_path_factory):
    """count(code): how many instructions the runtime carries out for it."""
    said = subprocess.run([*ipk_runtime.QEMU, "-help"], capture_output=True, text=True).stdout
    if "-plugin" not in said:
        pytest.skip("this qemu-user counts no instructions: it is built without plugins")
    plugin = tmp_path_factory.mktemp("plugin") / "count.so"
    source = Path(__file__).parent / "count.c"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", plugin, source], check=True)
    program = ipk_runtime.program()

    def run(code):
        done = subprocess.run(
            [*ipk_runtime.QEMU, "-plugin", plugin, program, "-X", "heapsize=1M", "-c", code],
            env={"MICROPYPATH": str(ROOT / "src"), "PATH": "/bin:/usr/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        return int(re.search(r"instructions (\d+)", done.stderr)[1])

    return run


def one_check(count, length):
    idle = count(CODE.format(times=0, length=0))
    return count(CODE.format(times=1, length=length)) - idle


@pytest.mark.parametrize("length", [500, LONG_BYTES])
def test_signature_of_any_manifest_is_checked_within_two_seconds(count, length):
    instructions = one_check(count, length)
    print(f"{length} bytes: {instructions:,} instructions, {instructions / PER_SECOND:.2f} s")
    assert instructions <= BUDGET_S * PER_SECOND


UNPACK = """
from swdist.shell import platform
from swdist.storage import slots
from swdist.formats.manifest import Payload
p = Payload()
p.kind, p.size, p.stored, p.pid = "slot", {size}, {stored}, bytes.fromhex("{pid}")
work = slots.Prepare(platform.Fs(), "{source}", "{target}", None, p)
while {go} and work.step():
    pass
assert work.why is None, work.why
"""


def test_a_payload_is_inflated_and_unpacked_in_seconds(count, tmp_path):
    """Of a megabyte of modules: digests of what is stored, inflating, the digest of it all, and the
    calls that write the files; not what the flash takes."""
    tree = tmp_path / "tree"
    for n in range(4):
        shutil.copytree(ROOT / "src/swdist", tree / str(n), ignore=shutil.ignore_patterns("__*"))
    data = payload.from_dir(tree)
    packed = pack.pack(data)
    source = tmp_path / "source"
    source.mkdir()
    (source / "index").write_bytes(packed.index)
    (source / "pages").write_bytes(b"".join(packed.pieces[: packed.pages]))
    (source / "payload").write_bytes(b"".join(packed.pieces[packed.pages :]))
    words = {"size": packed.size, "stored": packed.stored, "pid": packed.pid.hex()}
    words |= {"source": source, "target": tmp_path / "slot"}
    idle = count(UNPACK.format(go=False, **words))
    instructions = (count(UNPACK.format(go=True, **words)) - idle) * 1_000_000 // len(data)
    seconds = instructions / PER_SECOND
    print(f"1 MB of modules: {instructions:,} instructions, {seconds:.2f} s at 200 MHz")
    assert (tmp_path / "slot/0/wiring/node.py").read_bytes() == (
        ROOT / "src/swdist/wiring/node.py"
    ).read_bytes()
    assert seconds <= UNPACK_S_PER_MB


PAGE = """
import sys
from swdist import tool
if {go}:
    sys.exit(tool.main(["--config", "{folder}/config", "page"]))
"""
CONFIG = """config swdist 'node'
	list interface 'lo'
	option run '{folder}'
	option state '{folder}'
	option board 'b'
"""
PAGE_S = 3


def test_page_of_a_mesh_of_300_nodes_is_made_in_seconds(count, tmp_path, monkeypatch):
    """Without loading the modules. The web server asks for it once in five seconds at most."""
    monkeypatch.syspath_prepend(ROOT / "tests/page")
    from documents import crowded

    crowded(tmp_path)
    (tmp_path / "config").write_text(CONFIG.format(folder=tmp_path))
    idle = count(PAGE.format(go=False, folder=tmp_path))
    instructions = count(PAGE.format(go=True, folder=tmp_path)) - idle
    seconds = instructions / PER_SECOND
    print(f"page: {instructions:,} instructions, {seconds:.2f} s at 200 MHz")
    assert seconds <= PAGE_S
