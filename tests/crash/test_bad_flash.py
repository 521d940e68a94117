"""ENOSPC, EROFS and EIO from each write of a node's life on, for a moment or for long.

Nothing is raised, what is held is served, one line says what is wrong, and all is tried again, but
not in a loop; when the flash is well again, the node comes to what it should run."""

from errno import EIO, ENOSPC, EROFS

import pytest

from crash import life

TRIES_A_TURN = 6  # changes of the flash that are tried in a turn, which takes a second or more


def serves(node):
    """A piece that is held is given to a neighbour, byte for byte."""
    for pid, h in node.store.payloads.held.items():
        packed = node.released.authority.payloads[pid]
        for n in range(h.held):
            f = node.store.open(b"1/%s/%d" % (pid.hex().encode(), n))
            got = bytearray(f.size)
            assert f.read_into(0, got) == f.size
            assert got == packed.pieces[n]


def endure(story, step, errno, seconds, reads_fail=False):
    """The flash fails from that step on, for so many seconds. False: there was no such step."""
    flash = life.installed()
    node = story.boot(flash, life.DAY_S)
    flash.fault, flash.fault_from = errno, step
    ill_us = None
    while node.now < (life.LAST_S + 4 * seconds) * life.S:
        before = flash.faults
        node.turn(story.offered(node.now // life.S))
        assert flash.faults - before <= TRIES_A_TURN
        if flash.faults and ill_us is None:
            ill_us = node.now
            flash.reads_fail = reads_fail
            turns, lines = node.turns, len(node.log.lines)
        if ill_us is not None and flash.fault is not None:
            if not reads_fail:
                serves(node)
            if node.now - ill_us >= seconds * life.S:
                flash.fault, flash.reads_fail = None, False
                assert node.turns - turns <= seconds + 10
                said = [line for line in node.log.lines[lines:] if "injected" in line]
                assert len(said) <= 3 + seconds // 5  # store, switch, and the record of a switch
                assert any("injected" in line or "hold" in line for line in node.log.lines)
    node.check_settled(story.world.next)
    for r in node.store.releases:
        assert r.rid not in node.slots.failed()
    return ill_us is not None


def everywhere(story, seconds, every, reads_fail=False):
    step = count = 0
    while True:
        step += every
        for errno in (ENOSPC, EROFS, EIO):
            try:
                if not endure(story, step, errno, seconds, reads_fail and errno == EIO):
                    assert count > 20
                    return count
            except Exception as e:
                raise AssertionError(f"{story.name}: errno {errno} from step {step} on") from e
            count += 1


@pytest.mark.slow
@pytest.mark.parametrize("reads_fail", [False, True])
def test_flash_that_fails_for_a_while_is_survived(world, reads_fail):
    everywhere(life.Story(world, "two releases"), 20, 5, reads_fail)


@pytest.mark.soak
@pytest.mark.parametrize("seconds", [1, 20, 400])
@pytest.mark.parametrize("reads_fail", [False, True])
@pytest.mark.parametrize("name", ["two releases", "revised", "little room"])
def test_flash_that_fails_at_any_step_is_survived(world, name, reads_fail, seconds):
    print(everywhere(life.Story(world, name), seconds, 1, reads_fail), "faults survived")


def test_release_that_is_larger_than_the_quota_is_never_fetched_and_said_once(world):
    node = life.Node(world, life.installed(), life.DAY_S, quota=4096)
    node.run(life.STABLE_S + 50, [world.stable])
    assert node.store.catalogue.get(world.stable.rid) is not None and not node.store.payloads.held
    lines = [line for line in node.log.lines if "quota" in line]
    assert len(lines) == 1 and " KB, quota_kb has 4" in lines[0], lines
