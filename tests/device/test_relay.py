"""Who is helped, when, and for how long (docs/protocol.md, section 6)."""

from swdist.machines import relay
from swdist.machines.neighbours import Neighbours

S = 1000000
PID = b"p" * 32


class World:
    def __init__(self, neighbours=1, drawn=0):
        self.table = Neighbours()
        self.now = 1000 * S
        self.drawn = drawn  # what chance says, permille
        self.r = relay.Relay(self.table, lambda n: n * self.drawn // 1000)
        self.lines = {PID: None}
        self.own = []
        self.offers = []
        for i in range(neighbours):
            self.table.rows[i].take(bytes([i + 1] * 20), i, self.now)

    def want(self, i=0, hungry=True, pid=PID):
        self.table.rows[i].wants[pid] = (hungry, self.now)

    def tick(self, seconds=0):
        self.now += int(seconds * 1000) * 1000
        return self.r.tick(self.now, self.lines, self.own, lambda pid: pid in self.offers)


def test_starved_neighbour_is_helped_after_a_random_delay():
    for drawn, delay in ((0, 0.5), (500, 2.75), (999, 4.9955)):
        w = World(drawn=drawn)
        w.want()
        assert w.tick() == [] and w.now < w.r.next_at <= w.now + int(delay * S)
        assert w.tick(delay - 0.01) == []
        assert w.tick(0.02) == [PID]


def test_who_is_helped_by_another_meanwhile_is_not_helped():
    w = World()
    w.want()
    w.tick()
    w.want(hungry=False)
    assert w.tick(9) == [] and w.r.next_at == w.now + relay.RELAY_US
    w.want()
    w.tick()
    assert w.tick(0.4) == [] and w.tick(0.2) == [PID]  # the delay begins anew


def test_help_goes_on_while_somebody_wants_it_and_ends_then():
    w = World(2)
    w.want()
    w.tick()
    assert w.tick(1) == [PID]
    w.want(hungry=False)
    assert w.tick(60) == [PID]
    w.want(1, hungry=False)
    w.table.rows[0].wants.clear()
    assert w.tick(60) == [PID]
    w.table.rows[1].wants.clear()
    assert w.tick() == []


def test_wish_that_is_not_said_again_is_forgotten():
    w = World()
    w.want()
    w.tick()
    assert w.tick(1) == [PID]
    assert w.tick(relay.WANT_US // S - 2) == [PID]
    assert w.tick(2) == []


def test_what_is_ours_or_not_known_is_not_relayed():
    w = World()
    w.want()
    w.want(pid=b"unknown")
    w.own = [PID]
    assert w.tick() == [] and w.tick(9) == [] and w.r.next_at == w.now + relay.RELAY_US


def test_neighbour_that_only_wants_is_not_helped():
    w = World()
    w.want(hungry=False)
    assert w.tick() == [] and w.tick(60) == []


def test_helper_without_a_source_is_starved_after_a_while():
    for drawn, after in ((0, 10), (999, 19.99)):
        w = World(drawn=drawn)
        w.want()
        w.tick()
        assert w.tick(5) == [PID] and not w.r.starved(PID)
        w.tick(after - 0.1)
        assert not w.r.starved(PID)
        w.tick(0.2)
        assert w.r.starved(PID) and not w.r.starved(b"other")


def test_helper_with_a_source_is_not_starved_until_it_has_been_gone_for_a_while():
    w = World()
    w.want()
    w.tick()
    w.tick(1)
    w.offers = [PID]
    for _ in range(20):
        w.tick(5)
        assert not w.r.starved(PID)
    w.offers = []
    w.tick(9)
    assert not w.r.starved(PID)
    w.tick(2)
    assert w.r.starved(PID)


def test_any_number_of_wishes_fills_no_table():
    w = World(16)
    for i in range(16):
        for k in range(16):
            pid = bytes([i, k] * 16)
            w.lines[pid] = None
            w.want(i, pid=pid)
    for _ in range(50):
        assert len(w.tick(1)) <= relay.MAX_RELAYED
        assert len(w.r._soon) <= relay.MAX_RELAYED and len(w.r._helped) <= relay.MAX_RELAYED
        assert w.now < w.r.next_at <= w.now + relay.RELAY_US


def test_neighbour_that_is_gone_wants_nothing():
    w = World()
    w.want()
    w.tick()
    assert w.tick(1) == [PID]
    w.table.rows[0].take(None, 0, 0)
    assert w.tick() == []
