"""What is fetched next, and from whom; what lies cost."""

from logs import Log

from swdist import fetch
from swdist.neighbours import Neighbours
from swdist.tftpget import DONE, FAILED, IDLE, RUNNING
from swdist.ucryptolib import sha256

S = 1000000


class Get:
    """A download that ends as the test says."""

    def __init__(self):
        self.state = IDLE
        self.next_at = None
        self.took_us = 0
        self.reason = ""

    def start(self, peer, port, name, limit, now):
        self.peer, self.name, self.state = peer, name, RUNNING
        self.progress_at = now
        self.next_at = now + 10 * S

    def give_up(self):
        self.state, self.reason = FAILED, "stalled"

    def give(self, data, took_us=1000):
        self.view = memoryview(bytearray(data))
        self.length = len(data)
        self.took_us = took_us
        self.state = DONE

    def stop(self):
        self.state = IDLE

    def tick(self, now):
        pass


class Manifest:
    chunks = 100
    chunk_size = 4096


class Release:
    def __init__(self):
        self.rid = bytes(32)
        self.manifest = Manifest()
        self.complete = False
        self.indexed = True
        self.held = 0

    def order(self):
        return (1,)


class Store:
    """Holds what the test says, and takes no signature."""

    def __init__(self):
        self.releases = []
        self.checks = 0

    def get(self, rid):
        for r in self.releases:
            if r.rid == rid:
                return r
        return None

    def wanted(self, release):
        return True

    def reuse(self):
        return False

    def add(self, manifest, signatures):
        self.checks += 1
        return None, "signatures: 0 of the 1 needed"

    def put_chunk(self, release, n, view):
        release.held = n + 1


class World:
    def __init__(self, neighbours):
        self.now = 1000 * S
        self.table = Neighbours()
        self.store = Store()
        self.gets = [Get(), Get()]
        self.rolls = 0
        self.f = fetch.Fetch(self.gets, self.table, self.store, self.rand, Log())
        for i in range(neighbours):
            self.meet(i)

    def rand(self, n):
        self.rolls += 1
        return self.rolls % n

    def meet(self, i):
        row = self.table.rows[i]
        row.take(bytes([i + 1] * 20), i, self.now)
        row.tftp_port = 7
        return row

    def tick(self, seconds=0):
        self.now += seconds * S
        self.f.tick(self.now)


def lie(w, i, count):
    """Neighbour i offers a release whose signature is wrong; True if it costs a check."""
    manifest = b"manifest %d" % count
    before = w.store.checks
    w.f.offer(i, sha256(manifest), 1, 8)
    w.tick()
    for get in w.gets:
        if get.state == RUNNING and get.name.endswith(b"/manifest"):
            get.give(manifest)
    w.tick()
    for get in w.gets:
        if get.state == RUNNING and get.name.endswith(b"/signatures"):
            get.give(b"signatures")
    w.tick()
    return w.store.checks > before


def test_bad_signatures_cost_a_bounded_share_of_time_whoever_sends_them():
    w = World(0)
    count = checked = 0
    for _ in range(100):  # new identities without end, three hundred seconds long
        for i in range(16):
            w.meet(i)
            count += 1
            checked += lie(w, i, count)
        w.tick(3)
    assert fetch.CHECKS <= checked <= fetch.CHECKS + 300 * S // fetch.CHECK_US + 2


def test_same_bad_signature_costs_one_check_whoever_offers_it():
    w = World(10)
    assert [lie(w, i, 1) for i in range(10)] == [True] + [False] * 9
    assert w.store.checks == 1 and w.f.refusals == 10


def test_old_neighbour_comes_before_a_crowd_of_new_ones():
    w = World(16)
    w.table.rows[9].since -= 1
    for i in range(16):
        w.f.offer(i, sha256(b"%d" % i), 1, 8)
    w.tick()
    assert w.gets[0].peer == w.table.rows[9].peer


def test_neighbour_with_faults_comes_last():
    w = World(2)
    w.table.rows[0].since -= 1
    w.table.rows[0].faults = 1
    for i in range(2):
        w.f.offer(i, sha256(b"%d" % i), 1, 8)
    w.tick()
    assert w.gets[0].peer == w.table.rows[1].peer


def test_two_downloads_are_spread_over_neighbours_and_the_faster_one_gets_more():
    w = World(2)
    r = Release()
    w.store.releases.append(r)
    for i in range(2):
        w.f.offer(i, r.rid, 100, 8)
    asked = {w.table.rows[0].peer: 0, w.table.rows[1].peer: 0}
    pace_us = {w.table.rows[0].peer: 10000, w.table.rows[1].peer: 2000000}
    w.tick()
    assert w.gets[0].peer != w.gets[1].peer
    busy = {}
    began = w.now
    for _ in range(3000):  # of 10 ms
        w.now += 10000
        for get in w.gets:
            if get.state == RUNNING and get.name not in busy:
                busy[get.name] = w.now + pace_us[get.peer]
                asked[get.peer] += 1
            if get.state == RUNNING and busy[get.name] <= w.now:
                get.give(bytes(4096), pace_us[get.peer])
        w.f.tick(w.now)
        if r.held >= 100:
            break
    fast, slow = asked[w.table.rows[0].peer], asked[w.table.rows[1].peer]
    assert r.held == 100 and fast > 10 * slow and w.now - began < 8 * S, asked


def test_crowd_that_offers_what_nobody_has_leaves_one_download_to_others():
    w = World(16)
    w.store.releases.append(Release())
    w.f.offer(15, bytes(32), 50, 8)
    for i in range(15):
        w.f.offer(i, bytes([i + 1] * 32), 9, 8)
    w.tick()
    parts = [s.what for s in w.f.slots]
    assert sorted(map(str, parts)) == ["0", "manifest"]
    for n in range(20):  # the manifest never comes
        for get in w.gets:
            if get.name.endswith(b"/%d" % n):
                get.give(b"chunk")
        w.tick()
    assert w.store.releases[0].held == 20


def test_full_table_lets_newcomers_in_now_and_then_but_keeps_who_gave():
    w = World(16)
    for i in (3, 4):
        w.table.rows[i].praise(0, 0)
    w.table.rows[7].blame(w.now, 1, 16)
    taken = []
    for _ in range(1000):
        w.now += S
        for row in w.table.rows:
            row.heard_at = w.now
        i = w.table.place(w.now, w.rand)
        if i >= 0:
            taken.append(i)
            w.meet(i)
    assert taken[0] == 7 and 3 not in taken and 4 not in taken
    assert 1000 // 32 <= len(taken) <= 1000 // 16 + 1


def test_who_gave_the_last_chunk_is_asked_for_the_next_one_unannounced():
    w = World(2)
    w.store.releases.append(Release())
    w.f.offer(1, bytes(32), 1, 8)
    w.tick()
    w.gets[0].give(b"chunk 0")
    w.tick()
    assert w.gets[0].state == IDLE  # nobody has said that there is more
    asked = []
    while len(asked) < 9 and w.f.next_at() is not None:
        w.now = w.f.next_at()
        w.f.tick(w.now)
        assert w.f.next_at() is None or w.f.next_at() > w.now
        get = w.gets[0]
        if get.state == RUNNING:
            asked.append(w.now)
            assert get.peer == bytes([2] * 20) and get.name.endswith(b"/1")
            get.state, get.reason = FAILED, "refused, error 1 not here"
            w.f.tick(w.now)
            assert w.table.rows[1].faults == 0
    gaps = [b - a for a, b in zip(asked, asked[1:])]
    assert gaps == [fetch.PROBE_US << n for n in range(1, 5)]  # then a query asks all


def test_chunk_that_waits_for_one_that_nobody_has_any_more_holds_up_nothing_else():
    w = World(1)
    w.store.releases = [Release()]
    w.f.offer(0, bytes(32), 5, 8, 0)
    w.tick()
    names = [get.name[-2:] for get in w.gets]
    assert names == [b"/0", b"/1"]
    w.gets[0].state, w.gets[0].reason = FAILED, "refused, error 1 not here"
    w.gets[1].give(b"chunk 1")
    w.table.rows[0].offers.clear()
    w.f.offer(0, sha256(b"manifest"), 1, 8)
    w.tick(20)
    assert w.gets[0].state == RUNNING and w.gets[0].name.endswith(b"/manifest")


def stalling(neighbours):
    """A world in which a download of chunk 0 has brought nothing for a second. Who was asked."""
    w = World(neighbours)
    w.store.releases = [Release()]
    w.f.slots = w.f.slots[:1]
    for i in range(neighbours):
        w.f.offer(i, bytes(32), 5, 8, 0)
    w.tick()
    asked = w.gets[0].peer
    w.now += fetch.PATIENCE_US
    return w, asked


def test_who_stalls_is_left_for_another_that_has_the_same():
    w, asked = stalling(2)
    assert w.f.next_at() <= w.now
    w.tick()
    assert w.gets[0].state == RUNNING and w.gets[0].peer != asked
    row = w.table.rows[w.table.find(asked)]
    assert row.faults == 1 and row.wait_until > w.now


def test_who_stalls_is_waited_for_where_nobody_else_has_it():
    w, asked = stalling(1)
    w.tick()
    assert w.gets[0].state == RUNNING and w.gets[0].peer == asked
    assert w.now < w.f.next_at() <= w.now + fetch.PATIENCE_US
    w.meet(1)
    w.f.offer(1, bytes(32), 0, 8, 0)  # it has no chunk yet
    w.now = w.f.slots[0].check_at
    w.tick()
    assert w.gets[0].peer == asked
    w.f.offer(1, bytes(32), 1, 8, 0)
    w.now = w.f.slots[0].check_at
    w.tick()
    assert w.gets[0].peer != asked


def test_what_goes_on_slowly_is_not_left():
    w, asked = stalling(2)
    for _ in range(20):
        w.gets[0].progress_at = w.now - fetch.PATIENCE_US // 2
        w.tick()
        assert w.gets[0].peer == asked
        assert w.now < w.f.slots[0].check_at
        w.now = w.f.slots[0].check_at
