"""What a signature costs on a router without any library for it, in counted instructions."""

import re
import subprocess
from pathlib import Path

import pytest
from packing import ROOT
from test_mipsel import ipk_runtime

pytestmark = pytest.mark.slow
# 200 MHz at 0.35 instructions a cycle, the slower of two guesses.
PER_SECOND = 70_000_000
BUDGET_S = 2
LONG_BYTES = 4096  # the longest manifest
CODE = """
from swdist import native, ucryptolib
for _ in range({times}):
    ucryptolib.ed25519_verify(native.KNOWN_KEY, native.KNOWN, bytes({length}))
"""


@pytest.fixture(scope="module")
def count(tmp_path_factory):
    """count(code): how many instructions the runtime carries out for it."""
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
