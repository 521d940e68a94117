"""How well neighbours agree on the time: Clock objects alone, on a random geometric mesh.

    python bench/clock.py [--full] [--only NAME] [--seed N]

Nothing of a node but its Clock runs here, so that thousands of nodes and a day of virtual time take
minutes. Each node has a counter that drifts (+-100 ppm, wandering 5 ppm a day), sends beacons as a
node does, loses a fifth of what it should hear, and hears the rest after 0.5 to 50 ms.
"""

import heapq
import random

from swdist import clock as device
from swdist_host.sim import topology

S = 1000000
MINUTE = 60 * S
HOUR = 3600 * S
DAY = 24 * HOUR
TRUTH = 1750000000 * S  # at virtual time 0
DENSE_US = 1200 * S  # as in node.py
HORIZON = 12 * HOUR
ROWS = 16
LOSS = 0.2
DRIFT_PPM = 100
WANDER_PPM_DAY = 5
WANDER_EVERY = 600 * S
JITTER_US = 4000  # mean of an exponential, cut at 48 ms
CAPTURED_US = S  # so far from the median of the honest is lost


class Node:
    def __init__(self, mesh, i, soft, born):
        self.mesh = mesh
        self.i = i
        self.ppm = mesh.rand.uniform(-DRIFT_PPM, DRIFT_PPM)
        self.drift = self.ppm / 1e6
        self.t0 = born
        self.c0 = mesh.rand.randrange(1000 * S)
        self.wander_at = born + mesh.rand.randrange(WANDER_EVERY)
        self.clock = mesh.make(soft, HORIZON, 4 * S)
        self.clock.start(self.c0, 0)
        self.steps = 0
        self.dense_until = born + DENSE_US
        self.links = []  # (other node, our row there, its row here, least delay)
        self.lie = None
        self.part = 0  # links to another part are cut
        self.reference = False
        self.fastest = 0

    def counter(self, t):
        return self.c0 + (t - self.t0) + int((t - self.t0) * self.drift)

    def wander(self, t):
        self.c0 = self.counter(t)
        self.t0 = t
        self.wander_at = t + WANDER_EVERY
        sigma = WANDER_PPM_DAY * (WANDER_EVERY / DAY) ** 0.5
        self.drift += self.mesh.rand.gauss(0, sigma) / 1e6

    def error(self, t):
        """Mesh time minus true time."""
        c = self.counter(t)
        return c + self.clock.offset_at(c) - TRUTH - t


class Mesh:
    def __init__(self, nodes, seed, make=device.Clock, apart=0, graph=None, degree=8):
        """apart: the persisted times are up to so much behind the truth."""
        self.rand = random.Random(seed)
        self.make = make
        self.now = 0
        self.graph = graph or topology.make("geometric", nodes, seed, degree=degree)
        rand = self.rand
        self.nodes = []
        latest = rand.randrange(nodes)
        for i in range(nodes):
            behind = 0 if i == latest or not apart else rand.randrange(apart)
            # A saved time is the time at power-on; who starts right is within 5 ms.
            soft = TRUTH - behind if apart else TRUTH + rand.randrange(10000) - 5000
            self.nodes.append(Node(self, i, soft, 0))
        rows = [0] * nodes
        for a, b in sorted(self.graph.edges):
            if rows[a] < ROWS and rows[b] < ROWS:  # a node has no more rows than that
                base = 500 + rand.randrange(1500)
                asymmetry = rand.randrange(1000)
                x, y = self.nodes[a], self.nodes[b]
                x.links.append((y, rows[b], rows[a], base + asymmetry))
                y.links.append((x, rows[a], rows[b], base))
                rows[a] += 1
                rows[b] += 1
        self.queue = [(rand.randrange(4 * S), i) for i in range(nodes)]
        heapq.heapify(self.queue)
        self.beacons = 0

    def honest(self):
        return [n for n in self.nodes if n.lie is None]

    def run(self, until):
        queue, nodes, random_, expo = (
            self.queue,
            self.nodes,
            self.rand.random,
            self.rand.expovariate,
        )
        while queue[0][0] <= until:
            t, i = queue[0]
            node = nodes[i]
            clock = node.clock
            if t >= node.wander_at:
                node.wander(t)
            now = node.counter(t)
            if node.reference:
                clock.reference(TRUTH + t, 1000, now)
            dense = t < node.dense_until
            clock.beacon_us = 4 * S if dense else 16 * S
            clock.next_at = now
            before = clock.offset_at(now)
            clock.tick(now)
            if clock.stepped != node.steps:
                node.steps = clock.stepped
                node.dense_until = t + DENSE_US
                node.fastest = max(node.fastest, clock.offset_at(now) - before)
            heapq.heapreplace(queue, (t + int(clock.beacon_us * (0.9 + 0.2 * random_())), i))
            self.beacons += 1
            offset = clock.offset_at(now)
            rate = clock.rate_ppb
            synced = clock.synced
            nonce = i + 1
            for other, row, back, least in node.links:
                if random_() < LOSS or other.part != node.part:
                    continue
                delay = least + min(int(expo(1 / JITTER_US)), 48000)
                at = t + delay
                rx = other.c0 + (at - other.t0) + int((at - other.t0) * other.drift)
                said = offset if node.lie is None else node.lie(node, other, t, now, offset)
                if said is None:
                    continue
                c = other.clock
                c.sample(row, nonce, now, rx, said, synced, rx, rate)
                echo = clock.echo_of(back)
                if echo is not None:
                    c.echo(row, echo[0], echo[1], rx)
        self.now = until

    # --- what is measured

    def errors(self, of=None):
        return sorted(n.error(self.now) for n in (of or self.honest()))

    def spread(self):
        e = self.errors()
        return e[-1] - e[0]

    def pairs_p99(self):
        """Of the differences between any two honest nodes."""
        e = self.errors()
        rand = random.Random(1)
        d = sorted(abs(rand.choice(e) - rand.choice(e)) for _ in range(20000))
        return d[len(d) * 99 // 100]

    def neighbours_p99(self):
        d = []
        for n in self.honest():
            e = n.error(self.now)
            d += [abs(e - o.error(self.now)) for o, _, _, _ in n.links if o.lie is None]
        d.sort()
        return d[len(d) * 99 // 100]

    def captured(self):
        e = self.errors()
        median = e[len(e) // 2]
        return sum(abs(x - median) > CAPTURED_US for x in e) / len(e)

    def median(self):
        e = self.errors()
        return e[len(e) // 2]

    def until(self, within, give_up, step=10 * S):
        """Virtual seconds until any two honest nodes are that near, or None."""
        while self.spread() > within:
            if self.now >= give_up:
                return None
            self.run(self.now + step)
        return self.now // S


# --- those who lie: lie(node, to, t, counter, honest offset) is the offset told, None for silence

PULL_US = 20000  # near enough to be averaged


def constant(node, to, t, counter, offset):
    return TRUTH + t + 10 * S - counter


def drifting(node, to, t, counter, offset):
    return TRUTH + t + t // 10000 - counter


def two_faced(node, to, t, counter, offset):
    """Knows what everybody thinks, and pulls the left half back and the right half forward."""
    pull = PULL_US if node.mesh.graph.nodes[to.i]["pos"][0] > 0.5 else -PULL_US
    return TRUTH + t + int(to.error(t)) + pull - counter


def far(node, to, t, counter, offset):
    return TRUTH + t + DAY - counter


def sleeper(node, to, t, counter, offset):
    """Is good for three hours, and then five minutes ahead."""
    return offset if t < 3 * HOUR else TRUTH + t + 5 * MINUTE - counter


KINDS = (constant, drifting, two_faced, far, sleeper)


def corrupt(mesh, share, kind):
    """From now on. Not before, so that the honest do the same until then."""
    rand = random.Random(mesh.now)
    for i in rand.sample(range(len(mesh.nodes)), int(len(mesh.nodes) * share)):
        mesh.nodes[i].lie = rand.choice(KINDS[:4]) if kind == "mixed" else kind
