"""What else the choice of when to fetch could be, and what each cost of a transfer amounts to.

    python bench/variants.py [--loss SHARE...] [NAME...]

The device's modules as they are, packet by packet, and with one thing changed; time to full
coverage, and in brackets its ratio to the time as it is. Three meshes: a line of 50 with 4 MiB, a
grid of 144 and a random geometric mesh of 150 with 1 MiB.

downloads N     at a time, instead of 2
uploads N       of those that go well at a time, instead of 3
serve first     no run is asked for while an upload is under way
lead N          no run is asked for while a neighbour lacks more than N of the pieces here
write behind    a piece is told, and the next is asked for, before it is written
no flash, no CPU, no contention   these cost no time at all: what a perfect way to save them gains

docs/decisions/0014-in-order.md draws the conclusion.
"""

import argparse
import contextlib
from unittest import mock

from arguments import share
from common import SEED, mesh, spread

from swdist.machines import agenda, fetch, tftpserve
from swdist.wiring import node
from swdist_host.sim import radio, station, transfer

MIB = 1048576
MESHES = [("line", 50, 4), ("grid", 144, 1), ("geometric", 150, 1)]
AGAIN_US = 5000  # until a fetch that was put off is looked at again
UNDER_WAY_US = 50000  # who has acknowledged nothing for so long is not served just now


def putting_off(reason):
    """An agenda that begins no run while reason(agenda, now); new releases are never put off."""

    class Agenda(agenda.Agenda):
        serve = None

        def start(self, slot, now):
            if self.serve is not None and not self._sources.unknown(now) and reason(self, now):
                self.probe_at = now + AGAIN_US
                return False
            return super().start(slot, now)

    class Station(station.Station):
        def boot(self):
            super().boot()
            self.node.fetch._agenda.serve = self.serve

    stack = contextlib.ExitStack()
    stack.enter_context(mock.patch.object(fetch, "Agenda", Agenda))
    stack.enter_context(mock.patch.object(station, "Station", Station))
    return stack


def uploading(own, now):
    for s in own.serve._slots:
        if s.file is not None and s.heard and now - s.progress_at < UNDER_WAY_US:
            return True
    return False


def leading(most):
    def ahead(own, now):
        for pid in own._store.needs.wanted():
            h = own._store.held(pid)
            for row in own._sources._rows if h is not None else ():
                if row.peer is not None and 0 <= row.pieces.get(pid, -1) < h.held - most:
                    return True
        return False

    return ahead


def write_behind():
    """Payloads, whose pieces are verified at once, and whose cost to write comes off the node's
    time only after it has told of them and asked for the next."""
    tick = node.Node.tick

    def late(self, now):
        fs = self.store._fs
        before = fs.spent_us
        news = self.fetch.tick(now)
        cost, fs.spent_us = fs.spent_us - before, before
        if news:
            self.news(now)
        news = tick(self, now) or news
        fs.spent_us += cost
        return news

    return mock.patch.object(node.Node, "tick", late)


def constant(module, name, value):
    return lambda: mock.patch.object(module, name, value)


# name: (what is changed, settings of the nodes)
VARIANTS = {
    "as it is": (contextlib.nullcontext, {}),
    "downloads 1": (constant(transfer, "DOWNLOADS", 1), {}),
    "downloads 3": (constant(transfer, "DOWNLOADS", 3), {}),
    "uploads 1": (constant(tftpserve, "BRISK", 1), {}),
    "uploads 2": (constant(tftpserve, "BRISK", 2), {}),
    "uploads 6": (constant(tftpserve, "BRISK", 6), {}),
    "serve first": (lambda: putting_off(uploading), {}),
    "lead 1": (lambda: putting_off(leading(1)), {}),
    "lead 4": (lambda: putting_off(leading(4)), {}),
    "lead 16": (lambda: putting_off(leading(16)), {}),
    "write behind": (write_behind, {}),
    "no flash": (contextlib.nullcontext, {"write_us_per_kib": 0, "sync_us": 0}),
    "no CPU": (contextlib.nullcontext, {"cpu_us": 0}),
    "no contention": (constant(radio, "BACKOFF_US", 1), {}),
}


def took_s(kind, nodes, mib, loss, settings):
    sim = mesh(kind, nodes, loss=loss, fidelity="packet", **settings)
    got = spread(sim, mib * MIB)
    assert got["covered"]
    return got["took_s"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="of variants; all if none")
    parser.add_argument("--loss", type=share, nargs="+", default=[0.0, 0.2])
    options = parser.parse_args()
    cells = [(*m, loss) for m in MESHES for loss in options.loss]
    print(f"seed {SEED}; seconds to full coverage (ratio to as it is)")
    print(f"{'':14}" + "".join(f"{f'{kind} {loss * 100:.0f} %':>17}" for kind, _, _, loss in cells))
    first = {}
    for name in ["as it is", *(options.names or list(VARIANTS)[1:])]:
        change, settings = VARIANTS[name]
        line = f"{name:14}"
        for cell in cells:
            with change():
                took = took_s(*cell, settings)
            line += f"{took:9.2f} ({took / first.setdefault(cell, took):4.2f}) "
        print(line, flush=True)


if __name__ == "__main__":
    main()
