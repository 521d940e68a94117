"""Which release runs, and from which microsecond on.

A machine: it is told the verified releases and the mesh time, acts through `slots` and `hook`, and
says in next_at when it wants to be woken, exactly at the next start or end. What is to run is known
to `choosing`; `preparing` makes its slot before its time, and `trial` sees whether it is to stay.
Here is the time of it all, and the one switch.

The order of a switch: the pointer is written, then the record, then the hook runs. A power cut
before the pointer leaves all as it was; after it, the next start runs the hook (docs/decisions/
0010-self-update.md).
"""

from swdist.formats.bits import sooner, to_hex
from swdist.machines.choosing import Choosing
from swdist.machines.pace import PACE_US, Pace
from swdist.machines.preparing import Preparing
from swdist.machines.trial import RETRY_US, Trial
from swdist.trust import choose
from swdist.trust.choose import FACTORY

FAULT_US = 10000000  # pause after a fault of the disk, else a full one is written to in a loop
# The time outlives the network side by so much. One that has just started hears nobody for some
# seconds, and says that it is not synchronised: at that word all nodes would leave an experiment.
HOLD_US = 900000000
# A correction that is smaller never turns the mesh time back (docs/protocol.md, section 8: neither
# does the clock), else what begins in this second would end and begin again. A larger one is a
# step: the clock was wrong before, and to stand still for hours would be worse.
JUMP_US = 1000000
# Nothing slow is begun so shortly before a start or end: a hook, or a step of an archive, may take
# a small router longer than any two nodes are to be apart (docs/architecture.md, section 6).
QUIET_US = 2000000
SWITCHES = 12  # at once; what has failed or ended is left without asking
CALM_US = 3600000000  # who runs that long has power; what failed may have failed for want of it
# The launcher's words (files/usr/lib/swdist/functions.sh) for its first five boots; for the next
# five it has others, which nothing forgives. tests/package/test_launcher.py compares them.
POWER = b" not confirmed in 5 boots"


class Switcher:
    """hook(release, name) -> 0, or what is wrong by the hooks of that name, for people. Those of
    `prepare` and `rollback` are told only; but packages that can't be installed say so there.
    record(dict) is called after each switch. floor_s: the mesh time as it was last kept, seconds;
    a start value only, for as a bound it would make a clock set forward once wrong for ever."""

    def __init__(self, slots, here, factory, floor_s, confirm_us, hook, record, log, on_hold=False):
        self._slots = slots
        self.choosing = Choosing(slots, here, factory, on_hold)
        self._trial = Trial(slots, hook, self.remember, log, confirm_us)
        self.pace = Pace(PACE_US, SWITCHES)
        self._preparing = Preparing(slots, self.choosing, hook, self.remember, log)
        self._too_often = False
        self._hook = hook
        self._record = record
        self._log = log
        self._floor_s = floor_s  # mesh time at the last switch: what `now` is without a clock
        self._offset_us = 0
        self._error_us = 0xFFFFFFFF
        self._told_us = 0  # mesh time of the last tick
        self.synced = False
        self._fault_until = 0
        self.active = factory
        self.change_at = None  # counter of the next start or end
        self.restart_due = False  # by the launcher, when this process ends: with other code

    def start(self, now):
        """After set_releases: finds the slot that was active before, and runs its hook again: a
        power cut may have come between the two. Also confirmed releases begin so after a boot."""
        rid = self._code = self._slots.active()  # whose swdist may be running here
        self.next_at = now
        self._calm_at = now + CALM_US
        if rid != FACTORY:
            for r in self.choosing.releases:
                if r.rid == rid:
                    self.active = r
            if self.active.rid != rid:
                self.active = choose.lost(rid)
                return  # the first tick switches
            sure = self._slots.confirmed()
            if rid != sure and rid in self.choosing.failed:
                self._code = sure  # the launcher has left it: this is code of another
                self._hook(self.active, "rollback")
                return
        self._trial.begin(self.active, now)

    def set_releases(self, releases, now):
        # Alone nobody can tell a wrong date from a night in a drawer (decision 18).
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
                self.next_at = sooner(self.next_at, self._trial.turn(self.active, now))
                self.next_at = sooner(self.next_at, self._preparing.turn(self.now_s(now), now))
        except OSError as e:
            self._disk(e)
            self._fault_until = self.next_at = now + FAULT_US
        self.next_at = sooner(self.next_at, self.change_at)

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
        self._slots.activate(chosen.rid, self._trial.neighbours > 0)
        if not free:
            self.pace.spend(now)
        self.active = chosen
        self.restart_due = chosen.rid != self._code and (
            self._slots.has_code(self._code) or self._slots.has_code(chosen.rid)
        )
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
        self.next_at = sooner(self.next_at, self._trial.begin(chosen, now))

    def remember(self, release, why):
        self.choosing.failed.add(release.rid)
        try:
            self._slots.fail(release.rid, why)
        except OSError as e:
            self._disk(e)
