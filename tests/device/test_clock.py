"""Mesh time on a small virtual mesh: drifting counters, jitter, asymmetry and loss."""

import math
from struct import pack

from swdist.formats.datagram import ECHO_FORM
from swdist.machines.clock import TIME_MAX_US, UNKNOWN, Clock
from swdist.machines.leash import LOOK_US, Leash
from swdist.machines.neighbours import Neighbours

S = 1000000
HOUR = 3600 * S
TRUTH = 1750000000 * S
HORIZON = 12 * HOUR
FOREVER = 1 << 62


class Lcg:
    def __init__(self, seed):
        self.x = seed

    def __call__(self, n):
        self.x = (self.x * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
        return (self.x >> 33) % n


class Router:
    def __init__(self, mesh, i, behind, drift_ppm):
        self.mesh = mesh
        self.i = i
        self.drift_ppm = drift_ppm
        self.lie = None
        self.boot(TRUTH - behind)

    def boot(self, wall):
        rand = self.mesh.rand
        self.born = self.mesh.t
        self.base = rand(1000 * S)
        self.nonce = rand(1 << 30)
        self.clock = Clock(0, HORIZON, S)
        self.clock.start(self.counter(), wall)
        self.beacon_at = self.mesh.t + rand(S)
        self.told = 0
        self.went_back = 0
        self.slots = []
        self.heard = {}

    def counter(self, t=None):
        t = (self.mesh.t if t is None else t) - self.born
        return self.base + t + t * self.drift_ppm // S

    def time(self):
        t = self.clock.mesh_us(self.counter())
        if t < self.told:
            self.went_back += 1
        self.told = t
        return t

    def slot(self, i):
        if i not in self.slots:
            self.slots.append(i)
        return self.slots.index(i)


class Mesh:
    def __init__(self, seed, n, ring=False, loss=15):
        self.rand = Lcg(seed)
        self.t = 0
        self.loss = loss
        self.air = []
        self.links = [[j for j in (i - 1, i + 1) if ring or 0 <= j < n] for i in range(n)]
        self.links = [[j % n for j in js] for js in self.links]
        right = self.rand(n)
        self.routers = []
        for i in range(n):
            behind = 0 if i == right else self.rand(11 * HOUR)
            self.routers.append(Router(self, i, behind, self.rand(201) - 100))

    def run(self, us, step=5000):
        end = self.t + us
        while self.t < end:
            self.t += step
            for r in self.routers:
                if self.t >= r.beacon_at:
                    r.beacon_at = self.t + S * 9 // 10 + self.rand(S // 5)
                    self.send(r)
                if r.counter() >= r.clock.next_at:
                    r.clock.tick(r.counter())
                    r.time()
            due = [a for a in self.air if a[0] <= self.t]
            if due:
                self.air = [a for a in self.air if a[0] > self.t]
                for a in due:
                    self.receive(a)

    def send(self, r):
        counter = r.counter()
        offset = r.clock.offset_at(counter)
        if r.lie is not None:
            offset = r.lie - counter if r.lie > TRUTH * 100 else offset + r.lie
        echoes = []
        for i in self.links[r.i]:
            e = r.clock.echo_of(r.slot(i), counter)
            if e is not None:
                echoes.append((r.heard[i], i, e))
        for i in self.links[r.i]:
            if self.rand(100) >= self.loss:
                delay = 500 + self.rand(1500) + (500 if i > r.i else 0)
                if self.rand(4) == 0:
                    delay += self.rand(2500)
                told = (r.nonce, counter, offset, r.clock.synced, r.clock.rate_ppb, echoes)
                self.air.append((self.t + delay, i, r.i, told))

    def receive(self, a):
        at, i, j, (nonce, counter, offset, synced, rate, echoes) = a
        r = self.routers[i]
        if at < r.born:
            return
        n = r.slot(j)
        r.heard[j] = nonce
        now = r.counter()
        r.clock.sample(n, nonce, counter, r.counter(at), offset, synced, now, rate)
        for to, k, e in echoes:
            if k == i and to == r.nonce:
                r.clock.echo(n, e[0], e[1], now)

    def skew(self, skip=-1):
        times = [r.time() for r in self.routers if r.i != skip]
        return max(times) - min(times)

    def behind(self, skip=-1):
        return TRUTH + self.t - min([r.time() for r in self.routers if r.i != skip])

    def synced(self):
        return min([r.clock.synced for r in self.routers])


def settles(seed, ring):
    mesh = Mesh(seed, 12, ring, 10 + seed % 11)
    mesh.run(60 * S)
    assert mesh.synced()
    assert mesh.skew() < 20000, mesh.skew()
    assert abs(mesh.behind()) < 50000, mesh.behind()
    assert max([r.clock.error_us for r in mesh.routers]) < 60000
    mesh.run(60 * S)
    assert mesh.skew() < 20000, mesh.skew()
    assert max([r.went_back for r in mesh.routers]) == 0
    return mesh


def test_line_of_twelve_hours_apart_agrees_on_the_latest():
    for seed in (1, 2, 3):
        settles(seed, False)


def test_ring_of_twelve_hours_apart_agrees_on_the_latest():
    for seed in (4, 5):
        settles(seed, True)


def test_restarted_node_joins_from_1970():
    mesh = settles(6, False)
    r = mesh.routers[5]
    r.boot(0)
    mesh.run(15 * S)
    assert r.clock.synced
    assert mesh.skew() < 20000, mesh.skew()


def test_liar_a_day_ahead_is_not_followed():
    mesh = Mesh(7, 12, True)
    mesh.routers[3].lie = 24 * HOUR
    mesh.run(90 * S)
    assert mesh.synced()
    assert mesh.skew(3) < 20000, mesh.skew(3)
    assert abs(mesh.behind(3)) < 50000


def pair(clock, ahead, now, synced=False, nonce=7, n=0, rate=0, anchor=False):
    """A neighbour that is `ahead` of us says so, two-way, with a delay of 1 ms each way."""
    theirs = now + 5000
    offset = now + clock.offset_at(now) + ahead - theirs
    clock.sample(n, nonce, theirs - 1000, now, offset, synced, now, rate, anchor)
    clock.echo(n, theirs - now + 1000, theirs + 1000, now)


def test_floor_is_stepped_up_to_and_never_gone_below():
    clock = Clock(0, 0, S)
    clock.start(0, 0)
    clock.floor(TRUTH, S)
    assert clock.mesh_us(S) == TRUTH and clock.stepped == 1
    clock.floor(TRUTH - HOUR, S)
    assert clock.mesh_us(S) == TRUTH and clock.stepped == 1
    for k in range(2, 1000):
        pair(clock, -HOUR, k * S)
        clock.tick(k * S)
        assert clock.mesh_us(k * S) >= TRUTH
    assert clock.stepped == 1


def test_fine_correction_stops_at_the_floor():
    clock = Clock(0, 0, S)
    clock.start(0, 0)
    clock.floor(TRUTH, S)
    pair(clock, -25000, S)
    clock.tick(S)
    assert S + clock.offset_at(S) == TRUTH


def test_no_quorum_no_step():
    clock = Clock(TRUTH, 0, S)
    clock.start(0, 0)
    for k in range(1, 600):
        for n in range(4):  # one may lie, two are not enough
            ahead = TRUTH + (0, 0, -HOUR, -HOUR)[n] - clock.offset_at(k * S)
            pair(clock, ahead, k * S, n=n)
        clock.tick(k * S)
    assert clock.stepped == 0 and clock.synced


def test_alone_it_runs_free_from_the_later_of_soft_start_and_wall_clock():
    for soft, wall in ((TRUTH, 0), (0, TRUTH)):
        clock = Clock(soft, HORIZON, S)
        clock.start(5 * S, wall)
        for k in range(6, 60):
            assert clock.synced == (k > 45)
            clock.tick(k * S)
            assert clock.mesh_us(k * S) == TRUTH + (k - 5) * S
        assert clock.stepped == 0 and clock.error_us == UNKNOWN


def test_time_stands_still_instead_of_going_back():
    clock = Clock(TRUTH, HORIZON, S)
    clock.start(0, 0)
    told = 0
    for k in range(1, 400):
        for n in range(3):
            pair(clock, -500000 if k < 300 else -25000, k * S, n=n)
        clock.tick(k * S)
        for us in (0, 1000, 900000):
            t = clock.mesh_us(k * S + us)
            assert t >= told
            told = t
    assert clock.stepped == 1


def test_quorum_moves_a_synchronised_clock_back_after_the_hold():
    clock = Clock(TRUTH, HORIZON, S)
    clock.start(0, 0)
    for k in range(1, 300):
        back = TRUTH - HOUR - clock.offset_at(k * S)
        for n in range(3):
            pair(clock, back, k * S, n=n)
        clock.tick(k * S)
        assert clock.stepped == (k > 243)
    assert clock.mesh_us(300 * S) == TRUTH - HOUR + 300 * S


def test_budget_limits_what_later_neighbours_win():
    clock = Clock(TRUTH, 10 * S, S)
    clock.start(0, 0)
    for k in range(1, 200):
        pair(clock, 3 * S, k * S)
        pair(clock, 0, k * S, n=1)
        clock.tick(k * S)
    assert 9 * S <= clock.offset_us - TRUTH < 10 * S, clock.offset_us - TRUTH


def test_nonce_and_drop_forget_samples():
    clock = Clock(TRUTH, HORIZON, S)
    clock.start(0, 0)
    pair(clock, 0, S)
    assert clock.echo_of(0, S) == (-4000, S)
    pair(clock, 0, S, nonce=8)
    assert clock.echo_of(0, S) is not None
    clock.drop(0)
    assert clock.echo_of(0, S) is None


def test_what_is_echoed_is_the_quickest_beacon_of_late():
    clock = Clock(TRUTH, HORIZON, 4 * S)
    clock.start(0, 0)
    for k, delay in ((1, 9000), (2, 1000), (3, 4000)):
        clock.sample(0, 7, k * S, k * S + delay, TRUTH, False, k * S + delay)
    assert clock.echo_of(0, 4 * S) == (1000, 2 * S + 1000)
    assert clock.echo_of(0, 300 * S) is None


def test_wild_values_neither_raise_nor_move():
    wild = (-(1 << 63), -(1 << 62), -1, 0, 1, FOREVER, (1 << 63) - 1)
    for counter in wild:
        for offset in wild:
            clock = Clock(TRUTH, HORIZON, S)
            clock.start(0, 0)
            for k in range(1, 20):
                clock.sample(0, 1, counter, k * S, offset, True, k * S, offset)
                clock.echo(0, offset, counter, k * S)
                clock.echo(0, counter, counter + k * S, k * S)
                clock.tick(k * S)
                assert clock.mesh_us(k * S) == TRUTH + k * S
            assert clock.stepped == 0


def hardened(m):
    """With m neighbours that agree, for three hours of sparse beacons."""
    clock = Clock(TRUTH, HORIZON, 4 * S)
    clock.start(0, 0)
    clock.beacon_us = 16 * S
    now = 0
    while now < 3 * HOUR:
        now += 16 * S
        told(clock, [TRUTH] * m, now)
    assert clock.synced and clock.stepped == 0
    return clock, now


def told(clock, offsets, now, rate=0):
    """Neighbours with those offsets say so, and the clock ticks."""
    for n in range(len(offsets)):
        pair(clock, offsets[n] - clock.offset_at(now), now, True, n=n, rate=rate)
    clock.tick(now)


def test_a_third_of_the_neighbours_minus_one_never_makes_a_node_step():
    for m in (4, 5, 7, 8, 10, 16):
        f = (m - 1) // 3
        for lie in (31000, S, HOUR // 6, 24 * HOUR, -31000, -HOUR):
            clock, now = hardened(m)
            for _ in range(200):
                now += 16 * S
                told(clock, [TRUTH + lie] * f + [TRUTH] * (m - f), now)
            assert clock.stepped == 0, (m, lie)
            assert abs(clock.offset_at(now) - TRUTH) < 2000


def test_few_neighbours_move_a_hardened_clock_only_all_together_and_two_at_least():
    for m, liars, steps in ((1, 1, 0), (2, 1, 0), (2, 2, 1), (3, 2, 0), (3, 3, 1)):
        clock, now = hardened(m)
        for _ in range(100):
            now += 16 * S
            told(clock, [TRUTH + HOUR // 6] * liars + [TRUTH] * (m - liars), now)
        assert clock.stepped == steps, (m, liars)


def gained_ppm(lie, liars=2, beacons=1000):
    """By a hardened clock, of whose eight neighbours some are always so far ahead, in 16,000 s."""
    clock, now = hardened(8)
    for _ in range(beacons):
        now += 16 * S
        ours = clock.offset_at(now)
        told(clock, [ours + lie] * liars + [ours] * (8 - liars), now, clock.rate_ppb)
    return (clock.offset_at(now) - TRUTH) // (beacons * 16)


def test_near_liars_pull_a_hardened_clock_by_their_limit_and_those_further_off_not_at_all():
    assert gained_ppm(20000) == 0
    assert 5 < gained_ppm(1000) < 15
    assert gained_ppm(7000) == gained_ppm(1000)
    assert gained_ppm(20000, 8) == 2


def test_before_it_is_hardened_a_clock_goes_with_most_neighbours_and_not_with_few_far_ones():
    for liars, gained_us in ((2, 0), (5, 79000)):
        clock = Clock(TRUTH, HORIZON, 4 * S)
        clock.start(0, 0)
        for k in range(1, 100):
            ours = clock.offset_at(k * 4 * S)
            told(clock, [ours + 20000 * (k > 20)] * liars + [ours] * (8 - liars), k * 4 * S)
        assert clock.synced and clock.stepped == 0
        assert clock.offset_at(400 * S) - TRUTH == gained_us


def test_a_majority_of_later_ones_moves_a_hardened_clock_within_the_budget_only():
    for lie, steps in ((10 * 60 * S, 1), (20 * 60 * S, 0)):
        clock, now = hardened(8)
        for _ in range(10):
            now += 16 * S
            told(clock, [TRUTH + lie] * 5 + [TRUTH] * 3, now)
        assert clock.stepped == steps, lie


def test_a_signed_word_lets_one_later_neighbour_win_its_horizon_once_and_for_an_hour():
    for horizon, wait, steps in ((0, 0, 0), (900 * S, 0, 1), (900 * S, HOUR, 0), (500 * S, 0, 0)):
        clock, now = hardened(8)
        clock.heal(horizon, now)
        before = clock.stepped
        now += wait
        for _ in range(4):  # always later by ten minutes
            now += 16 * S
            ours = clock.offset_at(now)
            told(clock, [ours + 10 * 60 * S] + [ours] * 7, now)
        assert clock.stepped - before == steps, (horizon, wait)
        assert clock.offset_at(now) - TRUTH < 900 * S


def test_a_leash_holds_a_hardened_clock_that_all_neighbours_pull_for_hours():
    """By as much as counts in full: without it they win 200 ppm and more."""
    clock, now = hardened(8)
    for _ in range(4 * 225):  # 4 hours
        now += 16 * S
        ours = clock.offset_at(now)
        told(clock, [ours + 1000] * 8, now, clock.rate_ppb)
    assert 20000 < clock.offset_at(now) - TRUTH < 200000, clock.offset_at(now) - TRUTH


class Counter:
    """A neighbour's, as a leash keeps what it sees of one."""

    mark = slope = None


def leashed(days, mine, theirs, wants):
    """Each 5 minutes the clock goes where wants(what it is off the truth) says, and the leash has
    its say: (what it is off at last, what it was held back by at most). The node's counter runs off
    by mine(hours) ppm, those of its neighbours by theirs[i](hours)."""
    leash, peers = Leash(0), [Counter() for _ in theirs]
    ours, others, off, most = 0, [0] * len(theirs), 0, 0
    for k in range(1, days * 288 + 1):
        now, hours = k * 300 * S, k / 12
        ours += int(mine(hours) * 300)
        others = [o + int(ppm(hours) * 300) for o, ppm in zip(others, theirs)]
        if now - leash.looked >= LOOK_US:
            leash.look(peers, [ours - o for o in others], now)
        off = wants(off)
        held = leash.hold(off - ours, int(-mine(hours) * 1000), now)[0]
        off += held
        most = max(most, abs(held))
    return off, most


def swing(ppm, phase=0.0):
    return lambda hours: ppm * math.sin(2 * math.pi * (hours / 24 + phase))


def steady(hours):
    return 0


def anchored(lie, minutes):
    """What a hard clock gains in a minute from one of eight neighbours, who says that it has a
    reference, has been near for so long, and then is so far ahead."""
    clock, now = hardened(8)
    start = now
    while now < start + minutes * 60 * S + 64 * S:
        now += 16 * S
        ahead = lie if now > start + minutes * 60 * S else 0
        ours = clock.offset_at(now)
        for n in range(8):
            pair(clock, (TRUTH + ahead if n == 0 else ours) - ours, now, True, n=n, anchor=n == 0)
        clock.tick(now)
    return clock.offset_at(now) - TRUTH


def test_a_reference_weighs_by_how_long_it_has_been_near_and_not_by_what_it_says():
    assert 6000 < anchored(7000, 130) < 8000 and 0 < anchored(7000, 0) < 1000
    assert anchored(20000, 130) == 0


def test_a_leash_does_not_hold_a_clock_whose_counter_swings_each_day():
    """Whatever those of its neighbours do; but where all do the same, it cannot see it."""
    mine = swing(15)
    for theirs in (
        [swing(15, i / 8) for i in range(8)],
        [steady] * 4,
        [mine] * 5 + [swing(15, 0.5)] * 3,
        [swing(15, 0.3), swing(15, 0.6)],
        [steady],
    ):
        assert leashed(2, mine, theirs, lambda off: 0) == (0, 0), len(theirs)


def test_no_third_of_the_counters_makes_a_leash_give_way_faster():
    for liars, least_s, most_s in ((0, 50, 60), (2, 50, 60), (3, 200, 600)):
        theirs = [swing(40, i / 3) for i in range(liars)] + [steady] * (8 - liars)
        off, _ = leashed(7, steady, theirs, lambda off: off + S)
        assert least_s * S < off < most_s * S, (liars, off)


def test_a_node_that_restarts_in_an_established_mesh_does_not_follow_one_later_liar():
    clock = Clock(TRUTH - HOUR, HORIZON, 4 * S)
    clock.start(0, 0)
    for k in range(1, 100):
        told(clock, [TRUTH + 3 * HOUR] + [TRUTH] * 4, k * 4 * S)
    assert clock.synced and abs(clock.offset_at(400 * S) - TRUTH) < 1000


def test_the_reference_decides_forward_and_back_until_it_is_silent():
    clock, now = hardened(4)
    for lie in (HOUR, -HOUR):
        now += 16 * S
        clock.reference(TRUTH + lie + now, 1000, now)
        told(clock, [TRUTH] * 4, now)
        assert clock.offset_at(now) == TRUTH + lie and clock.error_us != UNKNOWN
    assert clock.referred
    for _ in range(30):
        now += 16 * S
        told(clock, [TRUTH] * 4, now)
    assert abs(clock.offset_at(now) - TRUTH) < 1000  # a quorum has brought it back
    assert not clock.referred
    clock.floor(TRUTH + now, now)
    clock.reference(TRUTH + now - HOUR, 1000, now)
    told(clock, [TRUTH] * 4, now + 16 * S)
    assert clock.mesh_us(now + 16 * S) >= TRUTH + now
    assert now + 16 * S + clock.offset_at(now + 16 * S) == TRUTH + now  # the floor


def test_first_beacons_read_late_do_not_leave_a_newcomer_ahead():
    """One elder for a neighbour, who reads the newcomer's first two beacons 0.8 s late."""
    elder, new = Clock(0, HORIZON, 4 * S), Clock(0, HORIZON, 4 * S)
    elder.start(1000 * S, TRUTH)
    elder.synced = True
    new.start(0, 0)
    new.floor(TRUTH - HOUR, 0)
    for t in range(0, 200 * S, 4 * S):
        rx = t + (802000 if t < 8 * S else 2000)
        elder.sample(0, 2, t, rx + 1000 * S, new.offset_at(t), new.synced, rx + 1000 * S)
        echo = new.echo_of(0, rx)
        if echo is not None:
            elder.echo(0, echo[0], echo[1], rx + 1000 * S)
        if t % (16 * S) == 4 * S:  # an elder's beacons are rare
            t += 2 * S
            counter = t + 1000 * S
            new.sample(0, 1, counter, t + 2000, elder.offset_at(counter), True, t + 2000)
            echo = elder.echo_of(0, counter)
            if echo is not None:
                new.echo(0, echo[0], echo[1], t + 2000)
        t += 3 * S
        new.tick(t)
    ahead = t + new.offset_at(t) - (t + 1000 * S + elder.offset_at(t + 1000 * S))
    assert new.synced and new.stepped > 0
    assert -1000 <= ahead <= 1000, ahead


def test_extreme_integers_fall_each_alone_and_what_is_sent_can_be_packed():
    """A counter and an offset may add up to a fair time, and still be none."""
    clock = Clock(TRUTH, HORIZON, 4 * S)
    clock.start(0, 0)
    for counter, offset in (
        ((1 << 64) - 1, -(1 << 63)), ((1 << 63) + 10, -(1 << 63)), (1 << 63, TRUTH - (1 << 63)),
        (5, -6), (TIME_MAX_US, 0), (0, TIME_MAX_US),
    ):  # fmt: skip
        clock.sample(0, 7, counter, 1000, offset, True, 1000)
        clock.echo(0, (1 << 63) - 1, (1 << 64) - 1, 1000)
        clock.echo(0, -(1 << 63), 0, 1000)
        assert clock.echo_of(0, 1000) is None
        clock.tick(clock.next_at)
    clock.sample(0, 7, 500, 1000, TRUTH, True, 1000)
    pack(ECHO_FORM, 7, *clock.echo_of(0, 1000))


def test_samples_in_a_neighbours_name_fall_and_not_the_neighbour():
    clock = Clock(TRUTH, HORIZON, 4 * S)
    clock.start(0, 0)
    now = 0
    for _ in range(20):
        now += 4 * S
        clock.sample(0, 7, now, now + 2000, TRUTH, True, now + 2000)
        chosen = clock.echo_of(0, now + 2000)
        for forged in (now - 70000000, now + 70000000, TIME_MAX_US + 5):
            clock.sample(0, 7, forged, now + 3000, TRUTH, True, now + 3000)
        assert clock.echo_of(0, now + 3000) == chosen and chosen[0] == 2000
    clock.sample(0, 7, now, now + 2000, TRUTH, True, now + 2000)
    # But who was first is not right for ever: others, three times in a row, are taken.
    for _ in range(3):
        assert clock.echo_of(0, now)[0] == 2000
        now += 4 * S
        clock.sample(0, 7, now - 70000000, now, TRUTH, True, now)
    assert clock.echo_of(0, now)[0] == 70000000


def test_step_said_in_a_neighbours_name_is_not_its_word_while_it_says_otherwise():
    def word(clock, now, ahead):
        clock.sample(0, 7, now - 1000, now, TRUTH + ahead, True, now)
        clock.echo(0, 1000, now, now)
        return clock.seen(0, now)[0]

    clock = Clock(TRUTH - HOUR, HORIZON, S)
    clock.start(0, 0)
    for k in range(40):
        ahead = word(clock, k * S, 0)
        for _ in range(9 * (k > 0)):
            assert word(clock, k * S + 1000, 70 * S) == ahead
        clock.tick(k * S + 1000)
    assert clock.synced and abs(ahead) < 2000
    for k in range(40, 49):  # what it goes on saying is
        word(clock, k * S, -50 * S)
    assert clock.seen(0, k * S)[0] < -49 * S


def test_first_word_in_a_neighbour_s_name_does_not_make_a_cold_boot_of_a_join():
    """Somebody who speaks in the name of the only neighbour says first that it is not synchronised,
    and then a time 70 s ahead, as often as it says its own."""
    new = Clock(0, HORIZON, 4 * S)
    new.start(0, 0)
    new.floor(TRUTH - HOUR, 0)
    new.sample(0, 1, 1000 * S, 0, TRUTH - 1000 * S, False, 0)
    for t in range(1 * S, 400 * S, S):
        ahead = 0 if t % (4 * S) else 70 * S
        counter = t + 1000 * S
        new.sample(0, 1, counter, t + 2000, TRUTH - 1000 * S + ahead, True, t + 2000)
        new.echo(0, 1000 * S + 2000, counter + 2000, t + 2000)
        new.tick(t + 2000)
    assert new.synced and abs(new.mesh_us(t) - TRUTH - t) < 100000


def test_clock_has_room_for_each_row_of_the_table_of_neighbours():
    clock = Clock(0, HORIZON, 4 * S)
    clock.start(0, TRUTH)
    rows = range(len(Neighbours().rows))
    for i in rows:
        clock.sample(i, i, 1000 * S, i, TRUTH - 1000 * S, True, i)
    assert [clock.echo_of(i, S)[1] for i in rows] == list(rows)
