"""Where the time goes on a line: what the channel around a node in the middle was used for.

    python bench/airtime.py [--nodes N] [--size MIB] [--loss SHARE...]

For the nodes of the middle third, each from its first piece to its last: the mean time in which the
channel around it carries blocks, acknowledgements, requests (with OACKs and errors) or
announcements (with queries and beacons), retries of the radio included; and of the rest, in which

backoff  a node draws lots: a frame waits, and nobody near both its ends sends
exposed  a frame waits for somebody near its other end
own      nothing waits, but the node works (a datagram costs it cpu_us, writing write_us_per_kib)
near     neither, but a neighbour works
waits    all wait for something: a timer, an answer on its way

Perfect colouring of a line would leave only blocks, three payloads of time (LB3).
"""

import argparse

import numpy as np
from arguments import count, share
from common import SEED, mesh, spread

from swdist.formats import tftp
from swdist.formats.datagram import PORT

MIB = 1048576
STEP_US = 50
BLOCKS, ACKS, REQUESTS, NEWS = range(1, 5)
SHARES = ("blocks", "acks", "requests", "news", "backoff", "exposed", "own", "near", "waits")


def kind(data, port):
    if port == PORT:
        return NEWS
    return {tftp.DATA: BLOCKS, tftp.ACK: ACKS}.get(tftp.opcode(data, len(data)), REQUESTS)


class Account:
    """Listens to the radio and to the stations' loops, and keeps intervals of time."""

    def __init__(self, sim):
        self.sim = sim
        numbers = range(len(sim.stations))
        self.air = {n: [] for n in numbers}  # of the channel around n: (start, end, what)
        self.work = {n: [] for n in numbers}  # of n: (start, end)
        self.waits = {n: [] for n in numbers}  # of frames near n: (start, end, the other end)
        self.frames = dict.fromkeys(range(1, 5), 0)
        self.first, self.last = {}, {}  # when n had its first piece, and its last
        radio = sim.world.radio
        self._links = radio.links
        self._unicast, self._broadcast = radio._unicast, radio._broadcast
        self._enqueue, self._after = radio.enqueue, sim.checks.after
        radio._unicast, radio._broadcast = self.unicast, self.broadcast
        radio.enqueue, sim.checks.after = self.enqueue, self.after

    def after(self, station, now):
        """A turn of a station's loop."""
        self._after(station, now)
        at, n = self.sim.world.now, station.number
        self.work[n].append((at, station._blocked_until))
        for h in station.store.payloads.held.values():
            if h.held:
                self.first.setdefault(n, at)
            if h.complete():
                self.last.setdefault(n, at)

    def enqueue(self, a, b, send, *args):
        asked = self.sim.world.now

        def sent(*args):
            self.waits[a].append((asked, self.sim.world.now, b))
            if b is not None:
                self.waits[b].append((asked, self.sim.world.now, a))
            return send(*args)

        self._enqueue(a, b, sent, *args)

    def _note(self, what, end, nodes):
        self.frames[what] += 1
        for n in nodes:
            self.air[n].append((self.sim.world.now, end, what))

    def unicast(self, a, b, sport, port, data, source):
        end = self._unicast(a, b, sport, port, data, source)
        self._note(kind(data, 0), end, {a, b, *self._links[a], *self._links[b]})
        return end

    def broadcast(self, a, data, only, source):
        end = self._broadcast(a, data, only, source)
        self._note(NEWS, end, {a, *self._links[a]})
        return end


class Steps:
    """One row a node, one column for each STEP_US from start to end."""

    def __init__(self, start, end):
        self.start, self.end = start, end
        self.count = (end - start) // STEP_US

    def row(self):
        return np.zeros(self.count, np.int8)

    def slice(self, a, b):
        a, b = max(a, self.start), min(b, self.end)
        return slice((a - self.start) // STEP_US, max(b - self.start, 0) // STEP_US)

    def marked(self, intervals):
        row = self.row()
        for a, b, *what in intervals:
            row[self.slice(a, b)] = what[0] if what else 1
        return row


def shares(account, n):
    """The mean time in each of SHARES, and at work, as shares; and the time in all, seconds."""
    start, end = account.first[n], account.last[n]
    steps = Steps(start, end)
    near = sorted(account._links[n])
    air = {m: steps.marked(account.air[m]) for x in (n, *near) for m in (x, *account._links[x])}
    backoff, exposed = steps.row(), steps.row()
    for a, b, other in account.waits[n]:
        part = steps.slice(a, b)
        taken = air[other][part] > 0 if other is not None else False
        exposed[part] |= taken
        backoff[part] |= ~np.asarray(taken)
    own = steps.marked(account.work[n])
    others = sum(steps.marked(account.work[m]) for m in near)
    parts = [air[n] == what for what in range(1, 5)]
    for row in (backoff, exposed, own, others, np.ones(steps.count)):
        parts.append(~np.any(parts, axis=0) & (row > 0))
    return [*(np.mean(part) for part in parts), np.mean(own > 0), (end - start) / 1e6]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=count, default=20)
    parser.add_argument("--size", type=float, default=1)
    parser.add_argument("--loss", type=share, nargs="+", default=[0.0, 0.2, 0.4])
    options = parser.parse_args()
    print(f"seed {SEED}, line of {options.nodes}, {options.size:g} MiB; seconds in the middle")
    print("  loss  took  ms/hop  middle", *(f"{name:>8}" for name in SHARES), " at work")
    for loss in options.loss:
        sim = mesh("line", options.nodes, loss=loss, fidelity="packet")
        account = Account(sim)
        took_s = spread(sim, int(options.size * MIB))["took_s"]
        watched = range(options.nodes // 3, options.nodes * 2 // 3)
        *mean, span_s = np.mean([shares(account, n) for n in watched], axis=0)
        hop_ms = (account.first[watched[-1]] - account.first[watched[0]]) / 1000
        cells = " ".join(f"{x * span_s:8.2f}" for x in mean)
        print(
            f"{loss * 100:4.0f} %  {took_s:4.1f}"
            f"  {hop_ms / (len(watched) - 1):6.0f}  {span_s:6.2f} {cells}",
            flush=True,
        )


if __name__ == "__main__":
    main()
