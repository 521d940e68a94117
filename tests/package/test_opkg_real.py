"""The real opkg, killed at each of its system calls that writes, and with a full flash: the install
script goes on where it was, or back, and nothing is lost. Skipped without ROOTFS, an OpenWrt's root
file system (24.10 or before), and strace.

STRIDE=7: of the calls each 7th only, as the quick test does it.
"""

import os
import shutil
from types import SimpleNamespace

import pytest
from real_opkg import Tree, different, image

ROOTFS = os.environ.get("ROOTFS")
STRIDE = int(os.environ.get("STRIDE", "1"))
FACTORY = "0" * 64
pytestmark = pytest.mark.skipif(
    not ROOTFS or not shutil.which("strace"), reason="no ROOTFS, or no strace"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The flash of the image, of release a on it, and their states."""
    folder = tmp_path_factory.mktemp("opkg")
    tree = Tree(folder, ROOTFS)
    if not (tree.lower / "bin/opkg").exists():
        pytest.skip("ROOTFS has no opkg")
    factory = image(tree, folder)
    a, b = tree.flash(factory), tree.flash(factory)
    assert a.go("a") is None and b.go("b") is None
    return SimpleNamespace(
        tree=tree, folder=folder, factory=factory, a=a,
        states={FACTORY: factory.state(), "a": a.state(), "b": b.state()},
    )  # fmt: skip


def kind(slot):
    return "none" if slot == FACTORY else "ipk"


def same(world, slot, flash):
    """Nothing foreign, nothing lost? Until all is undone, there may be more: empty folders, links
    of a service that is gone, configuration that opkg takes for edited after a cut."""
    found = different(world.states[slot], flash.state())
    if slot == FACTORY:
        return found
    free = ("etc/config/", "etc/rc.d/", "status")
    return [x for x in found if not x[0].startswith(free) and not x[0].endswith("/")]


def killed_at_each(world, start, slot, goes_on):
    """(kills, what was lost) of going from the flash `start` to `slot`."""
    kills, losses = 0, []
    for at in range(1, 9):
        when = 1
        while True:
            flash = world.tree.flash(start)
            cut = when // STRIDE % 2 == 0
            why = flash.go(slot, kind(slot), at=at, when=when, cut=cut)
            if not flash.killed():
                assert why is None, why
                flash.remove()
                break
            kills += 1
            steps = [why]
            for then in goes_on(when // STRIDE):
                why = flash.go(then, kind(then))
                steps.append(why)
                if why is not None:
                    break
                steps += same(world, then, flash)
            if [x for x in steps[1:] if x] or (not cut and steps[0] and "not now" not in steps[0]):
                losses.append((at, when, cut, steps))
                print("LOSS", losses[-1], flush=True)
            flash.remove()
            when += STRIDE
        if when == 1:
            break
    print(f"{kills} kills on the way to {slot[:1]}, {len(losses)} losses")
    return kills, losses


@pytest.mark.soak
@pytest.mark.parametrize("way", ["install", "undo", "upgrade"])
def test_killed_at_each_call(world, way):
    start, slot = {
        "install": (world.factory, "a"), "undo": (world.a, FACTORY), "upgrade": (world.a, "b")
    }[way]  # fmt: skip

    def goes_on(n):
        """Once more, and then back; or back at once."""
        return (slot, FACTORY) if n % 3 and slot != FACTORY else (FACTORY,)

    kills, losses = killed_at_each(world, start, slot, goes_on)
    assert kills > 30 // STRIDE and losses == []


def room_kb(flash):
    about = os.statvfs(flash.path)
    return about.f_bavail * about.f_bsize // 1024


def fill(flash, leave_kb):
    with open(flash.path / "up/filler", "wb") as file:
        file.write(bytes(max(room_kb(flash) - leave_kb, 0) * 1024))


@pytest.mark.parametrize("leave_kb", [0, 4, 12, 24, 40, 64, 96])
@pytest.mark.parametrize("way", ["install", "undo", "cut"])
def test_full_flash(world, way, leave_kb):
    """Not now, and nothing lost; when there is room again, all goes on."""
    tree = world.tree
    flash = tree.flash(world.factory if way == "install" else world.a, size_kb=1024)
    slot, start = ("a", FACTORY) if way == "install" else (FACTORY, "a")
    if way == "cut":
        flash.go(slot, kind(slot), at=1, when=5, cut=True)
    fill(flash, leave_kb)
    try:
        for _ in range(2):
            why = flash.go(slot, kind(slot))
            print(leave_kb, why)
            assert why is None or why.startswith("not now: ")
        if why and way == "install":
            found = different(world.states[start], flash.state())
            assert [x for x in found if x[0] != "filler"] == []
        (flash.path / "up/filler").unlink()
        assert flash.go(slot, kind(slot)) is None
        assert same(world, slot, flash) == []
        assert flash.go(FACTORY, "none") is None
        assert same(world, FACTORY, flash) == []
    finally:
        flash.remove()
