"""The network side of a node: the machines wired together, still without a socket.

The shell (netd, a simulator, a test) feeds datagrams and time in and carries out what is sent.
"""

from struct import unpack_from

from swdist.formats import datagram
from swdist.formats.bits import to_hex
from swdist.machines import announce
from swdist.machines.fetch import Fetch
from swdist.machines.neighbours import MAX_NEIGHBOURS, MAX_OFFERS, MAX_PAYLOADS, TWICE, Neighbours
from swdist.machines.relay import WANT_US, Relay
from swdist.trust import choose
from swdist.wiring import status

RESET_GAP_US = 5000000  # one neighbour's news resets Trickle at most that often
QUERY_FIRST_US = 1000000
QUERY_LAST_US = 64000000
BOOT_US = 3600000000  # beacons are dense for so long after start or a step of the clock
BEACON_BOOT_US = 4000000
BEACON_US = 16000000
RELAY_US = 5000000  # at least so often it is looked whether a neighbour is to be helped
FRESH_BEACONS = 6  # a neighbour silent for so many periods is not fresh


class Node:
    """send(view, n) broadcasts on all interfaces. gets: the downloads; store: releases held;
    clock: the mesh clock; active: what runs here (a choose.factory at first)."""

    def __init__(self, network, nonce, active, store, clock, gets, send, rand, log):
        self.network = network
        self.nonce = nonce
        self.factory = active
        self.store = store
        self.clock = clock
        self.log = log
        self._twice_said = False
        self.neighbours = Neighbours()
        self.writer = datagram.Writer(network, nonce, rand)
        self.announce = announce.Announce(rand)
        self.relay = Relay(self.neighbours, rand)
        self.fetch = Fetch(gets, self.neighbours, store, rand, log)
        self.active = (active.rid, active.manifest.version, 0, False)
        self.failed = []
        self.on_hold = False
        self._wants = {}  # {payload id: flags} as they were said last
        self._relay_at = self._relayed_at = 0
        self.tftp_port = 0
        self.rollcall = None  # commands/rollcall, if that package is there
        self.beacon_us = 0  # 0: dense after start, then sparse
        self.rejects = [0, 0, 0, 0, 0]  # by -REJECT_*; the last: no room for the neighbour
        self._send = send
        self._rand = rand
        self._digest = 0
        self._dense_until = 0
        self._steps = 0
        self.next_at = None

    def start(self, now, tftp_port):
        self.tftp_port = tftp_port
        self._dense_until = now + BOOT_US
        self._beacon_at = now + self._rand(500000)
        self._query_at = now
        self._query_gap = QUERY_FIRST_US
        self._relay_at = now
        self.clock.beacon_us = self.period_us(now)
        self.announce.start(now)
        self._digest_changed()
        self.writer.query()
        self._send(self.writer.buf, self.writer.n)
        self.next_at = now

    # --- what comes in

    def receive(self, peer, port, buf, n, now):
        """A datagram of the link protocol. 0, or REJECT_*."""
        what = datagram.kind(buf, n, self.network)
        if what > 0:
            (nonce,) = unpack_from("!Q", buf, datagram.HEADER_BYTES)
            if nonce == self.nonce:
                return 0  # our own, come back over a bridge
            if what == datagram.QUERY:
                self.announce.query(now)
            else:
                row = self._row(peer, nonce, now)
                if row < 0:
                    what = -4
                elif what == datagram.BEACON:
                    self._beacon(row, buf, n, now)
                else:
                    self._announced(row, buf, n, now)
        if what < 0:
            self.rejects[-what] += 1
            return what
        self.next_at = now
        return 0

    def _row(self, peer, nonce, now):
        row = self.neighbours.find(peer)
        if row < 0:
            row = self.neighbours.place(peer, now, self._rand)
            if row < 0:
                return -1
        neighbour = self.neighbours.rows[row]
        neighbour.heard_at = now
        if neighbour.replaces(peer, nonce):
            self.clock.drop(row)
            known = neighbour.peer == peer  # a new nonce clears no guilt
            faults, wait_until = neighbour.faults, neighbour.wait_until
            neighbour.take(peer, nonce, now)
            if known:
                neighbour.faults, neighbour.wait_until = faults, wait_until
            neighbour.reset_at = now - RESET_GAP_US
        if neighbour.twice >= TWICE and not self._twice_said:
            self._twice_said = True
            self.log.warn("%s is the address of several nodes" % to_hex(peer[:16]))
        return row

    def _news_from(self, neighbour, digest, now):
        """Its set digest, 4 bytes as a number. Unlike ours and new: tell it, and ask it."""
        if digest == self._digest:
            neighbour.digest = digest
        elif digest != neighbour.digest and now - neighbour.reset_at >= RESET_GAP_US:
            neighbour.digest = digest
            neighbour.reset_at = now
            self.announce.query(now)
            self._query_gap = QUERY_FIRST_US
            self._query_at = min(self._query_at, now + self._rand(300000))

    def _beacon(self, row, buf, n, now):
        f = unpack_from(datagram.BEACON_FORM, buf, datagram.HEADER_BYTES)
        neighbour = self.neighbours.rows[row]
        neighbour.version = f[5:8]
        neighbour.revision = f[8]
        neighbour.state = f[9]
        neighbour.serves_at(f[11])
        synced, anchor = f[9] & datagram.SYNCED != 0, f[9] & datagram.REFERENCE != 0
        mine = f[0] == neighbour.nonce  # else it may be another's, in its name
        if mine:
            self.clock.sample(row, f[0], f[1], now, f[2], synced, now, f[4], anchor)
        self._news_from(neighbour, f[12], now)
        at = datagram.first_tlv(buf)
        while at < n:
            if buf[at] == datagram.TLV_ECHO:
                nonce, sample, rx_counter = unpack_from(datagram.ECHO_FORM, buf, at + 3)
                if mine and nonce == self.nonce:
                    self.clock.echo(row, sample, rx_counter, now)
            elif buf[at] == datagram.TLV_CENSUS and self.rollcall:
                neighbour.node = bytes(buf[at + 7 : at + 11])
                size = datagram.next_tlv(buf, at) - at - 3
                self.rollcall.take(buf, at + 3, size, self.clock.mesh_us(now) // 1000000)
            at = datagram.next_tlv(buf, at)

    def _announced(self, row, buf, n, now):
        _, digest, _, port = unpack_from(datagram.ANNOUNCE_FORM, buf, datagram.HEADER_BYTES)
        neighbour = self.neighbours.rows[row]
        neighbour.serves_at(port)
        same = digest == self.store.digest()
        self._news_from(neighbour, unpack_from("!I", digest)[0], now)
        behind_keys = False
        at = datagram.first_tlv(buf)
        while at < n:
            if buf[at] == datagram.TLV_RELEASE and not behind_keys:
                f = unpack_from(datagram.RELEASE_FORM, buf, at + 3)
                # Keys may be needed for all that comes behind.
                behind_keys = self._offered(row, f[0], f[1:4], f[4]) and f[1:3] == (0, 0)
            elif buf[at] == datagram.TLV_PAYLOAD:
                pid, flags, _, total, held = unpack_from(datagram.PAYLOAD_FORM, buf, at + 3)
                same = self._holds(row, pid, flags, total, held, now) and same
            at = datagram.next_tlv(buf, at)
        if same:
            self.announce.consistent()

    def _offered(self, row, rid, version, revision):
        """True if it is a release that we don't hold, and will ask for."""
        if self.store.get(rid) is not None:
            return False
        if self.store.catalogue.unwanted(version, revision, rid) is not None:
            return False  # the neighbour will learn of a better one from us
        keys = version[:2] == (0, 0)
        if not self.fetch.offer(row, rid, MAX_OFFERS + keys):
            return False
        if keys:
            self.neighbours.rows[row].offers[:] = [rid]  # all else may need them, and comes later
        return True

    def _holds(self, row, pid, flags, total, held, now):
        """A neighbour says what it has of a payload, and whether it wants more. False if it wants
        some that we have."""
        # Of what is not known here too: the manifest that names it may be on its way.
        wants = self.neighbours.rows[row].wants
        if len(wants) >= MAX_PAYLOADS:
            for old in [p for p in wants if now - wants[p][1] >= WANT_US]:
                del wants[old]
        if not flags & datagram.WANTED:
            wants.pop(pid, None)
        elif pid in wants or len(wants) < MAX_PAYLOADS:
            if pid not in wants or wants[pid][0] != bool(flags & datagram.STARVED):
                self._relay_at = now
            wants[pid] = (bool(flags & datagram.STARVED), now)
        h = self.store.held(pid)
        ours = h.held if h is not None else -1
        if total and (h is None or not h.complete()):
            self.fetch.has(row, pid, held, ours, MAX_PAYLOADS)
        return not flags & datagram.WANTED or held >= ours

    def set_active(self, now, rid, version, revision, experimental, failed, on_hold, lot):
        """The switch side says what runs here; its message has all the rest (ipc.pack_active)."""
        self.active = (rid, version, revision, experimental)
        self.failed = failed
        self.on_hold = on_hold
        store = self.store
        store.room.failed = failed
        here = store.room.here
        if here.lot != lot:
            here.lot = lot
            store.replan()
        now_s = self.clock.mesh_us(now) // 1000000
        store.collect(choose.pinned(store.releases, rid, now_s, here, self.factory, store.ready))
        self.fetch.wake()

    # --- what goes out

    def tick(self, now):
        """Does what is due. True when the store or the time has news for the switch side."""
        news = self.fetch.tick(now)
        if news:
            self.news(now)
        if now >= self._relay_at:
            self._relay(now)
        if self.clock.next_at is not None and now >= self.clock.next_at:
            self.clock.tick(now)
            news = True
            if self.clock.stepped != self._steps:
                self._steps = self.clock.stepped
                self._dense_until = now + BOOT_US
        if now >= self._beacon_at:
            self._send_beacon(now)
        self.announce.tick(now, self._announce)
        if now >= self._query_at:
            self._ask(now)
        at = min(self._beacon_at, self.announce.next_at, self._query_at, self._relay_at)
        for other in (self.clock.next_at, self.fetch.next_at()):
            if other is not None and other < at:
                at = other
        self.next_at = max(at, now)
        return news

    def news(self, now):
        """The store has changed: tell the neighbours, and never be earlier than what is signed."""
        self._query_gap = QUERY_FIRST_US
        self._query_at = min(self._query_at, now + QUERY_FIRST_US)
        was = self._digest
        self._digest_changed()
        if was != self._digest:
            self._relay_at = now
        self.announce.news(now, was != self._digest)
        sure = self.clock.synced and self.neighbours.fresh(now, 6 * self.period_us(now))
        sure_s = self.clock.mesh_us(now) // 1000000 if sure else None
        self.clock.floor(self.store.newest_signed_at_s(sure_s) * 1000000, now)
        self.clock.heal(self.store.new_word_s() * 1000000, now)

    def _announce(self):
        wants = self._wants = self._wishes()
        failed = self.failed
        return announce.say(self._send, self.writer, self.store, self.tftp_port, failed, wants)

    def _wishes(self):
        """{payload id: flags} of what we lack and want. A helper of others is starved only after
        it has looked for a source for a while."""
        plan = self.store.plan()
        wants = {}
        for pid in self.store.wanted()[:MAX_PAYLOADS]:
            wants[pid] = datagram.WANTED
            alone = not self.fetch.offered(pid)
            if alone and (pid in plan.own or self.relay.starved(pid, self._relayed_at)):
                wants[pid] |= datagram.STARVED
        return wants

    def _relay(self, now):
        """Whom to help, and who should help us, may have changed."""
        store = self.store
        own = store.plan().own
        self._relayed_at = now
        store.relay(self.relay.tick(now, store.lines(), own, self.fetch.offered))
        self.fetch.wake()
        self._relay_at = now + RELAY_US
        if self.relay.next_at is not None:
            self._relay_at = min(self._relay_at, self.relay.next_at)
        if self._wishes() != self._wants:
            self.announce.inconsistent(now)

    def _digest_changed(self):
        self._digest = unpack_from("!I", self.store.digest())[0]

    def _ask(self, now):
        """Queries, ever more rarely, while a neighbour's set is unlike ours, or something is
        missing and nothing is on its way: an announcement may have been lost."""
        ask = self.fetch.starved()
        for row in self.neighbours.rows:
            if row.peer is not None and row.digest not in (0, self._digest):
                ask = True
        if ask:
            self.fetch.wake()
            self.writer.query()
            self._send(self.writer.buf, self.writer.n)
            if self._wants:
                self.announce.inconsistent(now)  # what we want is remembered for a while only
        self._query_at = now + self._query_gap + self._rand(self._query_gap // 4)
        self._query_gap = min(self._query_gap * 2, QUERY_LAST_US)

    def period_us(self, now):
        if self.beacon_us:
            return self.beacon_us
        return BEACON_BOOT_US if now < self._dense_until else BEACON_US

    def _send_beacon(self, now):
        period = self.clock.beacon_us = self.period_us(now)
        self._beacon_at = now + period * 9 // 10 + self._rand(period // 5)
        w = self.writer
        clock = self.clock
        state = datagram.SYNCED if clock.synced else 0
        state |= datagram.ACTIVE_EXPERIMENTAL if self.active[3] else 0
        state |= datagram.FAILED if self.failed else 0
        state |= datagram.HELD if self.on_hold else 0
        w.beacon(
            now, clock.offset_at(now), clock.error_us, clock.rate_ppb, self.active[1],
            self.active[2], state, self.tftp_port, self._digest,
        )  # fmt: skip
        for i in range(MAX_NEIGHBOURS):
            row = self.neighbours.rows[i]
            if row.peer is not None and now - row.heard_at < FRESH_BEACONS * period:
                echo = clock.echo_of(i, now)
                if echo is not None:
                    w.echo(row.nonce, echo[0], echo[1])
        pending = self.pending(now)
        if pending is not None:
            r, seconds = pending
            m = r.manifest
            w.pending(m.version, m.revision, seconds, self.percent(r))
        if self.rollcall:
            self.rollcall.say(self, w, clock.mesh_us(now) // 1000000)
        w.grease()
        self._send(w.buf, w.n)

    def percent(self, release):
        """How much is held of what this node needs for it."""
        p = self.store.room.here.payload(release.manifest)
        h = self.store.held(p.pid) if p is not None else None
        if p is None or h is not None and h.complete():
            return 100
        return 0 if h is None else 100 * h.held // h.total

    def pending(self, now):
        """(the release that comes next here, seconds until then), or None. It may be incomplete."""
        if self.on_hold:
            return None
        now_s = self.clock.mesh_us(now) // 1000000
        store = self.store
        found = choose.coming(
            store.releases, now_s, self.active[0], store.room.here, self.factory, self.failed
        )
        return found and (found[0], found[1] - now_s)

    def status(self, now):
        """For people and tools: a dict that json can write."""
        return status.of_node(self, now)
