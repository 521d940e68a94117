"""Who is heard, and what they say: reads the datagrams of the link protocol (docs/protocol.md,
section 3), and tells the machines.

Nobody signs a datagram: whatever one says, in whose name ever, may cost its place in a table or
some time, and never what this node holds.
"""

from struct import unpack_from

from swdist.formats import datagram
from swdist.formats.bits import to_hex
from swdist.machines.neighbours import MAX_PAYLOADS, TWICE
from swdist.machines.relay import WANT_US

# Another set digest of one neighbour is news at most that often (section 7, rule 2): who says
# another with each datagram would else make all that hear it announce without end.
RESET_GAP_US = 5000000
_NO_ROOM = -4  # for the neighbour


class Hearing:
    """rejects: how many datagrams were refused, by -REJECT_*; the last: no room for the sender."""

    def __init__(self, node, rand):
        self._node = node
        self._rand = rand
        self._twice_said = False
        self.rejects = [0, 0, 0, 0, 0]

    def receive(self, peer, buf, n, now):
        """A datagram. 0, or REJECT_*. It may come while a release is checked (netd.meanwhile), so
        it starts nothing: what it brings is begun by the next tick."""
        node = self._node
        what = datagram.kind(buf, n, node.network)
        if what > 0:
            (nonce,) = unpack_from("!Q", buf, datagram.HEADER_BYTES)
            if nonce == node.nonce:
                return 0  # our own, come back over a bridge
            if what == datagram.QUERY:
                node.speech.announce.query(now)
                return 0
            i = self._row(peer, nonce, now)
            if i >= 0:
                said = self._beacon if what == datagram.BEACON else self._announcement
                said(i, buf, n, now)
                return 0
            what = _NO_ROOM
        self.rejects[-what] += 1
        return what

    def _row(self, peer, nonce, now):
        """The number of the sender's row, or -1."""
        neighbours = self._node.neighbours
        i = neighbours.find(peer)
        if i < 0:
            i = neighbours.place(peer, now, self._rand)
            if i < 0:
                return -1
        row = neighbours.rows[i]
        row.heard_at = now
        if row.replaces(peer, nonce):
            self._node.clock.drop(i)
            row.take(peer, nonce, now)
        if row.twice >= TWICE and not self._twice_said:
            self._twice_said = True
            self._node.log.warn("%s is the address of several nodes" % to_hex(peer[:16]))
        return i

    def _set(self, row, digest, now):
        """Its set digest, 4 bytes as a number. Unlike ours and new: tell it, and ask it."""
        if digest == self._node.speech.digest:
            row.digest = digest
        elif digest != row.digest and now >= row.news_at:
            row.digest = digest
            row.news_at = now + RESET_GAP_US
            self._node.speech.unlike(now)

    def _beacon(self, i, buf, n, now):
        node = self._node
        row = node.neighbours.rows[i]
        (
            nonce, counter, offset_us, _, rate_ppb, a, b, c, row.revision, row.state, _, port,
            digest,
        ) = unpack_from(datagram.BEACON_FORM, buf, datagram.HEADER_BYTES)  # fmt: skip
        row.version = a, b, c
        row.serves_at(port)
        synced, anchor = row.state & datagram.SYNCED != 0, row.state & datagram.REFERENCE != 0
        mine = nonce == row.nonce  # else it may be another's, in its name
        if mine:
            node.clock.sample(i, nonce, counter, now, offset_us, synced, now, rate_ppb, anchor)
        self._set(row, digest, now)
        at = datagram.first_tlv(buf)
        while at < n:
            if buf[at] == datagram.TLV_ECHO:
                nonce, sample, rx_counter = unpack_from(datagram.ECHO_FORM, buf, at + 3)
                if mine and nonce == node.nonce:
                    node.clock.echo(i, sample, rx_counter, now)
            elif buf[at] == datagram.TLV_CENSUS and node.rollcall:
                row.node = bytes(buf[at + 7 : at + 11])
                size = datagram.next_tlv(buf, at) - at - 3
                node.rollcall.take(buf, at + 3, size, node.clock.mesh_us(now) // 1000000)
            at = datagram.next_tlv(buf, at)

    def _announcement(self, i, buf, n, now):
        node = self._node
        _, digest, _, port = unpack_from(datagram.ANNOUNCE_FORM, buf, datagram.HEADER_BYTES)
        row = node.neighbours.rows[i]
        row.serves_at(port)
        same = digest == node.store.catalogue.digest()
        self._set(row, unpack_from("!I", digest)[0], now)
        behind_keys = False
        at = datagram.first_tlv(buf)
        while at < n:
            if buf[at] == datagram.TLV_RELEASE and not behind_keys:
                rid, a, b, c, revision, _, _ = unpack_from(datagram.RELEASE_FORM, buf, at + 3)
                keys = a == b == 0
                # Keys may be needed for all that comes behind.
                behind_keys = self._release(i, rid, (a, b, c), revision, keys) and keys
            elif buf[at] == datagram.TLV_PAYLOAD:
                pid, flags, _, total, held = unpack_from(datagram.PAYLOAD_FORM, buf, at + 3)
                same = self._payload(i, pid, flags, total, held, now) and same
            at = datagram.next_tlv(buf, at)
        if same:
            node.speech.announce.consistent()

    def _release(self, i, rid, version, revision, keys):
        """True if it is a release that we don't hold, and will ask for."""
        catalogue = self._node.store.catalogue
        if catalogue.get(rid) is not None:
            return False
        if catalogue.unwanted(version, revision, rid) is not None:
            return False  # the neighbour will learn of a better one from us
        return self._node.fetch.offer(i, rid, keys)

    def _payload(self, i, pid, flags, total, held, now):
        """A neighbour says what it has of a payload, and whether it wants more. False if it wants
        some that we have."""
        node = self._node
        # Of what is not known here too: the manifest that names it may be on its way. Old wishes
        # make room first, else who says 16 that nobody has could never say another.
        wants = node.neighbours.rows[i].wants
        if len(wants) >= MAX_PAYLOADS:
            for old in [p for p in wants if now - wants[p][1] >= WANT_US]:
                del wants[old]
        if not flags & datagram.WANTED:
            wants.pop(pid, None)
        elif pid in wants or len(wants) < MAX_PAYLOADS:
            starved = flags & datagram.STARVED != 0
            if pid not in wants or wants[pid][0] != starved:
                node.relay.wake(now)
            wants[pid] = starved, now
        h = node.store.held(pid)
        ours = h.held if h is not None else -1
        if total and (h is None or not h.complete()):
            node.fetch.has(i, pid, held, ours)
        return not flags & datagram.WANTED or held >= ours
