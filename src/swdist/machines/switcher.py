"""Prepare, activate, confirm, roll back: which release runs, and from which microsecond.

A machine: it is told the verified releases and the mesh time, acts through `slots` and `hook`, and
says in next_at when it wants to be woken, exactly at the next start or end. What is to run
`choosing` knows, and whether it is to stay `trial`.
"""

from swdist.formats.bits import to_hex
from swdist.machines.choosing import Choosing
from swdist.machines.trial import Trial
from swdist.trust import choose
from swdist.trust.choose import FACTORY

FAULT_US = 10000000  # pause after a fault of the disk
RETRY_US = 60000000  # what can't be prepared is tried again,
RETRY_MAX_US = 3600000000  # but ever more rarely, down to once an hour: flash wears out
HOLD_US = 900000000  # the time outlives a restart of the network side by so much
JUMP_US = 1000000  # a correction that is smaller never turns the mesh time back
QUIET_US = 2000000  # nothing slow is begun so shortly before a start or end
PACE_US = 300000000  # whatever time it is told, it switches and prepares so often on average;
SWITCHES, PREPARES = 12, 64  # but so many times at once
CALM_US = 3600000000  # who runs that long has power; what failed may have failed for want of it
POWER = b" not confirmed in 5 boots"  # the launcher's words; for the next five it has others


class Pace:
    """How often something may be done: once in each_us on average, but at_once times at once."""

    def __init__(self, each_us, at_once):
        self._each_us = each_us
        self._ahead_us = each_us * (at_once - 1)
        self.until = 0  # how far the time for it is spent

    def free(self, now):
        return self.until - now <= self._ahead_us

    def spend(self, now):
        self.until = max(self.until, now) + self._each_us


class Switcher:
    """hook(release, name) -> 0, or what is wrong by the hooks of that name, for people. Those of
    `prepare` and `rollback` are told only; but packages that can't be installed say so there.
    record(dict) is called after each switch. floor_s: the mesh time as it was last kept, seconds;
    a start value only, for as a bound it would make a clock set forward once wrong for ever."""

    def __init__(self, slots, here, factory, floor_s, confirm_us, hook, record, log, on_hold=False):
        self._slots = slots
        self.choosing = Choosing(slots, here, factory, on_hold)
        self._trial = Trial(confirm_us)
        self.pace = Pace(PACE_US, SWITCHES)
        self._prepares = Pace(PACE_US, PREPARES)
        self._too_often = False
        self._hook = hook
        self._record = record
        self._log = log
        self._floor_s = floor_s
        self._offset_us = 0
        self._error_us = 0xFFFFFFFF
        self._told_us = 0  # mesh time of the last tick
        self.synced = False
        self._synced_at = 0
        self._prepare = None
        self._retry_at = 0
        self._retry_us = RETRY_US
        self._fault_until = 0
        self._again_at, self._again_us = None, RETRY_US  # when packages are tried again
        self.active = factory
        self.change_at = None  # counter of the next start or end
        self.over = False  # other code is due: the launcher starts it when this process ends
        self._calm_at = None
        self._code = FACTORY  # the release whose swdist may be running here
        self.next_at = 0

    def start(self, now):
        """After set_releases: finds the slot that was active before, and runs its hook again: a
        power cut may have come between the two. Also confirmed releases begin so after a boot."""
        rid = self._code = self._slots.active()
        self.next_at = now
        self._calm_at = now + CALM_US
        if rid == FACTORY:
            self._enter(now)
            return
        for r in self.choosing.releases:
            if r.rid == rid:
                self.active = r
        if self.active.rid != rid:
            self.active = choose.lost(rid)
            return  # the first tick switches
        if self._slots.confirmed() != rid:
            if rid in self.choosing.failed:  # the launcher has left it: this is code of another
                self._code = self._slots.confirmed()
                self._hook(self.active, "rollback")
                return
            self._trial.company = self._slots.company()
            self._trial.begin(now)
        self._enter(now)

    def set_releases(self, releases, now):
        if self.synced and self._trial.neighbours > 0:
            self._slots.dates.doubt(releases, self.now_s(now), self._log)
        self.choosing.set_releases(releases)
        self.next_at = now

    def set_time(self, counter_us, offset_us, error_us, synced, neighbours, now):
        """The mesh time, as the network side says: not believed below what the CA has signed, and
        kept for a while when the network side has just started, and knows less than we do."""
        self._trial.hear(neighbours, now)
        self.next_at = now
        if synced and counter_us + offset_us < self.choosing.signed_s * 1000000:
            synced = False
        if self.synced and not synced and now - self._synced_at < HOLD_US:
            return
        step = now + offset_us - self.mesh_us(now)
        if not self.synced or abs(step) >= JUMP_US:
            self._told_us = 0
            if synced and self.synced:
                self._log.info("mesh time stepped by %d ms" % (step // 1000))
        self._offset_us = offset_us
        self._error_us = error_us
        self.synced = synced
        self._synced_at = now

    def time(self, now):
        """What set_time needs to go on with it."""
        return now, self.mesh_us(now) - now, self._error_us, self.synced, self._trial.neighbours

    def mesh_us(self, now):
        """Mesh time, microseconds: small corrections stop it, but never turn it back, so that what
        has begun does not end and begin again."""
        return max(now + self._offset_us, self._told_us)

    def now_s(self, now):
        """Mesh time in seconds; the floor while it is not synchronised."""
        now_s = self.mesh_us(now) // 1000000 if self.synced else self._floor_s
        return max(now_s, self.choosing.signed_s)

    def tick(self, now):
        if now < self.next_at:
            return
        if now < self._fault_until:
            self.next_at = self._fault_until
            return
        self.next_at = now + RETRY_US
        self.change_at = None
        if self.synced:
            self._told_us = self.mesh_us(now)
            t = self.choosing.next_change_s(self.now_s(now))
            if t is not None:
                self.change_at = max(t * 1000000 - self._offset_us, now)
        try:
            if now >= self._calm_at:
                self._calm_at = now + CALM_US
                self._slots.forgive(POWER)
                self.set_releases(self.choosing.releases, now)
            self._switch(now)
            if not self.quiet(now):
                self._confirm(now)
                self._prepare_next(now)
        except OSError as e:
            self._disk(e)
            self._fault_until = self.next_at = now + FAULT_US
        if self.change_at is not None:
            self.next_at = min(self.next_at, self.change_at)

    def quiet(self, now):
        """Is a start or end so near that nothing slow may begin?"""
        return self.change_at is not None and self.change_at - now < QUIET_US

    def _disk(self, e):
        self._log.error("disk: %s" % e)

    # --- activate

    def _switch(self, now):
        now_s = self.now_s(now)
        chosen = self.choosing.best(self.active, now_s, self.synced)
        if chosen.rid == self.active.rid:
            self.active = chosen
            return
        old = self.active
        if self.choosing.stays(old, chosen, now_s, self.synced):
            return
        # What has failed or ended is left in any case: it is not begun again without a limit.
        free = self.choosing.left(old, now_s)
        if not free and not self.pace.free(now):
            if not self._too_often:
                self._log.warn("switches come too often: the next one waits")
            self._too_often = True
            return
        self._too_often = False
        self._again_at, self._again_us = None, RETRY_US
        self._trial.company = self._trial.neighbours > 0
        self._slots.activate(chosen.rid, self._trial.company)
        if not free:
            self.pace.spend(now)
        self.active = chosen
        self.over = chosen.rid != self._code and (
            self._slots.has_code(self._code) or self._slots.has_code(chosen.rid)
        )
        self._trial.end()
        if chosen.rid not in (FACTORY, self._slots.confirmed()):
            self._trial.begin(now)
        reason = choose.reason(old, chosen, now_s, old.rid in self.choosing.failed)
        if self.synced:
            self._floor_s = now_s
        self._log.info("switched from %s to %s: %s" % (old.name(), chosen.name(), reason))
        try:
            self._record(
                {
                    "at_us": self.mesh_us(now),
                    "counter_us": now,
                    "error_us": self._error_us,
                    "synced": self.synced,
                    "from": old.name().split()[0],
                    "to": chosen.name().split()[0],
                    "id": to_hex(chosen.rid),
                    "reason": reason,
                }
            )
        except OSError as e:
            self._disk(e)
        self._enter(now)

    def _enter(self, now):
        why = self._hook(self.active, "activate")
        self._again_at = now + self._again_us if str(why).startswith("not now") else None
        if self._again_at is not None:
            self._log.warn("release %s waits: %s" % (self.active.name(), why))
            self._again_us = min(2 * self._again_us, RETRY_MAX_US)
            return
        if self._trial.on():
            self._trial.begin(now)
        if why:
            self._fail(why, now)

    # --- confirm, or roll back

    def _confirm(self, now):
        if self._again_at is not None and now >= self._again_at:
            self._enter(now)
        trial = self._trial
        if not trial.on() or self._again_at is not None:
            return
        why = trial.verdict(now, self._health)
        if why == 0:
            self._slots.confirm(self.active.rid)
            trial.end()
            self._log.info("confirmed release %s" % self.active.name())
        elif why is not None:
            self._fail(why, now)
        else:
            self.next_at = min(self.next_at, trial.next_at(now))

    def _health(self):
        return self._hook(self.active, "health")

    def _fail(self, why, now):
        """On trial, the next tick leaves it, at once. What was confirmed before stays: there is
        nothing better to go to."""
        self._log.error("release %s failed: %s" % (self.active.name(), why))
        if self._trial.on():
            self._trial.end()
            self.next_at = now
            self.remember(self.active, why)
            self._hook(self.active, "rollback")

    def remember(self, release, why):
        self.choosing.failed.add(release.rid)
        try:
            self._slots.fail(release.rid, why)
        except OSError as e:
            self._disk(e)

    # --- prepare

    def _prepare_next(self, now):
        if now >= self._retry_at:
            self.choosing.bad = []
        if self._prepare is None:
            wanted = self.choosing.wanted(self.now_s(now))
            self._slots.collect([r.rid for r in wanted])
            best = self.choosing.to_prepare(wanted)
            if best is None or not self._prepares.free(now):
                return
            self._prepares.spend(now)
            self._prepare = self._slots.prepare(*best)
        self.next_at = now
        if self._prepare.step():
            return
        release, why = self._prepare.release, self._prepare.why
        for_good, kind = self._prepare.for_good, self._prepare.payload.kind
        self._prepare = None
        if why is None:
            status = self._hook(release, "prepare")
            if kind in ("ipk", "apk") and status:
                why = str(status)
                for_good = not why.startswith("not now")
        if why is None:
            self._retry_us = RETRY_US
            self._log.info("prepared release %s" % release.name())
            return
        self._log.error("release %s failed: %s" % (release.name(), why))
        self.choosing.bad = self.choosing.bad[-63:] + [release.rid]
        self._retry_at = now + self._retry_us
        self._retry_us = min(2 * self._retry_us, RETRY_MAX_US)
        if for_good:
            self.remember(release, why)
