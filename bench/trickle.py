"""What the parameters of Trickle cost and bring: the device's own announce machine on 1,000 nodes.

    python bench/trickle.py [--nodes N] [--seeds N]

A node that hears of something newer has it FETCH_US later and tells it on; one that hears of
something older says so by Trickle's rule (RFC 6206). Printed are the announcements of a node in an
hour when nothing happens, and the seconds from news at one node until half and all of the nodes
know it, with announcements alone: no beacons and no queries, so that what a parameter does is not
hidden. Then the same with them, as nodes really are: a beacon carries a digest, and who hears
another digest asks. All figures are means over the seeds; the worst stands behind a slash.
"""

import argparse
import heapq
import random

from arguments import count
from common import SEED

from swdist.machines import announce
from swdist.wiring import speech
from swdist_host.sim import topology

FLIGHT_US = 1000
FETCH_US = 25000  # manifest and signatures over one hop (bench/steady.py)
ASK_US = 300000  # a query comes so long after a beacon with news, at random, as in node.py
GIVE_UP_US = 24 * 3600 * 1000000
OURS = (announce.IMIN_US, announce.DOUBLINGS, announce.K, announce.AGAIN)


class Node(announce.Announce):
    """What it says is one number, the newest that it has heard of."""

    def __init__(self, mesh, number):
        super().__init__(mesh.rng.randrange)
        self._mesh = mesh
        self._number = number
        self.version = 0
        self.sent = 0

    def say(self):
        self.sent += 1
        self._mesh.broadcast(self._number, "hear", self.version)

    def hear(self, version, now):
        if version == self.version:
            self.consistent()
            return
        self.inconsistent(now)
        if version > self.version:
            self._mesh.put(now + FETCH_US, "take", self._number, version)

    def hear_beacon(self, version, now):
        if version != self.version:
            self.inconsistent(now)
        if version > self.version:
            self._mesh.put(now + self._rand(ASK_US), "ask", self._number, version)


class Mesh:
    def __init__(self, graph, seed, loss):
        self.rng = random.Random(seed)
        self.loss = loss
        self.now = 0
        self.know = 0  # how many nodes have the newest
        self._queue = []
        self._count = 0
        self._near = [list(graph[n]) for n in range(len(graph))]
        self.nodes = [Node(self, n) for n in range(len(graph))]
        for n, one in enumerate(self.nodes):
            one.start(self.rng.randrange(1000000))
            self.put(one.next_at, "tick", n, 0)

    def put(self, t, what, n, version):
        self._count += 1
        heapq.heappush(self._queue, (t, self._count, what, n, version))

    def broadcast(self, n, what, version):
        for other in self._near[n]:
            if self.rng.random() >= self.loss:
                self.put(self.now + FLIGHT_US, what, other, version)

    def sent(self):
        return sum(one.sent for one in self.nodes) / len(self.nodes)

    def run(self, until, enough=None):
        """Until that time, or until so many know the newest."""
        while self._queue and self._queue[0][0] <= until:
            if enough is not None and self.know >= enough:
                return
            self.now, _, what, n, version = heapq.heappop(self._queue)
            self._happen(self.nodes[n], what, n, version)
        self.now = until

    def _happen(self, one, what, n, version):
        now, was = self.now, one.next_at
        if what == "tick":
            if now < was:
                return  # it was put off
            one.tick(now, one.say)
        elif what == "take":
            if version > one.version:
                one.version = version
                self.know += 1
                one.news(now, True)
        elif what == "hear":
            one.hear(version, now)
        elif what == "beacon":
            self.broadcast(n, "hear beacon", one.version)
            period = speech.BEACON_US
            self.put(now + period * 9 // 10 + self.rng.randrange(period // 5), what, n, 0)
        elif what == "hear beacon":
            one.hear_beacon(version, now)
        elif what == "ask" and version > one.version:
            self.broadcast(n, "query", 0)
        elif what == "query":
            one.query(now)
        if one.next_at != was or what == "tick":
            self.put(one.next_at, "tick", n, 0)

    def news(self, version):
        """Seconds until half and until all have it."""
        began, self.know = self.now, 0
        self.put(began, "take", 0, version)
        marks = []
        for enough in (len(self.nodes) // 2, len(self.nodes)):
            self.run(began + GIVE_UP_US, enough)
            marks.append((self.now - began) / 1e6)
        return marks


def one(graph, seed, loss, imax_us):
    """(announcements of a node in an hour; seconds to half and all, and of a node by then; the same
    seconds with beacons and queries)"""
    mesh = Mesh(graph, seed, loss)
    mesh.run(3 * imax_us)  # all intervals are as long as they get
    before = mesh.sent()
    mesh.run(mesh.now + 4 * imax_us)
    hourly = (mesh.sent() - before) * 3600e6 / (4 * imax_us)
    before = mesh.sent()
    alone = mesh.news(1)
    cost = mesh.sent() - before
    mesh.run(mesh.now + 3 * imax_us)
    for n in range(len(mesh.nodes)):
        mesh.put(mesh.now + mesh.rng.randrange(speech.BEACON_US), "beacon", n, 0)
    return (hourly, *alone, cost, *mesh.news(2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=count, default=1000)
    parser.add_argument("--seeds", type=count, default=5)
    options = parser.parse_args()
    imin, doublings, k, again = OURS
    rows = [(i, doublings, k, again) for i in (50000, 100000, imin, 1000000, 4000000)]
    rows += [(imin, d, k, again) for d in (6, 8, 10, 14)]
    rows += [(imin, doublings, n, again) for n in (1, 3, 4, 8)]
    rows += [(imin, doublings, k, n) for n in (0, 1, 2, 5)]
    print(f"random geometric, {options.nodes} nodes, degree 8, {options.seeds} seeds")
    print(
        "                                a node's      announcements alone: s to"
        "      with beacons: s to"
    )
    print(
        "Imin ms  Imax s   k again  loss   per h    half       all       by then      half      all"
    )
    for row in sorted(rows):
        for loss in (0, 0.2, 0.4):
            announce.IMIN_US, announce.DOUBLINGS, announce.K, announce.AGAIN = row
            imax_us = row[0] << row[1]
            got = []
            for seed in range(SEED, SEED + options.seeds):
                graph = topology.make("geometric", options.nodes, seed, degree=8)
                got.append(one(graph, seed, loss, imax_us))
            mean = [sum(column) / len(got) for column in zip(*got)]
            alone, real = max(run[2] for run in got), max(run[5] for run in got)
            print(
                f"{row[0] // 1000:6} {imax_us / 1e6:8.0f} {row[2]:3} {row[3]:5} {loss:5.0%}"
                f" {mean[0]:7.2f} {mean[1]:7.2f} {mean[2]:8.2f} /{alone:8.2f} {mean[3]:6.2f}"
                f" {mean[4]:8.2f} {mean[5]:7.2f} /{real:6.2f}" + ("  ours" if row == OURS else ""),
                flush=True,
            )
    announce.IMIN_US, announce.DOUBLINGS, announce.K, announce.AGAIN = OURS


if __name__ == "__main__":
    main()
