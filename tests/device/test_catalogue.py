"""Which releases are held, which of them are shown, and what a full set gives up."""

import os

from made import NETWORK, Made, manifest
from test_store import Box, add

from swdist.crypto.ucryptolib import sha256
from swdist.formats.bits import to_hex
from swdist.storage.catalogue import MAX_VERSIONS


def versions(releases):
    return [r.manifest.version for r in releases]


def test_the_digest_is_of_the_sorted_ids():
    with Box() as b:
        rids = [add(b.store, "1.0.%d" % i).rid for i in range(5)]
        digest = sha256(b"".join(sorted(rids)))[:8]
        assert b.store.catalogue.digest() == digest
        assert b.again().catalogue.digest() == digest


def test_releases_are_in_order_whatever_order_they_come_in():
    with Box() as b:
        for version in ("1.10.0", "1.2.0", "2.0.0", "1.9.9"):
            add(b.store, version)
        order = [(1, 2, 0), (1, 9, 9), (1, 10, 0), (2, 0, 0)]
        assert versions(b.store.releases) == versions(b.again().releases) == order


def test_of_a_version_the_highest_revision_then_id_is_kept():
    with Box() as b:
        add(b.store, revision=2)
        assert b.store.add(manifest(revision=1), b"good")[1][0]
        a, c = [manifest(revision=2, more="Description: %s\n" % word) for word in "ac"]
        low, high = sorted([a, c, manifest(revision=2)], key=sha256)[::2]
        assert b.store.add(high, b"good")[1] is None
        assert b.store.add(low, b"good")[1][0]
        assert [r.rid for r in b.store.releases] == [sha256(high)]


def test_at_most_64_versions_and_the_highest_are_kept():
    with Box() as b:
        for i in range(MAX_VERSIONS):
            add(b.store, "2.0.%d" % i)
        assert b.store.add(manifest("1.0.0"), b"good")[1][1].startswith("full")
        add(b.store, "2.0.0", revision=1)  # one that is held may be replaced
        add(b.store, "3.0.0")
        assert versions(b.store.releases)[0] == (2, 0, 1)
        assert len(b.store.releases) == len(os.listdir(b.path + "/releases")) == MAX_VERSIONS
        assert len(b.again().releases) == MAX_VERSIONS


def test_what_costs_nothing_is_compared_before_any_signature():
    with Box() as b:
        held = manifest("2.0.0", revision=2)
        for text in [held] + [manifest("2.0.%d" % i) for i in range(1, MAX_VERSIONS)]:
            assert b.store.add(text, b"good")[1] is None
        older = manifest("2.0.0", revision=1)
        low = manifest("1.9.9", revision=9)
        foreign = manifest("3.0.0").replace(to_hex(NETWORK).encode(), b"00" * 8)
        for text in (older, low, foreign, manifest("0.0.2"), b"junk"):
            assert b.store.catalogue.weigh(sha256(text), text) is not None
            assert b.store.catalogue.weigh(sha256(held), text)[1].startswith("manifest: digest")
        # So these are, whatever signatures come with them.
        for text in (older, low):
            assert b.store.catalogue.weigh(sha256(text), text)[0]
            assert b.store.add(text, b"junk")[1][0]
        assert b.store.add(held, b"junk")[0] is b.store.catalogue.get(sha256(held))
        better = manifest("2.0.0", revision=3)
        assert b.store.catalogue.weigh(sha256(better), better) is None
        assert b.store.add(better, b"junk")[1] == (False, "signatures: malformed")


def test_what_is_pinned_is_kept_besides_and_not_shown():
    with Box() as b:
        made = Made(b"x" * 100)
        old = add(b.store, "1.0.0", lines=[made])
        for i in range(MAX_VERSIONS - 1):
            add(b.store, "2.0.%d" % i)
        assert old in b.store.catalogue.shown()
        b.store.collect([old.rid])
        add(b.store, "3.0.0")
        add(b.store, "3.0.1")
        assert versions(b.store.releases)[:2] == [(1, 0, 0), (2, 0, 1)]
        assert len(b.store.releases) == MAX_VERSIONS + 1
        shown = b.store.catalogue.shown()
        assert len(shown) == MAX_VERSIONS and old not in shown
        assert b.store.catalogue.digest() == sha256(b"".join(sorted([r.rid for r in shown])))[:8]
        assert b.store.needs.wanted() == [made.pid]  # it may be what runs here
        assert (
            b.again().catalogue.digest() == b.store.catalogue.digest()
            and b.store.catalogue.get(old.rid) is not None
        )
        b.store.collect([])
        add(b.store, "3.0.2")
        assert b.store.catalogue.get(old.rid) is None and len(b.store.releases) == MAX_VERSIONS
        assert b.store.needs.wanted() == []


def test_two_sets_that_saw_the_same_releases_in_any_order_are_the_same():
    order = list(range(MAX_VERSIONS + 6))
    digests = set()
    for step in (1, 3, 69):
        with Box() as b:
            for i in order:
                text = manifest("2.0.%d" % (i * step % len(order)))
                why = b.store.add(text, b"good")[1]
                assert why is None or why[1].startswith("full")
            digests.add(b.store.catalogue.digest())
    assert len(digests) == 1


def test_a_power_cut_while_a_release_is_written_leaves_it_whole_or_not_at_all():
    with Box() as b:
        add(b.store)
        path = b.path + "/releases/" + "ab" * 32 + ".new"
        b.fs.mkdirs(path)
        b.write(path + "/manifest", b"half")
        assert len(b.again().releases) == 1
        assert len(os.listdir(b.path + "/releases")) == 1
