"""What absent and hostile nodes cost: time until all honest nodes have a 4 MiB release.

    python bench/hostile.py [--nodes N] [--kinds KIND...] [--shares PERCENT...]

A share of the nodes, drawn by the seed, is switched off, or does one wrong thing each (`mixed`: all
of them by turns). Counted are the nodes that honest ones join to where the release comes in; they
are the same in a share's rows. The aims: off 10 % at most 1.3 times the time of all; hostile 10 and
20 % at most 1.2 and 1.5 times the time with as many absent.
"""

import argparse
import random

import networkx as nx
from arguments import count
from common import SEED, mesh, spread

from swdist_host.sim import topology

MIB = 1048576
KINDS = ("garbage", "stall", "false-progress")


def took_s(nodes, others, kind):
    """Seconds until the honest have it; kind None: the others are off."""
    honest = topology.make("geometric", nodes, SEED, degree=8)
    honest.remove_nodes_from(others)
    wanted = nx.node_connected_component(honest, 0)
    kinds = KINDS if kind == "mixed" else (kind,)
    attackers = {n: kinds[i % len(kinds)] for i, n in enumerate(others)} if kind else None
    sim = mesh("geometric", nodes, attackers=attackers, off=() if kind else set(others))
    got = spread(sim, 4 * MIB, wanted=wanted)
    return got["took_s"] if got["covered"] else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=count, default=300)
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS, "mixed"], default=[*KINDS, "mixed"])
    parser.add_argument("--shares", type=int, nargs="+", default=[10, 20])
    options = parser.parse_args()
    print(f"seed {SEED}, random geometric, {options.nodes} nodes, 4 MiB")
    base = took_s(options.nodes, [], None)
    print(f"all honest          {base:7.1f} s", flush=True)
    for share in options.shares:
        drawn = random.Random(SEED).sample(range(1, options.nodes), options.nodes * share // 100)
        absent = took_s(options.nodes, drawn, None)
        print(
            f"{share:2} % off            {absent:7.1f} s  {absent / base:5.2f} of all", flush=True
        )
        for kind in options.kinds:
            took = took_s(options.nodes, drawn, kind)
            said = "not covered" if took is None else f"{took:7.1f} s  {took / absent:5.2f} of off"
            print(f"{share:2} % {kind:15} {said}", flush=True)


if __name__ == "__main__":
    main()
