"""How well neighbours agree on the time: Clock objects alone, on a random geometric mesh.

    python bench/clock.py [--nodes N] [--hours N] [--only WORDS] [--seed N ...] [--full]
        [--set NAME=N] [--against COMMIT] [--wander PPM] [--swing PPM] [--graph KIND]

Nothing of a node but its Clock runs here, so that thousands of nodes and a day of virtual time take
minutes; under PyPy with networkx 3.2 a twentieth of the time that CPython takes. Each node has a
counter that drifts (+-100 ppm, wandering 5 ppm a day, or --wander, and by --swing to and fro each
day), sends beacons as a node does, loses a fifth of what it should hear, and hears the rest after
0.5 to 50 ms.
"""

import argparse
import heapq
import math
import multiprocessing
import random
import subprocess
import sys
import time
import types

import networkx
from arguments import count

from swdist.machines import clock as device
from swdist.machines import leash, readings
from swdist_host.sim import topology

S = 1000000
MINUTE = 60 * S
HOUR = 3600 * S
DAY = 24 * HOUR
TRUTH = 1750000000 * S  # at virtual time 0
DENSE_US = 3600 * S  # as in node.py
HORIZON = 12 * HOUR
ROWS = 16
LOSS = 0.2
DRIFT_PPM = 100
WANDER_PPM_DAY = 5
SWING_PPM = 0  # sine of a day, with a phase of each node's own
LIARS_SWING_PPM = 40
GRAPH = "geometric"
WANDER_EVERY = 600 * S
JITTER_US = 4000  # mean of an exponential, cut at 48 ms
WORD_S = 900  # horizon of a word on time
HOP_S = 5  # and how long it takes to the next node
CAPTURED_US = S  # so far from where the honest would have been without the lies is lost


class Node:
    def __init__(self, mesh, i, soft, born):
        self.mesh = mesh
        self.i = i
        self.ppm = mesh.rand.uniform(-DRIFT_PPM, DRIFT_PPM)
        self.drift = self.ppm / 1e6
        self.t0 = born
        self.c0 = mesh.rand.randrange(1000 * S)
        self.wander_at = born + mesh.rand.randrange(WANDER_EVERY)
        self.phase = mesh.rand.random() * 2 * math.pi if SWING_PPM else 0
        self.swing_ppm = SWING_PPM
        self.swung = self.swing(born)
        self.clock = mesh.make(soft, HORIZON, 4 * S)
        self.clock.start(self.c0, 0)
        self.steps = 0
        self.dense_until = born + DENSE_US
        self.links = []  # (other node, our row there, its row here, least delay)
        self.lie = None
        self.part = 0  # links to another part are cut
        self.reference = False
        self.weighs = hasattr(device, "ANCHOR") and isinstance(self.clock, device.Clock)
        self.fastest = 0
        self.told_at = self.story = self.chosen = None

    def counter(self, t):
        return self.c0 + (t - self.t0) + int((t - self.t0) * self.drift)

    def wander(self, t):
        self.c0 = self.counter(t)
        self.t0 = t
        self.wander_at = t + WANDER_EVERY
        sigma = WANDER_PPM_DAY * (WANDER_EVERY / DAY) ** 0.5
        self.drift += self.mesh.rand.gauss(0, sigma) / 1e6 + self.swing(t) - self.swung
        self.swung = self.swing(t)

    def swing(self, t):
        return self.swing_ppm * math.sin(2 * math.pi * t / DAY + self.phase) / 1e6

    def error(self, t):
        """Mesh time minus true time."""
        c = self.counter(t)
        return c + self.clock.offset_at(c) - TRUTH - t


class Mesh:
    def __init__(self, nodes, seed, make=device.Clock, apart=0, skewed=True):
        """apart: the persisted times are up to so much behind the truth; skewed: the two directions
        of a link differ by up to 1 ms, of which nobody can see the half."""
        self.rand = random.Random(seed)
        self.make = make
        self.now = 0
        self.graph = topology.make(GRAPH, nodes, seed, degree=8)
        where = networkx.get_node_attributes(self.graph, "pos")
        self.x = {i: where[i][0] if where else i / nodes for i in range(nodes)}
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
                asymmetry = rand.randrange(1000) * skewed
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
            # Clocks of old commits know of no anchors; liars say all that helps them.
            anchor = ((node.reference or node.lie is not None),) * node.weighs
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
                c.sample(row, nonce, now, rx, said, synced, rx, rate, *anchor)
                echo = clock.echo_of(back, now)
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

    def captured(self, expected):
        e = self.errors()
        return sum(abs(x - expected) > CAPTURED_US for x in e) / len(e)

    def pace(self):
        """By how much the common time gains on the true one: without a reference nobody knows."""
        return sum(n.drift + n.clock.rate_ppb / 1e9 for n in self.nodes) / len(self.nodes)

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
    pull = PULL_US if node.mesh.x[to.i] > 0.5 else -PULL_US
    return TRUTH + t + int(to.error(t)) + pull - counter


def sly(node, to, t, counter, offset):
    """The same, and knows what is just near enough to have its full weight."""
    pull = device.CLIP_US if node.mesh.x[to.i] > 0.5 else -device.CLIP_US
    return TRUTH + t + int(to.error(t)) + pull - counter


def one_faced(node, to, t, counter, offset):
    """One story for all, that pulls most of those who hear it."""
    if node.told_at != t:
        errors = sorted(o.error(t) for o, _, _, _ in node.links if o.lie is None) or [0]
        pull = device.CLIP_US if node.mesh.x[node.i] > 0.5 else -device.CLIP_US
        node.told_at, node.story = t, int(errors[len(errors) // 2]) + pull
    return TRUTH + t + node.story - counter


def silent(node, to, t, counter, offset):
    """Sly, to some who do not hear each other."""
    if node.chosen is None:
        node.chosen = []
        for other, _, _, _ in node.links:
            if all(other not in [x[0] for x in o.links] for o in node.chosen):
                node.chosen.append(other)
    return sly(node, to, t, counter, offset) if to in node.chosen else None


def swinging(node, to, t, counter, offset):
    """Sly, and its counter swings, so that its neighbours' leashes become wide."""
    node.swing_ppm, node.phase = LIARS_SWING_PPM, node.i
    return sly(node, to, t, counter, offset)


def always_later(node, to, t, counter, offset):
    """By what a word on time lets a node win."""
    return TRUTH + t + int(to.error(t)) + WORD_S * S * 9 // 10 - counter


def far(node, to, t, counter, offset):
    return TRUTH + t + DAY - counter


def sleeper(node, to, t, counter, offset):
    """Is good for three hours, and then five minutes ahead."""
    return offset if t < 3 * HOUR else TRUTH + t + 5 * MINUTE - counter


KINDS = (constant, drifting, two_faced, far, sleeper)
SLY = (sly, one_faced, silent)
SLY_NAMES = ("sly", "one_faced", "silent", "mixed_sly", "swinging")


def corrupt(mesh, share, kind):
    """From now on. Not before, so that the honest do the same until then."""
    rand = random.Random(mesh.now)
    for i in rand.sample(range(len(mesh.nodes)), int(len(mesh.nodes) * share)):
        some = {"mixed": KINDS[:4], "mixed_sly": SLY}.get(kind)
        mesh.nodes[i].lie = rand.choice(some) if some else kind


# --- rivals


class Unlimited(device.Clock):
    """The same steps, and everybody near is averaged with all that he says."""

    def _mean(self, near, hard, now):
        return sum(near) // len(near)


class Plain(Unlimited):
    """And so for ever: no hardening."""

    def _fine(self, near, later, now):
        self._locked_at = now
        super()._fine(near, later, now)


class Bounded(Unlimited):
    """The prototype's rule 7: the plain mean, but slewed by at most 20 ppm, and a rate within
    20 ppm of the one learned in the first two hours."""

    learned_ppb = None

    def _fine(self, near, later, now):
        hard = now - self._locked_at >= device.ACQUIRE_US
        if not (near and self.synced and hard):
            super()._fine(near, later, now)
            return
        if self.learned_ppb is None:
            self.learned_ppb = self.rate_ppb
        f = (len(near) - 1) // 3
        mean = sum(near) // len(near) * 4 // 5
        most = self.beacon_us * 20 // 1000000
        mean = max(-most, min(most, mean))
        if near[f] > 2000:
            mean = near[f] // 2
        elif near[-1 - f] < -2000:
            mean = near[-1 - f] // 2
        self._add(mean, now)
        rate = self.rate_ppb + mean * 30000000 // self.beacon_us
        self.rate_ppb = max(self.learned_ppb - 20000, min(self.learned_ppb + 20000, rate))


class Prototype(Bounded):
    """And its rules 4 and 5: follow the (f+1)-th latest at once, a single later one after 60 s."""

    lone_us = MINUTE

    def _decide(self, aheads, later, near, lone, now):
        f = max(0, len(aheads) - 1) // 3
        if len(later) > f:
            lone = max(lone, later[-1 - f])
        return super()._decide(aheads, later, near, lone, now)


class Median(Plain):
    """The median of the near neighbours instead of their mean."""

    def _mean(self, near, hard, now):
        return near[len(near) // 2]


class Trimmed(Plain):
    """The mean without the f earliest and f latest of the near neighbours."""

    def _mean(self, near, hard, now):
        f = max(0, len(near) - 1) // 3
        return super()._mean(near[f : len(near) - f], hard, now)


RIVALS = {
    "swdist": device.Clock,
    "plain": Plain,
    "prototype": Prototype,
    "median": Median,
    "trimmed": Trimmed,
}


# --- rows: each prints one line


def ms(us):
    return f"{us / 1000:.1f} ms"


def cold(nodes, seed, reference=False, minutes=60):
    """All at once, saved times up to 11 h behind the truth; or one knows it, and nobody is near."""
    mesh = Mesh(nodes, seed, apart=11 * HOUR)
    if reference:
        mesh.nodes[0].reference = True
    took = {}
    while mesh.now < minutes * MINUTE and len(took) < 2:
        mesh.run(mesh.now + 5 * S)
        e = mesh.errors()
        off = max(-e[0], e[-1]) if reference else e[-1] - e[0]
        for limit in (S, 50000):
            if off <= limit:
                took.setdefault(limit, mesh.now // S)
    mesh.run(minutes * MINUTE)
    what = "one reference, to the truth" if reference else "no reference, among themselves"
    return (
        f"cold boot, {nodes} nodes, {what}: within 1 s after {took.get(S)} s, within 50 ms after"
        f" {took.get(50000)} s; after {minutes} min the furthest two are {ms(mesh.spread())} apart,"
        f" neighbours' p99 {ms(mesh.neighbours_p99())}"
    )


def honest(nodes, seed, hours, rival="swdist", skewed=True):
    mesh = Mesh(nodes, seed, RIVALS[rival], skewed=skewed)
    most, near, within, told = 0, 0, 0, 0
    while mesh.now < hours * HOUR:
        mesh.run(mesh.now + HOUR // 2)
        if mesh.now >= HOUR:
            most = max(most, mesh.spread())
            near = max(near, mesh.neighbours_p99())
            for n in mesh.nodes:
                for o, _, _, _ in n.links:
                    told += 1
                    within += abs(n.error(mesh.now) - o.error(mesh.now)) <= n.clock.error_us
    links = "" if skewed else ", symmetric links"
    return (
        f"honest, {nodes} nodes, {hours} h, {rival}{links}: from 1 h on the furthest two at most"
        f" {ms(most)} apart, at last {ms(mesh.spread())}, neighbours' p99 {ms(near)}, within the"
        f" announced error {100 * within / max(1, told):.2f} %"
    )


def liars(nodes, seed, hours, kind, percent, rival="swdist", after_s=2.1 * 3600):
    """They turn after the mesh has hardened, or lie from the start."""
    mesh = Mesh(nodes, seed, RIVALS[rival])
    mesh.run(int(after_s * S))
    corrupt(mesh, percent / 100, globals().get(kind, kind))
    expected = mesh.median() + mesh.pace() * hours * HOUR if after_s else 0
    mesh.run(mesh.now + hours * HOUR)
    gained = (mesh.median() - expected) / (hours * 3600)
    return (
        f"liars {kind} {percent} % from {after_s / 3600:.1f} h, {nodes} nodes, {rival}:"
        f" {hours} h later p99 between pairs {ms(mesh.pairs_p99())},"
        f" captured {100 * mesh.captured(expected):.2f} %, the median gained {gained:.1f} us/s"
    )


def merge(nodes, seed, link="border", word_s=0, percent=0):
    """Two halves, ten minutes apart, hardened; then they hear each other, or over one link, and a
    word on time goes from node to node, a hop in HOP_S."""
    mesh = Mesh(nodes, seed)
    left = [n for n in mesh.nodes if mesh.x[n.i] < 0.5]
    for n in left:
        n.part = 1
        n.clock._soft_start -= 10 * MINUTE
        n.clock.start(n.c0, 0)
    mesh.run(int(2.5 * HOUR))
    if link == "bridge":
        pairs = [(n.i, o.i) for n in mesh.nodes for o, _, _, _ in n.links]
        kept = networkx.Graph(
            [(a, b) for a, b in pairs if mesh.nodes[a].part == mesh.nodes[b].part]
        )
        kept.add_nodes_from(range(nodes))
        for a, b in pairs:  # a half may be in pieces: each gets one link
            if not networkx.has_path(kept, a, b):
                kept.add_edge(a, b)
        for n in mesh.nodes:
            n.links = [x for x in n.links if kept.has_edge(n.i, x[0].i)]
    for n in mesh.nodes:
        n.part = 0
    corrupt(mesh, percent / 100, always_later)
    began, latest = mesh.now, max(mesh.errors())
    graph = networkx.Graph([(n.i, o.i) for n in mesh.nodes for o, _, _, _ in n.links])
    hops = networkx.single_source_shortest_path_length(graph, 0)
    due = sorted((began + hops[i] * HOP_S * S, i) for i in hops) if word_s else []
    before = {}
    took = None
    while mesh.now < began + 2 * HOUR:
        mesh.run(mesh.now + HOP_S * S)
        while due and due[0][0] <= mesh.now:
            n = mesh.nodes[due.pop(0)[1]]
            n.clock.heal(word_s * S, n.counter(mesh.now))
            before[n.i] = n.clock.stepped
        if took is None and mesh.spread() < 100000:
            took = (mesh.now - began) // S
    steps = max([n.clock.stepped - before.get(n.i, 0) for n in mesh.honest()])
    done = f"after {took} s" if took else "not within 2 h"
    return (
        f"two halves of {nodes} nodes, 10 min apart, joined by a {link}, {percent} % liars, a word"
        f" with {word_s} s over {max(hops.values())} hops: one time {done}; steps a node {steps},"
        f" won {(max(mesh.errors()) - latest) / S:.1f} s, at last {ms(mesh.spread())} apart"
    )


def anchored(nodes, seed, hours, percent, kind="", liars_=0, edge=False, rival="swdist"):
    """So many have a reference, at random or all at one edge."""
    mesh = Mesh(nodes, seed, RIVALS[rival])
    rand = random.Random(seed)
    order = sorted(range(nodes), key=mesh.x.get) if edge else rand.sample(range(nodes), nodes)
    count = nodes * percent // 100
    for i in order[:count]:
        mesh.nodes[i].reference = True
    mesh.run(int(2.1 * HOUR))
    for i in rand.sample(order[count:], nodes * liars_ // 100):
        mesh.nodes[i].lie = globals()[kind]
    mesh.run(mesh.now + hours * HOUR)
    off = sorted(abs(x) for x in mesh.errors())
    return (
        f"{percent} % with a reference{' at one edge' * edge}, {liars_} % {kind} liars, {nodes}"
        f" nodes, {rival}: {hours} h later off the truth by {ms(off[len(off) // 2])} (median),"
        f" {ms(off[len(off) * 99 // 100])} (p99)"
    )


def forward(seed):
    """The most that neighbours can move a hardened node forward in a day, by who lies."""
    lines = []
    cases = (
        (7000, 1, "one liar 7 ms off"),
        (7000, 2, "two 7 ms off"),
        (7000, 8, "eight 7 ms off"),
        (20000, 8, "eight 20 ms off"),
        (40000, 8, "eight 40 ms off"),
        (40 * S, 2, "two 40 s off"),
        (14 * MINUTE, 5, "five 14 minutes off"),
    )
    for ahead, liars_, what in cases:
        c = device.Clock(TRUTH, HORIZON, 4 * S)
        c.start(0, 0)
        now, first = 0, None
        while now < DAY + 3 * HOUR:
            now += 16 * S
            c.beacon_us = 16 * S
            for n in range(8):
                error = now + c.offset_at(now) - TRUTH - now
                lie = ahead if n < liars_ and now > 3 * HOUR else -error
                theirs = now + 5000
                offset = now + c.offset_at(now) + lie - theirs
                c.sample(n, n + 1, theirs - 1000, now, int(offset), False, now, c.rate_ppb)
                c.echo(n, theirs - now + 1000, theirs + 1000, now)
            c.tick(now)
            if first is None and now >= 3 * HOUR:
                first, steps = c.offset_at(now), c.stepped
        gain = c.offset_at(now) - first
        lines.append(f"{what} of 8: {gain / 1e6:.3f} s, {c.stepped - steps} steps")
    return "a day's gain of a hardened node, " + "; ".join(lines)


def before(commit):
    """The clock of a commit, with the modules of that commit that it imports."""
    kept = dict(sys.modules)
    for name in ("leash", "readings", "clock"):
        path = f"{commit}:src/swdist/machines/{name}.py"
        text = subprocess.run(["git", "show", path], capture_output=True, text=True).stdout
        if text:
            module = sys.modules[f"swdist.machines.{name}"] = types.ModuleType(name)
            exec(compile(text, path, "exec"), module.__dict__)
    sys.modules.update(kept)
    return module.Clock


def rows(nodes, hours, seed, full):
    yield cold, (nodes, seed)
    yield cold, (nodes, seed, True)
    yield forward, (seed,)
    for rival in RIVALS:
        yield honest, (nodes, seed, hours, rival)
    yield honest, (nodes, seed, hours, "swdist", False)
    if "before" in RIVALS:
        for kind in SLY_NAMES:
            yield liars, (nodes, seed, hours, kind, 10, "before")
        yield anchored, (nodes, seed, hours, 5, "sly", 10, False, "before")
    for link, percent in (("border", 0), ("border", 10), ("bridge", 0)):
        yield merge, (nodes, seed, link, WORD_S, percent)
    for percent in (0, 2, 5, 10):
        yield anchored, (nodes, seed, hours, percent, "sly", 10)
        yield anchored, (nodes, seed, hours, percent)
    yield anchored, (nodes, seed, hours, 5, "", 0, True)
    for rival in RIVALS:
        yield liars, (nodes, seed, hours, "two_faced", 10, rival)
        yield liars, (nodes, seed, hours, "mixed", 10, rival)
    for kind in ("constant", "drifting", "two_faced", *SLY_NAMES, "far", "sleeper", "mixed"):
        for percent in (5, 10, 20) if full else (10,):
            yield liars, (nodes, seed, hours, kind, percent)
    yield liars, (nodes, seed, hours, "two_faced", 10, "swdist", 0)
    yield liars, (nodes, seed, hours, "far", 10, "swdist", 0)
    if full:
        for kind in ("constant", "drifting", "two_faced", *SLY_NAMES, "far", "mixed"):
            for percent in (5, 10, 20):
                yield liars, (nodes, seed, 24, kind, percent)
        for kind in ("two_faced", "mixed"):
            yield liars, (nodes, seed, 24, kind, 10, "prototype")


def one(row):
    began = time.process_time()
    seed, function, arguments = row
    line = function(*arguments)
    return f"seed {seed}: {line}; {time.process_time() - began:.0f} s of CPU"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=count, default=60)
    parser.add_argument("--hours", type=int, default=1)
    parser.add_argument("--full", action="store_true", help="also 5 and 20 %% liars, and a day")
    parser.add_argument("--only", default="", help="rows with all these words: honest swdist")
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--set", action="append", default=[], help="CLIP_US=250: of clock.py, leash.py, readings.py"
    )
    parser.add_argument("--against", metavar="COMMIT", help="whose clock is the rival `before`")
    parser.add_argument("--wander", type=float, default=WANDER_PPM_DAY, help="ppm a day")
    parser.add_argument("--swing", type=float, default=0, help="ppm, a sine of a day")
    parser.add_argument("--graph", default=GRAPH, help="as topology.py has them: villages")
    options = parser.parse_args()
    globals().update(WANDER_PPM_DAY=options.wander, SWING_PPM=options.swing, GRAPH=options.graph)
    if options.against:
        RIVALS["before"] = before(options.against)
    for name, value in (s.split("=") for s in options.set):
        having = [m for m in (device, leash, readings) if hasattr(m, name)]
        assert having, f"{name} is no constant of them"
        for module in having:
            setattr(module, name, int(value))
    print(f"{GRAPH}, at most {ROWS} neighbours")
    todo = [
        (seed, function, arguments)
        for seed in options.seed
        for function, arguments in rows(options.nodes, options.hours, seed, options.full)
        if set(options.only.split()) <= {function.__name__, *map(str, arguments)}
    ]
    with multiprocessing.Pool(options.processes) as pool:
        for line in pool.imap(one, todo, chunksize=1):
            print(line, flush=True)


if __name__ == "__main__":
    main()
