"""Begins what has become active, and finds out whether it is to stay (docs/protocol.md, section
5.6; docs/decisions/0010-self-update.md has who else counts what).

On trial is what is active and was not confirmed. It stays when its hooks say that it is well, and
the network side says that it lives and, where there was a neighbour before the switch, has one: a
release that breaks the radio would else be confirmed by each node, and none could bring the next.
"""

from swdist.machines.pace import RETRY_MAX_US, RETRY_US
from swdist.trust.choose import FACTORY

HEALTH_US = 5000000  # between two tries of hooks/health, which may be slow and may write


class Trial:
    """hook(release, name) and remember(release, why): those of the Switcher. The release is told
    with each turn, so that what is active is known in one place only."""

    def __init__(self, slots, hook, remember, log, confirm_us):
        self._slots = slots
        self._hook = hook
        self._remember = remember
        self._log = log
        self._confirm_us = confirm_us
        self._on = False
        self._again_at = None  # when packages that could not be installed are tried again
        self._heard_at = -1  # when the network side last told the time
        self.neighbours = 0  # fresh ones, as it said then

    def hear(self, neighbours, now):
        self.neighbours = neighbours
        self._heard_at = now

    def begin(self, release, now):
        """After it has become active, and after each start: a power cut may have come between the
        switch and its hook. When it wants its turn, or None."""
        self._on = release.rid not in (FACTORY, self._slots.confirmed())
        # As of before the switch, from flash: after a boot on trial the question is the same.
        self._company = self._slots.company()
        self._again_us = RETRY_US
        return self._enter(release, now)

    def _enter(self, release, now):
        why = self._hook(release, "activate")
        self._again_at = None
        if str(why).startswith("not now"):
            # No verdict on the release: flash is full, or a package manager is at work. To fail it
            # for that would take it from this node for good.
            self._log.warn("release %s waits: %s" % (release.name(), why))
            self._again_at = now + self._again_us
            self._again_us = min(2 * self._again_us, RETRY_MAX_US)
            return self._again_at
        # From here on, not from the switch: what was waited for is no part of the trial.
        self._began_at = self._health_at = now
        self._ill = None  # what hooks/health said last
        return self._fail(release, why, now) if why else now

    def turn(self, release, now):
        """The same release goes on: when it wants its next turn, or None."""
        if self._again_at is not None:
            return self._enter(release, now) if now >= self._again_at else self._again_at
        if not self._on:
            return None
        company = self.neighbours > 0 or not self._company
        # Heard since it began: a network side that the release has killed said all before.
        if self._heard_at > self._began_at and company and now >= self._health_at:
            self._health_at = now + HEALTH_US
            self._ill = self._hook(release, "health")
            if not self._ill:
                self._slots.confirm(release.rid)
                self._on = False
                self._log.info("confirmed release %s" % release.name())
                return None
        deadline = self._began_at + self._confirm_us
        if now >= deadline:
            return self._fail(release, self._ill or "not confirmed in time", now)
        # Where health is due already, it waits for the network side, whose word wakes us.
        return deadline if self._health_at <= now else min(deadline, self._health_at)

    def _fail(self, release, why, now):
        """On trial, the next tick leaves it, at once. What was confirmed before stays: there is
        nothing better to go to."""
        self._log.error("release %s failed: %s" % (release.name(), why))
        if not self._on:
            return None
        self._on = False
        self._remember(release, why)
        self._hook(release, "rollback")
        return now
