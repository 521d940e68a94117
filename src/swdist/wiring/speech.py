"""What a node says, and when: beacons, announcements and queries (docs/protocol.md, sections 3
and 7)."""

from struct import unpack_from

from swdist.formats import datagram
from swdist.machines import announce
from swdist.machines.neighbours import MAX_PAYLOADS

# Section 7, rule 4. The last one bounds how long a lost announcement can keep two sets apart.
QUERY_FIRST_US = 1000000
QUERY_LAST_US = 64000000
# Drawn by who hears of another set: all its neighbours do at once, and one query answers them all.
QUERY_SOON_US = 300000
# Section 7, rule 1. Rates settle within the first hour (docs/decisions/0003-clock.md); from then on
# a quarter of the beacons tells as much.
BOOT_US = 3600000000
BEACON_BOOT_US = 4000000
BEACON_US = 16000000
FRESH_BEACONS = 6  # a neighbour silent for so many periods is not fresh: some are always lost


class Speech:
    """node: who says it. beacon_us: 0 for dense beacons after start, then sparse ones. digest: as
    it is said in beacons, the first 4 bytes of the set digest as a number."""

    def __init__(self, node, send, rand, beacon_us):
        self._node = node
        self._send = send
        self._rand = rand
        self._beacon_us = beacon_us
        self.writer = datagram.Writer(node.network, node.nonce, rand)
        self.announce = announce.Announce(rand)
        self.digest = 0
        self._steps = None  # of the clock, that are known of
        self._wants = {}  # {payload id: flags} as they were said last

    def start(self, now):
        self._beacon_at = now + self._rand(500000)  # a street's power comes back at once
        self._query_at = self._asked_at = now
        self._query_gap = QUERY_FIRST_US
        self.set_changed()
        self.announce.start(now)
        self._query()

    def period_us(self, now):
        """Between two beacons."""
        steps = self._node.clock.stepped
        if steps != self._steps:  # rates and offsets are to be found anew
            self._steps = steps
            self._dense_until = now + BOOT_US
        if self._beacon_us:
            return self._beacon_us
        return BEACON_BOOT_US if now < self._dense_until else BEACON_US

    def fresh(self, now):
        """How many neighbours were heard of late."""
        return self._node.neighbours.fresh(now, FRESH_BEACONS * self.period_us(now))

    def set_changed(self):
        """True if our set of releases is not that of the last time."""
        was = self.digest
        self.digest = unpack_from("!I", self._node.store.catalogue.digest())[0]
        return was != self.digest

    def news(self, now):
        """The store has changed: tell the neighbours. True if the set of releases has."""
        self._query_by(now + QUERY_FIRST_US)
        new = self.set_changed()
        self.announce.news(now, new)
        return new

    def unlike(self, now):
        """A neighbour has another set: tell it, and ask it."""
        self.announce.query(now)
        self._query_by(now + self._rand(QUERY_SOON_US))

    def wishes_changed(self, now):
        """Perhaps: what we want, or who may have it, has."""
        if self._wishes() != self._wants:
            self.announce.inconsistent(now)

    def tick(self, now):
        """Says what is due."""
        if now >= self._beacon_at:
            self._beacon(now)
        self.announce.tick(now, self._announce)
        if now >= self._query_at:
            self._ask(now)

    def next_at(self):
        return min(self._beacon_at, self.announce.next_at, self._query_at)

    def _announce(self):
        node = self._node
        wants = self._wants = self._wishes()
        return announce.say(self._send, self.writer, node.store, node.tftp_port, wants)

    def _wishes(self):
        """{payload id: flags} of what we lack and want. A helper of others is starved only after
        it has looked for a source for a while."""
        node = self._node
        needs = node.store.needs
        plan = needs.plan()
        wants = {}
        for pid in needs.wanted()[:MAX_PAYLOADS]:
            wants[pid] = datagram.WANTED
            alone = not node.fetch.sources.offered(pid)
            if alone and (pid in plan.own or node.relay.starved(pid)):
                wants[pid] |= datagram.STARVED
        return wants

    # --- queries

    def _query_by(self, at):
        """But not within a second of the last one: who makes up neighbours, each with another set,
        would have us ask as often as it likes, and all others answer."""
        self._query_gap = QUERY_FIRST_US
        self._query_at = min(self._query_at, max(at, self._asked_at + QUERY_FIRST_US))

    def _query(self):
        self.writer.query()
        self._send(self.writer.buf, self.writer.n)

    def _ask(self, now):
        """Queries, ever more rarely, while a neighbour's set is unlike ours, or something is
        missing and nothing is on its way: an announcement may have been lost."""
        fetch = self._node.fetch
        ask = fetch.starved()
        for row in self._node.neighbours.rows:  # 0: it has not said yet what it holds
            if row.digest not in (0, self.digest):
                ask = True
        if ask:
            fetch.wake()
            self._asked_at = now
            self._query()
            if self._wants and now - self.announce.said_at >= QUERY_FIRST_US:
                self.announce.again(now)  # what we want is remembered for a while only
        self._query_at = now + self._query_gap + self._rand(self._query_gap // 4)
        self._query_gap = min(self._query_gap * 2, QUERY_LAST_US)

    # --- beacons

    def _beacon(self, now):
        node = self._node
        clock = node.clock
        period = clock.beacon_us = self.period_us(now)
        # Each +-10 %: two nodes that began together would else speak into each other for ever.
        self._beacon_at = now + period * 9 // 10 + self._rand(period // 5)
        w = self.writer
        _, version, revision, experimental = node.active
        state = datagram.SYNCED if clock.synced else 0
        state |= datagram.ACTIVE_EXPERIMENTAL if experimental else 0
        state |= datagram.FAILED if node.store.room.failed else 0
        state |= datagram.HELD if node.on_hold else 0
        w.beacon(
            now, clock.offset_at(now), clock.error_us, clock.rate_ppb, version, revision, state,
            node.tftp_port, self.digest,
        )  # fmt: skip
        for i, row in enumerate(node.neighbours.rows):
            if now - row.heard_at < FRESH_BEACONS * period:
                echo = clock.echo_of(i, now)
                if echo is not None:
                    w.echo(row.nonce, echo[0], echo[1])
        pending = node.pending(now)
        if pending is not None:
            m, seconds = pending[0].manifest, pending[1]
            p = node.store.room.here.payload(m)
            percent = 100 if p is None else node.store.percent(p.pid)
            w.pending(m.version, m.revision, seconds, percent)
        if node.rollcall:
            node.rollcall.say(node, w, clock.mesh_us(now) // 1000000)
        w.grease()  # so that who can't skip what it does not know fails today
        self._send(w.buf, w.n)
