"""Drives the downloads: when what has come is taken, and when there may be something to start
(docs/protocol.md, section 6).

Each download works on one thing at a time. `sources` says whom to ask, `agenda` what is wanted
next, `outcomes` what came of it; what the neighbours say that they have lies in their rows.
"""

from swdist.formats.bits import sooner
from swdist.machines.agenda import Agenda
from swdist.machines.download import KEEP_BYTES, PATIENCE_US, RUN, STRANGE_US, Download
from swdist.machines.outcomes import Outcomes
from swdist.machines.sources import Sources
from swdist.machines.suspicion import Suspicion
from swdist.machines.tftpget import RUNNING

DOWNLOADS = 2  # at a time: the air is one (docs/decisions/0014-in-order.md has other numbers)
# So long a manifest, its signatures or an index may take where others offer some, too. They fit a
# few datagrams; and since one release at a time is asked for, one that trickles holds up all.
SHORT_US = 2000000


class Fetch:
    def __init__(self, gets, neighbours, store, rand, log):
        self.slots = [Download(get) for get in gets]
        self._rows = rows = neighbours.rows
        self._store = store
        self.suspicion = Suspicion()
        self.sources = Sources(self.slots, rows, store, rand, self.suspicion)
        self._agenda = Agenda(self.slots, store, self.sources)
        self.outcomes = Outcomes(rows, store, self.suspicion, self._agenda, rand, log)
        self._may_start = True  # may there be something to start?
        self._start_at = None  # counter at which there may be, else

    def wake(self):
        """What may be started has changed."""
        self._may_start = True

    # --- what neighbours say

    def offer(self, i, rid, alone):
        """The neighbour of row i has a release that we don't hold; alone: see Neighbour.offer. True
        if it will be asked for it."""
        row = self._rows[i]
        if self.suspicion.refused(row.peer, rid) or not row.offer(rid, alone):
            return False
        self._may_start = True
        return True

    def has(self, i, pid, count, ours):
        """A neighbour holds the index of a payload, and `count` pieces; we hold `ours`, or -1: not
        even the index."""
        row = self._rows[i]
        if row.pieces.get(pid) == count or self.suspicion.refused(row.peer, pid):
            return
        if row.has(pid, count, self._store.needs.wanted) and count > ours:
            self._may_start = True

    def starved(self):
        """Is a payload wanted of which nothing is being fetched?"""
        for pid in self._store.needs.wanted():
            if not self._agenda.working(pid):
                return True
        return False

    # --- the turn

    def tick(self, now):
        """Takes what has arrived and starts what can be started. True if a release or a piece was
        added."""
        for slot in self.slots:
            slot.get.tick(now)
            if slot.get.state == RUNNING and now >= slot.check_at:
                self._check(slot, now)
        news = False
        again = True
        while again:  # a piece may be the one that another slot waits for
            again = False
            for slot in self.slots:
                ended, added = self.outcomes.take(slot, now)
                again = again or ended
                news = news or added
            self._may_start = self._may_start or again
        if not self._may_start and (self._start_at is None or now < self._start_at):
            return news
        self._may_start = False
        self._start_at = None
        for slot in self.slots:
            if not slot.what and not self._agenda.start(slot, now):
                self._start_at = sooner(self._agenda.probe_at, self.sources.next_at(now))
                break
        if news:
            self.sources.vain_at = 0
            # What has come is told before more is written: neighbours wait for it, and a step of
            # reuse takes a router some 10 ms.
            self._may_start = True
            return True
        self._may_start, taken = self._store.reuse()
        return taken

    def _check(self, slot, now):
        """Another neighbour is asked, where there is one, if nothing comes, or a trickle. A stall
        counts like one that the transfer finds out itself, which only takes longer."""
        row = slot.row
        patience_us = PATIENCE_US
        if not row.gave:
            patience_us = min(STRANGE_US << row.faults, PATIENCE_US)
        slot.check_at = max(slot.get.progress_at, now - patience_us // 2) + patience_us
        silent = now - slot.get.progress_at >= patience_us
        little = slot.what != RUN or not row.gave and slot.get.length < KEEP_BYTES
        slow = little and now - slot.began_at >= SHORT_US
        if (silent or slow) and self.sources.elsewhere(slot, now):
            slot.get.give_up()

    def next_at(self):
        """Counter at which a download wants to be woken, or None."""
        soonest = 0 if self._may_start else self._start_at
        for s in self.slots:
            if s.get.state == RUNNING:
                soonest = sooner(soonest, min(s.get.next_at, s.check_at))
        return soonest
