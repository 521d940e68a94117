"""What is fetched next, and from whom; what lies cost."""

from logs import Log

from swdist.crypto.ucryptolib import sha256
from swdist.machines import agenda, download, fetch, outcomes, sources, suspicion
from swdist.machines.neighbours import Neighbours
from swdist.machines.tftpget import BUSY, DONE, FAILED, IDLE, REFUSED, RUNNING

S = 1000000


CHUNK = 4096
PID = bytes(32)


class Get:
    """A download that ends as the test says."""

    def __init__(self):
        self.state = IDLE
        self.next_at = None
        self.took_us = self.length = self.mark = 0
        self.reason = ""
        self.view = memoryview(b"")

    def start(self, peer, port, name, limit, now):
        self.peer, self.name, self.limit, self.state = peer, name, limit, RUNNING
        self.length = 0
        self.progress_at = now
        self.next_at = now + 10 * S

    def give_up(self):
        self.fail("stalled", FAILED)

    def bring(self, data):
        """All that has come so far."""
        self.view = memoryview(bytearray(data))
        self.length = len(data)

    def give(self, data, took_us=1000):
        self.bring(data)
        self.took_us = took_us
        self.state = DONE

    def fail(self, reason, state):
        self.state, self.reason = state, reason

    def pieces(self):
        """(first, last) of the run that is asked for."""
        first, _, last = str(self.name, "ascii").split("/")[2].partition("-")
        return int(first), int(last)

    def run(self):
        first, last = self.pieces()
        return b"".join([piece(n) for n in range(first, last + 1)])

    def stop(self):
        self.state = IDLE

    def tick(self, now):
        pass


def piece(n):
    return bytes([n]) * (21 if n == 0 else CHUNK)


class Twins:
    """Another payload has the pieces that the test says."""

    def __init__(self):
        self.there = ()

    def knows(self, n):
        return n < Held.total

    def of(self, payloads, n):
        return (None, n) if n in self.there else None


class Held:
    """A payload of one page and 100 chunks, of 4 KiB each as sent."""

    pid = PID
    pages = 1
    total = 101

    def __init__(self, held=1):
        self.held = held
        self.twins = Twins()

    def complete(self):
        return self.held == self.total


class Store:
    """Holds what the test says, and takes no signature."""

    def __init__(self):
        self.checks = 0
        self.why = False, "signatures: 0 of the 1 needed"
        self.worth = None
        self.payload = None  # a Held
        self.index = None  # or the id of one whose index is to be fetched
        self.payloads = self.needs = self.catalogue = self
        self.reused = 0  # steps

    def get(self, rid):
        return None

    def held(self, pid):
        return self.payload if pid == PID else None

    def wanted(self):
        if self.index is not None:
            return [self.index]
        return [PID] if self.payload is not None and not self.payload.complete() else []

    def lacks(self, pid):
        return pid in self.wanted()

    def reuse(self):
        self.reused += 1
        return False, False

    def lengths(self, h, n, count):
        known = h.pages if n < h.pages else h.total
        return [len(piece(i)) for i in range(n, min(n + count, known))]

    def weigh(self, rid, manifest):
        return self.worth

    def add(self, manifest, signatures):
        self.checks += 1
        return None, self.why

    def put_index(self, pid, data):
        if data != b"index":
            return False, "index: digest is not the payload's id"
        self.index = None
        return None

    def put(self, h, view):
        taken = 0
        while h.held < h.total and len(view) - taken >= len(piece(h.held)):
            want = piece(h.held)
            if bytes(view[taken : taken + len(want)]) != want:
                return taken, (False, "piece %d: digest is not the index's" % h.held)
            taken += len(want)
            h.held += 1
        return taken, None


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
    w.f.offer(i, sha256(manifest), False)
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


def test_signatures_that_bring_nothing_cost_a_bounded_share_of_time_whoever_sends_them():
    for why in ((False, "signatures: 0 of the 1 needed"), (True, "flash is full")):
        w = World(0)
        w.store.why = why
        checked = crowd(w)
        most = suspicion.CHECKS + 300 * S // suspicion.CHECK_US + 2
        assert suspicion.CHECKS <= checked <= most, why


def test_manifest_that_is_not_wanted_costs_no_signature():
    w = World(0)
    w.store.worth = True, "a later revision of it is held"
    assert crowd(w) == 0 and w.f.outcomes.refusals == 0
    assert lie(w, 0, 1) is False  # nor the time for other signatures
    w.store.worth = None
    w.tick(60)
    assert lie(w, 0, 2) is True


def crowd(w):
    """How many checks new identities without end cost in three hundred seconds."""
    count = checked = 0
    for _ in range(100):
        for i in range(16):
            w.meet(i)
            count += 1
            checked += lie(w, i, count)
        w.tick(3)
    return checked


def test_same_bad_signature_costs_one_check_whoever_offers_it():
    w = World(10)
    assert [lie(w, i, 1) for i in range(10)] == [True] + [False] * 9
    assert w.store.checks == 1 and w.f.outcomes.refusals == 10


def test_old_neighbour_comes_before_a_crowd_of_new_ones():
    w = World(16)
    w.table.rows[9].since -= 1
    for i in range(16):
        w.f.offer(i, sha256(b"%d" % i), False)
    w.tick()
    assert w.gets[0].peer == w.table.rows[9].peer


def test_neighbour_with_faults_comes_last():
    w = World(2)
    w.table.rows[0].since -= 1
    w.table.rows[0].faults = 1
    for i in range(2):
        w.f.offer(i, sha256(b"%d" % i), False)
    w.tick()
    assert w.gets[0].peer == w.table.rows[1].peer


def fetching(neighbours=1, held=1, has=101, slots=2):
    """A world in which a payload is wanted that all the neighbours have."""
    w = World(neighbours)
    w.store.payload = Held(held)
    w.f.slots = w.f.slots[:slots]
    for i in range(neighbours):
        w.f.has(i, PID, has, held)
    w.tick()
    return w


def test_pieces_are_asked_for_in_runs_of_12_kib_one_behind_the_other():
    w = fetching(2)
    assert [get.pieces() for get in w.gets] == [(1, 3), (4, 6)]
    assert [get.limit for get in w.gets] == [3 * CHUNK] * 2
    w = fetching(held=0)
    assert w.gets[0].pieces() == (0, 0) and w.gets[0].limit == 21  # what is behind is not known
    w = fetching(held=99)
    assert w.gets[0].pieces() == (99, 100) and w.gets[1].state == IDLE
    w = fetching(has=3)
    assert w.gets[0].pieces() == (1, 2) and w.gets[1].state == IDLE  # it has no more


def test_index_is_fetched_before_the_pieces_and_only_once():
    w = World(2)
    w.store.index = b"i" * 32
    for i in range(2):
        w.f.has(i, b"i" * 32, 0, -1)  # of whom it is all that they have yet
    w.tick()
    assert w.gets[0].name.endswith(b"/index") and w.gets[1].state == IDLE
    liar = w.gets[0].peer
    w.gets[0].give(b"indeX")
    w.tick()
    assert w.f.outcomes.refusals == 1 and w.gets[0].peer != liar
    w.gets[0].give(b"index")
    w.tick()
    assert w.store.index is None


def test_pieces_are_kept_while_the_rest_of_a_run_is_on_its_way():
    w = fetching(slots=1)
    get, data = w.gets[0], w.gets[0].run()
    get.bring(data[: CHUNK + 5])
    w.tick()
    assert w.store.payload.held == 1 and get.mark == download.KEEP_BYTES  # not for so little
    get.bring(data[: 2 * CHUNK + 5])
    w.tick()
    assert w.store.payload.held == 3 and get.state == RUNNING
    get.give(data)
    w.tick()
    assert w.store.payload.held == 4 and get.pieces() == (4, 6)


def test_run_that_breaks_off_keeps_what_held():
    for code in (FAILED, REFUSED, BUSY):
        w = fetching(slots=1)
        w.gets[0].bring(w.gets[0].run()[: CHUNK + 100])
        w.gets[0].fail("whatever it is called", code)
        w.tick()
        assert w.store.payload.held == 2 and w.f.outcomes.refusals == 0, code


def test_changed_piece_is_blamed_at_once_and_those_before_it_are_kept():
    w = fetching(slots=1)
    data = bytearray(w.gets[0].run())
    data[2 * CHUNK + 9] ^= 1
    w.gets[0].bring(data[: 3 * CHUNK])
    w.tick()
    assert w.store.payload.held == 3 and w.f.outcomes.refusals == 1
    row = w.table.rows[0]
    assert row.faults == 1 and row.wait_until == w.now + outcomes.LIE_S * S
    w.f.has(0, PID, 101, 3)
    assert PID not in row.pieces  # nothing is taken from it any more


def test_run_that_ends_within_a_piece_is_blamed():
    for n in (1, CHUNK - 1, CHUNK + 1):
        w = fetching(slots=1)
        w.gets[0].give(w.gets[0].run()[:n])
        w.tick()
        assert w.store.payload.held == 1 + n // CHUNK and w.f.outcomes.refusals == 1, n
    w = fetching(slots=1)
    w.gets[0].give(b"")
    w.tick()
    assert w.f.outcomes.refusals == 1


def test_server_that_sends_fewer_pieces_is_not_blamed_and_asked_for_the_rest():
    w = fetching(slots=1)
    w.gets[0].give(w.gets[0].run()[: 2 * CHUNK])
    w.tick()
    assert w.store.payload.held == 3 and w.f.outcomes.refusals == 0 and w.table.rows[0].faults == 0
    assert w.gets[0].state == RUNNING and w.gets[0].pieces() == (3, 5)


def test_pieces_that_somebody_else_was_faster_with_are_passed_over():
    w = fetching(slots=1)
    data = w.gets[0].run()
    w.store.payload.held = 3
    w.gets[0].bring(data[: 2 * CHUNK])
    w.tick()
    w.gets[0].give(data)
    w.tick()
    assert w.store.payload.held == 4 and w.f.outcomes.refusals == 0


def test_pieces_behind_those_that_are_here_are_fetched_while_these_are_taken():
    w = World(1)
    w.store.payload = h = Held()
    h.twins.there = list(range(1, 40)) + list(range(43, 60))
    w.f.has(0, PID, 101, 1)
    w.tick()
    assert [get.pieces() for get in w.gets] == [(40, 42), (60, 62)]
    for get in w.gets:
        get.give(get.run())
        w.tick()
    assert h.held == 1 and [s.what for s in w.f.slots] == [download.RUN] * 2  # kept until then
    h.held = 40
    w.tick()
    assert h.held == 43 and w.gets[0].pieces() == (63, 65)
    h.held = 60
    w.tick()
    assert h.held == 63 and w.f.outcomes.refusals == 0


def test_what_has_come_is_told_before_more_is_written():
    w = fetching(1)
    steps = w.store.reused
    w.gets[0].give(w.gets[0].run())
    assert w.f.tick(w.now) and w.store.reused == steps and w.gets[0].state == RUNNING
    assert not w.f.tick(w.f.next_at()) and w.store.reused == steps + 1


def test_later_run_waits_for_the_earlier_one():
    w = fetching(2)
    first, second = w.gets
    second.give(second.run())
    w.tick()
    assert w.store.payload.held == 1 and second.state == DONE
    first.give(first.run())
    w.tick()
    assert w.store.payload.held == 7 and w.f.outcomes.refusals == 0


def test_runs_that_all_wait_for_a_piece_that_is_gone_again_end():
    w = fetching(2, held=5)
    for get in w.gets:
        get.give(get.run())
    w.store.payload.held = 3  # flash has forgotten one
    w.tick()
    assert w.f.outcomes.refusals == 0 and w.gets[0].pieces()[0] == 3


def test_two_downloads_are_spread_over_neighbours_and_the_faster_one_gets_more():
    w = fetching(2)
    h = w.store.payload
    asked = {w.table.rows[0].peer: 0, w.table.rows[1].peer: 0}
    pace_us = {w.table.rows[0].peer: 10000, w.table.rows[1].peer: 1000000}
    assert w.gets[0].peer != w.gets[1].peer
    busy = {}
    for _ in range(3000):  # of 10 ms
        w.now += 10000
        for get in w.gets:
            if get.state == RUNNING and get.name not in busy:
                busy[get.name] = w.now + pace_us[get.peer]
                asked[get.peer] += 1
            if get.state == RUNNING and busy[get.name] <= w.now:
                get.give(get.run(), pace_us[get.peer])
        w.f.tick(w.now)
        if h.complete():
            break
    fast, slow = asked[w.table.rows[0].peer], asked[w.table.rows[1].peer]
    assert h.complete() and fast > 5 * slow, asked


def test_crowd_that_offers_what_nobody_has_leaves_one_download_to_others():
    w = World(16)
    w.store.payload = Held()
    w.f.has(15, PID, 50, 1)
    for i in range(15):
        w.table.rows[i].once = False
        w.f.offer(i, bytes([i + 1] * 32), False)
    w.tick()
    assert sorted([s.what for s in w.f.slots]) == [download.MANIFEST, download.RUN]
    for _ in range(5):  # the manifest never comes
        for s in w.f.slots:
            if s.what == download.RUN:
                s.get.give(s.get.run())
        w.tick()
    assert w.store.payload.held == 16


def test_full_table_lets_newcomers_in_now_and_then_but_keeps_who_gave():
    w = World(16)
    for i in (3, 4):
        w.table.rows[i].praise(0, 0, 27183)
    w.table.rows[7].blame(w.now, 1, 16)
    taken = []
    for n in range(1000):
        w.now += S
        for row in w.table.rows:
            row.heard_at = w.now
            row.once = False
        i = w.table.place(b"%d" % (n // 2), w.now, w.rand)  # each is heard twice
        if i >= 0:
            taken.append(i)
            w.table.rows[i].take(b"%020d" % n, n, w.now)
    assert taken[0] == 7 and 3 not in taken and 4 not in taken
    assert 1000 // 32 <= len(taken) <= 1000 // 16 + 2


def test_table_after_a_start_is_not_theirs_who_make_up_names():
    """Twenty a second, heard once each, from the first moment on; one neighbour speaks as well."""
    w = World(0)
    honest = b"h" * 20
    met = []

    def hear(peer):
        i = w.table.find(peer)
        if i < 0:
            i = w.table.place(peer, w.now, w.rand)
            if i < 0:
                return
            w.table.rows[i].take(peer, 1, w.now)
        row = w.table.rows[i]
        row.heard_at = w.now
        row.replaces(peer, 1)
        if peer == honest:
            met.append(w.now)
            if len(met) == 2:
                assert not row.once
                row.praise(0, 0, 27183)

    began = w.now
    for n in range(2000):
        hear(b"%020d" % n)
        if n % 20 == 19:
            hear(honest)
        w.now += S // 20
    assert met[0] - began < 3 * S and len(met) >= 97


def test_another_nonce_takes_no_merit_and_nothing_that_is_to_be_had():
    """Said often enough in a neighbour's name it is taken for a new start of it."""
    row = Neighbours().rows[0]
    row.take(b"a" * 20, 1, S)
    row.offer(b"r" * 32, False)
    row.has(b"p" * 32, 5, list)
    row.praise(90000, 32768, 27183)
    row.blame(S, 1, 8)
    known = row.offers[:], dict(row.pieces), row.gave, row.pace_ms, row.since, row.wait_until
    for nonce in (2, 3):
        while not row.replaces(b"a" * 20, nonce):
            pass
        row.take(b"a" * 20, nonce, 9 * S)
        kept = row.offers, row.pieces, row.gave, row.pace_ms, row.since, row.wait_until
        assert row.nonce == nonce and kept == known
    row.take(b"b" * 20, 4, 9 * S)
    assert (row.offers, row.pieces, row.gave, row.pace_ms) == ([], {}, False, 0)


def test_who_has_given_something_is_not_left_for_strangers():
    w = fetching(16, has=100)
    sources = w.f.sources
    good = w.table.rows[3]
    good.praise(0, 0, 27183)
    busy = w.f.slots[0]  # what it gives already
    busy.what, busy.row, busy.get.state = download.RUN, good, RUNNING
    asked_for = download.Download(None)
    asked_for.what = download.RUN

    def ask():
        row = asked_for.row = sources.best(PID, 1, w.now)
        if row is not None:
            sources.asked(asked_for, w.now)
        return row

    assert ask() is good  # the others were heard once
    for row in w.table.rows:
        row.once = False
    asked = []
    for _ in range(50):
        asked.append(ask())
        w.now += S // 10
    assert len(asked) - asked.count(good) == 1, asked  # in five seconds
    good.wait_until = w.now + S // 10
    assert [ask() for _ in range(9)][1:] == [None] * 8
    good.wait_until = w.now + 60 * S
    assert ask() not in (None, good)


def test_strangers_releases_wait_for_what_is_wanted():
    w = fetching(9, has=100)
    good = w.table.rows[0]
    good.praise(0, 0, 27183)
    for row in w.table.rows:
        row.once = False
    asked = 0
    for _ in range(160):
        good.wait_until = w.now + (w.now // S % 2) * S // 20  # it is busy now and then
        for i in range(1, 9):
            w.f.offer(i, bytes([i]) * 32, False)
        for get in w.gets:
            if get.state == RUNNING and get.name.endswith(b"/manifest"):
                asked += 1
                get.fail("stalled", FAILED)
            elif get.state == RUNNING:
                get.fail("stopped" if get.peer == good.peer else "stalled", FAILED)
        w.tick()
        w.now += S // 10
    assert asked in (3, 4), asked


def test_who_only_says_that_it_has_pieces_is_not_said_to_have_them_for_ever():
    for how in (FAILED, REFUSED, BUSY):
        w = fetching(1, slots=1)
        begun = w.now
        while w.f.sources.offered(PID):
            assert w.now - begun < 40 * S, how
            if w.gets[0].state == RUNNING:
                w.gets[0].fail("whatever it is called", how)
            w.now += S // 10
            w.tick()
            w.f.has(0, PID, 101, 1)
        assert w.now - begun > sources.VAIN_US
        while w.gets[0].state != RUNNING:
            w.now += S // 10
            w.tick()
        w.gets[0].bring(w.gets[0].run()[: CHUNK + 5])
        w.gets[0].fail("it breaks off", FAILED)
        w.tick()
        assert w.f.sources.offered(PID)  # for it has given some after all


def test_false_offers_in_a_neighbours_name_leave_no_time_to_strangers():
    w = World(2)
    for row in w.table.rows:
        row.once = False
    w.f.offer(1, bytes(32), False)
    for n in range(1, 9):
        w.f.offer(0, bytes([n]) * 32, False)
    for _ in range(8):
        w.tick()
        assert w.gets[0].peer == w.table.rows[0].peer
        w.gets[0].fail("not here", REFUSED)
    w.tick()
    assert w.gets[0].peer == w.table.rows[1].peer


def test_two_ports_that_are_said_of_one_neighbour_are_not_tried_before_the_usual_one():
    row = Neighbours().rows[0]
    row.take(b"p" * 20, 1, 0)
    row.serves_at(27183)
    row.serves_at(0)
    assert row.port() == 27183
    row.serves_at(9)
    assert row.port() == 27183
    row.blame(0, 1, 16)
    assert row.port() == 9
    row.praise(0, 0, 27183)
    row.serves_at(65535)
    row.blame(0, 1, 16)
    assert row.port() == 27183


def test_who_gave_the_last_pieces_is_asked_for_the_next_ones_unannounced():
    w = fetching(2, has=0)
    w.f.has(1, PID, 2, 1)
    w.tick()
    w.gets[0].give(piece(1))
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
            assert get.peer == bytes([2] * 20) and get.pieces()[0] == 2
            get.fail("not here", REFUSED)
            w.f.tick(w.now)
            assert w.table.rows[1].faults == 0
    gaps = [b - a for a, b in zip(asked, asked[1:])]
    assert gaps == [agenda.PROBE_US << n for n in range(1, 5)]  # then a query asks all


def test_lie_in_what_was_asked_for_unannounced_is_blamed_too():
    w = fetching(1, has=2)
    w.gets[0].give(piece(1))
    w.tick()
    w.tick()
    w.now = w.f.next_at()
    w.tick()
    assert w.gets[0].state == RUNNING and w.f.slots[0].probe
    w.gets[0].give(b"x" * CHUNK)
    w.tick()
    assert w.f.outcomes.refusals == 1 and w.table.rows[0].faults == 1


def test_download_that_waits_for_pieces_that_nobody_has_any_more_holds_up_nothing_else():
    w = fetching(1)
    w.gets[0].fail("not here", REFUSED)
    w.gets[1].give(w.gets[1].run())
    w.table.rows[0].pieces.clear()
    w.f.offer(0, sha256(b"manifest"), False)
    w.tick(20)
    w.tick(20)
    assert [get for get in w.gets if get.state == RUNNING and get.name.endswith(b"/manifest")]


def stalling(neighbours):
    """A world in which a run has brought nothing for a second. Who was asked."""
    w = fetching(neighbours, slots=1)
    asked = w.gets[0].peer
    w.now += download.PATIENCE_US
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
    assert w.now < w.f.next_at() <= w.now + download.PATIENCE_US
    w.meet(1)
    w.f.has(1, PID, 1, 1)  # it has no chunk yet
    w.now = w.f.slots[0].check_at
    w.tick()
    assert w.gets[0].peer == asked
    w.f.has(1, PID, 2, 1)
    w.now = w.f.slots[0].check_at
    w.tick()
    assert w.gets[0].peer != asked


def test_what_goes_on_slowly_is_not_left():
    w, asked = stalling(2)
    w.gets[0].bring(w.gets[0].run()[:8200])
    for _ in range(20):
        w.gets[0].progress_at = w.now - download.PATIENCE_US // 4
        w.tick()
        assert w.gets[0].peer == asked
        assert w.now < w.f.slots[0].check_at
        w.now = w.f.slots[0].check_at
    w, asked = stalling(2)  # but a trickle is, from who has given nothing
    w.now = w.gets[0].progress_at = w.now + fetch.SHORT_US
    w.tick()
    assert w.gets[0].peer != asked


def test_wanted_payload_takes_the_place_of_one_that_nobody_wants():
    w = World(1)
    for i in range(16):
        w.f.has(0, bytes([9, i] * 16), 5, 0)
    w.f.has(0, b"unwanted" * 4, 5, 0)
    assert b"unwanted" * 4 not in w.table.rows[0].pieces
    w.store.payload = Held()
    w.f.has(0, PID, 5, 1)
    assert len(w.table.rows[0].pieces) == 16 and w.table.rows[0].pieces[PID] == 5
    assert w.f.sources.offered(PID) and not w.f.sources.offered(b"unwanted" * 4)


def test_what_is_said_in_a_neighbours_name_costs_a_few_tries_and_not_the_neighbour():
    """Eight releases that it does not have, and a port where nobody is."""
    w = World(1)
    row = w.table.rows[0]
    for i in range(8):
        w.f.offer(0, bytes([i + 1]) * 32, False)
    tries = 0
    began = w.now
    while row.offers:
        w.tick()
        for get in w.gets:
            if get.state == RUNNING:
                tries += 1
                get.fail("not here", REFUSED)
        w.now += 100000
        assert row.faults == 0 and w.now - began < 4 * S
    assert tries == 8


def test_a_port_that_has_answered_outlives_what_is_said_in_its_name():
    row = Neighbours().rows[0]
    row.take(b"p" * 20, 1, 0)
    row.tftp_port = 9  # forged, before anything has been got from it
    assert row.port() == 9
    row.blame(0, 1, 16)
    assert row.port() == 27183  # where nearly all serve
    row.praise(0, 0, 27183)
    row.tftp_port = 9
    assert row.port() == 27183
    row.blame(0, 1, 16)
    assert row.port() == 9  # it may have moved
    row.blame(0, 1, 16)
    assert row.port() == 27183


def test_a_manifest_that_trickles_in_does_not_keep_others_waiting():
    """Twelve releases that a trickling server invents, and one that an honest neighbour has."""
    w = World(2)
    for i in range(8):
        w.f.offer(0, bytes([i + 1]) * 32, False)
    w.tick()
    w.f.offer(1, b"h" * 32, False)
    began = w.now
    while True:
        asked = [g for g in w.gets if g.state == RUNNING]
        if any([g.peer == bytes([2] * 20) for g in asked]):
            break
        for g in asked:
            g.progress_at = w.now  # something comes, always
        w.now += 250000
        w.tick()
        assert w.now - began <= 4 * S


def test_lie_in_what_is_still_coming_frees_the_download_for_another_at_once():
    w = fetching(2, slots=1)
    liar = w.gets[0].peer
    w.gets[0].bring(b"x" * 2 * CHUNK)
    w.tick()
    assert w.f.outcomes.refusals == 1
    assert w.gets[0].state == RUNNING and w.gets[0].peer != liar


def newcomer(w, i):
    """Row i is given to another, of whom nothing is known."""
    w.table.rows[i].take(b"newcomer" * 2 + b"----", 99, w.now)
    w.table.rows[i].tftp_port = 7
    return w.table.rows[i]


def test_who_has_got_the_row_of_another_is_not_blamed_for_it():
    for end in ("stall", "lie", "fail"):
        w = fetching(2, slots=1)
        get = w.gets[0]
        row = newcomer(w, w.table.find(get.peer))
        if end == "stall":
            w.now += download.PATIENCE_US
        elif end == "lie":
            get.give(b"x" * 3 * CHUNK)
        else:
            get.fail("not here", REFUSED)
        w.tick()
        assert row.faults == 0 and row.wait_until <= w.now and w.f.outcomes.refusals == 0, end
        assert get.state == RUNNING and get.peer != row.peer


def test_signatures_are_asked_for_from_who_gave_the_manifest_alone():
    w = World(1)
    w.f.offer(0, sha256(b"manifest"), False)
    w.tick()
    w.gets[0].give(b"manifest")
    newcomer(w, 0)
    w.tick()
    assert [get.state for get in w.gets] == [IDLE] * 2


def test_run_that_others_were_faster_with_than_its_server_is_no_lie():
    w = fetching(slots=1)  # for pieces 1 to 3
    w.gets[0].give(piece(1))  # it has lost the others
    w.store.payload.held = 3
    w.tick()
    assert w.f.outcomes.refusals == 0 and w.table.rows[0].faults == 0


def test_words_of_a_reason_decide_nothing():
    for words in ("refused, error 1 not here", "busy", "store: flash is full"):
        w = fetching(slots=1)
        w.gets[0].fail(words, FAILED)
        w.tick()
        row = w.table.rows[0]
        assert row.faults == 1 and PID in row.pieces, words
    for code in (BUSY, REFUSED):
        w = fetching(slots=1)
        w.gets[0].fail("stalled", code)
        w.tick()
        row = w.table.rows[0]
        assert row.faults == 0 and (PID in row.pieces) == (code == BUSY)


def test_what_neighbours_say_during_a_check_of_signatures_is_kept():
    """A check in plain Python takes seconds, and datagrams are heard meanwhile."""
    w = World(3)
    w.store.payload = Held()
    add = w.store.add

    def slow(manifest, signatures):
        w.f.offer(1, b"r" * 32, False)
        w.f.has(2, PID, 50, 1)
        newcomer(w, 0)
        return add(manifest, signatures)

    w.store.add = slow
    assert lie(w, 0, 1)
    assert w.f.outcomes.refusals == 0 and w.table.rows[0].faults == 0  # the liar is gone
    assert w.table.rows[1].offers == [b"r" * 32]
    assert [get.pieces() for get in w.gets] == [(1, 3), (4, 6)]
    assert [get.peer for get in w.gets] == [w.table.rows[2].peer] * 2


def test_turn_of_who_has_given_nothing_is_spent_when_it_is_asked_and_not_before():
    w = World(1)
    w.store.payload = Held()  # is wanted, and nobody has it
    w.f.offer(0, b"r" * 32, False)
    found = [w.f.sources.unknown(w.now) for _ in range(3)]
    assert found == [(b"r" * 32, w.table.rows[0])] * 3
    w.tick()
    w.gets[0].fail("busy", BUSY)
    w.tick(1)
    assert w.f.sources.unknown(w.now) is None
    w.now += 4 * S
    assert w.f.sources.unknown(w.now) is not None


def test_two_downloads_that_stall_together_are_one_fault():
    w = fetching(1)
    for get in w.gets:
        get.fail("stalled", FAILED)
    w.tick()
    assert w.table.rows[0].faults == 1


def test_who_has_got_the_row_of_the_last_giver_is_not_asked_unannounced():
    w = fetching(1, has=2)
    w.gets[0].give(piece(1))
    w.tick()
    w.tick()
    assert w.f.next_at() is not None
    newcomer(w, 0)
    w.tick(1)
    assert [get.state for get in w.gets] == [IDLE] * 2 and w.f.next_at() is None
