"""Whom to ask for what: looks at neighbours, downloads and what is held, and changes nothing."""

from swdist.machines.download import INDEX, MANIFEST, RUN, SIGNATURES
from swdist.machines.tftpget import RUNNING
from swdist.storage import reuse

PACE_MS = 200  # of a neighbour that we do not know
STRANGE_MS = 800  # of one that has given nothing at all: anybody can say that it has all of it
TRY_US = 4000000  # between two that are asked for a piece, or a release, nevertheless
SOON_US = 1000000  # who has given something is waited for so long rather than that,
LOYAL_US = 4000000  # and where it stalls
_LATER = 1 << 20  # of the cost: only if there is nobody else


class Sources:
    def __init__(self, slots, rows, store, rand, suspicion):
        self.strange = False  # is a release offered that we don't hold?
        self.strange_at = 0  # no stranger is asked for one before, while something is wanted
        self._try_at = 0  # who has given nothing is not asked before, where another has it
        self._slots = slots
        self._rows = rows
        self._store = store
        self._rand = rand
        self._suspicion = suspicion

    def free_piece(self, h):
        """The first piece that is missing, that no slot works on and that nobody here has."""
        payloads = self._store.payloads
        n = reuse.alone(payloads, h, h.held)
        for _ in self._slots:
            for s in self._slots:
                if n is not None and s.what == RUN and s.id == h.pid and s.first <= n <= s.last:
                    n = reuse.alone(payloads, h, s.last + 1)
        return n

    def unknown(self, now):
        """A release that a neighbour offers and we don't hold: (rid, row), or None. Who has
        given something comes first, then who was heard more than once, has the fewest faults, and
        is known longest: a crowd of newcomers can't push itself before an old neighbour, and keeps
        nobody from what is wanted. One at a time: no crowd can keep all downloads busy with
        nothing. None while too many signatures were bad of late."""
        best = None
        if not self.strange or self._suspicion.check_at() > now:
            return None
        for s in self._slots:
            if s.what in (MANIFEST, SIGNATURES):
                return None
        self.strange = False
        for i in range(len(self._rows)):
            row = self._rows[i]
            for rid in row.offers[:]:
                if self._store.get(rid) is not None:
                    row.offers.remove(rid)
            if not row.offers:
                continue
            self.strange = True
            if row.wait_until > now or not row.tftp_port or self.busy(i):
                continue
            order = not row.gave, row.once, row.faults, row.since
            if best is None or order < best[2]:
                best = row.offers[0], i, order
        if best and best[2][0] and self._store.wanted():
            if now < self.strange_at:
                return None
            self.strange_at = now + TRY_US
        return best

    def working(self, key):
        for s in self._slots:
            if s.what and s.id == key:
                return True
        return False

    def comes(self, h):
        """Can the next piece come, from another payload or a neighbour, or do all downloads wait
        for it?"""
        if h.pid not in self._store.wanted():
            return False
        for s in self._slots:
            if not s.what or s.get.state == RUNNING:
                return True
        return reuse.alone(self._store.payloads, h, h.held) != h.held

    def elsewhere(self, slot, now):
        """Has another neighbour, that could be asked now, what a slot waits for? Who has given
        something is not left so soon for one who only says so."""
        loyal = self._rows[slot.row].gave and now - slot.get.progress_at < LOYAL_US
        for i in range(len(self._rows)):
            row = self._rows[i]
            if slot.what == RUN:
                there = row.pieces.get(slot.id, 0) > slot.next
            elif slot.what == INDEX:
                there = slot.id in row.pieces
            else:
                there = row.offers and i != slot.row  # one at a time is fetched
            if not there or loyal and not row.gave:
                continue
            if row.tftp_port and row.wait_until <= now and not self.busy(i):
                return True
        return False

    def busy(self, row):
        for s in self._slots:
            if s.what and s.row == row and s.get.state == RUNNING:
                return True
        return False

    def best(self, pid, n, now):
        """Row to get piece n (or the index, for -1) from, or -1: the fastest, idle ones and those
        without faults first. Where one has it who has given something, others are tried only now
        and then: pieces come in order, so whoever stalls with one holds up all."""
        best = -1
        best_cost = 0
        for i in range(len(self._rows)):
            row = self._rows[i]
            wait_us = row.wait_until - now
            if row.peer is None or wait_us > row.gave * SOON_US or not row.tftp_port:
                continue
            if row.pieces.get(pid, -1) <= n:
                continue
            pace_ms = row.pace_ms or (PACE_MS if row.gave else STRANGE_MS << 2 * row.once)
            cost = (pace_ms + self._rand(pace_ms + 1)) * (1 + row.faults + self.busy(i) * 4)
            if wait_us > 0:
                cost += _LATER
            elif not row.gave and now < self._try_at:
                cost += 2 * _LATER
            if best < 0 or cost < best_cost:
                best, best_cost = i, cost
        if best < 0 or self._rows[best].wait_until > now:
            return -1
        if not self._rows[best].gave:
            self._try_at = now + TRY_US
        return best
