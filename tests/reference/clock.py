"""Section 8: the mesh time. All is in microseconds of one's own counter, rates in ppb."""

from dataclasses import dataclass, field

S = 1_000_000
NEAR_US, GROUP_US, FAR_US = 30_000, 60_000, 8_000
FRESH_US, SAMPLE_US, ECHO_US, OTHERWISE_US = 96 * S, 256 * S, 352 * S, 32 * S
LATEST_US = 4_102_444_800 * S  # 2100-01-01
MAX_RATE, MAX_NEIGHBOURS = 200_000, 16
DENSE_US, SPARSE_US, HOUR_US = 4 * S, 16 * S, 3600 * S


def clamp(value, most):
    return max(-most, min(most, value))


def grown(span_us, rate_ppb):
    return span_us * rate_ppb // 1_000_000_000


def median(values):
    """The upper one of two."""
    return sorted(values)[len(values) // 2]


@dataclass
class Neighbour:
    nonce: bytes
    was_synchronised: bool = False  # by one of its first three samples
    samples: list = field(default_factory=list)  # (sample, own counter), the last 8
    odd: int = 0  # samples in a row that do not go with the one before
    offset_us: int = 0
    rate_ppb: int = 0
    echo: tuple = (0, -(10**18))  # (sample, its counter): none yet
    heard_us: int = 0
    repeated_us: int = 0  # when it last said an offset near the one that was taken

    def way_here(self, own_rate, now_us):
        """(grown, sample, own counter) of the least of the last 256 s, or None."""
        recent = [(s, at) for s, at in self.samples if now_us - at <= SAMPLE_US]
        rate = self.rate_ppb - own_rate
        return min(((s + grown(now_us - at, rate), s, at) for s, at in recent), default=None)

    def way_back(self, own_rate, now_us):
        sample, counter = self.echo
        age_us = now_us - (counter - sample)
        return sample + grown(age_us, own_rate - self.rate_ppb) if age_us <= ECHO_US else None


class Clock:
    def __init__(self, now_us, mesh_us, horizon_s=43_200, dense_us=DENSE_US):
        self.dense_period_us = dense_us
        self.offset_us, self.at_us = mesh_us - now_us, now_us
        self.gain_ppb = self.kept_ppb = 0
        self.budget_us = horizon_s * S
        self.neighbours = {}
        self.synchronised_us = None  # since when
        self.stepped_us = self.dense_us = now_us
        self.periods = self.calm = 0
        self.first_us, self.joins = None, False  # first tick with a fresh neighbour
        self.later_us = self.agreed_us = None  # since when rules 4 and 5 have lasted
        self.reference = None  # (time - counter, when it was said)
        self.bound = None  # (error, when)
        self.floor_us = self.told_us = 0

    @property
    def rate_ppb(self):
        return clamp(self.gain_ppb + self.kept_ppb, MAX_RATE)

    @property
    def is_synchronised(self):
        return self.synchronised_us is not None

    def has_reference(self, now_us):
        return self.reference is not None and now_us - self.reference[1] <= FRESH_US

    def period_us(self, now_us):
        return self.dense_period_us if now_us - self.dense_us < HOUR_US else SPARSE_US

    def mesh_us(self, now_us):
        return now_us + self.offset_us + grown(now_us - self.at_us, self.rate_ppb)

    def told(self, now_us):
        """The time that is told: what is less than a second back stops it."""
        mesh = self.mesh_us(now_us)
        self.told_us = mesh if mesh < self.told_us - S else max(mesh, self.told_us)
        return self.told_us

    def error_us(self, now_us):
        return None if self.bound is None else self.bound[0] + (now_us - self.bound[1]) // 5000

    def echoes(self, now_us):
        found = {}
        for n in self.neighbours.values():
            way = n.way_here(self.rate_ppb, now_us)
            if way:
                found[n.nonce] = (way[1], way[2])
        return found

    def refer(self, time_us, now_us):
        self.reference = (time_us - now_us, now_us)

    def set_floor(self, floor_us, now_us):
        self.floor_us = max(self.floor_us, floor_us)
        if self.mesh_us(now_us) < self.floor_us:
            self._step(self.floor_us - self.mesh_us(now_us), now_us)

    def hear(self, key, beacon, own_nonce, now_us):
        """A beacon; what falls takes nothing with it."""
        mesh, sample = beacon.counter_us + beacon.offset_us, now_us - beacon.counter_us
        if not (0 <= mesh < LATEST_US and beacon.counter_us < LATEST_US):
            return
        n = self.neighbours.get(key)
        if n:
            is_odd = n.nonce != beacon.nonce or abs(sample - n.samples[-1][0]) > S
            n.odd = n.odd + 1 if is_odd else 0
            if 0 < n.odd < 3:
                return
        if not n or n.odd:
            n = self.neighbours[key] = Neighbour(beacon.nonce)
        n.samples = [*n.samples, (sample, now_us)][-8:]
        n.was_synchronised |= len(n.samples) <= 3 and beacon.state.synchronised
        n.heard_us = now_us
        if len(n.samples) == 1 or abs(beacon.offset_us - n.offset_us) <= GROUP_US:
            n.repeated_us = now_us
        takes_any = self.first_us is not None and self.is_cold(now_us)
        if takes_any or n.repeated_us == now_us or now_us - n.repeated_us >= OTHERWISE_US:
            n.offset_us, n.repeated_us = beacon.offset_us, now_us
            n.rate_ppb = clamp(beacon.rate_ppb, MAX_RATE)
        n.echo = beacon.echoes.get(own_nonce, n.echo)
        if len(self.neighbours) > MAX_NEIGHBOURS:
            del self.neighbours[min(self.neighbours, key=lambda k: self.neighbours[k].heard_us)]

    def _fresh(self, now_us):
        """[(how far ahead, round trip, neighbour)]"""
        found, own_us, rate = [], self.mesh_us(now_us) - now_us, self.rate_ppb
        for n in self.neighbours.values():
            here, back = n.way_here(rate, now_us), n.way_back(rate, now_us)
            if now_us - n.heard_us > FRESH_US or here is None or back is None:
                continue
            offset_us = n.offset_us + grown(now_us - n.heard_us, n.rate_ppb)
            if -NEAR_US < here[0] + back < S:
                ahead = (back - here[0]) // 2 + offset_us - own_us
                found.append((ahead, here[0] + back, n))
        return found

    def tick(self, now_us):
        """Once in each period, before one's own beacon."""
        self.periods += 1
        period_us = self.period_us(now_us)
        if self.has_reference(now_us):
            ahead = self.reference[0] + now_us - self.mesh_us(now_us)
            self._synchronise(now_us)
            if abs(ahead) > NEAR_US:
                self._step(ahead, now_us)
            else:
                self._steer([ahead], period_us, now_us)
            self.bound = (abs(ahead), now_us)
            return
        fresh = self._fresh(now_us)
        self._cold(fresh, period_us, now_us)
        ahead = [a for a, _, _ in fresh]
        later = sorted((a for a in ahead if NEAR_US < a <= self.budget_us), reverse=True)
        near = [a for a in ahead if abs(a) <= NEAR_US]
        step = self._wanted_step(ahead, later, near, now_us) if self.periods > 4 else 0
        if step:
            self._step(max(step, self.floor_us - self.mesh_us(now_us)), now_us)
            return
        if near:
            self._steer(near, period_us, now_us)
            trip = max(0, min(t for a, t, _ in fresh if abs(a) <= NEAR_US))
            if self.is_synchronised:
                spread = max(near) - min(near) + max(map(abs, near))
                self.bound = (trip // 2 + spread, now_us)
        self.calm = self.calm + 1 if near and not later else 0
        if self.calm >= 4 or now_us - self.stepped_us >= 160 * S:
            self._synchronise(now_us)

    def is_cold(self, now_us):
        return not self.joins and (self.first_us is None or now_us - self.first_us < HOUR_US)

    def _cold(self, fresh, period_us, now_us):
        if self.first_us is None and fresh and self.periods > 4:
            self.first_us = now_us
            told = sum(n.was_synchronised for _, _, n in fresh)
            self.joins = 2 * told > len(fresh) and not self.is_synchronised
        if not self.is_cold(now_us):
            self.budget_us = min(self.budget_us + 20 * period_us // S, 900 * S)

    def _wanted_step(self, ahead, later, near, now_us):
        m = len(ahead)
        f = (m - 1) // 3 if m else 0
        many = 2 * len(later) > m + 1
        self.later_us = (self.later_us or now_us) if many else None
        if later and self.is_cold(now_us):
            self.budget_us -= later[0]
            return later[0]
        if many and now_us - self.later_us >= 60 * S:
            step = later[min(f, len(later) - 1)]
            self.budget_us -= step
            return step
        if self.is_synchronised:
            agreed = self._agreed(ahead, max(m - f, 2))
            far = agreed is not None and abs(agreed) > NEAR_US
            self.agreed_us = (self.agreed_us or now_us) if far else None
            return agreed if far and now_us - self.agreed_us >= 240 * S else 0
        agreed = self._agreed(ahead, m // 2 + 1 + bool(near))
        if agreed is None or abs(agreed) <= NEAR_US:
            return 0
        back = self.joins and (m > 1 or agreed > -S)
        return agreed if agreed > 0 or back else 0

    def _agreed(self, ahead, least):
        """The earliest time on which so many agree, relative to one's own, or None."""
        ahead = sorted(ahead)
        groups = [[a for a in ahead if first <= a <= first + GROUP_US] for first in ahead]
        return next((median(group) for group in groups if len(group) >= least), None)

    def _set(self, offset_us, now_us):
        self.offset_us, self.at_us = max(offset_us, self.floor_us - now_us), now_us

    def _step(self, by_us, now_us):
        self._set(self.mesh_us(now_us) - now_us + by_us, now_us)
        self.stepped_us = self.dense_us = now_us
        self.later_us = self.agreed_us = None
        self.calm = 0

    def _synchronise(self, now_us):
        if not self.is_synchronised:
            self.synchronised_us = now_us

    def _steer(self, near, period_us, now_us):
        weighed, far = near, [a for a in near if abs(a) > FAR_US]
        is_hard = False
        if self.is_synchronised and not self.has_reference(now_us):
            is_hard = now_us - self.synchronised_us >= 2 * HOUR_US
            weighed = [
                0 if abs(a) > FAR_US else clamp(a, S // 1000 if is_hard else S) for a in near
            ]
        mean, extra = sum(weighed) // len(near), 0
        for side in (1, -1):
            if 2 * sum(a * side > 0 for a in far) > len(near):
                extra = clamp(median(near), period_us * (2 if is_hard else 250) // 1_000_000)
        offset_us = self.mesh_us(now_us) - now_us + mean * 4 // 5 + extra
        if self.is_synchronised:
            rate = mean * 1_000_000_000 // period_us
            self.gain_ppb = clamp(self.gain_ppb - self.gain_ppb // 64 + rate // 50, MAX_RATE)
            self.kept_ppb = clamp(self.kept_ppb + rate // (1000 if is_hard else 100), MAX_RATE)
        self._set(offset_us, now_us)
