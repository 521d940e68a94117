"""Prepare, activate, confirm, roll back: which release runs, and from which microsecond.

A machine: it is told the verified releases and the mesh time, acts through `slots` and `hook`, and
says in next_at when it wants to be woken, exactly at the next start or end.
"""

from swdist import choose
from swdist.bits import to_hex, version_text
from swdist.choose import FACTORY

RETRY_US = 60000000  # after a fault of the disk
LOOK_AHEAD = 4  # changes to come for which slots are prepared
LATE_S = 2


class Switcher:
    """hook(release, name) -> exit status of a slot's hook, 0 where there is none.
    record(dict) is called after each switch."""

    def __init__(self, slots, board, factory, floor_s, confirm_us, hook, record, log):
        self._slots = slots
        self._board = board
        self._factory = factory
        self._confirm_us = confirm_us
        self._hook = hook
        self._record = record
        self._log = log
        self._persisted_s = floor_s
        self.floor_s = floor_s
        self.releases = []
        self._offset_us = 0
        self._error_us = 0xFFFFFFFF
        self.synced = False
        self._neighbours = 0
        self._neighbours_before = 0
        self._heard_at = None  # when the network side last told the time
        self._prepare = None
        self._bad = []  # ids of releases that can't be prepared, or not now
        self._retry_at = None
        self._deadline = None  # by which the active release must be confirmed
        self._activated_at = 0
        self.active = factory
        self.next_at = 0

    def start(self, now):
        """After set_releases: finds the slot that was active before."""
        rid = self._slots.active()
        for r in self.releases:
            if r.rid == rid:
                self.active = r
        if rid != FACTORY and self.active is self._factory:
            self._log.warn("active release %s is not in the store: factory" % to_hex(rid[:4]))
        if self.active.rid != self._slots.confirmed() and self.active.rid != FACTORY:
            self._deadline = now + self._confirm_us
            self._activated_at = now
        self.next_at = now

    def set_releases(self, releases, now):
        failed = self._slots.failed()
        self.floor_s = self._persisted_s
        for r in releases:
            r.failed = r.rid in failed
            r.complete = self._slots.prepared(r.rid)
            self.floor_s = max(self.floor_s, r.manifest.signed_at_s)
        self.releases = releases
        self.next_at = now

    def set_time(self, counter_us, offset_us, error_us, synced, neighbours, now):
        """The mesh time, as the network side says: believed only above the floor."""
        if synced and counter_us + offset_us < self.floor_s * 1000000:
            synced = False
        self._offset_us = offset_us
        self._error_us = error_us
        self.synced = synced
        self._neighbours = neighbours
        self._heard_at = now
        self.next_at = now

    def now_s(self, now):
        """Mesh time in seconds; the floor while it is not synchronised."""
        return (
            max((now + self._offset_us) // 1000000, self.floor_s) if self.synced else self.floor_s
        )

    def pending(self, now):
        """(release, its counter of change), of what will be active next, or None."""
        now_s = self.now_s(now)
        t = choose.next_change_s(self.releases, now_s)
        if t is None or not self.synced:
            return None
        chosen = self._choose(t)
        return (chosen, t * 1000000 - self._offset_us) if chosen is not self.active else None

    def _choose(self, now_s):
        return choose.choose(self.releases, now_s, self.synced, self._board, self._factory)

    def tick(self, now):
        if now < self.next_at:
            return
        self.next_at = now + RETRY_US
        try:
            self._switch(now)
            self._confirm(now)
            self._prepare_next(now)
        except OSError as e:
            self._log.error("disk: %s; again in %d s" % (e, RETRY_US // 1000000))
            return
        if self._deadline is not None:
            self.next_at = min(self.next_at, self._deadline)
        if self.synced:
            t = choose.next_change_s(self.releases, self.now_s(now))
            if t is not None:
                self.next_at = min(self.next_at, max(t * 1000000 - self._offset_us, now))

    # --- activate

    def _switch(self, now, reason=None):
        now_s = self.now_s(now)
        chosen = self._choose(now_s)
        if chosen.rid == self.active.rid:
            self.active = chosen
            return
        old = self.active
        self._slots.activate(chosen.rid)
        done_us = now + self._offset_us
        self.active = chosen
        self._activated_at = now
        self._neighbours_before = self._neighbours
        self._deadline = None
        if chosen.rid not in (FACTORY, self._slots.confirmed()):
            self._deadline = now + self._confirm_us
        if reason is None:
            reason = self._reason(old, chosen, now_s)
        self._persisted_s = max(self._persisted_s, now_s)
        self._log.info("switched from %s to %s: %s" % (old.name(), chosen.name(), reason))
        self._record(
            {
                "at_us": done_us,
                "counter_us": now,
                "error_us": self._error_us,
                "synced": self.synced,
                "from": _name(old),
                "to": _name(chosen),
                "id": to_hex(chosen.rid),
                "reason": reason,
            }
        )
        status = self._hook(chosen, "activate")
        if status != 0:
            self._fail("hook activate exited with %d" % status, now)

    def _reason(self, old, new, now_s):
        m = old.manifest
        if m.end_s and m.end_s <= now_s:
            return "end"
        if new.order() < old.order():
            return "withdrawn"
        return "start" if now_s - new.manifest.start_s < LATE_S else "late"

    # --- confirm, or roll back

    def _confirm(self, now):
        if self._deadline is None:
            return
        heard = self._heard_at is not None and self._heard_at > self._activated_at
        company = self._neighbours > 0 or self._neighbours_before == 0
        if heard and company and self._hook(self.active, "health") == 0:
            self._slots.confirm(self.active.rid)
            self._deadline = None
            self._log.info("confirmed release %s" % self.active.name())
        elif now >= self._deadline:
            self._fail("not confirmed in time", now)

    def _fail(self, why, now):
        self._log.error("release %s failed: %s" % (self.active.name(), why))
        self._deadline = None
        if self.active.rid == FACTORY:
            return
        self._slots.fail(self.active.rid)
        self.active.failed = True
        self._switch(now, "rollback")

    # --- prepare

    def _wanted(self, now):
        """Releases that run now or after one of the next changes, were they prepared."""
        for r in self.releases:
            r.complete = r.rid not in self._bad and (
                self._slots.prepared(r.rid) or self._slots.offered(r)
            )
        t = self.now_s(now)
        wanted = [self._choose(t)]
        fallback = choose.choose(self.releases, t, False, self._board, self._factory)
        wanted.append(fallback)
        synced, self.synced = self.synced, True
        for _ in range(LOOK_AHEAD):
            t = choose.next_change_s(self.releases, t)
            if t is None:
                break
            wanted.append(self._choose(t))
        self.synced = synced
        for r in self.releases:
            r.complete = self._slots.prepared(r.rid)
        return wanted

    def _prepare_next(self, now):
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
            self._bad = []
        if self._prepare is None:
            wanted = self._wanted(now)
            for r in wanted:
                if not self._slots.prepared(r.rid):
                    self._prepare = self._slots.prepare(r)
                    break
            else:
                self._slots.collect([r.rid for r in wanted])
                return
        self.next_at = now
        if self._prepare.step():
            return
        release, why = self._prepare.release, self._prepare.why
        self._prepare = None
        if why is None:
            release.complete = True
            self._log.info("prepared release %s" % release.name())
            self._switch(now)
            return
        self._log.error("release %s can't be prepared: %s" % (release.name(), why))
        self._bad = self._bad[-63:] + [release.rid]
        self._retry_at = now + RETRY_US
        if why.startswith("archive:"):
            self._slots.fail(release.rid)
            release.failed = True


def _name(release):
    return "%s-r%d" % (version_text(release.manifest.version), release.manifest.revision)
