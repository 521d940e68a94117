"""Makes packages and keys for the tests, by the tools that anybody uses."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TOOL = ROOT / "tools/ipk.py"


def make(out, *arguments, **environment):
    subprocess.run(
        [sys.executable, TOOL, "--out", out, *arguments],
        check=True,
        capture_output=True,
        env={**os.environ, **environment},
    )
    return {path.name.split("_")[0]: path for path in Path(out).glob("*.ipk")}


def make_ca(folder):
    """A CA directory of one key, and the secret key."""
    swdist = [Path(sys.executable).with_name("swdist")]
    for words in (
        ["keygen", "alice", "--no-passphrase"],
        ["network", "init", "ca", "--name", "packages", "--key", "alice.pub", "--threshold", "1"],
    ):
        subprocess.run([*swdist, *words], cwd=folder, check=True)
    return folder / "ca", folder / "alice.sec"
