"""Which payloads deserve room."""

from made import CHUNK, Made, fill, parsed
from test_store import BOARD, Box, add

from swdist.formats.bits import to_hex
from swdist.storage.room import Room
from swdist.trust.choose import Here
from swdist.trust.verify import Release

COUNT = [0]


def payload(size, kind="slot", boards="any"):
    """A line of a payload that nobody has."""
    COUNT[0] += 1
    pid = to_hex(bytes([COUNT[0]] * 32))
    return "%s %d %d %s %s" % (kind, size, size, pid, boards)


def release(version, *lines, **more):
    window = "Window: 0\n" if [x for x in lines if x.startswith("image")] else ""
    return Release(parsed(version, lines, more=window, **more))


def pids(*releases):
    return [p.pid for r in releases for p in r.manifest.payloads]


def room(quota=1000, relay=1000, kinds=("slot", "image"), ram=None, keep_all=False):
    return Room(Here(BOARD, kinds), (1, 0, 0), quota, relay, ram, keep_all)


class Ram:
    def __init__(self, size):
        self.size = size

    def fits(self, size, held):
        return size <= self.size


def test_the_first_line_that_fits_is_wanted_and_no_other():
    r = release(
        "1.1.0",
        payload(1, boards="x"),
        payload(2, kind="deb"),
        payload(3, boards=BOARD),
        payload(4),
    )
    assert room().plan([r], (), [], {}).own == pids(r)[2:3]


def test_what_is_older_than_the_image_is_not_fetched_but_for_neighbours():
    old, same, new = [release(version, payload(9)) for version in ("0.9.9", "1.0.0", "1.0.1")]
    plan = room().plan([old, same, new], (), [], {})
    assert plan.own == pids(new, same) and not plan.refused
    line = old.manifest.payloads[0]
    assert room().plan([old, same, new], (), [line], {}).relayed == pids(old)


def test_higher_versions_come_first_as_far_as_there_is_room():
    a, b, c = [release("1.%d.0" % i, payload(400)) for i in (1, 2, 3)]
    plan = room().plan([a, b, c], (), [], {})
    assert plan.own == pids(c, b) and list(plan.refused) == pids(a)
    # A smaller one of a lower version still finds its place.
    small = release("1.0.5", payload(200))
    assert room().plan([small, a, b, c], (), [], {}).own == pids(c, b, small)


def test_what_is_pinned_has_room_first_and_is_fetched_in_the_order_of_versions():
    a, b, c = [release("1.%d.0" % i, payload(400)) for i in (1, 2, 3)]
    plan = room().plan([a, b, c], (a.rid,), [], {})
    assert plan.own == pids(c, a) and list(plan.refused) == pids(b)


def test_what_is_pinned_and_whole_stays_though_it_is_beyond_the_quota():
    made = Made(b"x" * CHUNK)
    with Box() as box:
        r = add(box.store, "1.1.0", lines=[made])
        h = fill(box.store, made)
        held = {made.pid: h}
        assert room(CHUNK - 1).plan([r], (r.rid,), [], held).own == [made.pid]
        assert room(CHUNK - 1).plan([r], (), [], held).own == []
        assert room(CHUNK).plan([r], (), [], held).own == [made.pid]


def test_one_payload_of_many_releases_takes_its_room_once():
    line = payload(900)
    a, b = release("1.1.0", line), release("1.2.0", line)
    plan = room().plan([a, b], (), [], {})
    assert plan.own == pids(a) and plan.refused == {}


def test_relayed_ones_come_last_the_smallest_first_within_their_quota():
    mine = release("1.1.0", payload(400))
    others = release(
        "1.2.0", payload(300, boards="x"), payload(100, boards="y"), payload(250, boards="z")
    )
    lines = others.manifest.payloads
    plan = room().plan([mine, others], (), lines, {})
    assert plan.own == pids(mine) and plan.relayed == [lines[i].pid for i in (1, 2)]
    assert room(relay=99).plan([mine, others], (), lines, {}).relayed == []
    assert room(400).plan([mine, others], (), lines, {}).relayed == []
    assert room(relay=0).plan([mine], (), [], {}).relayed == []
    assert room().plan([mine], (), mine.manifest.payloads, {}).relayed == []  # it is ours


def test_images_take_ram_and_not_flash_and_the_newest_is_the_only_one():
    a, b = [release("1.%d.0" % i, payload(800, kind="image", boards=BOARD)) for i in (1, 2)]
    slot = release("1.3.0", payload(900))
    plan = room(ram=Ram(800)).plan([a, b, slot], (), [], {})
    assert sorted(plan.own) == sorted(pids(b, slot))
    plan = room(ram=Ram(799)).plan([a, b, slot], (), [], {})
    assert plan.own == pids(slot) and "images_kb" in plan.refused[pids(b)[0]]
    plan = room().plan([b], (), [], {})
    assert plan.own == [] and "images_kb" in plan.refused[pids(b)[0]]


def test_image_that_is_not_newer_than_the_one_here_is_not_wanted():
    for version in ("0.9.0", "1.0.0"):
        r = release(version, payload(1, kind="image", boards=BOARD))
        plan = room(ram=Ram(9)).plan([r], (), [], {})
        assert plan.own == [] and plan.refused == {}


def test_image_that_failed_here_is_held_for_others_alone():
    image, slot = [
        release("1.%d.0" % i, payload(5, kind=kind, boards=BOARD))
        for i, kind in ((1, "image"), (2, "slot"))
    ]
    here = room(ram=Ram(5))
    here.failed = [image.rid, slot.rid]
    lines = image.manifest.payloads
    plan = here.plan([image, slot], (), [], {})
    assert plan.own == pids(slot) and plan.relayed == [] and plan.refused == {}
    assert here.plan([image, slot], (), lines, {}).relayed == pids(image)


def test_image_of_another_board_is_relayed_in_ram_alone():
    r = release("1.1.0", payload(5, kind="image", boards="x"))
    assert room(ram=Ram(5)).plan([r], (), r.manifest.payloads, {}).relayed == pids(r)
    assert room(ram=Ram(4)).plan([r], (), r.manifest.payloads, {}).relayed == []
    assert room().plan([r], (), r.manifest.payloads, {}).relayed == []


def test_who_seeds_holds_what_is_for_any_board():
    r = release("1.1.0", payload(1, boards="x"), payload(2, boards="y"), payload(3, kind="deb"))
    assert sorted(room(keep_all=True).plan([r], (), [], {}).own) == sorted(pids(r))


def test_who_is_not_invited_holds_it_too_so_its_promotion_moves_nothing():
    more = {"end": "2026-11-25T00:00:00Z"}
    m = parsed("1.1.0", [payload(1)], more="Groups: testers\n", **more)
    assert room().plan([Release(m)], (), [], {}).own == [m.payloads[0].pid]


def test_what_is_never_to_be_installed_is_not_wanted():
    m = parsed("1.1.0", [payload(1)], more="!Future: x\n")
    assert m.critical and room().plan([Release(m)], (), [], {}).own == []
