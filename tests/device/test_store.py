"""The network side's store: what is held, what is given, what goes out, what a restart finds."""

import os

from logs import Log
from made import CHUNK, Made, Trust, fill, manifest

from swdist.crypto.ucryptolib import sha256
from swdist.formats.bits import to_hex
from swdist.shell.platform import Fs
from swdist.storage.payloads import RESERVE
from swdist.storage.room import Room
from swdist.storage.store import Store
from swdist.trust.choose import Here
from swdist.trust.dates import Dates

PAYLOAD = Made(bytes([i * 7 % 251 for i in range(CHUNK)]) + b"b" * CHUNK + b"end")
KB = 1024
BOARD = "linksys,wrt54gs"


def of(letter, chunks=2):
    """A payload of its own."""
    return Made(b"".join([bytes([letter, i]) * (CHUNK // 2) for i in range(chunks)]))


class Box:
    """A store in a fresh directory, and what is put into it."""

    def __init__(self, quota=64 * KB, relay=64 * KB, fs=None, here=None):
        self.fs = fs or Fs()
        self.path = "/tmp/swdist-store-" + to_hex(open("/dev/urandom", "rb").read(8))
        self.room = Room(here or Here(BOARD), (0, 0, 0), quota, relay)
        self.log = Log()
        self.store = self.again()

    def again(self):
        """As after a restart."""
        self.store = Store(self.fs, self.path, Trust(), self.log, self.room)
        self.store.load()
        return self.store

    def dir(self, made):
        return self.path + "/payloads/" + to_hex(made.pid)

    def write(self, path, data):
        with open(path, "wb") as f:
            f.write(data)

    def said(self, word):
        return [line for line in self.log.lines if word in line]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        Fs().rmtree(self.path)


def add(store, *args, **more):
    release, why = store.add(manifest(*args, **more), b"good")
    assert why is None, why
    return release


def content(store, name):
    file = store.open(name)
    if file is None:
        return None
    buf = bytearray(file.size + 10)
    n = file.read_into(0, memoryview(buf))
    file.close()
    return bytes(buf[:n])


def spoil(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 0x10]))


def scrub(store, pieces):
    """So many pieces are read again, one at a time."""
    for _ in range(pieces):
        store.scrub()


def reuse(store):
    """Takes all that others have. True if there was any."""
    taken = False
    for _ in range(1000):
        more, got = store.reuse()
        taken = taken or got
        if not more:
            return taken
    raise AssertionError("it does not end")


def test_an_empty_store():
    with Box() as b:
        assert b.store.releases == [] and b.store.needs.wanted() == []
        assert b.store.catalogue.digest() == sha256(b"")[:8]
        assert b.store.newest_signed_at_s() == 0
        assert b.store.catalogue.get(bytes(32)) is None and b.store.held(bytes(32)) is None
        assert b.store.reuse() == (False, False)


def test_a_payload_grows_piece_by_piece():
    with Box() as b:
        r = add(b.store, lines=[PAYLOAD])
        pid = PAYLOAD.pid
        assert b.store.catalogue.get(r.rid) is r and b.store.held(pid) is None
        assert b.store.needs.wanted() == [pid] and not b.store.ready(r, r.manifest.payloads[0])
        assert b.store.newest_signed_at_s() == r.manifest.signed_at_s
        h = fill(b.store, PAYLOAD, 0)
        assert (h.pages, h.total, h.held, h.complete()) == (1, 4, 0, False)
        fill(b.store, PAYLOAD, 3)
        assert (h.held, h.complete()) == (3, False) and b.store.needs.wanted() == [pid]
        fill(b.store, PAYLOAD)
        assert (h.held, h.complete()) == (4, True) and b.store.needs.wanted() == []
        assert (h.sent, h.size) == (PAYLOAD.stored, len(PAYLOAD.data))
        assert b.store.ready(r, r.manifest.payloads[0])
        assert b.fs.read(b.dir(PAYLOAD) + "/payload", 99999) == PAYLOAD.data
        assert b.fs.read(b.dir(PAYLOAD) + "/pages", 99999) == PAYLOAD.pages[0]
        assert b.fs.read(b.dir(PAYLOAD) + "/index", 99999) == PAYLOAD.index


def test_many_pieces_at_once_are_kept_as_far_as_they_are_whole():
    made = Made(bytes([i % 256 for i in range(9 * 100)]), size=100, per_page=4)
    with Box() as b:
        add(b.store, lines=[made])
        h = fill(b.store, made, 0)
        pages = b"".join(made.pages)
        assert b.store.put(h, memoryview(pages)[:-1]) == (len(pages) - 21, None)
        assert h.held == 2  # the last one is not whole yet
        assert b.store.put(h, memoryview(made.pages[2])) == (21, None)
        assert b.store.put(h, memoryview(made.data)[:250]) == (200, None) and h.held == 5
        assert b.store.put(h, memoryview(made.data)[200:]) == (700, None) and h.complete()
        assert b.store.put(h, memoryview(made.data)) == (0, None)  # it has all


def test_what_holds_before_a_wrong_piece_is_kept():
    made = Made(bytes([i % 256 for i in range(9 * 100)]), size=100)
    with Box() as b:
        add(b.store, lines=[made])
        h = fill(b.store, made, 1)
        bad = bytearray(made.data)
        bad[333] ^= 1
        assert b.store.put(h, memoryview(bad)) == (
            300,
            (False, "piece 4: digest is not the index's"),
        )
        assert b.store.put(h, memoryview(bad)[300:])[0] == 0
        assert h.held == 4 and b.fs.read(b.dir(made) + "/payload", 9999) == made.data[:300]


def test_what_is_refused():
    with Box() as b:
        assert b.store.add(b"junk", b"good")[0] is None
        assert b.store.add(manifest(), b"bad") == (None, (False, "signatures: malformed"))
        add(b.store, lines=[PAYLOAD])
        pid, data = PAYLOAD.pid, PAYLOAD.index
        assert b.store.put_index(pid, data[:-1])[1].startswith("index:")
        assert b.store.put_index(pid, data[:-1] + b"x")[1].startswith("index:")
        for at in range(len(data)):
            bad = bytearray(data)
            bad[at] ^= 1 << at % 8
            assert b.store.put_index(pid, bytes(bad))[1].startswith("index:"), at
        assert b.store.held(pid) is None
        h = fill(b.store, PAYLOAD, 0)
        assert b.store.put(h, memoryview(PAYLOAD.chunks[0]))[1][1].startswith("piece 0:")
        assert b.store.put(h, memoryview(b"")) == (0, None)
        fill(b.store, PAYLOAD, 1)
        assert b.store.put(h, memoryview(PAYLOAD.chunks[1]))[1][1].startswith("piece 1:")
        assert b.store.put(h, memoryview(PAYLOAD.chunks[0])[:-1]) == (0, None)
        assert h.held == 1


def test_index_that_is_none_is_fetched_once_and_nobody_is_blamed():
    with Box() as b:
        bad = Made(b"x")
        bad.index = bad.index[:-1]
        bad.pid = sha256(bad.index)
        add(b.store, lines=[bad])
        assert b.store.needs.wanted() == [bad.pid]
        assert b.store.put_index(bad.pid, bad.index) is None
        assert b.store.held(bad.pid) is None and b.store.needs.wanted() == []
        assert len(b.said("its index is none")) == 1


def test_pages_that_are_not_what_the_manifest_says_are_the_end_of_it():
    made = Made(b"x" * 5000)
    for size, stored in ((5001, 5000), (5000, 4999), (9999, 9)):
        with Box() as b:
            line = "slot %d %d %s any" % (size, stored, to_hex(made.pid))
            r = add(b.store, lines=[line])
            h = fill(b.store, made, 0)
            assert b.store.needs.wanted() == [made.pid]
            assert b.store.put(h, memoryview(made.pages[0])) == (42, None)  # nobody is to blame
            assert b.store.needs.wanted() == [] and len(b.said("not what the manifest says")) == 1
            assert b.store.put(h, memoryview(made.data)) == (5000, None)
            assert h.complete() and not b.store.ready(r, r.manifest.payloads[0])


def test_release_that_is_wrong_about_a_payload_harms_no_other_that_names_it():
    made = Made(b"x" * 5000)
    for size, stored in ((5001, 5000), (5000, 4999), (9, 9), (70000, 70000)):  # beyond the quota
        wrong = "slot %d %d %s any" % (size, stored, to_hex(made.pid))
        for order in ((wrong, made), (made, wrong)):
            with Box() as b:
                for i in range(2):
                    add(b.store, "1.0.%d" % i, lines=[order[i]])
                for n in (0, 1):
                    fill(b.store, made, n)
                    assert b.store.needs.wanted() == b.store.needs.plan().own == [made.pid]
                    assert not b.store.needs.plan().refused and not b.said("manifest says")
                fill(b.store, made)
                for store in (b.store, b.again()):
                    ready = [store.ready(r, r.manifest.payloads[0]) for r in store.releases]
                    assert ready == [line is made for line in order] and not store.needs.wanted()


def test_true_line_that_fits_not_here_fetches_nothing_for_a_wrong_one_that_does():
    made = Made(b"x" * 5000)
    with Box() as b:
        add(b.store, "1.0.0", lines=["slot 9 9 %s any" % to_hex(made.pid)])
        add(b.store, "1.0.1", lines=[made.line(boards="another")])
        fill(b.store, made, 0)
        assert b.store.needs.wanted() == [made.pid]
        fill(b.store, made, 1)
        assert b.store.needs.wanted() == []
        b.store.needs.relay([made.pid])
        assert b.store.needs.wanted() == [made.pid]  # for those whom it fits


def test_the_same_release_twice_is_one():
    with Box() as b:
        r = add(b.store, lines=[PAYLOAD])
        assert add(b.store, lines=[PAYLOAD]) is r
        assert len(b.store.releases) == 1


def test_one_payload_of_two_releases_is_held_once():
    with Box() as b:
        one = add(b.store, "1.0.0", lines=[PAYLOAD])
        fill(b.store, PAYLOAD)
        two = add(b.store, "2.0.0", lines=[PAYLOAD])
        assert b.store.needs.wanted() == []
        for r in (one, two):
            assert b.store.ready(r, r.manifest.payloads[0])
        assert os.listdir(b.path + "/payloads") == [to_hex(PAYLOAD.pid)]


def test_restart_goes_on_behind_the_last_good_piece():
    with Box() as b:
        add(b.store, lines=[PAYLOAD])
        fill(b.store, PAYLOAD, 3)
        h = b.again().held(PAYLOAD.pid)
        assert (h.total, h.held, h.complete()) == (4, 3, False)
        data = PAYLOAD.data
        b.write(b.dir(PAYLOAD) + "/payload", data[:CHUNK] + b"x" + data[CHUNK + 1 :])
        assert b.again().held(PAYLOAD.pid).held == 2
        fill(b.store, PAYLOAD)
        assert b.again().held(PAYLOAD.pid).complete()
        assert b.fs.read(b.dir(PAYLOAD) + "/payload", 99999) == PAYLOAD.data


def test_restart_finds_what_each_length_of_the_files_leaves():
    made = Made(bytes([i % 256 for i in range(700)]), size=100, per_page=3)
    pages = b"".join(made.pages)
    with Box() as b:
        add(b.store, lines=[made])
        for n in range(0, len(pages) + 1, 7):
            made.write(b.fs, b.path + "/payloads", b"")
            b.write(b.dir(made) + "/pages", pages[:n])
            assert b.again().held(made.pid).held == (3 if n == len(pages) else n // 63)
        for n in range(0, 701, 50):
            made.write(b.fs, b.path + "/payloads", made.data[:n])
            h = b.again().held(made.pid)
            assert (h.held, h.chunks_end) == (3 + n // 100, n // 100 * 100)
        fill(b.store, made)
        assert b.again().held(made.pid).complete()


def test_restart_removes_what_is_malformed():
    with Box() as b:
        one, two, three, four = [of(65 + i) for i in range(4)]
        gone = add(b.store, "1.0.0", lines=[one])
        renamed = add(b.store, "2.0.0", lines=[two])
        kept = add(b.store, "3.0.0", lines=[three, four])
        for made in (one, two, three):
            fill(b.store, made)
        releases = b.path + "/releases/"
        b.write(releases + to_hex(gone.rid) + "/signatures", b"bad")
        b.fs.rename(releases + to_hex(renamed.rid), releases + "ab" * 32)
        b.fs.mkdirs(releases + "cd" * 32 + ".new")
        b.write(b.path + "/time", b"1")
        b.fs.mkdirs(b.dir(four))  # a power cut came before its index
        b.write(b.dir(three) + "/payload", three.data + b"x")
        ticks = []
        store = Store(b.fs, b.path, Trust(), b.log, b.room)
        store.load(lambda: ticks.append(1))
        assert [r.rid for r in store.releases] == [kept.rid]
        assert os.listdir(b.path + "/releases") == [to_hex(kept.rid)]
        assert os.listdir(b.path + "/payloads") == [to_hex(three.pid)]
        assert sorted(os.listdir(b.path)) == ["payloads", "releases", "time"]
        # What is too long was never written here.
        assert store.held(three.pid).held == 1 and len(ticks) == 3 * 3
        b.write(b.dir(three) + "/index", b"x")
        assert b.again().held(three.pid) is None and os.listdir(b.path + "/payloads") == []


def test_spoilt_page_is_fetched_again_and_the_chunks_are_still_there():
    made = Made(bytes([i % 256 for i in range(700)]), size=100, per_page=3)
    with Box() as b:
        add(b.store, lines=[made])
        fill(b.store, made)
        spoil(b.dir(made) + "/pages", 70)
        h = b.again().held(made.pid)
        assert h.held == 1 and b.store.needs.wanted() == [made.pid]
        assert not reuse(b.store)
        fill(b.store, made, 3)
        assert reuse(b.store) and h.complete()
        assert b.again().held(made.pid).complete()


def test_a_later_revision_replaces_and_keeps_the_same_payload():
    with Box() as b:
        add(b.store, revision=0, lines=[PAYLOAD])
        fill(b.store, PAYLOAD)
        new = add(b.store, revision=1, lines=[PAYLOAD])
        assert b.store.releases == [new]
        assert b.store.ready(new, new.manifest.payloads[0])
        assert os.listdir(b.path + "/releases") == [to_hex(new.rid)]
        assert b.store.add(manifest(lines=[PAYLOAD]), b"good")[1][0]
        other = of(66)
        add(b.store, revision=2, lines=[other])
        assert b.store.held(PAYLOAD.pid) is None and os.listdir(b.path + "/payloads") == []
        assert b.store.needs.wanted() == [other.pid]
        gone = add(b.store, revision=3)
        assert b.store.needs.wanted() == []
        assert os.listdir(b.path + "/releases") == [to_hex(gone.rid)]


def test_names_of_the_tftp_server():
    with Box() as b:
        r = add(b.store, lines=[PAYLOAD])
        fill(b.store, PAYLOAD, 3)
        rid = to_hex(r.rid)

        def get(rest):
            return content(b.store, PAYLOAD.name(rest))

        assert content(b.store, b"1/%s/manifest" % rid.encode()) == manifest(lines=[PAYLOAD])
        assert content(b.store, b"1/%s/signatures" % rid.encode()) == b"good"
        assert content(b.store, b"1/%s/index" % rid.encode()) is None
        assert get("index") == PAYLOAD.index
        assert get("0") == PAYLOAD.pages[0]
        assert get("1") == PAYLOAD.chunks[0]
        assert get("2") == PAYLOAD.chunks[1]
        for rest in (
            "3", "01", "-1", "", "payload", "pages", "manifest", "signatures", "index/", "../x",
            "99999999999", "65535", "1-", "-", "2-1", "1-02", "1-2-2", "1-2 ", "1-x",
            "1-99999999999",
            "3-3", "3-9", "1-65535",
        ):  # fmt: skip
            assert get(rest) is None, rest
        for name in (b"", b"1", b"2/%s/manifest" % rid.encode(), b"1/\xff/manifest", b"\0" * 99):
            assert b.store.open(name) is None
        assert b.store.open(("1/%s/manifest" % rid.upper()).encode()) is None
        assert b.store.open(("1/%s/manifest" % ("0" * 64)).encode()) is None
        fill(b.store, PAYLOAD)
        file = b.store.open(PAYLOAD.name("3"))
        assert file.size == 3
        buf = bytearray(512)
        assert file.read_into(1, memoryview(buf)) == 2
        assert bytes(buf[:2]) == b"nd"
        assert file.read_into(3, memoryview(buf)) == 0
        file.close()


def test_run_has_the_pieces_that_are_held_up_to_64_kib_and_at_least_one():
    made = Made(b"".join([bytes([i]) * CHUNK for i in range(40)]), per_page=16)
    with Box(quota=999 * KB) as b:
        add(b.store, lines=[made])
        fill(b.store, made, 3 + 20)

        def get(rest):
            return content(b.store, made.name(rest))

        assert get("0-2") == b"".join(made.pages) and get("1-1") == made.pages[1]
        assert get("1-65534") == b"".join(made.pages[1:])  # pages and chunks are not in one run
        assert get("3-4") == made.data[: 2 * CHUNK]
        assert get("4-50") == made.data[CHUNK : 17 * CHUNK]  # 64 KiB
        assert get("20-60") == made.data[17 * CHUNK : 20 * CHUNK]  # as far as it is held
        assert get("23-30") is None and get("23") is None
        fill(b.store, made)
        for n in range(40):  # also where it begins far from what is known by heart
            assert get("%d" % (n + 3)) == made.chunks[n], n


def test_run_of_largest_chunks_is_one_of_them():
    made = Made(bytes(65536) + b"x" * 65536 + b"end", size=65536)
    with Box(quota=999 * KB) as b:
        add(b.store, lines=[made])
        fill(b.store, made)
        assert content(b.store, made.name("1-3")) == made.chunks[0]
        assert content(b.store, made.name("2-3")) == made.chunks[1]
        assert content(b.store, made.name("3-3")) == b"end"


def test_what_vanishes_from_the_disk_is_not_given_and_raises_nothing():
    made = Made(bytes([i % 256 for i in range(700)]), size=100, per_page=3)
    for name in ("index", "pages", "payload"):
        with Box() as b:
            add(b.store, lines=[made])
            fill(b.store, made)
            b.fs.remove(b.dir(made) + "/" + name)
            for rest in ("index", "0", "0-2", "1-2", "2", "3", "3-9", "9"):
                content(b.store, made.name(rest))
            assert content(b.store, made.name("index" if name == "index" else "5-9")) is None
            reuse(b.store)
            scrub(b.store, 12)
            assert b.store.needs.wanted() == [made.pid]
            fill(b.store, made)
            assert b.again().held(made.pid).complete()


def test_the_quota_keeps_the_highest_versions():
    one, two, three = [of(65 + i) for i in range(3)]
    with Box(quota=21 * KB) as b:
        add(b.store, "1.0.0", lines=[one])
        add(b.store, "2.0.0", lines=[two])
        fill(b.store, one)
        fill(b.store, two)
        add(b.store, "3.0.0", lines=[three])
        assert b.store.needs.wanted() == [three.pid]
        fill(b.store, three, 2)
        assert b.store.held(one.pid) is not None  # nothing goes before room is needed
        fill(b.store, three)
        assert b.store.held(one.pid) is None
        assert b.store.held(two.pid).complete() and b.store.held(three.pid).complete()
        assert one.pid not in b.store.needs.wanted()
        lines = len(b.said("quota_kb has"))
        assert (
            lines == 1
            and one.pid not in b.store.needs.wanted()
            and len(b.said("quota_kb")) == lines
        )
        assert b.again().held(one.pid) is None


def test_signatures_that_nobody_here_can_check_count_in_the_quota():
    made = of(1)
    with Box(quota=len(made.data) + 1000) as b:
        r = add(b.store, lines=[made])
        fill(b.store, made)
        for r.spare_bytes in (1000, 1001):
            b.store.needs.changed()
            b.store.collect([])
            assert (b.store.held(made.pid) is None) == (r.spare_bytes == 1001)


def test_what_is_pinned_stays():
    one, two, three, four = [of(65 + i) for i in range(4)]
    with Box(quota=20 * KB) as b:
        pinned = add(b.store, "1.0.0", lines=[one])
        add(b.store, "2.0.0", lines=[two])
        fill(b.store, one)
        fill(b.store, two)
        more = add(b.store, "3.0.0", lines=[three])
        b.store.collect([pinned.rid])
        fill(b.store, three)
        assert b.store.held(one.pid).complete() and b.store.held(three.pid).complete()
        assert b.store.held(two.pid) is None
        b.store.collect([pinned.rid, more.rid])
        add(b.store, "4.0.0", lines=[four])
        assert b.store.needs.wanted() == []


def test_a_payload_beyond_the_quota_is_not_wanted():
    with Box(quota=4 * KB) as b:
        add(b.store, lines=[PAYLOAD])
        assert b.store.needs.wanted() == [] and len(b.said("quota_kb has")) == 1
        h = fill(b.store, PAYLOAD, 1)
        assert b.store.put(h, memoryview(PAYLOAD.chunks[0])) == (CHUNK, None)
        assert b.store.put(h, memoryview(PAYLOAD.chunks[1])) == (0, (True, "over the quota"))


def test_what_has_just_room_for_its_chunks_is_wanted_and_kept_whatever_its_pages_take():
    made = Made(bytes(100 * 21 * 3), size=21)
    with Box(quota=100 * 21 * 3) as b:
        add(b.store, lines=[made])
        assert b.store.needs.wanted() == [made.pid]
        assert fill(b.store, made).complete()


def test_payload_that_fits_not_here_is_held_only_while_it_is_relayed():
    ours, theirs = of(65), of(66)
    with Box() as b:
        add(b.store, lines=[theirs.line(boards="other"), ours.line(boards=BOARD)])
        assert b.store.needs.wanted() == [ours.pid]
        b.store.needs.relay([theirs.pid, bytes(32)])
        assert b.store.needs.wanted() == [ours.pid, theirs.pid]
        fill(b.store, theirs)
        b.store.needs.relay([])
        b.store.collect([])
        assert b.store.held(theirs.pid).complete()  # there is room


def test_relayed_payload_is_dropped_first_when_room_is_needed_the_largest_first():
    small, large, ours = of(65, 1), of(66, 3), of(67, 4)
    with Box(quota=8 * CHUNK + 500) as b:
        add(b.store, "1.0.0", lines=[small.line(boards="x"), large.line(boards="y")])
        b.store.needs.relay([small.pid, large.pid])
        assert b.store.needs.wanted() == [small.pid, large.pid]  # the smallest first
        fill(b.store, small)
        fill(b.store, large)
        add(b.store, "2.0.0", lines=[ours])
        assert b.store.needs.wanted() == [ours.pid]  # own ones first
        fill(b.store, ours)
        assert b.store.held(small.pid).complete() and b.store.held(large.pid).complete()
        more = of(68, 2)
        add(b.store, "3.0.0", lines=[more])
        fill(b.store, more)
        assert b.store.held(large.pid) is None and b.store.held(small.pid).complete()
        assert b.store.held(ours.pid).complete() and b.store.held(more.pid).complete()


def test_relaying_has_its_own_quota_and_none_is_none():
    theirs = of(66, 3)
    for kb, wanted in ((0, []), (11, []), (13, [theirs.pid])):
        with Box(relay=kb * KB) as b:
            add(b.store, lines=[theirs.line(boards="x")])
            b.store.needs.relay([theirs.pid])
            assert b.store.needs.wanted() == wanted, kb


class FullFs(Fs):
    full = False
    fault = 28

    def sync(self, f):
        if self.full:
            raise OSError(self.fault)
        super().sync(f)


def test_a_full_flash_is_a_reason_not_an_exception():
    fs = FullFs()
    with Box(fs=fs) as b:
        fs.full = True
        assert b.store.add(manifest(lines=[PAYLOAD]), b"good")[1][0]
        assert b.store.releases == []
        fs.full = False
        add(b.store, lines=[PAYLOAD])
        fs.full = True
        assert b.store.put_index(PAYLOAD.pid, PAYLOAD.index)[0]
        assert b.store.held(PAYLOAD.pid) is None
        fs.full = False
        for upto in range(4):
            h = fill(b.store, PAYLOAD, upto)
            fs.full = True
            taken, why = b.store.put(h, memoryview(PAYLOAD.pieces[upto]))
            assert taken == 0 and why[0] and h.held == upto
            fs.full = False
        fill(b.store, PAYLOAD)
        assert b.again().held(PAYLOAD.pid).complete()


def test_who_is_to_blame_is_no_matter_of_words():
    fs = FullFs()
    with Box(fs=fs) as b:
        fs.full = True
        fs.fault = "signatures: piece 0: digest is not the index's"
        assert b.store.add(manifest(lines=[PAYLOAD]), b"good")[1] == (True, fs.fault)
        fs.full = False
        add(b.store, lines=[PAYLOAD])
        h = fill(b.store, PAYLOAD, 0)
        fs.full = True
        assert b.store.put(h, memoryview(PAYLOAD.pages[0])) == (0, (True, fs.fault))
        assert b.store.put(h, memoryview(bytes(99)))[1][0] is False  # it comes before the disk


class SmallFs(Fs):
    left = 1 << 30

    def free(self, path):
        return self.left


def test_some_of_a_flash_is_left_to_switch_and_to_go_back():
    with Box(fs=SmallFs()) as b:
        add(b.store, lines=[PAYLOAD])
        h = fill(b.store, PAYLOAD, 2)
        b.fs.left = RESERVE + CHUNK - 1
        for _ in range(2):
            said = b.store.put(h, memoryview(PAYLOAD.chunks[1]))
            assert said == (0, (True, "flash is full"))
        assert h.held == 2 and b.fs.size(b.dir(PAYLOAD) + "/payload") == CHUNK
        assert b.said("full") == ["store: flash is full"]
        b.fs.left += 1
        fill(b.store, PAYLOAD, 3)
        assert Fs().free(b.path) > RESERVE  # of this machine


class CutFs(Fs):
    """The power goes after so many operations that change something."""

    left = 1 << 30

    def spend(self):
        self.left -= 1
        if self.left < 0:
            raise KeyError("power")

    def open(self, path, mode):
        if mode != "rb":
            self.spend()
        return super().open(path, mode)

    def sync(self, f):
        self.spend()
        super().sync(f)

    def rename(self, a, b):
        self.spend()
        super().rename(a, b)
        self.spend()

    def mkdirs(self, path):
        self.spend()
        super().mkdirs(path)


def test_power_cut_at_any_operation_leaves_what_can_go_on():
    made = Made(bytes([i % 256 for i in range(700)]), size=200, per_page=3)
    done = False
    for n in range(200):
        fs = CutFs()
        with Box(fs=fs) as b:
            fs.left = n
            try:
                add(b.store, lines=[made])
                fill(b.store, made)
                done = True
            except KeyError:
                pass
            fs.left = 1 << 30
            b.again()
            h = b.store.held(made.pid)
            assert h is None or len(b.store.releases) == 1
            for name in os.listdir(b.path + "/releases") + os.listdir(b.path + "/payloads"):
                assert len(name) == 64
            add(b.store, lines=[made])
            fill(b.store, made)
            assert b.again().held(made.pid).complete()
            assert b.fs.read(b.dir(made) + "/payload", 999) == made.data
        if done:
            break
    assert done and n > 10


def test_spoilt_chunk_is_found_and_only_that_one_is_fetched_again():
    with Box() as b:
        other = Made(PAYLOAD.data[:5000])
        add(b.store, "1.0.0", lines=[other])
        fill(b.store, other)
        add(b.store, "1.1.0", lines=[PAYLOAD])
        h = fill(b.store, PAYLOAD)
        scrub(b.store, 7)
        assert h.complete() and b.store.held(other.pid).complete()
        spoil(b.dir(PAYLOAD) + "/payload", CHUNK + 7)
        scrub(b.store, 7)
        assert (h.held, h.complete()) == (2, False) and b.store.held(other.pid).complete()
        assert b.store.needs.wanted() == [PAYLOAD.pid] and b.store.open(PAYLOAD.name("2")) is None
        assert len(b.said("spoilt")) == 1
        assert not reuse(b.store)
        assert b.store.put(h, memoryview(PAYLOAD.chunks[1])) == (CHUNK, None)
        assert reuse(b.store) and h.complete()  # what lay behind it was good
        assert b.fs.read(b.dir(PAYLOAD) + "/payload", 99999) == PAYLOAD.data


def test_spoilt_index_is_fetched_again_and_costs_no_neighbour_anything():
    with Box() as b:
        add(b.store, lines=[PAYLOAD])
        fill(b.store, PAYLOAD)
        spoil(b.dir(PAYLOAD) + "/index", 33)
        scrub(b.store, 1)
        assert b.store.held(PAYLOAD.pid) is None and b.store.needs.wanted() == [PAYLOAD.pid]
        fill(b.store, PAYLOAD)


def test_nothing_is_read_again_where_nothing_is_held():
    with Box() as b:
        add(b.store, lines=[PAYLOAD])
        scrub(b.store, 3)
        assert b.log.lines == []


def test_date_that_was_doubted_is_so_after_a_restart():
    with Box() as b:
        fine, odd = add(b.store, "1.1.0"), add(b.store, "1.2.0")
        for r, signed in ((fine, 1000), (odd, 90 * 86400)):
            r.manifest.signed_at_s = signed
        assert b.store.newest_signed_at_s() == 90 * 86400
        assert b.store.newest_signed_at_s(60 * 86400 + 1) == 90 * 86400
        assert b.store.newest_signed_at_s(999) == 90 * 86400  # of that time nothing is known
        assert b.store.newest_signed_at_s(60 * 86400) == 1000
        assert b.store.newest_signed_at_s() == 1000
        dates = Dates(b.fs, b.path + "/doubted")
        assert dates.newest_s([fine, odd]) == 1000
        for data in (b"", b"x" * 9999, b"\xff" * 64 + b"\n" + bytes(64)):
            b.fs.write_atomic(b.path + "/doubted", data)
            assert Dates(b.fs, b.path + "/doubted").newest_s([fine, odd]) == 90 * 86400


def test_a_word_on_time_is_news_once_and_not_after_a_start():
    with Box() as b:
        words = []
        for version, horizon in (("2.0.0", 901), ("1.0.0", 902), ("3.0.0", 903)):
            add(b.store, version, (), more="Clock-Horizon: %d\n" % horizon)
            words.append(b.store.catalogue.new_word_s())
            words.append(b.store.catalogue.new_word_s())
        assert words == [901, 0, 0, 0, 903, 0], words
        b.store.load()
        assert b.store.catalogue.new_word_s() == 0
