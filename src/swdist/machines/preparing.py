"""Makes the slots of what is to run next, a step a turn: unpacking takes a router minutes, and the
second in which another release starts may be among them."""

from swdist.machines.pace import PACE_US, RETRY_MAX_US, RETRY_US, Pace

# Slots begun at once: as many as the set has releases, each of which may fail in turn.
# Without a limit who tells a node the time back and forth has it make and drop two slots for ever.
PREPARES = 64
MAX_BAD = 64  # releases that can't be prepared now: the last so many


class Preparing:
    """hook(release, name) and remember(release, why): those of the Switcher."""

    def __init__(self, slots, choosing, hook, remember, log):
        self._slots = slots
        self._choosing = choosing
        self._hook = hook
        self._remember = remember
        self._log = log
        self._pace = Pace(PACE_US, PREPARES)
        self._work = None  # the slot that is being made
        self._retry_at = 0
        self._retry_us = RETRY_US

    def turn(self, now_s, now):
        """One step: when it wants the next one, or None. OSError: the disk."""
        choosing, work = self._choosing, self._work
        if now >= self._retry_at:
            choosing.bad = []
        if work is None:
            wanted = choosing.wanted(now_s)
            # Room first: on a flash of a few megabytes the next slot may only fit in the old one's
            # place. What is active and what is confirmed is kept in any case.
            self._slots.collect([r.rid for r in wanted])
            best = choosing.to_prepare(wanted)
            if not best or not self._pace.free(now):
                return None
            self._pace.spend(now)
            work = self._work = self._slots.prepare(*best)
        if not work.step():
            self._work = None
            self._done(work, now)
        return now

    def _done(self, work, now):
        release, why, for_good = work.release, work.why, work.for_good
        if why is None:
            status = self._hook(release, "prepare")
            if status:  # it can't run here
                why = str(status)
                for_good = not why.startswith("not now")
        if why is None:
            self._retry_us = RETRY_US
            self._log.info("prepared release %s" % release.name())
            return
        self._log.error("release %s failed: %s" % (release.name(), why))
        # Passed over until the next try, else it would be begun again at once, and what is below it
        # would never get its turn.
        self._choosing.bad = self._choosing.bad[1 - MAX_BAD :] + [release.rid]
        self._retry_at = now + self._retry_us
        self._retry_us = min(2 * self._retry_us, RETRY_MAX_US)
        if for_good:
            self._remember(release, why)
