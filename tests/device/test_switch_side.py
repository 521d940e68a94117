"""Unpacking, slots and the switcher on real files, in virtual time."""

from logs import Log
from made import Made, parsed

from swdist.formats.bits import to_hex
from swdist.formats.untar import Untar
from swdist.machines.switcher import Switcher
from swdist.shell import platform
from swdist.storage.slots import Slots
from swdist.trust import choose, verify

FS = platform.Fs()


def entry(name, data=b"", kind=b"0", mode=0o644, link=b"", size=None):
    """One ustar member, made by hand."""
    head = bytearray(512)
    head[0 : len(name)] = name
    head[100:108] = b"%07o\0" % mode
    head[124:136] = b"%011o\0" % (len(data) if size is None else size)
    head[156:157] = kind
    head[157 : 157 + len(link)] = link
    head[257:265] = b"ustar\x0000"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data + bytes(-len(data) % 512)


END = bytes(1024)
GOOD = entry(b"hooks/", kind=b"5", mode=0o755) + entry(b"a.txt", b"hello") + END


class Folder:
    """A scratch directory that goes away."""

    def __enter__(self):
        self.path = "/tmp/swdist-test-" + to_hex(platform.rand_bytes(8))
        FS.mkdirs(self.path)
        return self.path

    def __exit__(self, *_):
        FS.rmtree(self.path)


def unpack(archive, root, piece=700):
    """Feeds it in pieces of an odd size; why it is refused, or None."""
    untar = Untar(FS, root, len(archive))
    for at in range(0, len(archive), piece):
        why = untar.feed(memoryview(archive)[at : at + piece])
        if why is not None:
            return why
    return untar.end()


def test_archive_is_unpacked_with_its_directories_and_modes():
    with Folder() as root:
        archive = (
            entry(b"bin/run", b"#!/bin/sh\n", mode=0o755)
            + entry(b"bin/deep/er", b"x" * 5000)
            + GOOD
        )
        assert unpack(archive, root) is None
        assert FS.read(root + "/bin/deep/er", 9999) == b"x" * 5000
        assert FS.read(root + "/a.txt", 99) == b"hello"
        assert FS.is_dir(root + "/hooks")
        assert platform.run(("test", "-x", root + "/bin/run"), 5) == 0
        assert platform.run(("test", "-x", root + "/a.txt"), 5) != 0


def test_hostile_archives_are_refused_and_leave_nothing_outside():
    cases = (
        entry(b"../evil", b"x"),
        entry(b"a/../../evil", b"x"),
        entry(b"/tmp/evil", b"x"),
        entry(b"a//b", b"x"),
        entry(b"./a", b"x"),
        entry(b"a", kind=b"2", link=b"/etc/passwd"),
        entry(b"a", kind=b"1", link=b"../evil"),
        entry(b"a", kind=b"3"),
        entry(b"a", kind=b"4"),
        entry(b"a", kind=b"6"),
        entry(b"a", kind=b"x"),
        entry(b"a", kind=b"L"),
        entry(b"a", b"x", mode=0o4755),
        entry(b"a", b"x", mode=0o2755),
        entry(b"a", b"x") + entry(b"a", b"y"),
        entry(b"a", b"x") + entry(b"a/b", b"y"),
        entry(b"a", size=0o77777777777),
        entry(b"a\nb", b"x"),
        entry(b"", b"x"),
        entry(b"x" * 100, b"x")[:511],
    )
    for case in cases:
        with Folder() as outer:
            FS.mkdirs(outer + "/root")
            assert unpack(case + END, outer + "/root") is not None, case[:20]
            assert FS.listdir(outer) == ["root"]
            assert FS.size("/tmp/evil") is None


def test_damaged_archives_are_refused():
    for at in (0, 100, 124, 148, 257, 345):
        bad = bytearray(GOOD)
        bad[at] ^= 0x01
        with Folder() as root:
            assert unpack(bytes(bad), root) is not None, at
    for n in (1, 511, 512, 1500, len(GOOD) - 1024):
        with Folder() as root:
            assert unpack(GOOD[:n], root) is not None, n
    with Folder() as root:
        assert unpack(GOOD + entry(b"late", b"x") + END, root) is not None


class World:
    """A switch side with a store of made-up verified releases. Times in seconds, from 1000."""

    def __init__(self, root, confirm_s=60):
        self.root = root
        self.store = root + "/store"
        self.state = root + "/state"
        FS.mkdirs(self.store)
        self.confirm_s = confirm_s
        self.releases = []
        self.records = []
        self.hooks = {}
        self.now_s = 1000
        self.synced = True
        self.neighbours = 1
        self.boot()

    def boot(self):
        self.log = Log()
        self.slots = Slots(FS, self.store, self.state)
        self.switcher = Switcher(
            self.slots, choose.Here("b", ("slot", "ipk", "image")), choose.factory((1, 0, 0)), 0,
            self.confirm_s * 1000000,
            lambda r, name: self.hooks.get((r.manifest.version, name), 0),
            self.records.append, self.log,
        )  # fmt: skip
        self.switcher.set_releases(self.releases, self.now_s * 1000000)
        self.switcher.start(self.now_s * 1000000)

    def add(
        self, version, start, end=0, revision=0, archive=GOOD, withdrawn=False, payload="slot"
    ):  # fmt: skip
        made = Made(archive)
        made.write(FS, self.store + "/payloads")
        m = parsed(
            "%d.%d.%d" % version,
            () if withdrawn else [made.line(payload, "b")],
            revision,
            more="Window: 0\n" if payload == "image" else "",
        )
        m.start_s, m.end_s, m.experimental = start, end, end > 0
        m.signed_at_s = 0
        r = verify.Release(m)
        self.releases = [x for x in self.releases if x.manifest.version != version] + [r]
        self.switcher.set_releases(self.releases, self.now_s * 1000000)
        return r

    def run(self, until_s):
        """To that second: the network side tells the time each second."""
        s = self.switcher
        while self.now_s < until_s:
            now = self.now_s * 1000000
            s.set_time(now, 0, 1000, self.synced, self.neighbours, now)
            end = now + 1000000
            while s.next_at < end:
                now = max(now, s.next_at)
                s.tick(now)
            self.now_s += 1
        return self

    def history(self):
        return [(r["at_us"] // 1000, r["to"], r["reason"]) for r in self.records]


def test_stable_release_starts_at_its_second_and_is_confirmed():
    with Folder() as root:
        w = World(root)
        r = w.add((1, 1, 0), 1010)
        w.run(1020)
        assert w.history() == [(1010000, "1.1.0-r0", "start")]
        assert w.slots.active() == w.slots.confirmed() == r.rid
        assert FS.read(w.slots.path(r.rid) + "/a.txt", 99) == b"hello"


def test_packages_are_unpacked_as_a_slot_is_and_an_image_is_not():
    with Folder() as root:
        w = World(root)
        r = w.add((1, 1, 0), 1010, payload="ipk")
        image = w.add((1, 2, 0), 1010, payload="image")
        w.run(1020)
        assert w.slots.active() == w.slots.confirmed() == r.rid
        assert FS.read(w.slots.path(r.rid) + "/a.txt", 99) == b"hello"
        assert not w.slots.prepared(image.rid)


def test_experimental_release_starts_and_ends_at_its_seconds():
    with Folder() as root:
        w = World(root)
        w.add((1, 1, 0), 1005)
        w.add((1, 2, 0), 1010, 1020)
        w.run(1030)
        assert w.history() == [
            (1005000, "1.1.0-r0", "start"), (1010000, "1.2.0-r0", "start"),
            (1020000, "1.1.0-r0", "end"),
        ]  # fmt: skip


def test_nothing_starts_while_the_clock_is_not_synchronised():
    with Folder() as root:
        w = World(root)
        w.synced = False
        w.add((1, 1, 0), 1005)
        w.run(1010)
        assert w.history() == []
        w.synced = True
        w.run(1012)
        assert w.history() == [(1010000, "1.1.0-r0", "late")]


def test_withdrawn_release_gives_way():
    with Folder() as root:
        w = World(root)
        w.add((1, 1, 0), 1005)
        w.run(1010)
        w.add((1, 1, 0), 1005, revision=1, withdrawn=True)
        w.run(1012)
        assert [h[1:] for h in w.history()] == [("1.1.0-r0", "start"), ("1.0.0-r0", "withdrawn")]


def test_release_that_does_not_confirm_is_rolled_back_and_remembered():
    with Folder() as root:
        w = World(root, confirm_s=10)
        w.add((1, 1, 0), 1005)
        w.run(1020)
        bad = w.add((1, 2, 0), 1025)
        w.hooks[((1, 2, 0), "health")] = "health: olsrd not running"
        w.run(1050)
        assert [h[1:] for h in w.history()] == [
            ("1.1.0-r0", "start"), ("1.2.0-r0", "start"), ("1.1.0-r0", "rollback")
        ]  # fmt: skip
        assert w.slots.failed() == [bad.rid]
        assert w.slots.reasons() == ["health: olsrd not running"]
        w.boot()
        w.run(1060)
        assert len(w.records) == 3  # not tried again, also not after a restart


def test_changed_chunk_in_the_store_is_never_activated():
    with Folder() as root:
        w = World(root)
        r = w.add((1, 1, 0), 1005)
        path = w.slots.source(r.manifest.payloads[0]) + "/payload"
        FS.write_atomic(path, GOOD.replace(b"hello", b"jello"))
        w.run(1010)
        assert w.history() == [] and not w.slots.prepared(r.rid)


def test_archive_that_is_refused_counts_as_failed_here():
    with Folder() as root:
        w = World(root)
        r = w.add((1, 1, 0), 1005, archive=entry(b"../evil", b"x") + END)
        w.run(1010)
        assert w.history() == [] and w.slots.failed() == [r.rid]
        assert FS.listdir(w.state + "/slots") == []


class Cut(Exception):
    """The power goes."""


class CutFs(platform.Fs):
    """Fails for good after a number of operations that change something."""

    def __init__(self):
        self.left = 1 << 30

    def _spend(self):
        self.left -= 1
        if self.left < 0:
            raise Cut()

    def rename(self, a, b):
        self._spend()
        FS.rename(a, b)
        self._spend()

    def open(self, path, mode):
        if mode != "rb":
            self._spend()
        return FS.open(path, mode)

    def mkdirs(self, path):
        self._spend()
        FS.mkdirs(path)

    def write_atomic(self, path, data):
        self._spend()
        FS.write_atomic(path, data)
        self._spend()


def test_power_cut_between_any_two_operations_leaves_a_whole_slot_active():
    cuts = 0
    for n in range(1, 200):
        with Folder() as root:
            w = World(root)
            r = w.add((1, 1, 0), 1005)
            fs = CutFs()
            w.slots._fs = fs
            fs.left = n
            try:
                w.run(1010)
                done = True
            except Cut:
                done = False
                cuts += 1
            w.boot()
            active = w.slots.active()
            assert active in (choose.FACTORY, r.rid)
            assert w.slots.prepared(active)
            w.now_s = 1011
            w.run(1015)
            assert w.slots.active() == w.slots.confirmed() == r.rid
            assert FS.read(w.slots.path(r.rid) + "/a.txt", 99) == b"hello"
        if done:
            break
    assert done and cuts >= 8
