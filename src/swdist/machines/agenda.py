"""What is wanted next, and of whom it is asked (docs/protocol.md, section 6.1).

New releases come before pieces: they are small, and one of them may be why others are not wanted
any more. Of a payload comes the index, then its pieces from the first that is missing, in runs,
so that one number says what a node holds (docs/decisions/0014-in-order.md).
"""

from swdist.machines.download import INDEX, MANIFEST, RUN
from swdist.machines.tftpget import RUNNING
from swdist.storage import reuse
from swdist.storage.payloads import BATCH

# Of a run that is asked for. A longer one saves little, since a request is one datagram, and keeps
# others from the channel, and this node from telling what it has, until it is over.
RUN_BYTES = 12288
PROBE_US = 60000  # who gave the last run is asked for the next one, said or not: after that, or
PROBE_MOST_US = 960000  # twice what a run takes, and ever more rarely; later a query asks all


class Agenda:
    """slots: the downloads; the next of a free one is begun here."""

    def __init__(self, slots, store, sources):
        self._slots = slots
        self._store = store
        self._sources = sources
        self._giver = None  # of the last run: (row, peer, payload id)
        self._probe_us = PROBE_US
        self.probe_at = None  # when it is asked for the next one

    def start(self, slot, now):
        """Starts what is best; False if there is nothing."""
        unknown = self._sources.unknown(now)
        # What somebody says who was heard once comes last: twenty made-up names a second, each of
        # which offers something, would else leave no turn to pieces.
        if unknown is not None and not unknown[1].once:
            return self._begin(slot, MANIFEST, unknown[0], unknown[1], now)
        for pid in self._store.needs.wanted():
            h = self._store.held(pid)
            if h is None:
                n = None if self.working(pid) else -1
            else:
                n = self._free_piece(h)
            row = self._sources.best(pid, n, now) if n is not None else None
            if row is None:
                continue
            if h is None:
                return self._begin(slot, INDEX, pid, row, now)
            if self._start_run(slot, h, n, row.pieces[pid], row, now, False):
                return True
        if unknown is not None:
            return self._begin(slot, MANIFEST, unknown[0], unknown[1], now)
        return self._probe(slot, now)

    def _begin(self, slot, what, key, row, now):
        slot.begin(what, key, row, now)
        self._sources.asked(slot, now)
        return True

    def _start_run(self, slot, h, n, most, row, now, probe):
        """Asks for pieces from n on that a neighbour has: `most` is the one behind its last."""
        try:
            lengths = self._store.payloads.lengths(h, n, min(most - n, BATCH))
        except OSError:
            return False
        count = reuse.gap(self._store.payloads, h, n, lengths, RUN_BYTES)
        if not count:
            return False
        slot.set_run(n, lengths[:count], probe)
        return self._begin(slot, RUN, h.pid, row, now)

    def _free_piece(self, h):
        """The first piece that is missing, that no slot works on and that nobody here has."""
        payloads = self._store.payloads
        n = reuse.alone(payloads, h, h.held)
        for _ in self._slots:  # the runs lie in any order: each may end where another begins
            for s in self._slots:
                if n is not None and s.what == RUN and s.id == h.pid and s.first <= n <= s.last:
                    n = reuse.alone(payloads, h, s.last + 1)
        return n

    def working(self, key):
        """Is a release or a part of a payload being fetched?"""
        for s in self._slots:
            if s.what and s.id == key:
                return True
        return False

    def comes(self, h):
        """Can the next piece come, from another payload or a neighbour, or do all downloads wait
        for it?"""
        if h.pid not in self._store.needs.wanted():
            return False
        for s in self._slots:
            if not s.what or s.get.state == RUNNING:
                return True
        return reuse.alone(self._store.payloads, h, h.held) != h.held

    def gave(self, slot):
        """A run has come, and was right."""
        self._giver = slot.row, slot.peer, slot.id
        self._probe_us = max(PROBE_US, slot.get.took_us * 2)
        self.probe_at = None

    def _probe(self, slot, now):
        """Asks who gave the last pieces for the next ones. It has mostly got them meanwhile, and
        the announcement, which is sent once (section 7, rule 3), may have been lost: without this a
        hop of a long line would wait for the next query, a second or more."""
        if self._giver is None:
            return False
        row, peer, pid = self._giver
        if self.working(pid):
            self.probe_at = None
            return False
        wanted = pid in self._store.needs.wanted()
        if not wanted or row.peer != peer or self._probe_us > PROBE_MOST_US:
            self._giver = self.probe_at = None
            return False
        self.probe_at = max(self.probe_at or now + self._probe_us, row.wait_until)
        if now < self.probe_at:
            return False
        self.probe_at = None
        self._probe_us *= 2
        h = self._store.held(pid)
        n = self._free_piece(h) if h is not None else None
        return n is not None and self._start_run(slot, h, n, h.total, row, now, True)
