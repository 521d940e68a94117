"""What time is it: mesh time agreed among neighbours (docs/protocol.md, section 8).

A quorum decides on steps, a mean on fine corrections, in which one that is more than FAR_US off
counts for nothing, and once hardened none weighs more than CLIP_US (docs/decisions/0003-clock.md).
A plain mean follows any liar; a majority alone leaves as they are all that differ by less.
All times and offsets are microseconds, rates parts per billion, and integers: floats would round
otherwise on each port. What a neighbour says and how far ahead it is `readings` has; `leash` bounds
how fast those that are near can lead a hardened clock away.

Who uses a Clock sets .beacon_us to the present beacon period, and calls sample and echo for each
beacon heard, drop when a row has a new owner, floor with signed evidence, reference where there is
one, and tick at next_at. offset_at, rate_ppb, error_us, synced and echo_of go into the own beacon.
"""

from swdist.machines.leash import LOOK_US, Leash, within
from swdist.machines.neighbours import MAX_NEIGHBOURS
from swdist.machines.readings import (
    FRESH_PERIODS,
    RATE_MAX_PPB,
    ROUND_TRIP_MAX_US,
    STEP_US,
    Readings,
)

# A quorum must hold that long to move a synchronised clock, and a majority of later ones so long:
# while a step goes through a mesh, hop by hop, those at its front look like either for a moment.
HOLD_US = 240000000
MAJORITY_US = 60000000
# The horizon of a cold boot ends so long after the first neighbour agreed. Without an end who comes
# late, and lies, could spend what is left of it at any time.
BOOT_US = 3600000000
# What a majority of liars can win: so much at once, and then 1.7 s a day. Without it, any distance.
BUDGET_CAP_US = 900000000
REFILL_PPM = 20
SPARSE = 4  # times the dense period
PERIODS = 4  # to listen at first, and to agree in a row: the first beacon may be a liar's
FREE_PERIODS = 10  # sparse ones: who hears nobody for so long runs free
ACQUIRE_US = 7200000000  # so long after it was synchronised a clock hardens: rates are even by then
# What a near neighbour weighs at most when hardened. Less would bound liars better, but a part of a
# mesh may hang on one link, which must hold it: 1 ms held 32 nodes for a day, half of that did not.
CLIP_US = 1000
FAR_US = 8000  # who is further off has no say; if most are, we are the one that is off
ANCHOR = 8  # so many others weighs, without that limit, a reference that was never so far for 2 h
PULL_PPM = 2  # so fast we then go to where most are: apart we would stay; liars win 0.17 s a day
ACQUIRE_PPM = 250  # the same before it is hardened: more than what two rates may differ by at first
# What a mean of 1 us during a period of 1 us adds to the rate, ppb: to the part that fades, a 64th
# each period, and to the part that is kept, in 1024ths (small means would else be rounded away);
# when hardened a tenth of that.
FADING = 20000000
KEPT = 10000000 << 10
TIME_MAX_US = 4102444800000000  # the year 2100: what is later is not a time
UNKNOWN = 0xFFFFFFFF  # error_us before anything can be said of it


class Clock:
    def __init__(self, soft_start_us, horizon_us, beacon_us):
        """soft_start_us: persisted mesh time or 0; horizon_us: what neighbours may move us forward
        at a cold boot; beacon_us: the dense beacon period. Who sends sets .beacon_us to the present
        one, at most SPARSE times that."""
        self.beacon_us = beacon_us
        self._slow_us = beacon_us * SPARSE  # what a neighbour's period may be
        self._soft_start = soft_start_us
        self._horizon = horizon_us
        # By the rows of the table: who has none there has no say here.
        self._peers = [Readings(self._slow_us) for _ in range(MAX_NEIGHBOURS)]
        self._floor = self.rate_ppb = self.stepped = self._fading = self._kept = 0
        self.start(0, 0)

    def start(self, now, wall_us):
        self._ref = now  # counter at which offset_us holds
        self.offset_us = max(self._soft_start, wall_us, self._floor) - now
        self._told = now + self.offset_us
        self._started = self._moved = self._ticked = self._locked_at = now
        self._budget = self._horizon
        self._boot_until = None  # None: as long as no neighbour agrees
        self._reference = None  # (its offset, its error, our counter then)
        self._quorum_since = self._majority_since = self._last_good = None
        self._joined = self.synced = False
        self._leash = Leash(now)
        self._agreed = 0  # periods in a row
        self.error_us = UNKNOWN
        self.next_at = now + self.beacon_us

    def reference(self, us, error_us, now):
        """A trusted clock of this node's own (NTP, GPS) says that it is `us`, +- error_us.
        It decides for this node, forward and back, but not below the floor, until it has not been
        said again for 96 s (FRESH_PERIODS sparse periods). Neighbours follow by their own rules:
        where all but a third of them disagree with us, an established mesh does not."""
        self._reference = (us - now, error_us, now)

    @property
    def referred(self):
        """Is there a reference?"""
        return self._reference is not None

    def _follow(self, now):
        """The reference, if there is one: True."""
        if self._reference is None or now - self._reference[2] > FRESH_PERIODS * self._slow_us:
            self._reference = None
            return False
        self._leash.cut()  # it was led by a clock that is trusted: nothing of that is to be undone
        offset, error_us, at = self._reference
        a = offset + (now - at) * self.rate_ppb // 1000000000 - self.offset_at(now)
        if -STEP_US <= a <= STEP_US:
            self._steer(a, KEPT, now)
        else:
            self._step(a, now)
        self.synced, self._last_good, self._good_error = True, now, error_us + abs(a)
        self._set_error((), now)
        return True

    def offset_at(self, now):
        return self.offset_us + (now - self._ref) * self.rate_ppb // 1000000000

    def mesh_us(self, now):
        """Stands still rather than going back, for corrections below a second."""
        self._told = max(self._told, now + self.offset_at(now))
        return self._told

    def _add(self, change, now):
        """Moves the clock; the time so far is settled before the rate may change, or the new rate
        would count for the past as well."""
        self.offset_us = max(self.offset_at(now) + change, self._floor - now)
        self._ref = now
        # Further back than a second it is a step: to stand still for hours would be worse.
        if self._told - now - self.offset_us >= 1000000:
            self._told = now + self.offset_us

    def _steer(self, mean, gain, now):
        """Four fifths of it at once, and the rate. A rate that only adds up swings about the right
        one for hours in a large mesh; one that fades damps it."""
        self._add(mean * 4 // 5, now)
        if self.synced:
            fading = self._fading - (self._fading >> 6) + mean * FADING // self.beacon_us
            self._fading = within(RATE_MAX_PPB, fading)
            self._kept = within(RATE_MAX_PPB << 10, self._kept + mean * gain // self.beacon_us)
            self.rate_ppb = within(RATE_MAX_PPB, self._fading + (self._kept >> 10))

    def _step(self, change, now):
        self._add(change, now)
        self._leash.moved(change)
        self.stepped += 1
        self._moved = now
        self._agreed = 0
        self._quorum_since = self._majority_since = None

    def floor(self, us, now):
        """Signed evidence that it is at least `us`: no neighbour gets us below."""
        if us > self._floor:
            self._floor = us
            ahead = us - now - self.offset_at(now)
            if ahead > 0:
                self._step(ahead, now)

    def heal(self, horizon_us, now):
        """A signed word: for an hour as at a cold boot, with that horizon; then harden again."""
        if horizon_us:
            self._budget = horizon_us
            self._boot_until = now + BOOT_US
            self._joined = False
            self._locked_at = now
            self._leash.cut()
            self._step(0, now)  # beacons are dense from then on

    def sample(self, n, nonce, counter, rx_counter, offset, synced, now, rate=0, anchor=False):
        """A beacon of neighbour n. synced has little say: if only those counted that call
        themselves synchronised, few liars could capture a mesh at a cold boot."""
        if not 0 <= counter < TIME_MAX_US or not 0 <= counter + offset < TIME_MAX_US:
            return  # no counter, or no time; and what falls must not take the neighbour with it
        sure = now >= (self._boot_until or 0)
        rate = within(RATE_MAX_PPB, rate)
        self._peers[n].take(nonce, counter, rx_counter, offset, synced, rate, anchor, now, sure)

    def echo(self, n, d_us, their_rx_counter, now):
        self._peers[n].echoed(d_us, their_rx_counter, now)

    def drop(self, n):
        self._peers[n].clear()

    def echo_of(self, n, now):
        p = self._peers[n]
        p.into(now, p.rate - self.rate_ppb)
        return p.chosen

    def _raw(self, p, now):
        """The same by its measured rate, which it can't bend by telling another one."""
        return p.into(now, p.rate - self.rate_ppb if p.slope is None else p.slope)

    def _ahead(self, p, now):
        """How far the neighbour's mesh time is ahead of ours; None if it is silent or one-way."""
        theirs = p.ahead(now, self.rate_ppb)
        return None if theirs is None else theirs - self.offset_at(now)

    def seen(self, i, now):
        """By how many us neighbour i is ahead, None if unknown; the round trip in us."""
        return self._ahead(self._peers[i], now), self._peers[i].round_trip

    def tick(self, now):
        if now < self.next_at:
            return
        self.next_at = now + self.beacon_us
        if self._follow(now):
            return
        # lone: the latest of them, whom at a cold boot we follow alone; elders: how many were there
        # before us.
        aheads, later, near, lone, elders = [], [], [], 0, 0
        self._anchors = []
        boot = self._boot(now)
        for p in self._peers:
            a = self._ahead(p, now)
            if a is None or not p.anchor or not -FAR_US <= a <= FAR_US:
                p.near_since = None
            else:
                p.near_since = p.near_since or now  # a flag alone gains nothing: it must prove near
                if now - p.near_since >= ACQUIRE_US:
                    self._anchors.append(a)
            if a is not None:
                aheads.append(a)
                elders += p.elder
                if -STEP_US <= a <= STEP_US:
                    near.append(a)
            if a is None or not STEP_US < a <= self._budget:
                continue  # and beyond the budget only a quorum goes
            later.append(a)
            if boot:
                lone = max(lone, a)
        for values in (aheads, later, near):
            values.sort()
        listened = now - self._started >= PERIODS * self.beacon_us
        if self._boot_until is None and aheads and listened:
            # Most were synchronised before us: this is no cold boot, and they know better.
            self._joined = elders * 2 > len(aheads) and not self.synced
            self._boot_until = now if self._joined else now + BOOT_US
        if not self._boot(now):
            budget = self._budget + (now - self._ticked) * REFILL_PPM // 1000000
            self._budget = min(BUDGET_CAP_US, budget)
            if self._joined:
                lone = 0
        self._ticked = now
        if not listened or not self._decide(aheads, later, near, lone, now):
            self._fine(near, bool(later), now)
        self._set_error(near, now)

    def _boot(self, now):
        return self._boot_until is None or now < self._boot_until

    def _decide(self, aheads, later, near, lone, now):
        """Steps by the first rule that applies; True if it did."""
        m = len(aheads)
        f = max(0, m - 1) // 3  # so many may lie
        if 2 * len(later) <= m + 1:  # we have a vote too
            self._majority_since = None
        else:
            self._majority_since = self._majority_since or now
            if now - self._majority_since >= MAJORITY_US:
                lone = later[-1 - f]  # if the f latest lie, an honest one is as late as this
        if lone:
            self._budget -= lone
            self._step(lone, now)
            return True
        # Before we are synchronised a majority moves us, but only forward: a clock without battery
        # is never ahead of the truth, so at a cold boot the later ones are to be waited for.
        # Synchronised, all but f: so f liars can't keep it from us, and have no say in where.
        need = max(2, m - f) if self.synced else m // 2 + 1 + bool(near)
        a = _window(aheads, need)
        if a is None or -STEP_US <= a <= STEP_US or now + self.offset_at(now) + a < self._floor:
            self._quorum_since = None
            return False
        self._quorum_since = self._quorum_since or now
        held = now - self._quorum_since >= HOLD_US
        # One elder alone takes back only what late readings may have made of its own word.
        ready = held if self.synced else a > 0 or self._joined and (m > 1 or a > -ROUND_TRIP_MAX_US)
        if ready:
            self._step(a, now)
        return ready

    def _fine(self, near, later, now):
        if near:
            hard = now - self._locked_at >= ACQUIRE_US
            mean = self._mean(near, hard, now) if self.synced else sum(near) // len(near)
            # By then the rate is right, and what is still learned is mostly the noise of delays.
            self._steer(mean, KEPT // 10 if hard else KEPT, now)
            if now - self._leash.looked >= LOOK_US:
                self._leash.look(self._peers, [self._raw(p, now) for p in self._peers], now)
            if self.synced and hard:
                held = self._leash.hold(self.offset_at(now), self.rate_ppb, now)
                self._add(held[0], now)
                self.rate_ppb = held[1]
        self._agreed = self._agreed + 1 if near and not later else 0
        free = now - self._moved >= FREE_PERIODS * self._slow_us
        if not self.synced and (free or self._agreed >= PERIODS):
            self.synced = True
            self._locked_at = now

    def _mean(self, near, hard, now):
        n, most = len(near), CLIP_US if hard else FAR_US
        # Both in the middle are far off on one side: so it is we, or most of them lie.
        if near[(n - 1) // 2] > FAR_US or near[n // 2] < -FAR_US:
            pull = self.beacon_us * (PULL_PPM if hard else ACQUIRE_PPM) // 1000000
            self._add(within(pull, near[n // 2]), now)
        total = sum([within(most, a) for a in near if -FAR_US <= a <= FAR_US])
        return (total + ANCHOR * sum(self._anchors)) // (n + ANCHOR * len(self._anchors))

    def _set_error(self, near, now):
        if near:
            # Half of a round trip is what one way may be longer; the rest is how they disagree.
            trips = [p.round_trip for p in self._peers if p.count and p.sent is not None]
            self._last_good = now
            self._good_error = min(trips) // 2 + near[-1] - near[0] + max(near[-1], -near[0])
        self.error_us = UNKNOWN
        if self.synced and self._last_good is not None:
            # From then on both counters may have drifted as far as rates go.
            drift = (now - self._last_good + self.beacon_us) * RATE_MAX_PPB // 1000000000
            self.error_us = min(UNKNOWN - 1, self._good_error + drift)


def _window(aheads, need):
    """The median of `need` of the sorted values that lie within 2 * STEP_US, or None."""
    for i in range(len(aheads) - need + 1):
        if aheads[i + need - 1] - aheads[i] <= 2 * STEP_US:
            return aheads[i + need // 2]
    return None
