"""Slots on real files, with a power cut before and after each operation, and disks that fail."""

from made import Made, parsed
from test_untar import END, file, folder, head

from swdist.crypto.ucryptolib import sha256
from swdist.formats.bits import to_hex
from swdist.shell import platform
from swdist.storage import slots
from swdist.storage.slots import Slots
from swdist.trust import verify
from swdist.trust.choose import FACTORY

REAL = platform.Fs()
CHUNK = 4096
TREE = folder(b"hooks/") + file(b"hooks/health", b"true\n") + file(b"big/a", b"a" * 9000)
ARCHIVE = TREE + file(b"z", b"last") + END


class Cut(Exception):
    """The power goes."""


class CutFs(platform.Fs):
    """Real files. After `left` more operations that change something, `error` comes instead."""

    def __init__(self):
        self.left = 1 << 30
        self.error = Cut()
        self.renamed = []
        self.synced = []

    def _spend(self):
        self.left -= 1
        if self.left < 0:
            raise self.error

    def _do(self, what, *words):
        self._spend()
        return getattr(REAL, what)(*words)

    def rename(self, a, b):
        self._do("rename", a, b)
        self.renamed.append((a, b))
        self._spend()

    def open(self, path, mode):
        return REAL.open(path, mode) if mode == "rb" else self._do("open", path, mode)

    def mkdirs(self, path):
        self._do("mkdirs", path)

    def remove(self, path):
        self._do("remove", path)

    def sync_dir(self, path):
        self.synced.append(path)
        self._do("sync_dir", path)

    def chmod(self, path, mode):
        self._do("chmod", path, mode)

    def write_atomic(self, path, data):
        self._spend()
        with REAL.open(path + ".tmp", "wb") as f:
            f.write(data)
        self.rename(path + ".tmp", path)

    def rmtree(self, path):
        if self.is_dir(path):
            for name in self.listdir(path):
                self.rmtree(path + "/" + name)
        if self.size(path) is not None:
            self._do("rmtree", path)


class World:
    def __enter__(self):
        self.root = "/tmp/swdist-test-" + to_hex(platform.rand_bytes(8))
        self.store = self.root + "/store"
        self.state = self.root + "/state"
        REAL.mkdirs(self.store)
        return self

    def __exit__(self, *_):
        REAL.rmtree(self.root)

    def slots(self, fs=REAL):
        return Slots(fs, self.store, self.state)

    def release(self, version=(1, 1, 0), archive=ARCHIVE):
        made = Made(archive)
        made.write(REAL, self.store + "/payloads")
        return verify.Release(parsed("%d.%d.%d" % version, [made]))

    def path(self, r):
        return self.store + "/payloads/" + to_hex(line(r).pid)

    def put(self, r, name, data):
        REAL.write_atomic(self.path(r) + "/" + name, data)


def line(r):
    return r.manifest.payloads[0]


def prepare(held, release):
    """Why it can't be prepared, or None; and how many steps it took."""
    p = held.prepare(release, line(release))
    n = 1
    while p.step():
        n += 1
    assert p.why is None or p.for_good != p.why.startswith("disk: ")
    return p.why, n


def is_whole(held, rid):
    path = held.path(rid)
    return REAL.read(path + "/z", 99) == b"last" and REAL.size(path + "/big/a") == 9000


def test_prepared_slot_is_whole_and_takes_one_step_a_chunk():
    with World() as w:
        r = w.release()
        held = w.slots()
        assert held.offered(line(r)) and not held.prepared(r.rid)
        assert prepare(held, r) == (None, 1 + (len(ARCHIVE) + CHUNK - 1) // CHUNK)
        assert held.prepared(r.rid) and is_whole(held, r.rid)
        assert REAL.listdir(w.state + "/slots") == [to_hex(r.rid)]


def test_all_directories_are_flushed_before_the_slot_gets_its_name():
    with World() as w:
        r = w.release()
        fs = CutFs()
        held = w.slots(fs)
        assert prepare(held, r)[0] is None
        new = held.path(r.rid) + ".new"
        assert sorted(fs.synced) == [new, new + "/big", new + "/hooks"]
        assert fs.renamed == [(new, held.path(r.rid))]


def test_what_the_store_says_is_verified_again_while_it_is_unpacked():
    with World() as w:
        r = w.release()
        held = w.slots()
        for name, data in (
            ("payload", ARCHIVE.replace(b"last", b"lost")),
            ("payload", ARCHIVE[:-1]),
            ("payload", b""),
            ("pages", bytes(21)),
            ("pages", b""),
            ("index", bytes(53)),
            ("index", b""),
        ):
            w.release()
            w.put(r, name, data)
            why, _ = prepare(held, r)
            assert why is not None and why.startswith("disk: "), why
            assert not held.prepared(r.rid) and REAL.listdir(w.state + "/slots") == []
        w.release()
        assert prepare(held, r)[0] is None


def snapshot(path):
    """All below a folder, {path: content or None for a folder}."""
    found = {}
    for name in REAL.listdir(path):
        below = path + "/" + name
        if REAL.is_dir(below):
            found[below] = None
            found.update(snapshot(below))
        else:
            found[below] = REAL.read(below, 1 << 20)
    return found


def broken_sum(archive):
    return archive[:150] + b"7" + archive[151:]


HOSTILE = (
    file(b"../evil"),
    file(b"a/../../../evil"),
    file(b"evil", prefix=b"../.."),
    file(b"/tmp/swdist-evil"),
    file(b"evil", prefix=b"/tmp"),
    folder(b"../evil/"),
    folder(b"/tmp/swdist-evil/"),
    file(b"./a"),
    head(b"in", kind=b"2", link=b"z"),
    head(b"out", kind=b"2", link=b"../../active") + file(b"out", b"bad"),
    head(b"out", kind=b"2", link=b"/tmp") + file(b"out/swdist-evil", b"bad"),
    head(b"hard", kind=b"1", link=b"/etc/passwd"),
    head(b"hard", kind=b"1", link=b"z"),
    head(b"character", kind=b"3"),
    head(b"block", kind=b"4"),
    head(b"pipe", kind=b"6"),
    head(b"a", kind=b"L") + file(b"x" * 300),
    head(b"a", kind=b"x"),
    head(b"a", kind=b"S"),
    head(b"bomb", 0o77777777777),
    head(b"bomb", b"\x80" + bytes(10) + b"\x01"),
    file(b"b" * 100, prefix=b"p" * 155),
    file(b"/".join([b"d"] * 33)),
    file(b"a", mode=b"0004755\0"),
    file(b"a", mode=b"0002755\0"),
    file(b"a") + file(b"a", b"other"),
    folder(b"a/") + file(b"a"),
    file(b"a") + file(b"a/b"),
    broken_sum(file(b"a")),
    file(b"a\nb"),
    file(b"a", magic=b"ustar  \0"),
    file(b"a", b"x" * 700)[:-600],
)


def test_hostile_archives_are_refused_and_nothing_outside_of_the_slot_is_touched():
    with World() as w:
        held = w.slots()
        old = w.release((1, 0, 0))
        assert prepare(held, old)[0] is None
        held.activate(old.rid, False)
        held.confirm(old.rid)
        for i, case in enumerate(HOSTILE):
            for before in (b"", TREE):  # also when files have been written already
                r = w.release((2, i, len(before)), before + case + END)
                was = snapshot(w.root)
                why, _ = prepare(held, r)
                assert why is not None and why.startswith("archive: "), (i, why)
                assert snapshot(w.root) == was, i
                assert not held.prepared(r.rid) and held.active() == old.rid
                assert REAL.size("/tmp/swdist-evil") is None and REAL.size("/tmp/evil") is None


def test_archive_without_its_end_is_refused_at_each_length():
    with World() as w:
        held = w.slots()
        for n in range(512, len(ARCHIVE) - 512, 512):
            r = w.release((2, n // 512, 0), ARCHIVE[:n])
            why, _ = prepare(held, r)
            assert why in ("archive: it ends early", "archive: larger than itself"), (n, why)
            assert REAL.listdir(w.state + "/slots") == []


def test_payload_with_an_index_of_its_own_is_not_taken_for_the_releases():
    with World() as w:
        r = w.release()
        other = w.release((6, 6, 6), ARCHIVE.replace(b"last", b"evil"))
        for name in ("index", "pages", "payload"):
            w.put(r, name, REAL.read(w.path(other) + "/" + name, 99999))
        assert prepare(w.slots(), r)[0] == "disk: the index does not hold"


def test_payload_that_changes_between_two_chunks_is_seen():
    with World() as w:
        r = w.release()
        p = w.slots().prepare(r, line(r))
        assert p.step() and p.step()
        w.put(r, "payload", ARCHIVE.replace(b"last", b"lost"))
        while p.step():
            pass
        assert p.why == "disk: a chunk at %d does not hold" % (2 * CHUNK) and not p.for_good


def test_full_disk_is_not_the_releases_fault():
    with World() as w:
        r = w.release()
        fs = CutFs()
        fs.error = OSError(28)
        held = w.slots(fs)
        for n in range(100):
            fs.left = n
            why, _ = prepare(held, r)
            if why is None:
                break
            assert why.startswith("disk:"), why
            if held.prepared(r.rid):  # only the flush behind the last rename failed
                break
        assert n > 8 and is_whole(held, r.rid)


def test_active_that_is_missing_garbled_or_not_whole_is_the_factorys():
    with World() as w:
        held = w.slots()
        r = w.release()
        assert held.active() == FACTORY
        held.activate(r.rid, False)
        assert held.active() == FACTORY  # its slot is not there
        prepare(held, r)
        assert held.active() == w.slots().active() == r.rid
        name = to_hex(r.rid).encode()
        for data in (b"", b"\n", name[:-1], name + b"00", name.upper(), b"\xff" * 64, bytes(64)):
            REAL.write_atomic(w.state + "/active", data)
            assert held.active() == FACTORY, data


def test_failures_are_kept_with_their_reasons_and_the_oldest_goes_when_full():
    with World() as w:
        held = w.slots()
        rids = [sha256(b"%d" % i) for i in range(slots.MAX_FAILED + 3)]
        for rid in rids:
            held.fail(rid, "archive: " + "y" * 500)
            held.fail(rid, "again")
        assert held.failed() == w.slots().failed() == rids[3:]
        lines = REAL.read(w.state + "/failed", 9999).split(b"\n")
        assert lines[0].startswith(to_hex(rids[3]).encode() + b" archive: yyy")
        REAL.write_atomic(w.state + "/failed", b"\xff\xfe\n" + lines[1] + b"\njunk\n")
        assert w.slots().failed() == [rids[4]]


def test_failure_counts_also_when_it_can_not_be_written():
    with World() as w:
        fs = CutFs()
        held = w.slots(fs)
        fs.left, fs.error = 0, OSError(30)
        try:
            held.fail(sha256(b"1"), "why")
            raise AssertionError("the disk was full")
        except OSError:
            pass
        assert held.failed() == [sha256(b"1")]


def test_failures_that_may_be_those_of_the_power_are_forgiven_and_no_others():
    with World() as w:
        a, b = sha256(b"a"), sha256(b"b")
        held = w.slots()
        held.fail(a, "not confirmed in 5 boots")
        held.fail(b, "not confirmed in 10 boots")
        held.forgive(b" in 5 boots")
        assert held.failed() == w.slots().failed() == [b]
        held.forgive(b" in 5 boots")
        assert w.slots().failed() == [b]


def test_slot_with_its_own_swdist_is_known_by_its_folder():
    with World() as w:
        a = w.release((1, 0, 0))
        held = w.slots()
        prepare(held, a)
        assert not held.has_code(a.rid) and not held.has_code(FACTORY)
        REAL.mkdirs(held.path(a.rid) + "/lib/swdist")
        assert held.has_code(a.rid)


def test_whether_there_was_company_is_known_after_a_boot():
    with World() as w:
        rid = sha256(b"a")
        assert not w.slots().company()
        for company in (True, True, False):
            w.slots().activate(rid, company)
            assert w.slots().company() is company
        REAL.write_atomic(w.state + "/company", b"\xff" * 9)
        assert not w.slots().company()


def test_only_slots_that_nobody_needs_are_removed():
    with World() as w:
        held = w.slots()
        rids = []
        for i in range(5):
            r = w.release((1, i, 0))
            prepare(held, r)
            rids.append(r.rid)
        REAL.mkdirs(w.state + "/slots/junk.new/deep")
        held.activate(rids[0], False)
        held.confirm(rids[1])
        held.collect([rids[2]])
        assert sorted(REAL.listdir(w.state + "/slots")) == sorted([to_hex(r) for r in rids[:3]])


def test_broken_disk_at_the_start_is_survived():
    with World() as w:
        REAL.mkdirs(w.state + "/slots/left.new")
        fs = CutFs()
        fs.left, fs.error = 0, OSError(30)
        held = w.slots(fs)
        assert held.active() == FACTORY
        fs.left = 1000
        held.collect([])
        assert REAL.listdir(w.state + "/slots") == []


def life(held, r, old):
    """All that changes files, once: from the old release to r, and the old one is removed."""
    assert held.prepared(r.rid) or prepare(held, r)[0] is None
    held.activate(r.rid, False)
    held.confirm(r.rid)
    held.fail(old.rid, "why")
    held.collect([])


def test_power_cut_at_any_operation_leaves_a_whole_slot_active_and_what_was_begun_can_go_on():
    cuts = 0
    for n in range(300):
        with World() as w:
            old, r = w.release((1, 0, 0)), w.release((1, 1, 0))
            held = w.slots()
            prepare(held, old)
            held.activate(old.rid, False)
            held.confirm(old.rid)
            fs = CutFs()
            held = w.slots(fs)
            fs.left = n
            try:
                life(held, r, old)
                done = True
            except Cut:
                done = False
                cuts += 1
            held = w.slots()
            assert held.active() in (old.rid, r.rid) and held.confirmed() in (old.rid, r.rid), n
            assert held.failed() in ([], [old.rid])
            for name in REAL.listdir(w.state + "/slots"):
                rid = old.rid if name == to_hex(old.rid) else r.rid
                assert name == to_hex(rid) and is_whole(held, rid), n  # nothing else is left
            life(held, r, old)
            assert held.active() == held.confirmed() == r.rid and is_whole(held, r.rid)
            assert REAL.listdir(w.state + "/slots") == [to_hex(r.rid)]
        if done:
            break
    assert done and cuts >= 25


class Full:
    """Files on flash that somebody fills again at once, to the last byte, whatever is set free:
    nothing new can be written, and no file grows."""

    def __init__(self):
        self.full = False

    def __getattr__(self, name):
        return getattr(REAL, name)

    def open(self, path, mode):
        if self.full and mode not in ("rb", "r+b"):
            raise OSError(28)
        return REAL.open(path, mode)

    def write_atomic(self, path, data):
        with self.open(path + ".tmp", "wb") as f:
            f.write(data)
        REAL.rename(path + ".tmp", path)

    def free(self, path):
        return 0 if self.full else REAL.free(path)


def test_flash_that_is_full_does_not_keep_a_node_from_going_back():
    with World() as w:
        fs = Full()
        held = w.slots(fs)
        good, bad = sha256(b"good"), sha256(b"bad")
        for rid in (good, bad):
            fs.mkdirs(held.path(rid))
        held.activate(good, True)
        held.confirm(good)
        held.activate(bad, True)
        held.collect(())
        reserve = w.state + "/reserve"
        assert len(fs.listdir(reserve)) == 4
        fs.full = True
        held.fail(bad, "ill")
        held.activate(good, False)
        held.confirm(good)
        for x in (held, w.slots(fs)):
            assert x.active() == x.confirmed() == good and x.failed() == [bad]
            assert x.reasons() == ["ill"] and not x.company()
        held.collect((bad,))
        assert len(fs.listdir(reserve)) == 0
        try:
            held.activate(bad, True)
            raise AssertionError("what was held in reserve is spent")
        except OSError:
            pass
        fs.full = False
        held.collect((bad,))
        assert len(fs.listdir(reserve)) == 4
        held.activate(bad, True)  # of which the reserve is none
        assert REAL.size(w.state + "/active") == 65 and held.active() == bad and held.company()
