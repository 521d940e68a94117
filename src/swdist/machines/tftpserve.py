"""A bounded number of uploads: a TFTP server as a machine (docs/protocol.md, section 4). Here it is
decided who may have one; what an upload sends is its own matter (upload.py).

Each slot has a port of its own. Before a peer has acknowledged anything it may be a spoofed
address. Until then it gets at most AMPLIFY bytes for each byte that it sent, retransmissions
included. A request without options is owed a DATA packet of more than that (RFC 1350): who has
acknowledged a block since its last one gets it, and all others together get one a second
(docs/transfer.md, section 4).
"""

from swdist.formats import tftp
from swdist.formats.bits import sooner
from swdist.machines.upload import LONG_US, Upload

UPLOADS = 6  # slots of a node: BRISK of them that go well, and some for who is away or lies
AMPLIFY = 3
PER_PEER = 2  # slots that one neighbour may hold: as many as it has downloads
# Transfers at once that go well. More share the same air and are all late: with six the neighbours
# of a source had all fetched the same piece from it before one of them could pass it on
# (docs/decisions/0014-in-order.md).
BRISK = 3
# After that a slot that was never acknowledged can be taken by another: an honest client has asked
# again by then. Without it six forged requests would stop the server for STALL_US.
HALF_OPEN_US = 250000
IDLE_US = 1000000  # and one of which nothing more has arrived, which may be for ever
OWED_US = 1000000  # between two DATA 1 that go beyond AMPLIFY
MAX_ERRORS_PER_S = 20  # they answer who may be forged, too, and each costs a datagram


class Serve:
    """send(slot, peer, port, buf, n), where slot -1 is the well-known port;
    open(name) -> file with .size, .read_into, .close, or None."""

    def __init__(self, send, open_file, slots):
        self._send = send
        self._open = open_file
        out = bytearray(tftp.PACKET_BYTES)
        self._slots = [Upload(i, send, out) for i in range(slots)]
        self._error = bytearray(64)
        self._errors = 0
        self._errors_at = 0
        self._owed_at = 0  # when the next DATA 1 may go beyond AMPLIFY
        self.rejects = 0  # datagrams that were for nothing
        self.next_at = None  # no slot wants to be woken before

    def peers(self):
        """Who is given something now."""
        return [s.peer for s in self._slots if s.peer]

    def idle(self, slot):
        return self._slots[slot].file is None

    def request(self, peer, port, buf, n, now):
        """What comes on the well-known port. 0, or REJECT_*. buf is borrowed until return."""
        result = self._request(peer, port, buf, n, now)
        self.rejects += result < 0
        self._wake()
        return result

    def receive(self, i, peer, port, buf, n, now):
        """What comes on a slot's own port. 0, or REJECT_*. buf is borrowed until return."""
        s = self._slots[i]
        if s.file is None:
            result = tftp.REJECT_STALE
        elif port != s.port or peer != s.peer:
            if n == tftp.HEAD_BYTES and buf[1] == tftp.ACK:  # its slot is gone: ask again
                self._refuse(i, peer, port, tftp.E_UNDEFINED, tftp.BUSY, now)
            result = tftp.REJECT_STRANGER
        else:
            result = s.receive(buf, n, now)
            if s.file is None:
                self._wake()
            elif s.wake_at < self.next_at:
                # A later time is found out by tick: mostly the next ACK comes before.
                self.next_at = s.wake_at
        self.rejects += result < 0
        return result

    def tick(self, now):
        if self.next_at is None or now < self.next_at:
            return
        for s in self._slots:
            if s.file is not None and now >= s.wake_at:
                s.late(now)
        self._wake()

    def _wake(self):
        self.next_at = None
        for s in self._slots:
            if s.file is not None:
                self.next_at = sooner(self.next_at, s.wake_at)

    # --- who may have a slot

    def _request(self, peer, port, buf, n, now):
        words = tftp.request(buf, n)
        if words is None:
            return tftp.REJECT_MALFORMED
        op, name, options = words
        if op == tftp.ERROR:
            if AMPLIFY * n > tftp.HEAD_BYTES + len(options):
                self._refuse(-1, peer, port, name, options, now)
            return tftp.REJECT_MALFORMED
        if op == tftp.WRQ:
            return self._refuse(-1, peer, port, tftp.E_ACCESS, b"nobody writes here", now)
        s = self._known(peer, port)
        if s is not None:
            stuck = s.heard and (s.tries > 0 or s.finishing(now))
            if s.name == name and not stuck:
                return self._repeat(s, n, now)
            # A port has one transfer: its owner has done with the one before, or has given it up.
            s.close()
        else:
            s = self._place(peer, now)
        if s is None:
            self._refuse(-1, peer, port, tftp.E_UNDEFINED, tftp.BUSY, now)
            return tftp.REJECT_BUSY
        file = self._open(name)
        if file is None:
            return self._refuse(-1, peer, port, tftp.E_NOT_FOUND, b"not here", now)
        if s.file is not None:
            s.close()
        s.begin(peer, port, name, file, now)
        s.agree(options)
        self._asked(s, n, now)
        s.send_again(now)
        return 0

    def _known(self, peer, port):
        for s in self._slots:
            if s.port == port and s.peer == peer:
                return s
        return None

    def _place(self, peer, now):
        """The slot for a new request, or None. It may still be in use: then it is to be taken from
        one that never acknowledged or takes too long (the oldest first), or, where the peer has
        its share, from one of its own that only waits for a last ACK that was lost."""
        free = oldest = own = ended = None
        same = brisk = 0
        for s in self._slots:
            if s.file is None:
                if not free or s.last_peer == peer:  # which knows the round trip
                    free = s
                continue
            age = now - s.began_at
            idle = now - s.gained_at > (IDLE_US if s.heard else HALF_OPEN_US)
            brisk += s.heard and not idle and age <= LONG_US
            if idle or age > LONG_US:
                if not oldest or s.began_at < oldest.began_at:
                    oldest = s
            if s.peer == peer:
                same += 1
                if not s.heard and age > HALF_OPEN_US:
                    own = s
                elif s.finishing(now) and (not ended or s.progress_at < ended.progress_at):
                    ended = s
        if same >= PER_PEER:
            # One more while one seems to have ended: its peer may be asking for a lost block yet.
            return free if same == PER_PEER and ended and free else ended or own
        return None if brisk >= BRISK else free or oldest

    def _refuse(self, i, peer, port, code, text, now):
        """An ERROR, at most MAX_ERRORS_PER_S of them; it leaves no state. Requests are refused
        from the well-known port (slot -1): the slot that one might get may still be in use."""
        if now - self._errors_at > 1000000:
            self._errors_at = now
            self._errors = 0
        self._errors += 1
        if self._errors <= MAX_ERRORS_PER_S:
            self._send(i, peer, port, self._error, tftp.put_error(self._error, code, text))
        return 0

    def _repeat(self, s, n, now):
        """The request once more: our answer was lost, or the network made a copy."""
        if s.heard or now - s.sent_at < tftp.RTO_MIN_US:
            return tftp.REJECT_STALE
        self._asked(s, n, now)
        s.send_again(now)
        return 0

    def _asked(self, s, n, now):
        """What a request of n bytes may cost as long as nobody has acknowledged anything."""
        s.credit += AMPLIFY * n
        need = tftp.HEAD_BYTES + s.blksize
        if s.oack is None and s.credit < need:
            for other in self._slots:
                if other.proven and other.last_peer == s.peer:
                    other.proven = False
                    break
            else:
                if now < self._owed_at:
                    return
                self._owed_at = now + OWED_US
            s.credit = need
