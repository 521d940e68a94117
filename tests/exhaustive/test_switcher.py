"""The switcher through every short sequence of what can happen to it.

The switcher is the device's; disk, hooks and network side are those of its unit tests. After each
event some seconds pass, and each promise is held against what is there. At the end of each sequence
all faults are lifted, and the node must come to run what docs/protocol.md says."""

import copy
import os
import sys
from pathlib import Path

import pytest

from exhaustive import specification
from swdist.trust.choose import FACTORY

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "device"))
from test_switcher import World

FACTORY_NAME = "1.0.0-r0"
BEGIN_S = 1000
STEP_S = 20
GRACE_S = 1  # a switch is in its second; the records are looked at afterwards
END_S = BEGIN_S + 70
SETTLE_S = 900  # longer than any retry
DEPTH = int(os.environ.get("SWDIST_DEPTH", "3"))  # make soak goes deeper


class Records(list):
    """So that `append` goes along into a deep copy, as a method of a built-in list does not."""

    def append(self, record):
        super().append(record)


class Node(World):
    """With a memory of what was ever signed."""

    def __init__(self):
        self.signed = {}
        self.held_since = 0
        super().__init__(start_s=BEGIN_S, confirm_s=30)
        self.records = Records()
        self.boot()

    def add(self, minor, *arguments, **named):
        r = super().add(minor, *arguments, **named)
        self.signed[r.rid] = r.manifest
        return r

    def hook(self, release, name):
        m = release.manifest
        if name == "activate" and m.experimental and not self.booting:
            # What it falls back to is there: nothing needs the network when the experiment ends.
            stable = [r for r in self.releases if not r.manifest.experimental]
            stable = [r for r in stable if r.rid not in self.disk.bad]
            stable = [r for r in stable if r.manifest.start_s <= self.now // 1_000_000]
            stable = [r for r in stable if not r.manifest.withdrawn]
            assert not stable or self.disk.prepared(max(stable, key=lambda r: r.sort_key()).rid)
        return super().hook(release, name)

    def boot(self, floor_s=0):
        self.booting = True
        self.trial_began = self.now
        super().boot(floor_s)
        self.booting = False

    def hold(self, wanted):
        """The owner's wish."""
        self.on_hold = self.s.choosing.on_hold = wanted
        self.held_since = len(self.records)

    def power_cut(self):
        self.s = None
        self.boot(floor_s=self.records[-1]["at_us"] // 1_000_000 if self.records else 0)


# Each event once its case can arise; names are for the message of a failure.
EVENTS = {
    "stable 1.1.0": lambda w: w.add(1, BEGIN_S + 30),
    "stable 1.3.0, started": lambda w: w.add(3, 10),
    "experimental 1.2.0": lambda w: w.add(2, BEGIN_S + 30, END_S),
    "1.1.0 withdrawn": lambda w: w.add(1, 0, revision=1, none=True),
    "1.2.0 withdrawn": lambda w: w.add(2, 0, revision=1, none=True),
    "power cut": lambda w: w.power_cut(),
    "clock lost": lambda w: setattr(w, "synced", False),
    "clock found": lambda w: setattr(w, "synced", True),
    "disk full": lambda w: setattr(w.disk, "broken", ("activate", "confirm", "fail")),
    "disk well": lambda w: setattr(w.disk, "broken", ()),
    "1.1.0 is bad": lambda w: w.status.update({(1, "activate"): 1}),
    "1.3.0 is sick": lambda w: w.status.update({(3, "health"): 1}),
    "1.1.0 announced, not to be had": lambda w: w.add(1, BEGIN_S + 30, held=False),
    "alone": lambda w: setattr(w, "neighbours", 0),
    "held by its owner": lambda w: w.hold(True),
    "nothing": lambda w: None,
}


def check(w, said):
    pointer = w.disk.pointer
    assert pointer == FACTORY or pointer in w.signed, said
    assert w.disk.prepared(pointer), said
    assert w.s.active.rid == pointer or w.disk.broken, said
    now_s = w.s.now_s(w.now)
    running = w.signed.get(pointer)
    if running is not None and running.experimental and not w.disk.broken:
        assert now_s < running.end_s + GRACE_S, said
    if pointer not in (FACTORY, w.disk.sure) and not w.disk.broken:
        began = max([w.trial_began] + [r["counter_us"] for r in w.records])
        assert w.now - began <= (w.confirm_s + GRACE_S) * 1_000_000, said
    if w.on_hold:
        assert all(r["from"] != FACTORY_NAME for r in w.records[w.held_since :]), said
    # What has failed on trial is left, and never begun again.
    failed = set()
    for record in w.records:
        assert record["to"] not in failed, (said, w.records)
        if record["reason"] == "rollback":
            failed.add(record["from"])
    minute = [t for t in w.ticked if t > w.now - 60_000_000]
    assert len(minute) < 400, said


def wanted(w, release):
    """Is it held in the store, and would it run now, were it prepared?"""
    m = release.manifest
    higher = [r for r in w.releases if r.sort_key() > release.sort_key()]
    higher = [r for r in higher if w.disk.prepared(r.rid)]
    offered = [p for p in m.payloads if p.pid in w.disk.store]
    runs = m.start_s <= w.now // 1_000_000 and not m.experimental
    return offered and runs and not higher


def settle(w, said):
    """Without faults the node comes to what the specification says of what it holds."""
    w.disk.broken = ()
    w.hold(False)
    w.synced = True
    w.neighbours = 1
    w.status.clear()
    w.run(w.now // 1_000_000 + SETTLE_S)
    check(w, said)
    rows = []
    for r in w.releases:
        m = r.manifest
        whole = w.disk.prepared(m.rid)
        assert whole or m.withdrawn or m.rid in w.disk.bad or not wanted(w, r), (said, m.version)
        end_s = m.end_s if m.experimental else None
        failed = m.rid in w.disk.bad
        rows.append(
            specification.Row(
                m.version,
                m.revision,
                m.rid,
                m.start_s,
                end_s,
                m.withdrawn,
                whole=whole,
                failed=failed,
            )  # fmt: skip
        )
    expected = specification.active(rows, w.s.now_s(w.now), True, (1, 0, 0))
    assert w.disk.pointer == expected[2], said
    assert w.disk.pointer in (FACTORY, w.disk.sure), said


def explore(w, depth, said):
    """Every sequence of `depth` more events; how many there were."""
    if depth == 0:
        settle(w, said)
        return 1
    count = 0
    for name, event in EVENTS.items():
        after = copy.deepcopy(w)
        event(after)
        after.run(after.now // 1_000_000 + STEP_S)
        check(after, [*said, name])
        count += explore(after, depth - 1, [*said, name])
    return count


@pytest.mark.slow
def test_every_sequence_of_events_keeps_the_promises():
    assert explore(Node(), DEPTH, []) == len(EVENTS) ** DEPTH
