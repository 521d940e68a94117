"""Which payload is for a node, and which release is active (docs/protocol.md, section 5)."""

from made import Made, parsed

from swdist.formats.manifest import Payload
from swdist.trust import choose, verify

BOARD = "b"


def payload(kind="slot", boards=None):
    p = Payload()
    p.kind, p.boards, p.size, p.stored, p.pid = kind, boards, 1, 1, bytes(32)
    return p


def release(version, revision=0, start=10, end=0, withdrawn=False, boards=None, kind="slot"):
    r = choose.factory(version)
    m = r.manifest
    m.revision = revision
    m.start_s = start
    m.end_s = end
    m.experimental = end > 0
    m.withdrawn = withdrawn
    m.payloads = () if withdrawn else (payload(kind, boards),)
    m.rid = bytes([version[0], version[1], version[2], revision] * 8)
    return verify.Release(m)


FACTORY = choose.factory((1, 0, 0))
HERE = choose.Here(BOARD, ("slot", "ipk", "image"))


def always(r, p):
    return True


def active(releases, now, synced=True, here=HERE, ready=always):
    return choose.choose(releases, now, synced, here, FACTORY, ready).manifest.version


def test_factory_release_counts_when_nothing_else_does():
    assert active([], 0) == (1, 0, 0)
    assert active([release((1, 1, 0))], 9) == (1, 0, 0)
    assert active([release((0, 9, 0))], 99) == (1, 0, 0)


def test_release_starts_at_its_second_and_highest_version_wins():
    both = [release((1, 1, 0)), release((1, 2, 0), start=20)]
    assert active(both, 10) == (1, 1, 0)
    assert active(both, 19) == (1, 1, 0)
    assert active(both, 20) == (1, 2, 0)


def test_experimental_release_ends():
    both = [release((1, 1, 0)), release((1, 2, 0), start=20, end=30)]
    assert [active(both, t) for t in (19, 20, 29, 30)] == [
        (1, 1, 0), (1, 2, 0), (1, 2, 0), (1, 1, 0)
    ]  # fmt: skip


def test_experimental_release_never_runs_without_a_synchronised_clock():
    assert active([release((1, 2, 0), start=20, end=30)], 25, synced=False) == (1, 0, 0)


def test_higher_revision_postpones_and_withdraws():
    first = release((1, 1, 0))
    assert active([first, release((1, 1, 0), 1, start=50)], 20) == (1, 0, 0)
    assert active([first, release((1, 1, 0), 1, withdrawn=True)], 20) == (1, 0, 0)
    assert active([release((1, 1, 0), 1, withdrawn=True), first], 20) == (1, 0, 0)


def test_higher_revision_for_other_boards_only_ends_it_here_too():
    both = [release((1, 1, 0)), release((1, 1, 0), 1, boards=("x",))]
    assert active(both, 20) == (1, 0, 0)


def test_revisions_compare_as_numbers():
    assert active([release((1, 1, 0), 9), release((1, 1, 0), 10, withdrawn=True)], 20) == (1, 0, 0)


def test_release_for_another_board_not_ready_or_critical_is_not_run():
    assert active([release((1, 1, 0), boards=("x",))], 20) == (1, 0, 0)
    assert active([release((1, 1, 0), boards=("x", "b"))], 20) == (1, 1, 0)
    asked = []
    r = release((1, 1, 0))
    assert active([r], 20, ready=lambda r, p: asked.append((r, p))) == (1, 0, 0)
    assert asked == [(r, r.manifest.payloads[0])]
    r.manifest.critical = True
    assert active([r], 20) == (1, 0, 0)


def test_image_of_no_higher_version_than_the_one_here_is_not_run():
    assert active([release((1, 0, 0), 5, kind="image", boards=("b",))], 20) == (1, 0, 0)
    r = release((1, 0, 0), 5, kind="image", boards=("b",))
    assert choose.choose([r], 20, True, HERE, FACTORY, always) is FACTORY
    assert active([release((1, 0, 1), kind="image", boards=("b",))], 20) == (1, 0, 1)


def test_order_of_the_set_does_not_matter():
    rs = [release((1, 1, 0)), release((1, 3, 0), end=99), release((1, 2, 0)), release((1, 2, 0), 1)]
    for t in (0, 10, 50, 99):
        assert active(rs, t) == active(rs[::-1], t)


def test_next_change_is_the_next_start_or_end_of_what_is_for_this_node():
    rs = [release((1, 1, 0)), release((1, 2, 0), start=20, end=30)]
    rs.append(release((1, 4, 0), start=15, boards=("x",)))
    changes = [choose.next_change_s(rs, t, HERE) for t in (0, 10, 20, 30)]
    assert changes == [10, 20, 30, None]


def test_pinned_are_what_runs_what_is_to_come_or_go_and_what_is_fallen_back_to():
    old, low, run, soon, ends, gone, none = (
        release((1, 0, 5)), release((1, 1, 0)), release((1, 2, 0)), release((1, 9, 0), start=99),
        release((1, 3, 0), end=60), release((1, 4, 0), end=30),
        release((1, 5, 0), start=99, withdrawn=True),
    )  # fmt: skip
    rs = [old, low, run, soon, ends, gone, none]
    pinned = choose.pinned(rs, low.rid, 50, HERE, FACTORY, always)
    assert sorted(pinned) == sorted([low.rid, soon.rid, ends.rid, run.rid])


# --- which payload


def m(*lines, **more):
    found = [line % "ab" if "%s" in line else line for line in lines]
    return parsed("1.1.0", found, **more)


def line(n, kind="slot", boards="any"):
    return Made(b"x" * n).line(kind, boards)


def picked(here, manifest):
    p = here.takes(manifest)
    return None if p is None else p.size


def test_first_payload_for_the_board_and_of_a_kind_that_can_be_installed_is_taken():
    three = m(line(1, boards="a"), line(2, boards="c b"), line(3))
    assert [picked(choose.Here(b), three) for b in ("a", "b", "c", "d")] == [1, 2, 2, 3]
    kinds = m(line(1, "new-kind"), line(2, "ipk"), line(3, "slot"), line(4, "ipk"))
    assert picked(choose.Here("b"), kinds) == 3
    assert picked(choose.Here("b", ("slot", "ipk")), kinds) == 2
    assert picked(choose.Here("b", ("apk",)), kinds) is None


def test_image_is_for_a_board_by_name_and_never_experimental():
    image = m(line(1, "image"), line(2, "image", "a b"), line(3), more="Window: 0\n")
    assert picked(HERE, image) == 2
    assert picked(choose.Here("b"), image) == 3
    end = "2026-11-30T00:00:00Z"
    image = m(line(1, "image", "b"), line(3), more="Window: 0\n", end=end)
    assert picked(HERE, image) == 3


def experiment(more):
    return m(line(1), more=more, end="2026-11-30T00:00:00Z")


def test_audience_is_who_is_in_a_named_group():
    invited = experiment("Groups: alpha beta\n")
    assert picked(choose.Here("b", ("slot",), ("gamma", "beta")), invited) == 1
    assert picked(choose.Here("b", ("slot",), ("gamma",)), invited) is None
    assert picked(choose.Here("b", ("slot",), (), bytes(16)), invited) is None
    assert picked(choose.Here("b"), experiment("")) == 1


def test_audience_is_a_share_of_the_nodes_by_lot():
    lots = [bytes([i & 255, i >> 8] * 8) for i in range(600)]
    for share in (1, 100, 500, 1000):
        invited = experiment("Share: %d\n" % share)
        count = len([x for x in lots if picked(choose.Here("b", ("slot",), (), x), invited) == 1])
        assert abs(count - 600 * share // 1000) <= 40, (share, count)
    assert picked(choose.Here("b"), experiment("Share: 1000\n")) is None  # its lot is not known
    both = experiment("Share: 1\nGroups: alpha\n")
    assert picked(choose.Here("b", ("slot",), ("alpha",), lots[0]), both) == 1


def test_larger_share_has_all_of_the_smaller_one():
    lots = [bytes([i] * 16) for i in range(200)]
    before = set()
    for share in (100, 300, 900):
        invited = experiment("Share: %d\n" % share)
        now = {x for x in lots if choose.Here("b", ("slot",), (), x).invited(invited)}
        assert before <= now
        before = now


def test_draw_is_of_the_lot_and_the_version_alone():
    assert choose.draw(bytes(16), (1, 2, 3)) == 554
    draws = {choose.draw(bytes(16), (1, 2, i)) for i in range(50)}
    assert len(draws) > 40 and min(draws) >= 0 and max(draws) < 1000
    one, two = [parsed("1.1.0", [line(1)], revision=i, more="Share: 500\n",
                       end="2026-11-30T00:00:00Z") for i in (0, 1)]  # fmt: skip
    for i in range(100):
        here = choose.Here("b", ("slot",), (), bytes([i] * 16))
        assert here.invited(one) == here.invited(two)


def test_critical_release_is_never_taken():
    assert picked(HERE, m(line(1), more="!Future: yes\n")) is None


def coming(releases, now, running=FACTORY, failed=()):
    found = choose.coming(releases, now, running.rid, HERE, FACTORY, failed)
    return found and (found[0].manifest.version, found[1])


def test_what_comes_next_is_what_the_choosing_rule_will_run():
    one, trial, older = release((1, 1, 0)), release((1, 2, 0), start=20, end=30), release((1, 0, 1))
    assert coming([one], 9) == ((1, 1, 0), 10)
    assert coming([one, trial], 15, one) == ((1, 2, 0), 20)
    assert coming([one, trial], 25, trial) == ((1, 1, 0), 30)
    older.manifest.start_s = 40  # lower than what runs then: it never will
    assert coming([one, older], 15, one) is None
    assert coming([one, trial], 15, one, (trial.rid,)) is None
    assert coming([trial, release((1, 2, 0), 1, 25, 30, withdrawn=True)], 15) is None


def test_what_is_late_comes_at_once():
    one = release((1, 1, 0))
    assert coming([one], 50) == ((1, 1, 0), 50)
