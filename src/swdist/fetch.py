"""What to get next, and from whom: drives the downloads (docs/protocol.md, section 6).

Each download slot works on one thing at a time. New releases come as manifest, then signatures,
from one neighbour; after that the index and the chunks, in order, from whoever has them. What is
wrong costs the neighbour it came from, never the release.
"""

from swdist.bits import to_hex
from swdist.tftpget import DONE, FAILED, RUNNING
from swdist.ucryptolib import sha256

MANIFEST_BYTES = 4096
SIGNATURES_BYTES = 32768
REFUSED = 64  # (neighbour, release) pairs remembered, so that no lie is checked twice
LIE_S = 30  # what a neighbour waits after a first wrong answer; doubled each time up to
LIE_MOST_S = 3600
STALL_S = 1  # after a stall, which may be nobody's fault
STALL_MOST_S = 16
PATIENCE_US = 1000000  # so long nothing may come where somebody else has the same
BUSY_US = 60000  # before a busy neighbour is asked again, and up to that much more
PROBE_US = 60000  # who gave the last chunk is asked for the next one, said or not: after that, or
PROBE_MOST_US = 960000  # twice what a chunk takes, and ever more rarely; later a query asks all
CHECKS = 8  # signature checks that may turn out bad at once; then one each
CHECK_US = 10000000
BAD = 16  # digests of refused signatures remembered, so that no other neighbour costs a check
PACE_MS = 200  # of a neighbour that we do not know


def _sooner(a, b):
    """The earlier of two counters, either of which may be None."""
    if a is None or b is None:
        return b if a is None else a
    return min(a, b)


class Slot:
    def __init__(self, get):
        self.get = get
        self.what = None  # "manifest", "signatures", "index", a chunk's number, or None
        self.rid = None
        self.row = 0
        self.check_at = 0  # when to look whether it stalls
        self.manifest = None


class Fetch:
    def __init__(self, gets, neighbours, store, rand, log):
        self.slots = [Slot(get) for get in gets]
        self._rows = neighbours.rows
        self._store = store
        self._rand = rand
        self._log = log
        self._refused = [None] * REFUSED
        self._refused_at = 0
        self._bad = [None] * BAD
        self._bad_until = 0  # how far the time for bad signatures is spent
        self.look = True  # may there be something to start? What changes that sets it
        self._strange = False  # is a release offered that we don't hold?
        self._last = None  # the slot that got the last chunk
        self._probe_at = None
        self._probe_us = PROBE_US
        self._look_at = None  # counter at which a neighbour may be asked again, or None
        self.refusals = 0
        self.news = False  # set when a release or chunk was added; the owner clears it

    def offer(self, row, rid, held, max_offers, ours=-1):
        """A neighbour has a release that we miss or have in part: `held` chunks of it; we: ours."""
        offers = self._rows[row].offers
        if (self._rows[row].peer, rid) in self._refused:
            return
        was = offers.get(rid, -1)
        if was != held and (was >= 0 or len(offers) < max_offers):
            offers[rid] = held
            if was <= ours + len(self.slots) and held > ours:  # else it has nothing new for us
                self.look = True
                self._strange = self._strange or ours < 0

    def tick(self, now):
        """Takes what has arrived and starts what can be started."""
        for slot in self.slots:
            slot.get.tick(now)
            if slot.get.state == RUNNING and now >= slot.check_at:
                self._check(slot, now)
        ended = True
        while ended:  # a chunk may be the one that another slot waits for
            ended = False
            for slot in self.slots:
                if slot.what is not None and slot.get.state in (DONE, FAILED):
                    ended = self._finish(slot, now) or ended
            self.look = self.look or ended
        if not self.look and (self._look_at is None or now < self._look_at):
            return
        self._look_at = None
        self.look = self._store.reuse()
        self.news = self.news or self.look
        for slot in self.slots:
            if slot.what is None and not self._next(slot, now) and not self._probe(now):
                self._set_look_at(now)
                break

    def _probe(self, now):
        """The announcement of the next chunk may have been lost: asks who gave the last one."""
        s = self._last
        if s is None or s.what is not None or self._working(s.rid):
            self._probe_at = None
            return False
        r = self._store.get(s.rid)
        row = self._rows[s.row]
        if r is None or r.complete or row.peer != s.peer or self._probe_us > PROBE_MOST_US:
            self._last = self._probe_at = None
            return False
        if self._probe_at is None:
            self._probe_at = now + self._probe_us
        self._probe_at = max(self._probe_at, row.wait_until)
        if now < self._probe_at:
            return False
        self._probe_at = None
        self._probe_us *= 2
        self._start(s, s.rid, r.held, s.row, now)
        return True

    def _check(self, slot, now):
        """Nothing has come for a while: another neighbour is asked, where there is one."""
        slot.check_at = max(slot.get.progress_at, now - PATIENCE_US // 2) + PATIENCE_US
        if now - slot.get.progress_at >= PATIENCE_US:
            what = slot.what
            need = what + 1 if isinstance(what, int) else int(what == "index")
            for i in range(len(self._rows)):
                row = self._rows[i]
                there = row.offers.get(slot.rid, -1) >= need and row.tftp_port
                if there and row.wait_until <= now and not self._busy(i):
                    slot.get.give_up()
                    self._rows[slot.row].blame(now, STALL_MOST_S, STALL_MOST_S)
                    return

    def _set_look_at(self, now):
        """There is room, and nothing to start: look again when somebody's penalty is over."""
        self._look_at = self._probe_at
        at = self._bad_until - (CHECKS - 1) * CHECK_US
        if at > now:
            self._look_at = _sooner(self._look_at, at)
        for row in self._rows:
            if row.offers and row.wait_until > now:
                self._look_at = _sooner(self._look_at, row.wait_until)

    # --- what to do next

    def _next(self, slot, now):
        """Starts what is best; False if there is nothing."""
        unknown = self._unknown(now)
        if unknown is not None:
            self._start(slot, unknown[0], "manifest", unknown[1], now)
            return True
        best = None
        for r in self._store.releases:
            if not r.complete and self._store.wanted(r):
                n = self._free_part(r)
                if n is not None and (best is None or r.order() > best[0].order()):
                    row = self._source(r.rid, n, now)
                    if row >= 0:
                        best = (r, n, row)
        if best is not None:
            self._start(slot, best[0].rid, best[1], best[2], now)
        return best is not None

    def _free_part(self, release):
        """`index`, or the first chunk's number that no slot works on, or None."""
        if not release.indexed:
            n = "index"
        else:
            n = release.held
        busy = [s.what for s in self.slots if s.rid == release.rid and s.what is not None]
        while n in busy:
            if n == "index" or n >= release.held + len(self.slots):
                return None
            n += 1
        return n if n == "index" or n < release.manifest.chunks else None

    def _unknown(self, now):
        """A release that a neighbour offers and we don't hold: (rid, row), or None. Who has the
        fewest faults comes first, then whom we know longest: a crowd of newcomers can't push
        itself before an old neighbour. One at a time: no crowd can keep all downloads busy with
        nothing. None while too many signatures were bad of late."""
        best = None
        if not self._strange or self._bad_until - now > (CHECKS - 1) * CHECK_US:
            return None
        for s in self.slots:
            if s.what in ("manifest", "signatures"):
                return None
        self._strange = False
        for i in range(len(self._rows)):
            row = self._rows[i]
            for rid in row.offers:
                if self._store.get(rid) is None:
                    self._strange = True
                    if row.wait_until > now or not row.tftp_port or self._busy(i):
                        break
                    if best is None or (row.faults, row.since) < best[2]:
                        best = rid, i, (row.faults, row.since)
                    break
        return best

    def starved(self):
        """Is a release wanted of which nothing is being fetched?"""
        for r in self._store.releases:
            if not r.complete and self._store.wanted(r) and not self._working(r.rid):
                return True
        return False

    def _working(self, rid):
        for s in self.slots:
            if s.what is not None and s.rid == rid:
                return True
        return False

    def _busy(self, row):
        for s in self.slots:
            if s.what is not None and s.row == row and s.get.state == RUNNING:
                return True
        return False

    def _source(self, rid, n, now):
        """Row to get part n from, or -1: the fastest, idle ones and those without faults first."""
        best = -1
        best_cost = 0
        for i in range(len(self._rows)):
            row = self._rows[i]
            if row.peer is None or row.wait_until > now or not row.tftp_port:
                continue
            held = row.offers.get(rid, -1)
            if held <= (0 if n == "index" else n):
                continue
            pace_ms = row.pace_ms or PACE_MS
            cost = (pace_ms + self._rand(pace_ms + 1)) * (1 + row.faults + self._busy(i) * 4)
            if best < 0 or cost < best_cost:
                best, best_cost = i, cost
        return best

    def _start(self, slot, rid, what, row, now):
        slot.rid = rid
        slot.what = what
        slot.row = row
        slot.peer = self._rows[row].peer
        slot.check_at = now + PATIENCE_US
        if what == "manifest":
            limit = MANIFEST_BYTES
        elif what == "signatures":
            limit = SIGNATURES_BYTES
        elif what == "index":
            limit = 32 * self._store.get(rid).manifest.chunks
        else:
            limit = self._store.get(rid).manifest.chunk_size
        name = "1/%s/%s" % (to_hex(rid), what)
        slot.get.start(slot.peer, self._rows[row].tftp_port, name.encode(), limit, now)

    # --- what came of it

    def _finish(self, slot, now):
        """False if the slot is not free yet."""
        what = slot.what
        get = slot.get
        if get.state == FAILED:
            why, lie = get.reason, False
        else:
            if isinstance(what, int) and what != self._held(slot.rid):
                if self._held(slot.rid) is not None and what > self._held(slot.rid):
                    return False  # an earlier chunk is still on its way: keep it in the buffer
                why, lie = None, False  # somebody else was faster
            else:
                why = self._take(slot, get.view[: get.length], now)
                lie = True
            if why == "":
                self._start(slot, slot.rid, "signatures", slot.row, now)
                return False
        slot.what = None
        slot.manifest = None
        get.stop()
        row = self._rows[slot.row]
        if row.peer != slot.peer:
            pass
        elif why is None:
            if isinstance(what, int):
                self._last = slot
                self._probe_us = max(PROBE_US, get.took_us * 2)
                self._probe_at = None
            row.praise(get.took_us if isinstance(what, int) else 0, get.length)
        elif isinstance(what, int) and row.offers.get(slot.rid, 0) <= what:
            pass  # a probe: not there yet
        elif why == "busy":
            row.wait_until = now + BUSY_US + self._rand(BUSY_US)
        elif lie and not why.startswith("store:"):
            self._refuse(row, slot.rid, what, why, now)
        else:
            if what in ("manifest", "signatures") and why[:7] in ("refused", "store: "):
                row.offers.pop(slot.rid, None)  # it has it no more, or we want it no more
            self._log.debug("fetch of %s %s: %s" % (to_hex(slot.rid[:4]), what, why))
            if row.wait_until <= now:
                row.blame(now, STALL_S, STALL_MOST_S)
        return True

    def _held(self, rid):
        release = self._store.get(rid)
        return release.held if release is not None and release.indexed else None

    def _take(self, slot, view, now):
        """None when it was good, "" when the signatures come next, else why it is refused."""
        store = self._store
        if slot.what == "manifest":
            slot.manifest = bytes(view)
            return "" if sha256(slot.manifest) == slot.rid else "manifest: digest is not the id"
        if slot.what == "signatures":
            digest = sha256(slot.manifest + bytes(view))
            if digest in self._bad:
                return "signatures: refused before"
            release, why = store.add(slot.manifest, bytes(view))
            if release is not None:
                self.news = True
                self._log.info("verified release %s" % release.name())
                if release.manifest.payload == "keys":
                    self._forgive()
            elif why.startswith("signatures:"):
                self._bad = self._bad[1:] + [digest]
                self._bad_until = max(self._bad_until, now) + CHECK_US
            return why
        release = store.get(slot.rid)
        if release is None:
            return None
        if slot.what == "index":
            why = store.put_index(release, view)
        else:
            why = store.put_chunk(release, slot.what, view)
        if why is None:
            self.news = True
            if release.complete:
                self._log.info("have all of release %s" % release.name())
        return why

    def _forgive(self):
        """The keys have changed, so what was refused may be good now."""
        self._refused = [None] * REFUSED
        self._bad = [None] * BAD
        for row in self._rows:
            row.wait_until = 0

    def _refuse(self, row, rid, what, why, now):
        self.refusals += 1
        self._refused[self._refused_at] = (row.peer, rid)
        self._refused_at = (self._refused_at + 1) % REFUSED
        row.offers.pop(rid, None)
        row.blame(now, LIE_S, LIE_MOST_S)
        self._log.warn(
            "refused %s of %s from %s: %s" % (what, to_hex(rid[:4]), to_hex(row.peer[:16]), why)
        )

    def next_at(self):
        """Counter at which a download wants to be woken, or None."""
        soonest = 0 if self.look else self._look_at
        for s in self.slots:
            if s.get.state == RUNNING:
                soonest = _sooner(soonest, min(s.get.next_at, s.check_at))
        return soonest
