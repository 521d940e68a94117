"""The power goes at each instant of a node's life, on a file system that promises little.

Whatever is left: a slot that is whole is active, nothing that was promised is lost, and the node
goes on by itself to the release that is due, and to the next one. After most cuts the power goes
once more while the node recovers.
"""

import copy
import random

import pytest

from crash import life
from crash.flash import WAYS
from swdist.trust.choose import FACTORY
from swdist_host.sim import disk


class Promises:
    """What had been done, and flushed, when the power went."""

    def __init__(self):
        self.active = self.confirmed = FACTORY
        self.held = {}

    def note(self, node):
        self.active = node.slots.active()
        self.confirmed = node.slots.confirmed()
        self.held = {pid: h.held for pid, h in node.store.payloads.held.items()}

    def check(self, node, at_cut):
        """node: as it has started again; at_cut: what it was about to promise."""
        active, confirmed = node.slots.active(), node.slots.confirmed()
        assert active in (self.active, at_cut.active)
        assert confirmed in (self.confirmed, at_cut.confirmed)
        node.check_slot(active)
        node.check_slot(confirmed)
        for pid, before in self.held.items():
            # Of what must give way, for another one or for room, nothing was promised.
            if at_cut.held.get(pid, 0) >= before:
                assert node.store.held(pid) is not None and node.store.held(pid).held >= before


def life_until(story, flash, cut_after, now_s=life.DAY_S, before=None):
    """Lives until the power goes: what it had promised and was about to, and when it was. None:
    the life was over first. before: the same of the life before."""
    flash.cut_after = cut_after
    promises, at_cut = before or (Promises(), Promises())
    node = None
    try:
        node = story.boot(flash, now_s)
        promises = Promises()
        promises.note(node)
        story.live(node, life.LAST_S, promises.note)
    except disk.PowerCut:
        flash.cut_after = None
        if node is not None:
            at_cut = Promises()
            at_cut.note(node)
            now_s = node.now // life.S
        return promises, at_cut, now_s
    flash.cut_after = None
    node.check_settled(story.world.next)
    assert node.restarts or before, "no switch has changed the code"
    return None


def recover(story, flash, promises, at_cut, now_s):
    """From power on to the end of the life."""
    node = story.boot(flash, now_s + life.DOWN_S)
    promises.check(node, at_cut)
    sure_us = node.now  # when it last ran what is confirmed

    def after(node):
        nonlocal sure_us
        if node.slots.active() == node.slots.confirmed():
            sure_us = node.now
        assert node.now - sure_us <= (life.CONFIRM_S + 12) * life.S

    for until_s, release in ((life.NEXT_S - 20, story.last), (life.LAST_S, story.world.next)):
        if now_s + 2 * life.CONFIRM_S < until_s:
            story.live(node, until_s, after)
            node.check_settled(release)
    assert not [line for line in node.log.lines if "Errno" in line]


def explore(story, ways, seeds, twice):
    """Cuts the power at each step. (how many cuts, how many different flashes they have left)."""
    cuts = 0
    seen = set()
    for step in range(1 << 20):
        flash = life.installed()
        cut = life_until(story, flash, step)
        if cut is None:
            return cuts, len(seen)
        promises, at_cut, now_s = cut
        for way in ways:
            for seed in range(seeds if way in ("in order", "any part") else 1):
                said = f"{story.name}, cut at step {step}, {way}, seed {seed}"
                rand = random.Random(said).randrange
                left = copy.deepcopy(flash)
                left.power_cut(way, rand)
                cuts += 1
                key = left.image(), now_s
                if key in seen:
                    continue
                seen.add(key)
                try:
                    for _ in range(twice):
                        again = copy.deepcopy(left)
                        start_s = now_s + life.DOWN_S
                        second = life_until(story, again, rand(40), start_s, cut[:2])
                        if second is not None:
                            cuts += 1
                            again.power_cut(way, rand)
                            recover(story, again, *second)
                    recover(story, left, promises, at_cut, now_s)
                except Exception as e:
                    raise AssertionError(said) from e
    return None


STORIES = ("two releases", "revised", "little room", "sick experiment")


@pytest.mark.slow
@pytest.mark.parametrize("name", STORIES)
def test_each_cut_leaves_a_node_that_goes_on(world, name):
    cuts, flashes = explore(life.Story(world, name), ("nothing", "any part"), 1, 0)
    print(f"{name}: {cuts} cuts of the power left {flashes} different flashes")
    assert cuts > 400


@pytest.mark.soak
@pytest.mark.parametrize("name", STORIES)
def test_each_cut_and_one_more_leave_a_node_that_goes_on(world, name):
    cuts, flashes = explore(life.Story(world, name), WAYS, 15, 5)
    print(f"{name}: {cuts} cuts of the power left {flashes} different flashes")
    assert cuts > 5000
