"""What came of a download: what of it is kept, and what its neighbour has earned
(docs/protocol.md, section 6.4).

What is wrong costs the neighbour that it came from, never the release or payload, which another
may have. What is nobody's fault, or ours, costs nobody anything.
"""

from swdist.crypto.ucryptolib import sha256
from swdist.formats.bits import to_hex
from swdist.machines.download import INDEX, MANIFEST, RUN, SIGNATURES
from swdist.machines.tftpget import BUSY, DONE, REFUSED, RUNNING

# The code of an outcome: the state in which the transfer has ended, or
OURS = 6  # our disk or our quota, or we want it no more
LIE = 7  # what came is not what its digest, its signatures or its form say

# A first wrong answer may be a bit that flipped in the neighbour's flash: it is asked again soon,
# but for that thing. Who goes on lying costs one transfer an hour.
LIE_S = 30  # what a neighbour waits after a first wrong answer; doubled each time up to
LIE_MOST_S = 3600
STALL_S = 1  # after a stall, which may be nobody's fault: on a lossy link all stall now and then
STALL_MOST_S = 16
SMALL_US = 3600000000  # so long no large blocks are asked for where none came through
# Before a busy neighbour is asked again, and up to that much more: who were turned away together
# shall not come back together.
BUSY_US = 60000


class Outcomes:
    """refusals: how many lies there were."""

    def __init__(self, rows, store, suspicion, agenda, rand, log):
        self.refusals = 0
        self._rows = rows
        self._store = store
        self._suspicion = suspicion
        self._agenda = agenda
        self._rand = rand
        self._log = log

    def take(self, slot, now):
        """Takes what has come: (has the download ended?, was a release or a piece added?)."""
        get = slot.get
        if slot.what == RUN:
            return self._take_run(slot, now)
        if get.state > DONE:
            return self._end(slot, get.state, get.reason, now), False
        if get.state < DONE:
            return False, False
        what = slot.what
        why = self._take_whole(slot, bytes(get.view[: get.length]), now)
        if what == MANIFEST and why is None and slot.row.peer == slot.peer:
            slot.begin(SIGNATURES, slot.id, slot.row, now)
            return False, False
        code, why = _coded(why)
        return self._end(slot, code, why, now), code == DONE and what != MANIFEST

    def _take_whole(self, slot, data, now):
        """None when it was good, else why it is refused, as Store says it."""
        store = self._store
        if slot.what == INDEX:
            return store.put_index(slot.id, data)
        if slot.what == MANIFEST:
            slot.manifest = data
            return store.catalogue.weigh(slot.id, data)
        digest = sha256(slot.manifest + data)
        if self._suspicion.is_bad(digest):
            return False, "signatures: refused before"
        release, why = store.add(slot.manifest, data)
        if release is not None:
            self._log.info("verified release %s" % release.name())
            if release.manifest.is_keys:
                self._forgive()
            return None
        self._suspicion.charge(now)
        if not why[0]:
            self._suspicion.was_bad(digest)
        return why

    def _forgive(self):
        """The keys have changed, so what was refused may be good now."""
        self._suspicion.forgive()
        for row in self._rows:
            row.forgive()

    def _take_run(self, slot, now):
        """Keeps the pieces that are whole, while the rest is on its way, or where it broke off."""
        get = slot.get
        h = self._store.held(slot.id)
        if h is not None and slot.next > h.held and get.state == DONE:
            if self._agenda.comes(h):
                return False, False  # what is before it: this stays in the buffer until then
            # What was held before it is not held any more, and all downloads wait for it.
            return self._end(slot, DONE, None, now), False
        added = False
        why = None
        more = True
        while more and why is None:
            more, why = slot.keep(self._store)
            added = added or more
        code, why = (get.state, get.reason) if why is None else _coded(why)
        if code == RUNNING:
            return False, added
        if code == DONE and slot.next <= slot.last and slot.at < get.length:
            code, why = LIE, "a run ends within a piece"
        elif code == DONE and slot.next == slot.first and not get.length:
            code, why = LIE, "an empty run"
        return self._end(slot, code, why, now), added

    def _end(self, slot, code, why, now):
        """Frees the slot, and gives its neighbour what it has earned. why: for people. True."""
        if slot.row.peer == slot.peer:  # else who was asked has no place any more
            self._earned(slot, code, why, now)
        slot.free()
        return True

    def _earned(self, slot, code, why, now):
        row, get = slot.row, slot.get
        run = slot.what == RUN
        if code == DONE:
            if run:
                self._agenda.gave(slot)
            row.praise(get.took_us if run else 0, get.length, slot.port)
            if get.small_blocks and row.small_until <= now:
                row.small_until = now + SMALL_US
        elif code < OURS and run and slot.probe and row.pieces.get(slot.id, 0) <= slot.next:
            pass  # it has never said that it is there
        elif code in (BUSY, REFUSED, OURS):
            # It has it no more, or never said so itself, or we want it no more: no fault of its.
            if code != BUSY:
                row.forget(slot.id)
            # A release may have been offered in its name, and the next one be its own.
            if slot.what != MANIFEST or code != REFUSED:
                row.wait_until = now + BUSY_US + self._rand(BUSY_US)
        elif code == LIE:
            self.refuse(row, slot.id, slot.text(), why, now)
        else:
            self._log.debug("fetch of %s: %s" % (slot.text(), why))
            if row.wait_until <= now:  # two downloads that stall together are one fault
                row.blame(now, STALL_S, STALL_MOST_S)

    def refuse(self, row, key, text, why, now):
        self.refusals += 1
        self._suspicion.refuse(row.peer, key)
        row.forget(key)
        row.blame(now, LIE_S, LIE_MOST_S)
        words = (text, to_hex(row.peer[:16]), why)
        self._log.warn("refused %s from %s: %s" % words)


def _coded(why):
    """(code, text) of what Store says."""
    if why is None:
        return DONE, None
    return OURS if why[0] else LIE, why[1]
