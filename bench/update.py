"""Updates of which little has changed, and a whole fetch, beside what another revision needs.

    python bench/update.py [--old REVISION] [--payload WHAT...] [--loss SHARE...] [--seed N...]
                           [--nodes N] [MESH...]

WHAT: a number of MiB that don't compress; or a pair of bench/bytes.py, of packages' two releases.
All nodes of a mesh get these, one after the other:

whole     an archive
point     its point release. Of what doesn't compress: one file near the front has grown, so that
          all behind it lies elsewhere, and files of 50 KB in all, spread over it, are others
in place  of what doesn't compress: 3,000 bytes in one place are others, and nothing lies elsewhere

Printed are the virtual seconds to full coverage and the bytes that were sent for each node; with
--old the same of that revision of this repository, and ours over theirs.
"""

import argparse
import io
import itertools
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from arguments import count, share
from bytes import PAIRS, Corpus

ROOT = Path(__file__).resolve().parent.parent
MIB = 1048576
MESHES = {"line": 50, "grid": 1024, "geometric": 1000}
RELEASES = ("whole", "point", "in place")
# Works with the simulator of either revision: whoever cuts payloads as they are needs a size.
RUN = """
import json, sys
from pathlib import Path
from common import mesh
kind, nodes, loss, seed, payloads = json.loads(sys.argv[1])
sim = mesh(kind, nodes, seed, loss=loss, quota_kib=65536)
authority, radio = sim.authority, sim.world.radio
from swdist_host import payload
rows = []
for n, path in enumerate(map(Path, payloads)):
    data = payload.from_dir(path) if path.is_dir() else path.read_bytes()
    version, now_s = "1.%d.0" % (n + 1), sim.now_s()
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


def made(what, corpus):
    """The payloads: directories, or files."""
    if what in PAIRS:
        return [str(corpus.path(half)) for half in PAIRS[what][:2]]
    folder = corpus.folder / what
    folder.mkdir()
    paths = []
    for name, data in zip(RELEASES, plain(int(float(what) * MIB))):
        paths.append(str(folder / name))
        Path(paths[-1]).write_bytes(data)
    return paths


def plain(size):
    """The three archives."""
    rand = random.Random(1)
    parts = []
    while sum(map(len, parts)) < size:
        parts.append(rand.randbytes(min(int(rand.expovariate(1 / 6000)) + 1, 65536)))
    older = archive(parts)
    parts[3] += rand.randbytes(700)
    left = 50000
    for n in rand.sample(range(4, len(parts)), len(parts) - 4):
        if len(parts[n]) <= left:
            parts[n] = rand.randbytes(len(parts[n]))
            left -= len(parts[n])
    point = archive(parts)
    longest = max(range(4, len(parts)), key=lambda n: len(parts[n]))
    parts[longest] = rand.randbytes(3000) + parts[longest][3000:]
    return older, point, archive(parts)


def archive(parts):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for n, data in enumerate(parts):
            info = tarfile.TarInfo(f"lib/{n // 20}/file-{n}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def measure(tree, case):
    """[(seconds, bytes for a node) of each release] by a tree's own simulator."""
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
    line = f"  {what:8} {ours[0]:8.1f} s {ours[1] / 1024:8.0f} KiB a node"
    if theirs is not None:
        line += f"; old {theirs[0]:8.1f} s {theirs[1] / 1024:8.0f} KiB"
        line += f"; ratio {ours[0] / theirs[0]:.3f} and {ours[1] / theirs[1]:.3f}"
    print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("meshes", nargs="*", help="line, grid, geometric: all if none")
    parser.add_argument("--old", metavar="REVISION", help="of git, to compare with")
    parser.add_argument("--nodes", type=count, help="instead of 50, 1,024 and 1,000")
    parser.add_argument("--payload", nargs="+", default=["shell-1", "1.5", "4"])
    parser.add_argument("--loss", type=share, nargs="+", default=[0.0, 0.2])
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="swdist-update-") as scratch:
        if options.old:
            check_out(options.old, scratch)
        corpus = Corpus(Path(scratch), ROOT / "build/bytes")
        for what in options.payload:
            payloads = made(what, corpus)
            for kind, loss, seed in itertools.product(
                options.meshes or MESHES, options.loss, options.seed
            ):
                nodes = options.nodes or MESHES[kind]
                case = (kind, nodes, loss, seed, payloads)
                print(f"{kind} of {nodes}, {what}, loss {loss * 100:.0f} %, seed {seed}")
                ours = measure(ROOT, case)
                theirs = measure(Path(scratch), case) if options.old else [None] * len(payloads)
                for name, a, b in zip(RELEASES, ours, theirs):
                    row(name, a, b)


if __name__ == "__main__":
    main()
