"""Which chunk first, and from whom? Orders and choices of sources on the simulator's radio.

    python bench/order.py [--seeds N] [--size MIB] [--chunk-size BYTES]

Nodes here are no device modules, which fetch in order only: two downloads each, three uploads,
what each holds is known to its neighbours LATE_US later at no cost, also where that would need a
bitmap and not a number. A transfer takes the channel as one of the fidelity `chunk` does. So who
does not win here would not win with its bitmaps paid for.

in order      the first chunk that is lacking
rarest        the chunk that the fewest neighbours hold
random        any that is lacking
rarest of 8   the rarest of the first eight that are lacking

docs/decisions/0014-in-order.md draws the conclusion.
"""

import argparse
import random
import statistics

from arguments import count
from common import SEED

from swdist.machines import tftpserve
from swdist_host.sim import radio, topology, transfer
from swdist_host.sim.world import SECOND, World

MIB = 1048576
LATE_US = 10000
AGAIN_US = 90000  # after a refusal
CPU_US = 1000
MESHES = [("line", 30), ("grid", 225), ("geometric", 200)]
LOSSES = (0.0, 0.2)


def in_order(node, lacking):
    return min(lacking)


def rarest(node, lacking):
    return min(lacking, key=lambda k: (node.holders(k), node.rng.random()))


def at_random(node, lacking):
    return node.rng.choice(sorted(lacking))


def rarest_of_8(node, lacking):
    return rarest(node, sorted(lacking)[:8])


def any_source(node, sources):
    return node.rng.choice(sources)


def idle_source(node, sources):
    """Whom we fetch nothing from, if there is one."""
    return node.rng.choice([s for s in sources if s not in node.fetching.values()] or sources)


def best_source(node, sources):
    """The device's choice: the fastest, idle ones first, with some chance."""

    def cost(s):
        pace = 1 / (1 - node.links[s].loss)
        return pace * (1 + node.rng.random()) * (1 + 4 * (s in node.fetching.values()))

    return min(sources, key=cost)


ORDERS = {"in order": in_order, "rarest": rarest, "random": at_random, "rarest of 8": rarest_of_8}
SOURCES = {"any": any_source, "idle": idle_source, "best": best_source}


class Node:
    def __init__(self, mesh, number):
        self.mesh = mesh
        self.number = number
        self.rng = random.Random(f"order {mesh.seed} {number}")
        self.links = mesh.radio.links[number]
        self.held = set()
        self.known = {}  # {neighbour: what it held LATE_US ago}
        self.fetching = {}  # {chunk: neighbour}
        self.refused = {}  # {neighbour: until when}
        self.uploads = []  # to whom

    def holders(self, k):
        return sum(k in known for known in self.known.values())

    def hear(self, neighbour, k):
        self.known.setdefault(neighbour, set()).add(k)
        self.look()

    def look(self):
        now = self.mesh.world.now
        while len(self.fetching) < transfer.DOWNLOADS:
            asked = {s: k for s, k in self.known.items() if self.refused.get(s, 0) <= now}
            there = set().union(*asked.values()) - self.held - self.fetching.keys()
            if not there:
                return
            k = self.mesh.order(self, there)
            s = self.mesh.source(self, sorted(s for s in asked if k in asked[s]))
            self.fetching[k] = s
            self.mesh.world.at(now + 2 * CPU_US, self.mesh.nodes[s].asked, self, k)

    def asked(self, client, k):
        mesh = self.mesh
        same = self.uploads.count(client.number)
        if len(self.uploads) >= tftpserve.BRISK or same >= tftpserve.PER_PEER:
            mesh.world.at(mesh.world.now + CPU_US, client.busy, self.number, k)
            return
        self.uploads.append(client.number)
        mesh.radio.enqueue(self.number, client.number, self.send, client, k)

    def send(self, client, k):
        mesh = self.mesh
        link = self.links[client.number]
        air_us, wait_us = transfer.cost(mesh.radio, link, CPU_US, mesh.chunk_size)
        end = mesh.radio.claim(self.number, client.number, air_us)
        mesh.world.at(mesh.radio.arrival(link, end) + wait_us, self.sent, client, k)
        return end

    def sent(self, client, k):
        self.uploads.remove(client.number)
        client.take(k)

    def busy(self, neighbour, k):
        del self.fetching[k]
        at = self.mesh.world.now + AGAIN_US * 2 // 3 + self.rng.randrange(AGAIN_US * 2 // 3)
        self.refused[neighbour] = at
        self.mesh.world.at(at, self.look)
        self.look()

    def take(self, k):
        self.fetching.pop(k, None)
        self.held.add(k)
        mesh = self.mesh
        for neighbour in self.links:
            at = mesh.world.now + LATE_US
            mesh.world.at(at, mesh.nodes[neighbour].hear, self.number, k)
        if len(self.held) == mesh.chunks:
            mesh.left -= 1
            mesh.over_at = mesh.world.now
        self.look()


class Mesh:
    def __init__(self, kind, nodes, seed, loss, options, order, source):
        self.seed = seed
        self.order = order
        self.source = source
        self.chunk_size = options.chunk_size
        self.chunks = int(options.size * MIB) // self.chunk_size
        self.world = World()
        settings = radio.Settings(loss=loss, loss_spread=0.5)
        self.radio = radio.Radio(self.world, settings, random.Random(f"order {seed}"))
        graph = topology.make(kind, nodes, seed, degree=8)
        for number in graph:
            self.radio.add(number)
        for a, b in sorted(graph.edges):
            self.radio.connect(a, b)
        self.nodes = [Node(self, number) for number in graph]
        self.left = len(self.nodes)

    def spread_s(self):
        for k in range(self.chunks):
            self.nodes[0].take(k)
        self.world.run(24 * 3600 * SECOND, lambda: not self.left)
        assert not self.left
        return self.over_at / SECOND


def row(options, kind, nodes, loss, choices):
    """Mean seconds to full coverage for each of the choices, on the same meshes."""
    seeds = range(SEED, SEED + options.seeds)
    for order, source in choices:
        runs = [Mesh(kind, nodes, s, loss, options, order, source).spread_s() for s in seeds]
        yield statistics.mean(runs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=count, default=3)
    parser.add_argument("--size", type=float, default=2)
    parser.add_argument("--chunk-size", type=int, default=16384)
    options = parser.parse_args()
    print(f"{options.seeds} seeds, {options.size:g} MiB, chunks of {options.chunk_size} bytes")
    tables = {
        "order, from the best source": {name: (f, best_source) for name, f in ORDERS.items()},
        "source, in order": {name: (in_order, f) for name, f in SOURCES.items()},
    }
    for title, choices in tables.items():
        print(f"\n{title}: seconds to full coverage (times the first)")
        print("mesh            loss" + "".join(f"{name:>20}" for name in choices))
        for kind, nodes in MESHES:
            for loss in LOSSES:
                line = f"{kind:10}{nodes:4}  {loss * 100:3.0f} %"
                first = None
                for took_s in row(options, kind, nodes, loss, choices.values()):
                    first = first or took_s
                    line += f"{took_s:12.1f} ({took_s / first:4.2f}) "
                print(line, flush=True)


if __name__ == "__main__":
    main()
