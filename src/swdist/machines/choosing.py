"""What is to run here: by the releases that are held, the time, what has failed, and what is
prepared. It changes nothing."""

from swdist.formats.manifest import UNPACKED
from swdist.trust import choose
from swdist.trust.choose import FACTORY

LOOK_AHEAD = 4  # changes to come for which slots are prepared


def _unpacked(r, p):
    """May a slot be made of it, once all is fetched?"""
    return p.kind in UNPACKED


def _none(r, p):
    return False


class Choosing:
    """releases: those that are verified; failed: ids of those that failed here; bad: of those that
    can't be prepared, or not now; on_hold: the node's owner wants no switch."""

    def __init__(self, slots, here, factory, on_hold):
        self._slots = slots
        self.here = here
        self.factory = factory
        self.on_hold = on_hold
        self.releases = []
        self.failed = set()
        self.bad = []
        self.signed_s = 0  # newest Signed-At that is believed: no mesh time is earlier

    def set_releases(self, releases):
        self.failed = set(self._slots.failed())
        self.signed_s = self._slots.dates.newest_s(releases)
        self.releases = releases

    def next_change_s(self, now_s):
        return choose.next_change_s(self.releases, now_s, self.here)

    def best_if(self, has, now_s, synced, begun=None):
        """What would be chosen, were all of those prepared too of which has(release, payload) says
        so. begun: of experiments only that one, by its id, or all."""

        def ready(r, p):
            if r.rid in self.failed or r.rid in self.bad:
                return False
            if begun and r.manifest.experimental and r.rid != begun:
                return False
            return self._slots.prepared(r.rid) or has(r, p)

        return choose.choose(self.releases, now_s, synced, self.here, self.factory, ready)

    def _offered(self, r, p):
        return self._slots.offered(p)

    def best(self, active, now_s, synced, has=_none):
        """The same, and an experiment begins only where what comes after it is prepared, or there
        by has()."""
        best = self.best_if(has, now_s, synced)
        if best.manifest.experimental and best.rid != active.rid:
            after = self.best_if(lambda r, p: _unpacked(r, p) or has(r, p), now_s, False)
            p = self.here.takes(after.manifest)
            if not self._slots.prepared(after.rid) and not has(after, p):
                return self.best_if(has, now_s, synced, active.rid)
        return best

    def stays(self, old, new, now_s, synced):
        """Does what runs go on, though something else would be chosen?"""
        return self._awaits(old, new, now_s, synced) or self.held_back(old, new, now_s)

    def _awaits(self, old, new, now_s, synced):
        """Is this a step down, only because what is to run has yet to be prepared?"""
        if self.left(old, now_s) or new.sort_key() > old.sort_key():
            return False
        return not self._slots.prepared(self.best_if(self._offered, now_s, synced).rid)

    def left(self, r, now_s):
        """Has a release failed here, or ended?"""
        return r.rid in self.failed or 0 < r.manifest.end_s <= now_s

    def held_back(self, old, new, now_s):
        """Does the owner's wish keep what runs, which may go on running?"""
        if not self.on_hold or self.left(old, now_s):
            return False
        if old.rid == FACTORY:
            return True
        newest = choose.newest(self.releases).get(old.manifest.version)
        still = newest is not None and newest.rid == old.rid
        return still and new.sort_key() > old.sort_key()

    def wanted(self, t):
        """Releases that run at that time or after one of the next changes, were they prepared."""
        held = self._offered
        wanted = [self.best_if(held, t, False), self.best_if(_unpacked, t, False)]
        for _ in range(LOOK_AHEAD + 1):
            wanted.append(self.best_if(held, t, True))
            t = self.next_change_s(t)
            if t is None:
                break
        return wanted

    def to_prepare(self, wanted):
        """The first of them of which a slot can be made: (release, payload), or None."""
        for r in wanted:
            p = self.here.takes(r.manifest)
            if not self._slots.prepared(r.rid) and p is not None and self._slots.offered(p):
                return r, p
        return None
