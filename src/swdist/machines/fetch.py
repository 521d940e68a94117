"""What to get next, and from whom: drives the downloads (docs/protocol.md, section 6).

Each download slot works on one thing at a time. New releases come as manifest, then signatures,
from one neighbour; then of each payload that is wanted the index, and its pieces in runs, in order,
from whoever has them. What is wrong costs the neighbour it came from, never the release.
"""

from swdist.crypto.ucryptolib import sha256
from swdist.formats import manifest, usign
from swdist.formats.bits import sooner, to_hex
from swdist.formats.index import MAX_INDEX_BYTES
from swdist.machines.download import INDEX, KEEP_BYTES, MANIFEST, RUN, SIGNATURES, Download
from swdist.machines.sources import Sources
from swdist.machines.suspicion import Suspicion
from swdist.machines.tftpget import DONE, FAILED, RUNNING
from swdist.storage import reuse
from swdist.storage.payloads import BATCH

RUN_BYTES = 12288  # of a run that is asked for: so long others must wait for the channel
LIE_S = 30  # what a neighbour waits after a first wrong answer; doubled each time up to
LIE_MOST_S = 3600
STALL_S = 1  # after a stall, which may be nobody's fault
STALL_MOST_S = 16
SMALL_US = 3600000000  # so long no large blocks are asked for where none came through
SHORT_US = 2000000  # so long a manifest or its signatures may take where others offer some, too
PATIENCE_US = 1000000  # so long nothing may come where somebody else has the same
BUSY_US = 60000  # before a busy neighbour is asked again, and up to that much more
PROBE_US = 60000  # who gave the last run is asked for the next one, said or not: after that, or
PROBE_MOST_US = 960000  # twice what a run takes, and ever more rarely; later a query asks all


class Fetch:
    def __init__(self, gets, neighbours, store, rand, log):
        self.slots = [Download(get) for get in gets]
        self._rows = neighbours.rows
        self._store = store
        self._rand = rand
        self._log = log
        self._suspicion = Suspicion()
        self._sources = Sources(self.slots, self._rows, store, rand, self._suspicion)
        self._look = True  # may there be something to start?
        self._last = None  # the slot that got the last run
        self._probe_at = None
        self._probe_us = PROBE_US
        self._look_at = None  # counter at which a neighbour may be asked again, or None
        self.refusals = 0

    def wake(self):
        """What may be started has changed."""
        self._look = True

    def offer(self, row, rid, most):
        """A neighbour has a release that we don't hold. True if it will be asked for it."""
        offers = self._rows[row].offers
        if rid not in offers and len(offers) < most:
            if not self._suspicion.refused(self._rows[row].peer, rid):
                offers.append(rid)
                self._look = self._sources.strange = True
        return rid in offers

    def has(self, row, pid, count, ours, most):
        """A neighbour holds the index of a payload, and `count` pieces; we hold `ours`, or -1: not
        even the index."""
        pieces = self._rows[row].pieces
        if self._suspicion.refused(self._rows[row].peer, pid):
            return
        was = pieces.get(pid)
        if was == count or (was is None and not self._room_for(pieces, pid, most)):
            return
        pieces[pid] = count
        if count > ours:
            self._look = True

    def _room_for(self, pieces, pid, most):
        """What is not wanted goes when too much is offered."""
        if len(pieces) < most:
            return True
        wanted = self._store.wanted()
        for other in pieces:
            if other not in wanted and pid in wanted:
                del pieces[other]
                return True
        return False

    def offered(self, pid):
        """Does a neighbour say that it has what we lack of a payload?"""
        h = self._store.held(pid)
        held = h.held if h is not None else -1
        for row in self._rows:
            if row.peer is not None and row.tftp_port and row.pieces.get(pid, -1) > held:
                return True
        return False

    def tick(self, now):
        """Takes what has arrived and starts what can be started. True if a release or a piece was
        added."""
        news = False
        for slot in self.slots:
            slot.get.tick(now)
            if slot.get.state == RUNNING and now >= slot.check_at:
                self._check(slot, now)
        again = True
        while again:  # a piece may be the one that another slot waits for
            again = False
            for slot in self.slots:
                if slot.what and slot.get.state in (DONE, FAILED):
                    ended, added = self._finish(slot, now)
                elif slot.what == RUN and slot.get.state == RUNNING:
                    ended, added = False, self._take_run(slot, now)
                else:
                    continue
                again = again or ended
                news = news or added
            self._look = self._look or again
        if not self._look and (self._look_at is None or now < self._look_at):
            return news
        self._look = False
        self._look_at = None
        for slot in self.slots:
            if not slot.what and not self._next(slot, now) and not self._probe(now):
                self._set_look_at(now)
                break
        if news:
            self._look = True  # to be told before more is written
            return True
        self._look, taken = self._store.reuse()
        return taken

    def _probe(self, now):
        """The announcement of the next pieces may have been lost: asks who gave the last ones."""
        s = self._last
        if s is None or s.what or self._sources.working(s.id):
            self._probe_at = None
            return False
        row = self._rows[s.row]
        wanted = self._store.lacks(s.id) and s.id in self._store.wanted()
        if not wanted or row.peer != s.peer or self._probe_us > PROBE_MOST_US:
            self._last = self._probe_at = None
            return False
        if self._probe_at is None:
            self._probe_at = now + self._probe_us
        self._probe_at = max(self._probe_at, row.wait_until)
        if now < self._probe_at:
            return False
        self._probe_at = None
        self._probe_us *= 2
        h = self._store.held(s.id)
        n = self._sources.free_piece(h) if h is not None else None
        return n is not None and self._start_run(s, h, n, h.total, s.row, now, True)

    def _check(self, slot, now):
        """Another neighbour is asked, where there is one, if nothing comes, or a trickle."""
        slot.check_at = max(slot.get.progress_at, now - PATIENCE_US // 2) + PATIENCE_US
        row = self._rows[slot.row]
        silent = now - slot.get.progress_at >= PATIENCE_US
        little = slot.what != RUN or not row.gave and slot.get.length < KEEP_BYTES
        slow = little and now - slot.began_at >= SHORT_US
        if (silent or slow) and self._sources.elsewhere(slot, now):
            slot.get.give_up()
            row.blame(now, STALL_S, STALL_MOST_S)

    def _set_look_at(self, now):
        """There is room, and nothing to start: look again when somebody's penalty is over."""
        self._look_at = self._probe_at
        for at in (self._suspicion.check_at(), self._sources.strange_at):
            if at > now:
                self._look_at = sooner(self._look_at, at)
        for row in self._rows:
            if (row.offers or row.pieces) and row.wait_until > now:
                self._look_at = sooner(self._look_at, row.wait_until)

    # --- what to do next

    def _next(self, slot, now):
        """Starts what is best; False if there is nothing."""
        unknown = self._sources.unknown(now)
        # What somebody says who was heard once comes last: that costs him nothing.
        if unknown is not None and not self._rows[unknown[1]].once:
            return self._ask_about(slot, unknown, now)
        for pid in self._store.wanted():
            h = self._store.held(pid)
            if h is None:
                row = -1 if self._sources.working(pid) else self._sources.best(pid, -1, now)
                if row >= 0:
                    self._start(slot, INDEX, pid, row, now, MAX_INDEX_BYTES)
                    return True
                continue
            n = self._sources.free_piece(h)
            row = self._sources.best(pid, n, now) if n is not None else -1
            if row >= 0:
                most = self._rows[row].pieces[pid]
                if self._start_run(slot, h, n, most, row, now, False):
                    return True
        return unknown is not None and self._ask_about(slot, unknown, now)

    def _ask_about(self, slot, unknown, now):
        self._start(slot, MANIFEST, unknown[0], unknown[1], now, manifest.MAX_BYTES)
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
        slot.first = slot.next = n
        slot.last = n + count - 1
        slot.lengths = lengths[:count]
        slot.at = 0
        slot.probe = probe
        self._start(slot, RUN, h.pid, row, now, sum(slot.lengths))
        return True

    def starved(self):
        """Is a payload wanted of which nothing is being fetched?"""
        for pid in self._store.wanted():
            if not self._sources.working(pid):
                return True
        return False

    def _start(self, slot, what, key, row, now, limit):
        slot.id = key
        slot.what = what
        slot.row = row
        slot.peer = self._rows[row].peer
        slot.began_at = now
        slot.check_at = now + PATIENCE_US
        slot.port = self._rows[row].port()
        slot.get.small_blocks = now < self._rows[row].small_until
        slot.get.start(slot.peer, slot.port, slot.name().encode(), limit, now)
        slot.get.mark = KEEP_BYTES if what == RUN else limit + 1

    # --- what came of it

    def _take_run(self, slot, now):
        """Keeps the pieces that are whole, while the rest is on its way. True if there were any."""
        added, why = slot.keep(self._store)
        if why is not None:
            slot.get.give_up()
            self._end(slot, why, True, now)
        return added

    def _finish(self, slot, now):
        """A download has ended: (is the slot free?, was anything added?)."""
        get = slot.get
        if slot.what == RUN:
            return self._finish_run(slot, now)
        if get.state == FAILED:
            self._end(slot, get.reason, False, now)
            return True, False
        why = self._take(slot, get.view[: get.length], now)
        if why == "":
            self._start(slot, SIGNATURES, slot.id, slot.row, now, usign.MAX_BYTES)
            return False, False
        self._end(slot, why, True, now)
        return True, why is None

    def _finish_run(self, slot, now):
        """Keeps what holds of it, also where it broke off."""
        get = slot.get
        h = self._store.held(slot.id)
        if h is not None and slot.next > h.held and get.state == DONE:
            if self._sources.comes(h):
                return False, False  # what is before it: keep this in the buffer
            self._end(slot, None, False, now)  # what was held before it is not held any more
            return True, False
        added = False
        why = None
        while why is None:
            more, why = slot.keep(self._store)
            if not more:
                break
            added = True
        lie = why is not None
        if why is None and get.state == FAILED:
            why = get.reason
        elif why is None and slot.next <= slot.last and slot.at != get.length:
            why, lie = "a run ends within a piece", True
        elif why is None and not added and slot.next == slot.first and not get.length:
            why, lie = "an empty run", True
        self._end(slot, why, lie, now)
        return True, added

    def _end(self, slot, why, lie, now):
        """Frees the slot, and says what its neighbour has earned. why: None, or what is wrong, by
        the neighbour's fault where `lie` says so."""
        get = slot.get
        what, text = slot.what, slot.text()
        slot.what = 0
        slot.manifest = None
        took_us, length = get.took_us, get.length
        get.stop()
        row = self._rows[slot.row]
        if row.peer != slot.peer:
            return
        if why is None:
            if what == RUN:
                self._last = slot
                self._probe_us = max(PROBE_US, took_us * 2)
                self._probe_at = None
            row.praise(took_us if what == RUN else 0, length, slot.port)
            if get.small_blocks and row.small_until <= now:
                row.small_until = now + SMALL_US
        elif slot.probe and what == RUN and not lie and row.pieces.get(slot.id, 0) <= slot.next:
            pass  # not there yet
        elif why == "busy" or why[:7] in ("refused", "store: "):
            # It has it no more, or never said so itself, or we want it no more: no fault of its.
            if why != "busy":
                self._forget(row, slot.id)
            # A release may have been offered in its name, and the next one be its own.
            if what != MANIFEST or why[:7] != "refused":
                row.wait_until = now + BUSY_US + self._rand(BUSY_US)
        elif lie and not why.startswith("store:"):
            self._refuse(row, slot.id, text, why, now)
        else:
            self._log.debug("fetch of %s: %s" % (text, why))
            if row.wait_until <= now:
                row.blame(now, STALL_S, STALL_MOST_S)

    def _forget(self, row, key):
        row.pieces.pop(key, None)
        if key in row.offers:
            row.offers.remove(key)

    def _take(self, slot, view, now):
        """None when it was good, "" when the signatures come next, else why it is refused."""
        store = self._store
        if slot.what == INDEX:
            return store.put_index(slot.id, bytes(view))
        if slot.what == MANIFEST:
            slot.manifest = bytes(view)
            return store.weigh(slot.id, slot.manifest)
        digest = sha256(slot.manifest + bytes(view))
        if self._suspicion.is_bad(digest):
            return "signatures: refused before"
        release, why = store.add(slot.manifest, bytes(view))
        if release is not None:
            self._log.info("verified release %s" % release.name())
            if release.manifest.is_keys:
                self._forgive()
            return None
        self._suspicion.charge(now)
        if why.startswith("signatures:"):
            self._suspicion.was_bad(digest)
        return why

    def _forgive(self):
        """The keys have changed, so what was refused may be good now."""
        self._suspicion.forgive()
        for row in self._rows:
            row.wait_until = row.faults = 0

    def _refuse(self, row, key, text, why, now):
        self.refusals += 1
        self._suspicion.refuse(row.peer, key)
        self._forget(row, key)
        row.blame(now, LIE_S, LIE_MOST_S)
        words = (text, to_hex(row.peer[:16]), why)
        self._log.warn("refused %s from %s: %s" % words)

    def next_at(self):
        """Counter at which a download wants to be woken, or None."""
        soonest = 0 if self._look else self._look_at
        for s in self.slots:
            if s.get.state == RUNNING:
                soonest = sooner(soonest, min(s.get.next_at, s.check_at))
        return soonest
