"""How fast the simulator is: a 4 MiB release to full coverage, on one core.

    python bench/scale.py [--nodes N...]

The aim: 1,000 nodes in under 60 s, 10,000 in under 15 minutes, under 4 GiB.
"""

import argparse

from arguments import count
from common import SEED, Stopwatch, calibration_s, mesh, spread

MIB = 1048576


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=count, nargs="+", default=[1000, 10000])
    parser.add_argument("--kbps", type=int, default=24000, help="of the radio, unicast")
    options = parser.parse_args()
    print(
        f"seed {SEED}, random geometric, degree 8, 4 MiB,"
        f" radio of {options.kbps} kbit/s; counting to 10 million takes {calibration_s():.2f} s"
    )
    for nodes in options.nodes:
        watch = Stopwatch()
        sim = mesh("geometric", nodes, kbps=options.kbps)
        got = spread(sim, 4 * MIB)
        print(
            f"{nodes:6} nodes, {got['hops']:3} hops: {watch.cpu_s():6.1f} s of CPU"
            f" for {sim.world.now / 1e6:.1f} virtual s, {sim.world.events} events,"
            f" {watch.rss_mib():.0f} MiB; covered {got['covered']}; digest {sim.digest()[:16]}",
            flush=True,
        )


if __name__ == "__main__":
    main()
