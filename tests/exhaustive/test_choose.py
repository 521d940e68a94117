"""The choosing rule against its specification, and its promises, over all small cases."""

from itertools import combinations, product
from math import comb

from exhaustive.specification import Row, active
from swdist.formats import manifest
from swdist.trust import choose, verify

FACTORY_VERSION = (1, 0, 0)
FACTORY = choose.factory(FACTORY_VERSION)
TIMES = range(4)
HERE = choose.Here("b", ("slot", "image"))
# All of these, and none, in each field: three versions (one below the factory's), two revisions,
# each start and each later end.
SPANS = [(start, None) for start in (1, 2)] + [(1, 2), (1, 3), (2, 3)]
VERSIONS = [(0, 9, 0), (1, 1, 0), (1, 2, 0)]
PLAIN = [
    Row(version, revision, bytes([i, revision, *version]) * 6 + b"..", start, end)
    for version in VERSIONS
    for revision in (0, 1)
    for i, (start, end) in enumerate(SPANS)
]
FLAGS = ("withdrawn", "critical", "fits", "invited", "whole", "failed", "image")


def release(row):
    r = choose.factory(row.version)
    m = r.manifest
    m.revision = row.revision
    m.rid = row.rid
    m.start_s = row.start_s
    m.end_s = row.end_s or 0
    m.experimental = row.end_s is not None
    m.withdrawn = row.withdrawn
    m.critical = row.critical
    m.groups = () if row.invited or row.end_s is None else ("others",)
    if not row.withdrawn:
        p = manifest.Payload()
        p.kind = "image" if row.image else "slot"
        p.size = p.stored = 1
        p.boards = ("b",) if row.fits else ("other",)
        m.payloads = (p,)
    made = verify.Release(m)
    made.row = row
    return made


def ready(release, payload):
    assert payload in release.manifest.payloads
    return release.row.whole and not release.row.failed


def chosen(releases, now_s, synced):
    r = choose.choose(releases, now_s, synced, HERE, FACTORY, ready)
    return r.sort_key()


def cases(rows, most):
    """Each set of up to `most` of the rows, as (rows, releases)."""
    made = {row: release(row) for row in rows}
    for count in range(most + 1):
        for some in combinations(rows, count):
            yield some, [made[row] for row in some]


def as_specified(rows, most):
    """Holds each set, in two orders, at each time against the specification; how many sets."""
    count = 0
    for some, releases in cases(rows, most):
        backwards = releases[::-1]
        count += 1
        for now_s, synced in product(TIMES, (False, True)):
            expected = active(some, now_s, synced, FACTORY_VERSION)
            assert chosen(releases, now_s, synced) == expected, (some, now_s, synced)
            assert chosen(backwards, now_s, synced) == expected, (some, now_s, synced)
    return count


def test_each_set_of_up_to_three_releases_is_as_specified():
    assert as_specified(PLAIN, 3) == sum(comb(len(PLAIN), n) for n in range(4)) == 4526


def test_each_set_of_whatever_size_of_two_versions_is_as_specified():
    rows = [row for row in PLAIN if row.version[0] == 1 and (row.start_s, row.end_s) in SPANS[1:4]]
    assert as_specified(rows, len(rows)) == 2 ** len(rows) == 4096


def test_each_reason_to_drop_a_release_alone_and_together():
    """All values of the seven flags on each of two releases of one version or of two."""
    times = [(1, None), (1, 3)]
    for versions in ([(1, 1, 0), (1, 1, 0)], [FACTORY_VERSION, (1, 2, 0)]):
        for flags in product((False, True), repeat=2 * len(FLAGS)):
            for spans in product(times, repeat=2):
                rows = [
                    Row(
                        version,
                        i,
                        bytes([i]) * 32,
                        *span,
                        **dict(zip(FLAGS, flags[len(FLAGS) * i :])),
                    )
                    for i, (version, span) in enumerate(zip(versions, spans))
                ]
                releases = [release(row) for row in rows]
                for now_s, synced in product((2, 3), (False, True)):
                    expected = active(rows, now_s, synced, FACTORY_VERSION)
                    assert chosen(releases, now_s, synced) == expected, (rows, now_s, synced)


def test_between_two_changes_nothing_changes():
    """So a node that sleeps until next_change_s misses no switch."""
    for rows, releases in cases(PLAIN, 2):
        now_s = 0
        while now_s is not None:
            until_s = choose.next_change_s(releases, now_s, HERE)
            for t in range(now_s, until_s or 6):
                assert chosen(releases, t, True) == chosen(releases, now_s, True), (rows, t)
            assert until_s is None or until_s > now_s
            now_s = until_s


def test_withdrawal_and_a_higher_revision_reach_no_other_version():
    """What a later revision says of one version changes nothing of the others."""
    for row in PLAIN:
        if row.revision:
            continue
        later = Row(row.version, 1, b"w" * 32, 0, None, withdrawn=True)
        for other in PLAIN:
            if other.version == row.version:
                continue
            for now_s in TIMES:
                without = chosen([release(other)], now_s, True)
                releases = [release(row), release(other), release(later)]
                assert chosen(releases, now_s, True) == without


def test_more_releases_never_bring_a_lower_version_but_by_their_own_withdrawal():
    """Replay of what is old can not downgrade: adding a release that is no later revision of a
    held version never lowers what runs."""
    for rows, releases in cases(PLAIN, 2):
        for row in PLAIN:
            held = [r for r in rows if r.version == row.version]
            if row in rows or any((row.revision, row.rid) > (r.revision, r.rid) for r in held):
                continue
            for now_s in TIMES:
                assert chosen([*releases, release(row)], now_s, True) >= chosen(
                    releases, now_s, True
                )
