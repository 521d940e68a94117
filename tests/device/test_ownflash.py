"""Pieces of the next image from the flash of the one that runs: both sides, over real sockets and
files, with a file for the partition."""

from made import CHUNK, Made, fill
from test_install import FS, Memory, Net, image
from test_store import content

from swdist.formats import ipc
from swdist.formats.bits import to_hex
from swdist.shell import unixsock
from swdist.storage import ownflash

KB = 1024
MTD = b'dev:    size   erasesize  name\nmtd0: 00040000 00010000 "cfe"\n'
SECRET = (b"option key 'secret'" * CHUNK)[:CHUNK]


def chunk(n):
    return (b"%03d " % n) * (CHUNK // 4)


OLD = [chunk(n) for n in range(100, 120)]
NEW = OLD[:5] + [chunk(1), chunk(2)] + OLD[5:]
CHUNKS = [(c, c, 0) for c in OLD]
RUNS = Made(CHUNKS, per_page=8)
NEXT = Made([(c, c, 0) for c in NEW], per_page=8)


class Router(Net):
    """The network side's store with room for images, the switch side's Giver, their two sockets,
    and a file for the partition, with the overlay behind the image."""

    name = b"firmware"
    header = 0

    def __enter__(self):
        Net.__enter__(self)
        self.conf.images_kb = 200
        self.fs = Flash(self)
        FS.mkdirs(self.conf.state)
        self.write(RUNS.data)
        self.kept(RUNS)
        self.net = unixsock.Unix(self.conf.run + "/net.sock")
        self.switch = unixsock.Unix(self.conf.run + ".sock")
        self.now = 1000000
        self.asked = []
        self.begin()
        return self

    def __exit__(self, *_):
        self.net.close()
        self.switch.close()
        Net.__exit__(self)

    def begin(self):
        self.again()
        self.woken = 0
        self.own = ownflash.Own(self.fs, self.conf, self.store.payloads, self.net, self.wake)
        self.giver = ownflash.Giver(self.fs, self.conf, self.put, self.switch)

    def wake(self):
        self.woken += 1

    def put(self, name, data):
        with FS.open(self.conf.run + name, "wb") as f:
            f.write(data)

    def write(self, data):
        """What sysupgrade makes of an image, and the overlay behind it."""
        FS.write_atomic(self.root + "/mtd1", data + SECRET)

    def kept(self, made):
        """As after a flash and the boot behind it."""
        path = self.conf.run + "/images/" + to_hex(made.pid)
        made.write(FS, self.conf.run + "/images", b"")
        assert ownflash.keep(self.fs, self.conf.state, path, made.pid) is None
        ownflash.judged(self.fs, self.conf.state, True)
        FS.rmtree(path)

    def wants(self, made=NEXT, pages=True):
        """A release with that image has come, and its pages if neighbours have them."""
        self.store.add(image(payload=made), b"good")
        return fill(self.store, made, len(made.pages) if pages else 0)

    def told(self, message=None):
        """The network side has a message of the switch side; none: which one runs."""
        active = ipc.pack_active(b"r" * 32, (1, 0, 0), 0, False, [], False, b"l" * 16)
        self.own.hear(ipc.parse(active if message is None else message))

    def give(self):
        """The switch side's turn. True if it was asked for something."""
        data = self.switch.recv()
        if data is None:
            return False
        self.asked.append(ipc.parse(data)[1:])
        self.giver.give(*ipc.parse(data))
        self.told(self.net.recv())
        return True

    def settle(self):
        """Until nothing is to be taken without a neighbour."""
        taken = True
        for _ in range(1000):
            more, taken = self.store.reuse()
            self.own.tick(self.now)
            if not more and not self.give():
                return
        raise AssertionError("it does not end")


class Flash(Memory):
    """Real files; the partition is one, too."""

    def __init__(self, router):
        self.root = router.root
        self.router = router

    def open(self, path, mode):
        if path == "/proc/mtd":
            with FS.open(self.root + "/mtd", "wb") as f:
                f.write(MTD + b'mtd1: 007c0000 00010000 "%s"\n' % self.router.name)
            path = self.root + "/mtd"
        elif path == "/dev/mtd1":
            path = self.root + "/mtd1"
        return Memory.open(self, path, mode)


def fetch(w, h, made):
    """What is not taken comes from neighbours. The pieces of it."""
    fetched = []
    for _ in range(1000):
        w.settle()
        if h.complete():
            return fetched
        fetched.append(h.held - len(made.pages))
        taken, why = w.store.put(h, memoryview(made.pieces[h.held]))
        assert taken and why is None, (taken, why)
    raise AssertionError("it does not end")


def test_what_the_image_that_runs_has_is_not_fetched():
    with Router() as w:
        w.told()
        h = w.wants()
        assert fetch(w, h, NEXT) == [5, 6]
        assert content(w.store, NEXT.name("10")) == NEW[10 - len(NEXT.pages)]
        assert FS.size(w.conf.run + "/own") is None  # it is RAM
        # As many as the buffer holds are asked for at once.
        assert w.asked[0] == (len(RUNS.pages), 4) and len(w.asked) < 8


def test_pages_are_taken_from_what_is_kept():
    with Router() as w:
        w.told()
        same = RUNS.pages[0]
        new = Made(CHUNKS[:8] + [(chunk(1), chunk(1), 0)], per_page=8)
        assert new.pages[0] == same
        h = w.wants(new, False)
        w.settle()
        assert h.held == 1 and w.asked == []


def test_before_the_switch_side_has_judged_nothing_is_taken():
    with Router() as w:
        w.wants()
        w.settle()
        assert w.asked == [] and not w.woken
        w.told()
        assert w.woken == 1
        w.told()
        assert w.woken == 1  # once


def test_own_image_is_neither_held_nor_served_nor_counted_nor_removed():
    with Router() as w:
        w.told()
        assert w.store.held(RUNS.pid) is None and content(w.store, RUNS.name("4")) is None
        w.store.collect([])
        assert w.store.room.quota == 64 * KB < RUNS.stored
        assert not w.store.needs.wanted() and FS.size(w.conf.state + "/own/index")
        assert w.store.payloads.own.total == len(RUNS.pieces)


def test_what_sysupgrade_has_changed_is_fetched():
    with Router() as w:
        data = bytearray(RUNS.data)
        data[8] ^= 1  # the CRC in a TRX's header
        data[-CHUNK:] = b"\xde\xad\xc0\xde" * (CHUNK // 4)  # where jffs2 begins
        w.write(bytes(data))
        w.told()
        h = w.wants()
        assert fetch(w, h, NEXT) == [0, 5, 6, len(NEW) - 1]


def test_header_of_the_file_is_not_in_flash():
    with Router() as w:
        w.write(RUNS.data[32:])
        w.told()
        h = w.wants()
        assert fetch(w, h, NEXT) == [0, 5, 6]


def test_another_image_gives_what_it_shares_and_nobody_asks_on_for_ever():
    with Router() as w:
        w.write(bytes(len(RUNS.data)))
        w.told()
        h = w.wants()
        assert len(fetch(w, h, NEXT)) == len(NEW)
        assert len(w.asked) == ownflash.MISSES


def test_without_an_answer_the_piece_is_fetched_and_nobody_is_asked_for_a_while():
    with Router() as w:
        w.told()
        h = w.wants()
        while w.store.reuse()[0]:
            pass
        assert w.store.reuse() == (False, False)  # awaited: nothing spins, nothing is asked twice
        at = w.own.tick(w.now)
        assert at == w.now + ownflash.ANSWER_US
        assert w.own.tick(at - 1) == at and w.woken == 1
        w.own.tick(at)
        assert w.woken == 2
        assert len([w.switch.recv() for _ in range(2) if w.switch.recv()]) <= 1
        w.now = at
        w.store.reuse()
        assert w.switch.recv() is None and h.held == len(NEXT.pages)
        assert w.store.put(h, memoryview(NEW[0])) == (CHUNK, None)
        w.told(ipc.pack_own(len(RUNS.pages), 4))  # too late
        w.store.reuse()
        assert w.switch.recv() is None
        w.now += ownflash.REST_US
        w.own.tick(w.now)
        assert fetch(w, h, NEXT) == [5, 6]


def test_answer_for_what_is_no_longer_needed_does_not_stop_the_next_one():
    with Router() as w:
        w.told()
        h = w.wants()
        while w.store.reuse()[0]:
            pass
        w.told(ipc.pack_own(len(RUNS.pages) + 1, 1))  # of an earlier question
        assert w.store.reuse() == (False, False)
        assert w.store.put(h, memoryview(NEW[0] + NEW[1])) == (2 * CHUNK, None)
        assert fetch(w, h, NEXT) == [5, 6]


def test_file_that_is_not_there_or_not_whole_is_no_piece():
    with Router() as w:
        w.told()
        h = w.wants()
        put = w.put
        w.giver = ownflash.Giver(w.fs, w.conf, lambda name, data: put(name, data[:-1]), w.switch)
        w.settle()
        assert h.held == len(NEXT.pages)
        w.giver = ownflash.Giver(w.fs, w.conf, lambda name, data: None, w.switch)
        w.store.put(h, memoryview(NEW[0]))
        w.settle()
        assert h.held == len(NEXT.pages) + 1
        w.giver = ownflash.Giver(w.fs, w.conf, put, w.switch)
        w.store.put(h, memoryview(NEW[1]))
        assert fetch(w, h, NEXT) == [5, 6]


def given(w, first, count):
    """What the switch side gives for such a message."""
    w.giver.give(ipc.OWN, first, count)
    what, at, n = ipc.parse(w.net.recv())
    assert (what, at) == (ipc.OWN, first)
    return n, FS.read(w.conf.run + "/own", 1 << 20)


def test_nothing_is_given_but_pieces_of_the_image_and_little_at_once():
    with Router() as w:
        pages = len(RUNS.pages)
        assert given(w, pages, 1) == (1, OLD[0])
        assert given(w, pages, 65535) == (4, b"".join(OLD[:4]))
        assert given(w, pages + 19, 65535) == (1, OLD[19])  # behind it is the overlay
        for first in (pages + 20, 65535, 0, pages - 1):
            assert given(w, first, 65535) == (0, b""), first
        assert given(w, pages, 0) == (0, b"")


def test_nothing_that_is_not_the_image_s_is_given_whatever_lies_there():
    with Router() as w:
        # Somebody has flashed a shorter one by hand: its overlay begins within.
        w.write(RUNS.data[: 10 * CHUNK] + SECRET * 10)
        seen = b""
        for first in range(len(RUNS.pieces) + 3):
            for count in (1, 3, 65535):
                seen += given(w, first, count)[1]
        assert b"secret" not in seen and OLD[9] in seen


def test_index_that_does_not_hold_is_none():
    for name in ("/index", "/pages"):
        with Router() as w:
            path = w.conf.state + "/own" + name
            data = bytearray(FS.read(path, 1 << 16))
            data[-1] ^= 1
            FS.write_atomic(path, data if name == "/pages" else data[:-1])
            w.told()
            assert w.store.payloads.own is None
            assert given(w, len(RUNS.pages), 4) == (0, b"")


def test_large_chunk_comes_alone():
    large = bytes(range(256)) * 160
    with Router() as w:
        made = Made([(OLD[0], OLD[0], 0), (large, large, 0), (OLD[1], OLD[1], 0)])
        w.write(made.data)
        w.kept(made)
        assert given(w, 1, 3) == (1, OLD[0])
        assert given(w, 2, 3) == (1, large)
        w.begin()
        w.told()
        new = Made([(large, large, 0), (OLD[1], OLD[1], 0)])
        h = w.wants(new)
        assert fetch(w, h, new) == []


def test_board_without_such_a_partition_keeps_and_gives_nothing():
    with Router() as w:
        w.name = b"ubi"
        assert given(w, len(RUNS.pages), 1) == (0, b"")
        path = NEXT.write(FS, w.conf.run + "/images", b"")
        assert ownflash.keep(w.fs, w.conf.state, path, NEXT.pid) is None
        assert FS.size(w.conf.state + "/coming") is None


def kept(w):
    return FS.read(w.conf.state + "/own/index", 1 << 16)


def test_index_of_the_next_image_counts_only_when_it_has_come():
    with Router() as w:
        path = NEXT.write(FS, w.conf.run + "/images", b"")
        for came, index in ((False, RUNS.index), (True, NEXT.index)):
            assert ownflash.keep(w.fs, w.conf.state, path, NEXT.pid) is None
            assert kept(w) == RUNS.index
            ownflash.judged(w.fs, w.conf.state, came)
            assert kept(w) == index
            assert FS.size(w.conf.state + "/coming") is None
        ownflash.judged(w.fs, w.conf.state, True)  # the power went before the rest was written
        assert kept(w) == NEXT.index


def test_index_is_written_once_for_all_tries():
    with Router() as w:
        path = NEXT.write(FS, w.conf.run + "/images", b"")
        assert ownflash.keep(w.fs, w.conf.state, path, NEXT.pid) is None
        FS.rmtree(path)  # as when the network side has seen that the image is gone
        assert ownflash.keep(w.fs, w.conf.state, path, NEXT.pid) is None


def test_pages_that_the_network_side_has_changed_are_not_kept():
    with Router() as w:
        path = NEXT.write(FS, w.conf.run + "/images", b"")
        table = FS.read(path + "/pages", 1 << 16)
        for name, data in (("/pages", table[:-1]), ("/pages", b"x" + table[1:]), ("/index", b"x")):
            good = FS.read(path + name, 1 << 16)
            FS.write_atomic(path + name, data)
            assert "not hold" in ownflash.keep(w.fs, w.conf.state, path, NEXT.pid)
            FS.write_atomic(path + name, good)
        FS.write_atomic(path + "/pages", table + b"more")
        assert ownflash.keep(w.fs, w.conf.state, path, NEXT.pid) is None
        assert FS.read(w.conf.state + "/coming/pages", 1 << 16) == table


def test_without_room_the_index_is_left_out():
    with Router() as w:
        path = NEXT.write(FS, w.conf.run + "/images", b"")
        w.fs.free = lambda path: ownflash.RESERVE
        assert ownflash.keep(w.fs, w.conf.state, path, NEXT.pid) == "flash is full"
        ownflash.judged(w.fs, w.conf.state, True)
        assert kept(w) == RUNS.index
