"""The network side of a node: the machines wired together, still without a socket.

The shell (netd, a simulator, a test) feeds datagrams and time in and carries out what is sent.
"""

from swdist.formats.bits import sooner
from swdist.machines.fetch import Fetch
from swdist.machines.neighbours import Neighbours
from swdist.machines.relay import Relay
from swdist.trust import choose
from swdist.wiring.hearing import Hearing
from swdist.wiring.speech import Speech

SAVE_TIME_US = 3600000000  # between two writes of the time: to spare the flash
SCRUB_US = 120000000  # between two pieces that are read again: a megabyte in some hours


class Node:
    """send(view, n) broadcasts on all interfaces. gets: the downloads; store: releases held;
    clock: the mesh clock; factory: what the image brings (choose.factory). hearing: what comes in;
    speech: what goes out; active: (id, version, revision, experimental?) of what runs here."""

    def __init__(self, network, nonce, factory, store, clock, gets, send, rand, log, beacon_us=0):
        self.network = network
        self.nonce = nonce
        self.factory = factory
        self.store = store
        self.clock = clock
        self.log = log
        self.neighbours = Neighbours()
        self.relay = Relay(self.neighbours, rand)
        self.fetch = Fetch(gets, self.neighbours, store, rand, log)
        self.hearing = Hearing(self, rand)
        self.speech = Speech(self, send, rand, beacon_us)
        self.active = (factory.rid, factory.manifest.version, 0, False)
        self.on_hold = False
        self.tftp_port = 0
        self.rollcall = None  # commands/rollcall, if that package is there
        self.next_at = None

    def start(self, now, wall_us, tftp_port):
        """wall_us: what the system's clock says."""
        self.clock.start(now, wall_us)
        self._floor(now, None)
        self.tftp_port = tftp_port
        self._scrub_at = now + SCRUB_US
        self._save_at = now + SAVE_TIME_US
        self.relay.wake(now)
        self.speech.start(now)
        self.next_at = now

    def set_active(self, now, rid, version, revision, experimental, failed, on_hold, lot):
        """The switch side says what runs here; its message has all the rest (ipc.pack_active)."""
        self.active = (rid, version, revision, experimental)
        self.on_hold = on_hold
        store = self.store
        here = store.room.here
        store.needs.hear(failed, lot)
        now_s = self.clock.mesh_us(now) // 1000000
        store.collect(choose.pinned(store.releases, rid, now_s, here, self.factory, store.ready))
        self.fetch.wake()

    # --- the turn

    def turn(self, serve, shell, now):
        """What netd and the simulator do in turn: (has something changed?, when the next one is).
        serve: the TFTP server; shell: .tell_switch(now), .close_idle() and .save_time(now)."""
        news = self.tick(now)
        if news:
            shell.tell_switch(now)
        serve.tick(now)
        shell.close_idle()
        if now >= self._save_at:
            self._save_at = now + SAVE_TIME_US
            shell.save_time(now)
        return news, sooner(min(self.next_at, self._save_at), serve.next_at)

    def tick(self, now):
        """Does what is due, also what datagrams have brought since the last time. True when the
        store or the time has news for the switch side."""
        news = self.fetch.tick(now)
        if news:  # before anything is said, so that it says what is held now
            self.news(now)
        if now >= self.relay.next_at:
            self._relay(now)
        clock = self.clock
        if clock.next_at is not None and now >= clock.next_at:
            clock.tick(now)
            news = True
        self.speech.tick(now)
        if now >= self._scrub_at:  # which is worth no waking of its own: a beacon is never far
            self._scrub_at = now + SCRUB_US
            self.store.scrub()
            self.fetch.suspicion.forgive()  # what a neighbour had wrong it may have mended so, too
        at = min(self.speech.next_at(), self.relay.next_at)
        self.next_at = max(sooner(sooner(at, clock.next_at), self.fetch.next_at()), now)
        return news

    def news(self, now):
        """The store has changed: tell the neighbours, and never be earlier than what is signed: a
        release from the future says that our clock is behind (docs/decisions/0018-signed-at.md)."""
        if self.speech.news(now):
            self.relay.wake(now)
        sure = self.clock.synced and self.speech.fresh(now)
        self._floor(now, self.clock.mesh_us(now) // 1000000 if sure else None)
        self.clock.heal(self.store.catalogue.new_word_s() * 1000000, now)

    def _floor(self, now, sure_s):
        self.clock.floor(self.store.newest_signed_at_s(sure_s) * 1000000, now)

    def _relay(self, now):
        """Whom to help, and who should help us, may have changed."""
        needs = self.store.needs
        offered = self.fetch.sources.offered
        needs.relay(self.relay.tick(now, needs.lines(), needs.plan().own, offered))
        self.fetch.wake()
        self.speech.wishes_changed(now)

    def pending(self, now):
        """(the release that comes next here, seconds until then), or None. It may be incomplete."""
        if self.on_hold:
            return None
        now_s = self.clock.mesh_us(now) // 1000000
        store = self.store
        found = choose.coming(
            store.releases, now_s, self.active[0], store.room.here, self.factory, store.room.failed
        )
        return found and (found[0], found[1] - now_s)
