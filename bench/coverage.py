"""Time to full coverage of a 4 MiB release, and its ratio to the lower bound.

    python bench/coverage.py [--big] [--size MIB] [--chunk-size BYTES]

The lower bound: hop distance times the time of one chunk, plus three times the payload's time over
one link (a node in the middle receives, sends, and is silent while the next one sends: half-duplex,
one channel). It counts no loss, no request and no pause. --big: also 10,000 nodes, for an hour.
"""

import argparse

from common import SEED, Stopwatch, mesh, spread

MIB = 1048576
LOSSES = (0.0, 0.1, 0.2, 0.4)
MESHES = [("line", 50), ("grid", 1024), ("geometric", 1000)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--big", action="store_true")
    parser.add_argument("--size", type=float, default=4)
    parser.add_argument("--chunk-size", type=int, default=65536)
    options = parser.parse_args()
    size = int(options.size * MIB)
    print(f"seed {SEED}, {options.size:g} MiB, chunks of {options.chunk_size} bytes")
    print("mesh             hops  loss   coverage s   lower s   ratio   CPU s")
    for kind, nodes in MESHES + [("geometric", 10000)] * options.big:
        for loss in LOSSES:
            watch = Stopwatch()
            sim = mesh(kind, nodes, loss=loss)
            got = spread(sim, size, options.chunk_size)
            print(
                f"{kind:10}{nodes:6} {got['hops']:4}  {loss * 100:3.0f} %  {got['took_s']:10.1f}"
                f"  {got['lower_s']:8.1f}  {got['ratio']:6.1f}  {watch.cpu_s():6.1f}"
                + ("" if got["covered"] else "  not covered"),
                flush=True,
            )


if __name__ == "__main__":
    main()
