"""A change of the CA's keys in the store, on the switch side, and between neighbours."""

import io
from binascii import b2a_base64, unhexlify

from logs import Log
from test_inject import swd
from wired import FS, Folder, World, trust_of, vectors

from swdist.crypto import ucryptolib
from swdist.formats import manifest
from swdist.formats.bits import to_hex
from swdist.shell import platform
from swdist.storage import inject
from swdist.storage.catalogue import write_head
from swdist.storage.room import Room
from swdist.storage.store import Store
from swdist.switchd import Switchd
from swdist.trust import choose, verify

KEYS = vectors("keys")
STEPS = {
    step["name"]: (unhexlify(step["manifest"]), step["signatures"].encode())
    for step in KEYS["steps"]
}
A = STEPS["a, by two of the founding keys"]
B = STEPS["b, by two of the founding keys"]
C = STEPS["c, by the new key"]
FIRST = STEPS["the first set"]
SECOND = STEPS["the second set"]


def founding():
    return trust_of(KEYS)


def versions(store):
    return [r.manifest.version for r in store.releases]


def loaded(path, trust=None):
    room = Room(choose.Here("b"), (1, 0, 0), 1 << 20, 0)
    store = Store(FS, path, trust or founding(), Log(), room)
    store.load()
    return store


def test_what_the_new_keys_do_not_vouch_for_is_dropped_and_what_they_sign_is_taken():
    with Folder() as path:
        store = loaded(path)
        assert store.add(*A)[1] is None and store.add(*B)[1] is None
        assert store.add(*C)[1][1].startswith("signatures:")
        assert store.add(*SECOND)[1] == (True, "an earlier key set comes first")
        assert store.add(*FIRST)[1] is None
        assert versions(store) == [(0, 0, 1), (1, 1, 0)]
        assert not FS.is_dir(path + "/releases/" + to_hex(manifest.parse(B[0])[0].rid))
        assert store.add(*C)[1] is None and store.add(*B)[1][1].startswith("signatures:")
        assert versions(store) == [(0, 0, 1), (1, 1, 0), (1, 3, 0)]


class Filled:
    """A file system whose folder of releases, filled by somebody, shows the key sets last."""

    def __init__(self, first):
        self._first = first

    def __getattr__(self, name):
        return getattr(FS, name)

    def listdir(self, path):
        if path.endswith("/releases") and self._first:
            first, self._first = self._first, None
            return first + ["junk%d" % n for n in range(300)]
        return FS.listdir(path)


def test_keys_that_a_filled_folder_shows_last_judge_what_it_showed_first():
    with Folder() as path:
        store = loaded(path)
        assert store.add(*FIRST)[1] is None
        rid = manifest.parse(B[0])[0].rid
        write_head(FS, store.catalogue.folder(rid), *B)  # signed by the keys that were stolen
        room = Room(choose.Here("b"), (1, 0, 0), 1 << 20, 0)
        store = Store(Filled([to_hex(rid)]), path, founding(), Log(), room)
        store.load()
        assert versions(store) == [(0, 0, 1)] and not FS.is_dir(store.catalogue.folder(rid))


def test_what_is_held_is_given_while_new_keys_judge_it():
    with Folder() as path:
        trust = founding()
        store = loaded(path, trust)
        for what in (A, B):
            assert store.add(*what)[1] is None
        names = [b"1/%s/manifest" % to_hex(r.rid).encode() for r in store.releases]
        check = trust.check
        given = []

        def asked(*args):
            given.append([store.open(name) is not None for name in names])
            return check(*args)

        trust.check = asked
        assert store.add(*FIRST)[1] is None
        assert given == [[True, True]] * 2  # for the keys, and for b, which they do not trust


def test_datagrams_that_come_during_a_check_are_taken_and_begin_no_other_one():
    with Folder() as path:
        w = World(path, 2, signed=KEYS)
        one, two = w.stations
        for what in (A, FIRST, C):
            assert one.store.add(*what)[1] is None
        came = []

        def meanwhile():
            assert not came or came[-1] is not None  # one check at a time
            came.append(None)
            due, w.queue = w.queue, []
            for _, source, peer, sport, port, data in due:
                station = one if peer == one.peer else two
                station.deliver(source, sport, port, data, w.now)
            came[-1] = len(due)

        ucryptolib.meanwhile = meanwhile
        try:
            w.run(60, lambda: versions(two.store) == versions(one.store))
        finally:
            ucryptolib.meanwhile = None
        assert versions(two.store) == versions(one.store) and sum(came)
        assert not two.node.fetch.outcomes.refusals


def test_a_restart_goes_the_same_way_through_all_keys():
    with Folder() as path:
        store = loaded(path)
        for what in (A, FIRST, C):
            assert store.add(*what)[1] is None
        assert versions(loaded(path)) == versions(store) == [(0, 0, 1), (1, 1, 0), (1, 3, 0)]
        assert store.add(*SECOND)[1] is None  # which keeps c alone
        again = loaded(path)
        assert versions(again) == versions(store) == [(0, 0, 1), (0, 0, 2), (1, 3, 0)]
        assert again.open(
            b"1/" + to_hex(again.releases[1].rid).encode() + b"/manifest"
        ).size == len(SECOND[0])


def test_a_release_is_injected_by_the_keys_that_the_store_has_come_to():
    def put(path, change):
        members = (("manifest", change[0]), ("signatures", change[1]))
        return inject.put(FS, path, founding(), io.BytesIO(swd(members)), 1 << 20)

    with Folder() as path:
        assert put(path, SECOND)[1] == "an earlier key set comes first"
        assert loaded(path).add(*FIRST)[1] is None
        assert put(path, B)[1].startswith("signatures:")  # which the founding keys have signed
        release, why = put(path, SECOND)
        assert why is None and release.manifest.version == (0, 0, 2)
        assert versions(loaded(path)) == [(0, 0, 1), (0, 0, 2)]


def test_a_ca_directory_with_one_key_id_twice_is_refused_in_any_order():
    (i, k), (j, other) = sorted(KEYS["keys"].items())[:2]
    for second in ((i, other), (j, k)):
        for names in ("ab", "ba"):
            with Folder() as path:
                FS.write_atomic(path + "/network", b"id: " + KEYS["network"].encode() + b"\n")
                FS.write_atomic(path + "/threshold", b"1\n")
                for name, (key_id, key) in zip(names, ((i, k), second)):
                    line = b2a_base64(b"Ed" + unhexlify(key_id) + unhexlify(key))
                    FS.write_atomic(path + "/" + name + ".pub", b"untrusted comment: key\n" + line)
                try:
                    verify.load_ca(FS, path)
                    raise AssertionError("which key counts would hang on the files' names")
                except ValueError as e:
                    assert "has another key's id" in str(e), e


STRAYS = tuple(
    "alice.pub~ .alice.pub.swp #alice.pub# alice.pub.bak alice.pub.backup network.apk-new "
    "threshold-opkg b.pub-opkg 1.manifest~ alice no-key.pub .b.pub".split()
)


def test_what_editors_and_package_managers_leave_beside_the_keys_is_named_and_skipped():
    """Be it another key, with the id of one that counts: a copy from before it was edited."""
    (i, k), (_, other) = sorted(KEYS["keys"].items())[:2]
    with Folder() as path:
        FS.write_atomic(path + "/network", b"id: " + KEYS["network"].encode() + b"\n")
        FS.write_atomic(path + "/threshold", b"1\n")
        for name, key in [("alice.pub", k)] + [(name, other) for name in STRAYS]:
            line = b2a_base64(b"Ed" + unhexlify(i) + unhexlify(key))
            text = b"x" if name == "no-key.pub" else b"untrusted comment: key\n" + line
            FS.write_atomic(path + "/" + name, text)
        FS.mkdirs(path + "/folder.pub")
        trust = verify.load_ca(FS, path)
        assert list(trust.keys.values()) == [unhexlify(k)]
        named = sorted(text.split("/")[-1].split(" ")[0] for text in trust.strays)
        assert named == sorted(STRAYS + ("folder.pub",)), named


def test_an_image_may_bring_the_changes_and_its_store_serves_them():
    with Folder() as path:
        ca = path + "/ca"
        FS.mkdirs(ca)
        FS.mkdirs(path + "/store")
        for name, data in (("network", "id: " + KEYS["network"]), ("threshold", "2")):
            FS.write_atomic(ca + "/" + name, data.encode() + b"\n")
        for i, k in KEYS["keys"].items():
            line = b2a_base64(b"Ed" + unhexlify(i) + unhexlify(k))
            FS.write_atomic(ca + "/" + i + ".pub", b"untrusted comment: key\n" + line)
        for n, change in enumerate((FIRST, SECOND)):
            for name, data in zip(("manifest", "signatures"), change):
                FS.write_atomic(ca + "/%d.%s" % (n + 1, name), data)
        trust = verify.load_ca(FS, ca)
        assert trust.threshold == 2 and b"\xa5" * 8 in trust.keys
        store = loaded(path + "/store", trust)
        assert versions(store) == [(0, 0, 1), (0, 0, 2)]
        assert versions(loaded(path + "/store", verify.load_ca(FS, ca))) == versions(store)
        FS.write_atomic(ca + "/2.signatures", FIRST[1])
        try:
            verify.load_ca(FS, ca)
            raise AssertionError("a change that its keys have not signed")
        except ValueError as e:
            assert "2.manifest" in str(e), e


def test_node_that_missed_two_changes_catches_up_and_blames_nobody():
    with Folder() as path:
        w = World(path, 2, signed=KEYS)
        awake, asleep = w.stations
        for what in (FIRST, SECOND, C):
            assert awake.store.add(*what)[1] is None
        assert asleep.store.add(*B)[1] is None
        awake.node.news(w.now)
        asleep.node.news(w.now)
        w.run(60, lambda: versions(asleep.store) == versions(awake.store))
        assert versions(asleep.store) == [(0, 0, 1), (0, 0, 2), (1, 3, 0)]
        assert [row.faults for row in asleep.node.neighbours.rows if row.peer] == [0]
        assert b"\xa6" * 8 in asleep.store.catalogue._trust.keys


def test_switch_side_goes_by_the_new_keys_in_whatever_order_it_finds_them():
    class Conf:
        confirm_s = 60
        board = "b"
        factory_version = (1, 0, 0)
        user = ""
        set_clock = False
        hold = 0
        images_kb = 0
        groups = ()
        rendezvous = None
        rendezvous_every_s = 21600

    with Folder() as path:
        conf = Conf()
        for name in ("store", "state", "run"):
            FS.mkdirs(path + "/" + name)
            setattr(conf, name, path + "/" + name)
        d = Switchd(conf, Log(), FS, founding(), platform.Clock())

        def put(what):
            folder = conf.store + "/releases/" + to_hex(manifest.parse(what[0])[0].rid)
            FS.mkdirs(folder)
            for name, data in zip(("/manifest", "/signatures"), what):
                FS.write_atomic(folder + name, data)

        def look():
            now = platform.Clock().counter_us()
            while d._look(now):
                pass
            return sorted([r.manifest.version for r in d.switcher.choosing.releases])

        try:
            for what in (A, B, C):
                put(what)
            assert look() == [(1, 1, 0), (1, 2, 0)]
            put(SECOND)
            assert look() == [(1, 1, 0), (1, 2, 0)]
            put(FIRST)
            assert look() == [(0, 0, 1), (0, 0, 2), (1, 3, 0)]
        finally:
            d.ipc.close()
