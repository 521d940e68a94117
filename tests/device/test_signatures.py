"""What a node keeps of the signatures of a release: what holds, then what it can't check."""

import io
from binascii import unhexlify

from logs import Log
from test_inject import swd
from wired import FS, Folder, World, trust_of, vectors

from swdist.formats import manifest, usign
from swdist.formats.bits import to_hex
from swdist.storage import inject
from swdist.storage.room import Room
from swdist.storage.store import SPARE, Store
from swdist.trust import choose, verify

KEYS = vectors("keys")
KIB = 1024


def step(name):
    (found,) = [s for s in KEYS["steps"] if s["name"] == name]
    return unhexlify(found["manifest"]), found["signatures"].encode()


def blocks(text):
    """Each block of a file by itself."""
    return [usign.block(*b) for b in usign.parse_signatures(text)]


def padding(size, fill=0, tag=b"Xy"):
    """A block that nobody can check, of the greatest length up to `size` that one may have."""
    base64 = size - len(usign.CANONICAL) - 1
    data = tag + bytes([fill]) * (base64 // 4 * 3 - 2)
    return usign.block(data[:2], data[2:10], data[10:])


A, SIGNED_A = step("a, by two of the founding keys")
B, SIGNED_B = step("b, by two of the founding keys")
B_BY_NEW = step("b, by the new key")[1]
FIRST, SIGNED_FIRST = step("the first set")
AGAIN = step("the first set again")[1]
A1, A2 = blocks(SIGNED_B)
PADDING = padding(16 * KIB)
OF_A = b"\xa1" * 8


def kept(signatures, more=b"", trust=None):
    return (trust or trust_of(KEYS)).check(B, signatures, more)


def loaded(path, quota=1 << 20):
    room = Room(choose.Here("b"), (1, 0, 0), quota, 0)
    store = Store(FS, path, trust_of(KEYS), Log(), room)
    store.load()
    return store


def on_flash(path, m):
    return FS.read(path + "/releases/" + to_hex(manifest.parse(m)[0].rid) + "/signatures", 1 << 16)


def test_what_holds_comes_first_and_what_cannot_be_checked_follows_as_far_as_it_fits():
    large, too_large, small = padding(9000), padding(9001), padding(200)
    release, text = kept(large + A1 + too_large + small + A2 + B_BY_NEW)
    assert text == A1 + A2 + large + small + B_BY_NEW
    assert release.spare_bytes == len(large + small + B_BY_NEW) <= verify.MAX_SPARE_BYTES
    assert kept(text)[1] == text
    release, text = kept(A2 + A1)
    assert (release.spare_bytes, text) == (0, A2 + A1)


def test_what_cannot_be_checked_has_16_kib_to_the_byte():
    three = b"".join([padding(4097, i) for i in range(3)])
    most = three + padding(4093, 3)
    assert len(most) == verify.MAX_SPARE_BYTES
    assert kept(SIGNED_B + most)[1] == SIGNED_B + most
    assert kept(SIGNED_B + three + padding(4097, 3))[1] == SIGNED_B + three


def test_junk_of_a_known_key_is_not_kept():
    junk = usign.block(b"Ed", OF_A, bytes(64))
    assert kept(A1 + A2 + junk)[1] == A1 + A2 == kept(A1 + A1 + A2 + A1)[1]
    assert kept(junk + A1 + A2)[1].startswith("signatures: the one by key a1")
    # The same where it came as another's: neither the id nor the same bytes twice help.
    foreign = usign.block(b"Ed", bytes(8), usign.parse_signatures(A1)[0][2])
    release, text = kept(A1 + foreign + A2 + foreign)
    assert text == A1 + A2 + foreign and release.spare_bytes == len(foreign)


def test_two_files_are_merged_and_nothing_that_held_is_lost():
    bad = usign.block(b"Ed", b"\xa3" * 8, bytes(64))
    assert kept(SIGNED_B, SIGNED_B + B_BY_NEW)[1] == SIGNED_B + B_BY_NEW
    assert kept(SIGNED_B + B_BY_NEW, SIGNED_B)[1] == SIGNED_B + B_BY_NEW
    assert kept(SIGNED_B, B_BY_NEW)[1] == SIGNED_B + B_BY_NEW
    assert kept(SIGNED_B, bad)[0] is None and kept(SIGNED_B, b"junk")[0] is None
    full = A1 + A2 + b"".join([padding(100, i) for i in range(14)])
    text = kept(full, B_BY_NEW)[1]
    assert text == full and len(usign.parse_signatures(text)) == usign.MAX_BLOCKS


def test_merged_signatures_of_a_key_set_are_those_of_both_files():
    trust = trust_of(KEYS)
    release, text = trust.check(FIRST, SIGNED_FIRST, AGAIN)
    assert sorted(blocks(text)) == sorted(set(blocks(SIGNED_FIRST) + blocks(AGAIN)))
    assert release.spare_bytes == 0 and trust.check(FIRST, text)[1] == text


def test_one_file_costs_no_more_checks_than_it_has_blocks_whatever_sets_judge_it():
    trust = trust_of(KEYS)
    trust._sets = [({OF_A: trust.keys[OF_A]}, 1)] * 20
    trust._keep = [manifest.parse(B)[0].rid]
    wrong = usign.block(b"Ed", OF_A, bytes(64))
    assert checks(lambda: kept(wrong + A2, trust=trust)[1].startswith("signatures:")) == 1


def checks(act):
    """How many signatures are checked in what must succeed."""
    count = [0]
    true = verify.ed25519_verify

    def counted(*args):
        count[0] += 1
        return true(*args)

    verify.ed25519_verify = counted
    try:
        assert act()
    finally:
        verify.ed25519_verify = true
    return count[0]


def test_padding_of_many_releases_has_an_eighth_of_the_quota():
    quota = 20 * KIB * SPARE
    with Folder() as path:
        store = loaded(path, quota)
        for m, signed in ((A, SIGNED_A), (B, SIGNED_B)):
            assert store.add(m, signed + PADDING)[1] is None
        assert on_flash(path, A) == SIGNED_A + PADDING
        assert on_flash(path, B) == SIGNED_B
        checked = verify.Release(store.releases[0].manifest, 20 * KIB + 1)
        assert store.catalogue._cut(checked, PADDING, [])[0].spare_bytes == 0
        assert checked.spare_bytes == 20 * KIB + 1  # what was checked once never changes
        for s in (store, loaded(path, quota)):
            assert s.catalogue.spare_bytes() == len(PADDING)
        assert loaded(path, 20 * KIB).catalogue.spare_bytes() == 0
        assert on_flash(path, A) == SIGNED_A


def test_padding_counts_in_the_quota():
    with Folder() as path:
        store = loaded(path, 20 * KIB * SPARE)
        assert store.add(A, SIGNED_A + PADDING)[1] is None
        store.room.quota = len(PADDING) + 9999  # the payload has 10,000 bytes
        store.needs.changed()
        assert not store.needs.plan().own and store.needs.plan().refused
        store.room.quota += 1
        store.needs.changed()
        assert store.needs.plan().own and not store.needs.plan().refused


def test_neighbour_that_pads_signatures_makes_others_relay_no_more_than_16_kib_of_it():
    with Folder() as path:
        w = World(path, 3, signed=KEYS)
        padder, victim, last = w.stations
        assert padder.store.add(B, SIGNED_B)[1] is None
        rid = to_hex(manifest.parse(B)[0].rid)
        pads = [padding(2500, i) for i in range(12)]
        name = "/releases/" + rid + "/signatures"
        FS.write_atomic(path + "/1" + name, b"".join(pads[:9] + [SIGNED_B] + pads[9:]))
        padder.node.news(w.now)
        w.run(60, lambda: last.store.releases)
        for n in (2, 3):
            assert FS.read(path + "/%d" % n + name, 65536) == SIGNED_B + b"".join(pads[:6])


def test_store_that_was_padded_by_other_means_is_cut_when_it_is_read():
    with Folder() as path:
        loaded(path).add(B, SIGNED_B)
        name = path + "/releases/" + to_hex(manifest.parse(B)[0].rid) + "/signatures"
        FS.write_atomic(name, PADDING + SIGNED_B + padding(200))
        store = loaded(path)
        assert on_flash(path, B) == SIGNED_B + PADDING
        assert store.catalogue.spare_bytes() == len(PADDING)


def test_after_a_change_of_keys_what_holds_comes_first_by_the_new_ones():
    with Folder() as path:
        store = loaded(path)
        assert store.add(B, SIGNED_B + B_BY_NEW)[1] is None
        assert on_flash(path, B) == SIGNED_B + B_BY_NEW
        assert store.add(A, SIGNED_A)[1] is None
        # Three of the key set, one of b by its new key; a is in the list of what is kept.
        assert checks(lambda: store.add(FIRST, SIGNED_FIRST)[1] is None) == 3 + 1
        assert on_flash(path, B) == B_BY_NEW + SIGNED_B
        assert store.catalogue.get(manifest.parse(B)[0].rid).spare_bytes == len(SIGNED_B)


def test_release_whose_signatures_a_relay_has_stripped_comes_back_after_the_change_of_keys():
    with Folder() as path:
        w = World(path, 3, signed=KEYS)
        whole, relay, behind = w.stations
        whole.hears, relay.hears, behind.hears = [relay, behind], [whole], [relay]
        assert whole.store.add(B, SIGNED_B + B_BY_NEW)[1] is None
        for station in (relay, behind):
            assert station.store.add(B, SIGNED_B)[1] is None
        assert whole.store.add(FIRST, SIGNED_FIRST)[1] is None
        for station in w.stations:
            station.node.news(w.now)
        rid = manifest.parse(B)[0].rid
        w.run(120, lambda: len(behind.store.releases) == 2)
        assert (
            behind.store.catalogue.get(rid) is not None
            and relay.store.catalogue.get(rid) is not None
        )


def test_better_signatures_are_merged_by_hand_and_nothing_else_is():
    with Folder() as path:
        assert loaded(path).add(FIRST, SIGNED_FIRST)[1] is None

        def put(signatures):
            f = io.BytesIO(swd((("manifest", FIRST), ("signatures", signatures))))
            return inject.put(FS, path, trust_of(KEYS), f, 1 << 20)[1]

        old, other = blocks(SIGNED_FIRST), blocks(AGAIN)[1]
        for signatures in (SIGNED_FIRST, old[1] + old[0] + old[2], other, A1):
            assert put(signatures) is not None
            assert on_flash(path, FIRST) == SIGNED_FIRST
        why = put(AGAIN + padding(200))
        assert why is None, why
        assert on_flash(path, FIRST) == SIGNED_FIRST + other + padding(200)
