"""An update of which little has changed, and a whole fetch, beside what another revision needs.

    python bench/update.py [--old REVISION] [--size MIB] [--loss SHARE...] [MESH...]

First a release of incompressible bytes goes to all nodes of a mesh, then one that differs from it
in 3,000 bytes in one place. Printed are the virtual seconds to full coverage and the bytes of
payload that were sent for each node; with --old the same of that revision of this repository, and
ours over theirs.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIB = 1048576
MESHES = {"line": 50, "grid": 1024, "geometric": 1000}
CHANGED_BYTES = 3000
# Works with the simulator of either revision: whoever cuts payloads as they are needs a size.
RUN = """
import json, random, sys
kind, nodes, loss, size, changed = json.loads(sys.argv[1])
from common import mesh
sim = mesh(kind, nodes, loss=loss)
authority = sim.authority
plain = authority.payload("1.1.0", size)
new = random.Random(1).randbytes(changed)
half = size // 2
payloads = {"1.1.0": plain, "1.2.0": plain[:half] + new + plain[half + changed :]}
radio = sim.world.radio
rows = []
for version, data in payloads.items():
    now_s = sim.now_s()
    try:
        from swdist_host.release import Source
        swd = authority.build(version, now_s + 604800, now_s, (Source("slot", (), data),))
    except ImportError:
        swd = authority.build(version, now_s + 604800, now_s, data=data, chunk_size=16384)
    began, sent = sim.world.now, sum(radio.sent_bytes)
    sim.inject(0, swd)
    holders = sim.checks.holders[swd.rid]
    sim.run(86400, lambda: len(holders) == nodes)
    assert len(holders) == nodes
    spent = (sum(radio.sent_bytes) - sent) / (nodes - 1)
    rows.append(((max(holders.values()) - began) / 1e6, spent))
print(json.dumps(rows))
"""


def measure(tree, case):
    """[(seconds, bytes for a node) of the whole fetch, of the update] by a tree's own simulator."""
    paths = [tree / "bench", tree / "host", tree / "src"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(case)], stdout=subprocess.PIPE, check=True,
        env={**os.environ, "PYTHONPATH": ":".join(map(str, paths))}, text=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def check_out(revision, where):
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", revision], stdout=subprocess.PIPE, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tree:
        tree.extractall(where, filter="data")


def row(what, ours, theirs):
    line = f"  {what:6} {ours[0]:8.1f} s {ours[1] / 1024:8.0f} KiB a node"
    if theirs is not None:
        line += f"; old {theirs[0]:8.1f} s {theirs[1] / 1024:8.0f} KiB"
        line += f"; ratio {ours[0] / theirs[0]:.3f} and {ours[1] / theirs[1]:.3f}"
    print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("meshes", nargs="*", help="line, grid, geometric: all if none")
    parser.add_argument("--old", metavar="REVISION", help="of git, to compare with")
    parser.add_argument("--nodes", type=int, help="instead of 50, 1,024 and 1,000")
    parser.add_argument("--size", type=float, default=4)
    parser.add_argument("--loss", type=float, nargs="+", default=[0.0, 0.2])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="swdist-update-") as scratch:
        if options.old:
            check_out(options.old, scratch)
        for kind in options.meshes or MESHES:
            nodes = options.nodes or MESHES[kind]
            for loss in options.loss:
                case = (kind, nodes, loss, int(options.size * MIB), CHANGED_BYTES)
                print(f"{kind} of {nodes}, {options.size:g} MiB, loss {loss * 100:.0f} %")
                ours = measure(ROOT, case)
                theirs = measure(Path(scratch), case) if options.old else (None, None)
                for what, a, b in zip(("whole", "update"), ours, theirs):
                    row(what, a, b)


if __name__ == "__main__":
    main()
