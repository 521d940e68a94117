"""Whom to ask for what, by what the neighbours say that they have and what they have given
(docs/protocol.md, section 6.4).

What a neighbour says costs it nothing, what it gives does. So everywhere here who has given
something comes before who only says that it has it; and such a one is tried now and then
nevertheless, else a newcomer could never become a neighbour that gives.
"""

from swdist.formats.bits import sooner
from swdist.machines.download import INDEX, MANIFEST, RUN, SIGNATURES
from swdist.machines.tftpget import RUNNING

# What 16 KiB are taken to cost with a neighbour that has not been measured yet: more than most, so
# that one that is known to be fast comes first.
PACE_MS = 200
STRANGE_MS = 800  # of one that has given nothing at all: anybody can say that it has all of it
TRY_US = 4000000  # between two that are asked for a piece, or a release, nevertheless
SOON_US = 1000000  # who has given something is waited for so long rather than that,
LOYAL_US = 4000000  # and where it stalls: a radio may be deaf for seconds
VAIN_US = 16000000  # who says for so long that it has pieces, and gives none, has none to give
_LATER = 1 << 20  # of the cost: only if there is nobody else


class Sources:
    def __init__(self, slots, rows, store, rand, suspicion):
        self._strange_at = 0  # no stranger is asked for a release before, while pieces are wanted
        self._try_at = 0  # nor for a piece, where another has it
        self._asked_at = 0
        self.vain_at = 0  # pieces will have been asked for in vain for too long; 0: some came
        self._slots = slots
        self._rows = rows
        self._store = store
        self._rand = rand
        self._suspicion = suspicion

    def unknown(self, now):
        """A release that a neighbour offers and we don't hold: (rid, row), or None. Who has
        given something comes first, then who was heard more than once, has the fewest faults, and
        is known longest: a crowd of newcomers can't push itself before an old neighbour, and keeps
        nobody from what is wanted. One at a time: no crowd can keep all downloads busy with
        nothing. None while too many signatures were bad of late."""
        best = least = None
        if self._suspicion.check_at() > now:
            return None
        for s in self._slots:
            if s.what in (MANIFEST, SIGNATURES):
                return None
        for row in self._rows:
            if row.offers:
                for rid in row.offers[:]:
                    if self._store.catalogue.get(rid) is not None:
                        row.offers.remove(rid)
                order = not row.gave, row.once, row.faults, row.since
                if row.offers and self._free(row, now) and (not best or order < least):
                    best, least = row, order
        if best is None or not best.gave and now < self._strange_at and self._store.needs.wanted():
            return None
        return best.offers[0], best

    def asked(self, slot, now):
        """A download has begun. The turn of those who have given nothing is spent here and not
        where they are looked for: who was found need not have been asked."""
        gave = slot.row.gave
        if slot.what != MANIFEST:
            self._asked_at = now
            self.vain_at = self.vain_at or now + VAIN_US
            if not gave:
                self._try_at = now + TRY_US
        elif not gave:
            self._strange_at = now + TRY_US

    def elsewhere(self, slot, now):
        """Has another neighbour, that could be asked now, what a slot waits for? Who has given
        something is not left so soon for one who only says so."""
        loyal = slot.row.gave and now - slot.get.progress_at < LOYAL_US
        for row in self._rows:
            if slot.what == RUN:
                there = row.pieces.get(slot.id, 0) > slot.next
            elif slot.what == INDEX:
                there = slot.id in row.pieces
            else:
                there = row.offers and row is not slot.row  # one at a time is fetched
            if there and (row.gave or not loyal) and self._free(row, now):
                return True
        return False

    def _free(self, row, now):
        """May a neighbour be asked now, and is it not?"""
        return row.tftp_port and row.wait_until <= now and not self._busy(row)

    def _busy(self, row):
        for s in self._slots:
            if s.what and s.row is row and s.get.state == RUNNING:
                return True
        return False

    def best(self, pid, n, now):
        """Row to get piece n (or the index, for -1) from, or None: the fastest, idle ones and those
        without faults first. Where one has it who has given something, others are tried only now
        and then: pieces come in order, so whoever stalls with one holds up all."""
        best = None
        least = 0
        for row in self._rows:
            wait_us = row.wait_until - now
            if wait_us > row.gave * SOON_US or not row.tftp_port or row.pieces.get(pid, -1) <= n:
                continue
            pace_ms = row.pace_ms or (PACE_MS if row.gave else STRANGE_MS << 2 * row.once)
            cost = (pace_ms + self._rand(pace_ms + 1)) * (1 + row.faults + self._busy(row) * 4)
            if wait_us > 0:
                cost += _LATER
            elif not row.gave and now < self._try_at:
                cost += 2 * _LATER
            if not best or cost < least:
                best, least = row, cost
        return best if best is not None and best.wait_until <= now else None

    def offered(self, pid):
        """Does a neighbour say, and can it be true, that it has what we lack of a payload?"""
        if 0 < self.vain_at < self._asked_at:
            return False
        h = self._store.held(pid)
        held = h.held if h is not None else -1
        for row in self._rows:
            if row.tftp_port and row.pieces.get(pid, -1) > held:
                return True
        return False

    def next_at(self, now):
        """Counter at which somebody may be asked who may not be now, or None."""
        soonest = None
        for at in (self._suspicion.check_at(), self._strange_at):
            if at > now:
                soonest = sooner(soonest, at)
        for row in self._rows:
            if (row.offers or row.pieces) and row.wait_until > now:
                soonest = sooner(soonest, row.wait_until)
        return soonest
