"""What nodes tell of themselves (docs/protocol.md, section 3.6): how true the counts are, and what
they cost. The real table on a map of links, one beacon each 16 s; no clocks, no transfers. All know
of all at the beginning, and each node has told at some time of the last hour. With each beacon a
liar speaks for an honest node, and invents one."""

import argparse
import heapq
import random
from statistics import median

from arguments import count, share

from swdist.commands import rollcall, words
from swdist.formats import datagram
from swdist.machines.census import AGAIN, HEAD_BYTES, OWED, SLOT_BYTES, STAMP_S, Census
from swdist_host.sim import topology

BEACON_S = 16
FIXED_BYTES = datagram.HEADER_BYTES + 48
ECHO_BYTES = 27
NOW_S = 1795489200
CHANGE_S = 1800  # until then it is quiet; a release comes to all within
SPREAD_S = 60
SETTLED_S = 300
END_S = CHANGE_S + SPREAD_S + SETTLED_S + 600
REBOOTS = 0.01  # of the nodes in five minutes, which forget all but who they are
ASKED = 20  # nodes that are asked each minute
LIAR = "liar"  # the name in what liars say of others
LIES = ("spoken for", "renamed", "invented", "missing")  # nodes


class Mesh:
    def __init__(self, nodes, loss, liars, seed):
        self.random = random.Random(seed)
        self.graph = topology.make("geometric", nodes, seed, degree=8)
        self.loss = loss
        everyone = list(self.graph)
        self.liars = set(self.random.sample(everyone, int(nodes * liars)))
        self.honest = [n for n in everyone if n not in self.liars]
        draw = self.random.randrange
        self.ids = {n: (draw(1, 65536), draw(65536)) for n in everyone}
        self.tables = {n: self.empty(n) for n in everyone}
        self.introduce()
        self.ready_at = {n: CHANGE_S + self.random.random() * SPREAD_S for n in everyone}
        self.up_since = dict.fromkeys(everyone, NOW_S)
        self.bytes = 0
        self.names = {"%04x%04x" % self.ids[n] for n in everyone}
        self.worst = []  # each minute from the change on
        self.lied = []  # of each answer, as in LIES

    def empty(self, n):
        return Census(rollcall.SLOTS, self.ids[n])

    def introduce(self):
        """Each has told, all have heard it, and nobody owes it to others."""
        everybody = Census(rollcall.SLOTS, (0, 1))
        for n, table in self.tables.items():
            self.tell(n, NOW_S - self.random.randrange(AGAIN * STAMP_S), words.FETCHING)
            row = table.table(NOW_S, rollcall.MAX_BYTES)
            everybody.take(bytes(HEAD_BYTES) + row, 0, HEAD_BYTES + len(row), NOW_S)
        everybody._slots[OWED::SLOT_BYTES] = bytes(rollcall.SLOTS)
        for table in self.tables.values():
            table._slots[:] = everybody._slots

    def tell(self, n, t, word):
        text = b"roof-%d linksys,wrt54g" % n
        self.tables[n].tell(t, word, 100, 7, (1, 4, 0), 0, 20, text)

    def lie(self, n, t):
        """A row in another's name, and one of a node that is not there."""
        for who in (
            self.ids[self.random.choice(self.honest)],
            (self.random.randrange(1, 65536), self.random.randrange(65536)),
        ):
            forged = Census(2, who)
            forged.tell(t, words.FAILED, 0, 7, (6, 6, 6), 0, 0, LIAR.encode())
            row = forged.table(t, 999)
            self.tables[n].take(bytes(HEAD_BYTES) + row, 0, HEAD_BYTES + len(row), t)

    def beacon(self, n, t):
        table = self.tables[n]
        self.tell(n, t, words.READY if t - NOW_S > self.ready_at[n] else words.FETCHING)
        if n in self.liars:
            self.lie(n, t)
        w = datagram.Writer(bytes(8), 1, self.random.randrange)
        w.n = begin = FIXED_BYTES + ECHO_BYTES * min(self.graph.degree(n), 16)
        table.say(w, t)
        self.bytes += w.n - begin
        for other in self.graph[n]:
            if self.random.random() >= self.loss:
                self.tables[other].take(w.buf, begin + 3, w.n - begin - 3, t)

    def wrong(self, t):
        """How far the counts of some nodes are from the truth, worst and each."""
        truth = sum(1 for n in self.graph if t - NOW_S > self.ready_at[n] + BEACON_S)
        up = [n for n in self.honest if t - self.up_since[n] >= SETTLED_S]
        asked = self.random.sample(up, min(ASKED, len(up)))
        found = []
        for n in asked:
            rows = rollcall.read(self.tables[n].table(t, rollcall.MAX_BYTES), t)
            found.append(abs(sum(1 for r in rows if r["state"] == "ready") - truth))
            true = [r for r in rows if r["node"] in self.names]
            failed = sum(1 for r in true if r["state"] == words.STATES[words.FAILED])
            renamed = sum(1 for r in true if r["name"] == LIAR)
            missing = len(self.names) - len(true)
            self.lied.append((failed, renamed, len(rows) - len(true), missing))
        return found

    def run(self):
        queue = [(self.random.random() * BEACON_S, n) for n in self.graph]
        heapq.heapify(queue)
        at = minute = 0
        apart = []
        quiet = None
        while at < END_S:
            at, n = heapq.heappop(queue)
            if self.random.random() < REBOOTS * BEACON_S / 300:
                self.tables[n] = self.empty(n)
                self.up_since[n] = NOW_S + int(at)
            self.beacon(n, NOW_S + int(at))
            if at > CHANGE_S and quiet is None:
                quiet = self.bytes
            heapq.heappush(queue, (at + BEACON_S * (0.9 + 0.2 * self.random.random()), n))
            if at >= minute + 60:
                minute = int(at)
                if at > CHANGE_S + SPREAD_S:
                    found = self.wrong(NOW_S + int(at))
                    self.worst.append(max(found))
                    if at > CHANGE_S + SPREAD_S + SETTLED_S:
                        apart += found
        return apart, quiet / len(self.graph) / (CHANGE_S / 3600)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=count, default=1000)
    parser.add_argument("--seeds", type=count, default=1)
    parser.add_argument("--liars", type=share, nargs="+", default=[0.0, 0.1])
    options = parser.parse_args()
    nodes = options.nodes
    print(
        f"{nodes} nodes, degree 8, loss 10 %, each node reboots each {300 / REBOOTS / 3600:.0f} h"
    )
    for liars in options.liars:
        for seed in range(1, options.seeds + 1):
            mesh = Mesh(nodes, 0.1, liars, seed)
            apart, quiet = mesh.run()
            bound = max(3, nodes * 0.05)
            good = sum(1 for a in apart if a <= bound) / len(apart)
            print(
                f"liars {liars:.0%}, seed {seed}: {good:.1%} of {len(apart)} answers from 5 min"
                f" after the change on within {bound:.0f} nodes, worst {max(apart)};"
                f" {quiet / 1000:.0f} KB per node and hour at rest;"
                f" worst each minute: {mesh.worst}",
                flush=True,
            )
            if liars:
                for what, each in zip(LIES, zip(*mesh.lied, strict=True), strict=True):
                    print(f"  nodes {what}: median {median(each):.0f}, worst {max(each)}")


if __name__ == "__main__":
    main()
