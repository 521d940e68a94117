"""Prepare, activate, confirm, roll back: which release runs, and from which microsecond.

A machine: it is told the verified releases and the mesh time, acts through `slots` and `hook`, and
says in next_at when it wants to be woken, exactly at the next start or end.
"""

from swdist.formats.bits import to_hex
from swdist.formats.manifest import UNPACKED
from swdist.trust import choose
from swdist.trust.choose import FACTORY

FAULT_US = 10000000  # pause after a fault of the disk
RETRY_US = 60000000  # what can't be prepared is tried again,
RETRY_MAX_US = 86400000000  # but ever more rarely: flash wears out
HEALTH_US = 5000000  # between two tries of hooks/health
HOLD_US = 900000000  # the time outlives a restart of the network side by so much
JUMP_US = 1000000  # a correction that is smaller never turns the mesh time back
QUIET_US = 2000000  # nothing slow is begun so shortly before a start or end
LOOK_AHEAD = 4  # changes to come for which slots are prepared
CALM_US = 3600000000  # who runs that long has power; what failed may have failed for want of it
POWER = b" not confirmed in 5 boots"  # the launcher's words; for the next five it has others


def _unpacked(r, p):
    """May a slot be made of it, once all is fetched?"""
    return p.kind in UNPACKED


class Switcher:
    """hook(release, name) -> 0, or what is wrong by the hooks of that name, for people. Those of
    `prepare` and `rollback` are told only; but packages that can't be installed say so there.
    record(dict) is called after each switch. floor_s: the mesh time as it was last kept, seconds;
    a start value only, for as a bound it would make a clock set forward once wrong for ever."""

    def __init__(self, slots, here, factory, floor_s, confirm_us, hook, record, log, on_hold=False):
        self._slots = slots
        self.here = here
        self.on_hold = on_hold  # the node's owner wants no switch
        self._failed = set()  # ids of releases that failed here
        self._factory = factory
        self._confirm_us = confirm_us
        self._hook = hook
        self._record = record
        self._log = log
        self._floor_s = floor_s
        self._signed_s = 0  # newest Signed-At: no mesh time is earlier
        self.releases = []
        self._offset_us = 0
        self._error_us = 0xFFFFFFFF
        self._told_us = 0  # mesh time of the last tick
        self.synced = False
        self._synced_at = 0
        self._neighbours = 0
        self._company_before = False  # was there a neighbour before the last switch?
        self._heard_at = -1  # when the network side last told the time
        self._prepare = None
        self._bad = []  # ids of releases that can't be prepared, or not now
        self._retry_at = 0
        self._retry_us = RETRY_US
        self._fault_until = 0
        self._again_at, self._again_us = None, RETRY_US  # when packages are tried again
        self._deadline = None  # by which the active release must be confirmed
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
        for r in self.releases:
            if r.rid == rid:
                self.active = r
        if self.active.rid != rid:
            self.active = choose.lost(rid)
            return  # the first tick switches
        if self._slots.confirmed() != rid:
            if rid in self._failed:  # the launcher has left it: this is code of another
                self._code = self._slots.confirmed()
                self._hook(self.active, "rollback")
                return
            self._company_before = self._slots.company()
            self._begin_trial(now)
        self._enter(now)

    def set_releases(self, releases, now):
        self._failed = set(self._slots.failed())
        self._signed_s = max([0] + [r.manifest.signed_at_s for r in releases])
        self.releases = releases
        self.next_at = now

    def set_time(self, counter_us, offset_us, error_us, synced, neighbours, now):
        """The mesh time, as the network side says: not believed below what the CA has signed, and
        kept for a while when the network side has just started, and knows less than we do."""
        self._neighbours = neighbours
        self._heard_at = now
        self.next_at = now
        if synced and counter_us + offset_us < self._signed_s * 1000000:
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
        return now, self.mesh_us(now) - now, self._error_us, self.synced, self._neighbours

    def mesh_us(self, now):
        """Mesh time, microseconds: small corrections stop it, but never turn it back, so that what
        has begun does not end and begin again."""
        return max(now + self._offset_us, self._told_us)

    def now_s(self, now):
        """Mesh time in seconds; the floor while it is not synchronised."""
        return max(self.mesh_us(now) // 1000000 if self.synced else self._floor_s, self._signed_s)

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
            t = choose.next_change_s(self.releases, self.now_s(now), self.here)
            if t is not None:
                self.change_at = max(t * 1000000 - self._offset_us, now)
        try:
            if now >= self._calm_at:
                self._calm_at = now + CALM_US
                self._slots.forgive(POWER)
                self.set_releases(self.releases, now)
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

    # --- choose

    def _best(self, now_s, synced, ready):
        def fine(r, p):
            return r.rid not in self._failed and ready(r, p)

        return choose.choose(self.releases, now_s, synced, self.here, self._factory, fine)

    def prepared(self, r, p):
        """For choose: may it be activated at once?"""
        return r.rid not in self._bad and self._slots.prepared(r.rid)

    def best_if(self, has, now_s, synced):
        """What would be chosen, were all of those prepared too of which has(release, payload) says
        so."""

        def ready(r, p):
            return r.rid not in self._bad and (self._slots.prepared(r.rid) or has(r, p))

        return self._best(now_s, synced, ready)

    def _offered(self, r, p):
        return self._slots.offered(p)

    def _choose(self, now_s):
        """An experiment begins only where what comes after it is prepared."""
        best = self._best(now_s, self.synced, self.prepared)
        if best.manifest.experimental and best.rid != self.active.rid:
            if not self._slots.prepared(self.best_if(_unpacked, now_s, False).rid):
                return self._best(now_s, self.synced, self._begun)
        return best

    def _begun(self, r, p):
        """For choose: is it prepared, and no experiment that has yet to begin?"""
        return self.prepared(r, p) and (not r.manifest.experimental or r.rid == self.active.rid)

    # --- activate

    def _switch(self, now):
        now_s = self.now_s(now)
        chosen = self._choose(now_s)
        if chosen.rid == self.active.rid:
            self.active = chosen
            return
        old = self.active
        if self._awaits(old, chosen, now_s) or self.held_back(chosen, now_s):
            return
        self._again_at, self._again_us = None, RETRY_US
        self._company_before = self._neighbours > 0
        self._slots.activate(chosen.rid, self._company_before)
        self.active = chosen
        self.over = chosen.rid != self._code and (
            self._slots.has_code(self._code) or self._slots.has_code(chosen.rid)
        )
        self._deadline = None
        if chosen.rid not in (FACTORY, self._slots.confirmed()):
            self._begin_trial(now)
        reason = choose.reason(old, chosen, now_s, old.rid in self._failed)
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
        if self._deadline is not None:
            self._begin_trial(now)
        if why:
            self._fail(why, now)

    def _awaits(self, old, chosen, now_s):
        """Is this a step down, only because what is to run has yet to be prepared?"""
        if self._left(old, now_s) or chosen.sort_key() > old.sort_key():
            return False
        return not self._slots.prepared(self.best_if(self._offered, now_s, self.synced).rid)

    def _left(self, r, now_s):
        """Has a release failed here, or ended?"""
        return r.rid in self._failed or 0 < r.manifest.end_s <= now_s

    def held_back(self, chosen, now_s):
        """Does the owner's wish keep what runs, which may go on running?"""
        if not self.on_hold or self._left(self.active, now_s):
            return False
        if self.active.rid == FACTORY:
            return True
        newest = choose.newest(self.releases).get(self.active.manifest.version)
        still = newest is not None and newest.rid == self.active.rid
        return still and chosen.sort_key() > self.active.sort_key()

    # --- confirm, or roll back

    def _begin_trial(self, now):
        self._deadline = now + self._confirm_us
        self._health_at = now
        self._ill = None  # what hooks/health said last

    def _confirm(self, now):
        if self._again_at is not None and now >= self._again_at:
            self._enter(now)
        if self._deadline is None or self._again_at is not None:
            return
        heard = self._heard_at > self._deadline - self._confirm_us
        company = self._neighbours > 0 or not self._company_before
        if heard and company and now >= self._health_at:
            self._health_at = now + HEALTH_US
            self._ill = self._hook(self.active, "health")
            if not self._ill:
                self._slots.confirm(self.active.rid)
                self._deadline = None
                self._log.info("confirmed release %s" % self.active.name())
                return
        if now >= self._deadline:
            self._fail(self._ill or "not confirmed in time", now)
            return
        self.next_at = min(self.next_at, self._deadline)
        if self._health_at > now:
            self.next_at = min(self.next_at, self._health_at)

    def _fail(self, why, now):
        """On trial, the next tick leaves it, at once. What was confirmed before stays: there is
        nothing better to go to."""
        self._log.error("release %s failed: %s" % (self.active.name(), why))
        if self._deadline is not None:
            self._deadline = None
            self.next_at = now
            self.remember(self.active, why)
            self._hook(self.active, "rollback")

    def remember(self, release, why):
        self._failed.add(release.rid)
        try:
            self._slots.fail(release.rid, why)
        except OSError as e:
            self._disk(e)

    # --- prepare

    def _wanted(self, now):
        """Releases that run now or after one of the next changes, were they prepared."""
        t = self.now_s(now)
        held = self._offered
        wanted = [self.best_if(held, t, False), self.best_if(_unpacked, t, False)]
        for _ in range(LOOK_AHEAD + 1):
            wanted.append(self.best_if(held, t, True))
            t = choose.next_change_s(self.releases, t, self.here)
            if t is None:
                break
        return wanted

    def _prepare_next(self, now):
        if now >= self._retry_at:
            self._bad = []
        if self._prepare is None:
            wanted = self._wanted(now)
            self._slots.collect([r.rid for r in wanted])
            for r in wanted:
                p = self.here.takes(r.manifest)
                if not self._slots.prepared(r.rid) and p is not None and self._slots.offered(p):
                    self._prepare = self._slots.prepare(r, p)
                    break
            else:
                return
        self.next_at = now
        if self._prepare.step():
            return
        release, why = self._prepare.release, self._prepare.why
        kind = self._prepare.payload.kind
        self._prepare = None
        if why is None:
            status = self._hook(release, "prepare")
            if kind in ("ipk", "apk") and status:
                why = ("" if str(status).startswith("not now") else "archive: ") + str(status)
        if why is None:
            self._retry_us = RETRY_US
            self._log.info("prepared release %s" % release.name())
            return
        self._log.error("release %s failed: %s" % (release.name(), why))
        self._bad = self._bad[-63:] + [release.rid]
        self._retry_at = now + self._retry_us
        self._retry_us = min(2 * self._retry_us, RETRY_MAX_US)
        if why.startswith("archive:"):
            self.remember(release, why)
