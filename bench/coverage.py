"""Time to full coverage of a 4 MiB release, beside what it could be.

    python bench/coverage.py [--big] [--size MIB] [--loss SHARE...]
                             [--fidelity packet] [MESH...]

LB1, LB3 and store count the time on the air of whole blocks at the unicast rate, and nothing else:
no request, no acknowledgement, no pause, no processor, no flash.

LB1     one payload, and one block for each further hop: a wire for each link
LB3     three payloads, as a node in the middle receives, sends, and is silent while the next one
        sends (half-duplex, one channel), over 1 - loss, and 16 KiB for each further hop. Rigorous
        on a line; in two dimensions it takes that each transmission serves all neighbours at once
unicast what no schedule of unicast TFTP can beat, in one dimension or two: each node must be sent
        the payload with its requests and acknowledgements, over 1 - loss, and of the transmissions
        that touch a set of nodes that all hear each other only one can go on at a time
        (bounds.unicast_share)
store   store-and-forward of the whole image: hops times the payload

--big: 10,000 nodes instead, a quarter of an hour for each loss.
"""

import argparse

from arguments import share
from common import SEED, Stopwatch, mesh, spread

from swdist.machines.agenda import RUN_BYTES
from swdist_host.sim import bounds

MIB = 1048576
LOSSES = (0.0, 0.1, 0.2, 0.4)
MESHES = [("line", 50), ("grid", 1024), ("geometric", 1000)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("meshes", nargs="*", help="line, grid, geometric: all if none")
    parser.add_argument("--big", action="store_true")
    parser.add_argument("--size", type=float, default=4)
    parser.add_argument("--loss", type=share, nargs="+", default=LOSSES)
    parser.add_argument("--fidelity", choices=["chunk", "packet"], default="chunk")
    options = parser.parse_args()
    size = int(options.size * MIB)
    print(f"seed {SEED}, {options.size:g} MiB")
    print(
        "mesh             hops  loss  coverage s   LB1 s (ratio)   LB3 s (ratio)"
        " unicast s (ratio)   store s   CPU s"
    )
    for kind, nodes in [("geometric", 10000)] if options.big else MESHES:
        if options.meshes and kind not in options.meshes:
            continue
        for loss in options.loss:
            watch = Stopwatch()
            sim = mesh(kind, nodes, loss=loss, fidelity=options.fidelity)
            got = spread(sim, size)
            took_s = got["took_s"]
            cells = "".join(f"  {x:7.1f} ({took_s / x:5.2f})" for x in lower(sim, got, size, loss))
            store_s = got["hops"] * bounds.airtime_us(sim, size) / 1e6
            print(
                f"{kind:10}{nodes:6} {got['hops']:4}  {loss * 100:3.0f} %  {took_s:9.1f}"
                f"{cells}  {store_s:9.1f}  {watch.cpu_s():6.1f}"
                + ("" if got["covered"] else "  not covered"),
                flush=True,
            )


def lower(sim, got, size, loss):
    """LB1, LB3 and the bound for unicast, in seconds."""
    payload = bounds.airtime_us(sim, size) / 1e6
    block = payload * 1024 / size
    lb1 = payload + (got["hops"] - 1) * block
    lb3 = 3 * payload / (1 - loss) + 16 * block * max(got["hops"] - 3, 0)
    return lb1, lb3, bounds.unicast_us(sim, size, RUN_BYTES, 0, loss) / 1e6


if __name__ == "__main__":
    main()
