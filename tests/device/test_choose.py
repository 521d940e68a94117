"""Which release is active (docs/protocol.md, section 5)."""

from swdist import choose, verify


def release(version, revision=0, start=10, end=0, withdrawn=False, boards=None, rid=None):
    r = choose.factory(version)
    m = r.manifest
    m.revision = revision
    m.start_s = start
    m.end_s = end
    m.experimental = end > 0
    m.withdrawn = withdrawn
    m.chunks = int(not withdrawn)
    m.boards = boards
    m.rid = rid or bytes([version[0], version[1], version[2], revision] * 8)
    r = verify.Release(m)
    r.complete = True
    return r


FACTORY = choose.factory((1, 0, 0))


def active(releases, now, synced=True, board="b"):
    return choose.choose(releases, now, synced, board, FACTORY).manifest.version


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


def test_revisions_compare_as_numbers():
    assert active([release((1, 1, 0), 9), release((1, 1, 0), 10, withdrawn=True)], 20) == (1, 0, 0)


def test_release_for_another_board_failed_critical_or_incomplete_is_not_run():
    assert active([release((1, 1, 0), boards=("x",))], 20) == (1, 0, 0)
    assert active([release((1, 1, 0), boards=("x", "b"))], 20) == (1, 1, 0)
    for attribute in ("failed", "complete"):
        r = release((1, 1, 0))
        setattr(r, attribute, attribute == "failed")
        assert active([r], 20) == (1, 0, 0)
    r = release((1, 1, 0))
    r.manifest.critical = True
    assert active([r], 20) == (1, 0, 0)


def test_order_of_the_set_does_not_matter():
    rs = [release((1, 1, 0)), release((1, 3, 0), end=99), release((1, 2, 0)), release((1, 2, 0), 1)]
    for t in (0, 10, 50, 99):
        assert active(rs, t) == active(rs[::-1], t)


def test_next_change_is_the_next_start_or_end():
    rs = [release((1, 1, 0)), release((1, 2, 0), start=20, end=30)]
    assert [choose.next_change_s(rs, t) for t in (0, 10, 20, 30)] == [10, 20, 30, None]
