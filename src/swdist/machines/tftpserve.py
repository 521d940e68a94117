"""A bounded number of uploads: a TFTP server as a machine (RFC 1350, 2347, 2348, 2349, 7440).

Each slot has a port of its own. Before a peer has acknowledged anything it may be a spoofed
address. Until then it gets at most AMPLIFY bytes for each byte that it sent, retransmissions
included. A request without options is owed a DATA packet of more than that (RFC 1350): who has
acknowledged a block since its last one gets it, and all others together get one a second.
"""

from struct import pack_into

from swdist.formats import tftp
from swdist.machines.upload import LONG_US, Upload

AMPLIFY = 3
PER_PEER = 2  # slots that one neighbour may hold
BRISK = 3  # transfers at once that go well: more would share the same air, and all be late
HALF_OPEN_US = 250000  # after that a slot that was never acknowledged can be taken by another
IDLE_US = 1000000  # and one of which nothing more has arrived
OWED_US = 1000000  # between two DATA 1 that go beyond AMPLIFY
TRIES = 9
LAST_TRIES = 6  # for the last window: mostly the client has it, and its ACK was lost
MAX_ERRORS_PER_S = 20


class Serve:
    """send(slot, peer, port, buf, n), where slot -1 is the well-known port;
    open(name) -> file with .size, .read_into, .close, or None."""

    def __init__(self, send, open_file, rand, slots):
        self._send = send
        self._open = open_file
        self._rand = rand
        self._slots = [Upload() for _ in range(slots)]
        self._out = bytearray(tftp.PACKET_BYTES)
        self._data = b""  # a view of it, for a block of the last one's size
        self._error = bytearray(64)
        self._errors = 0
        self._errors_at = 0
        self._owed_at = 0  # when the next DATA 1 may go beyond AMPLIFY
        self.served = 0
        self.rejects = 0  # datagrams that were for nothing
        self.next_at = None  # no slot wants to be woken before

    def idle(self, slot):
        return self._slots[slot].file is None

    # --- requests, on the well-known port

    def request(self, peer, port, buf, n, now):
        """0, or REJECT_*. buf is borrowed until return."""
        result = self._request(peer, port, buf, n, now)
        if result:
            self.rejects += 1
        self._wake()
        return result

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
        i = self._known(peer, port)
        if i >= 0:
            s = self._slots[i]
            stuck = s.heard and (s.tries > 0 or s.finishing(now))
            if s.name == name and not stuck:
                return self._repeat(s, i, n, now)
            # A port has one transfer: its owner has done with the one before.
            self._close(s)
        else:
            i = self._place(peer, now)
        if i < 0:
            self._refuse(-1, peer, port, tftp.E_UNDEFINED, tftp.BUSY, now)
            return tftp.REJECT_BUSY
        file = self._open(name)
        if file is None:
            return self._refuse(-1, peer, port, tftp.E_NOT_FOUND, b"not here", now)
        s = self._slots[i]
        if s.file is not None:
            self._close(s)
        s.begin(peer, port, name, file, now)
        self._answer(s, i, options, n, now)
        return 0

    def _known(self, peer, port):
        for i in range(len(self._slots)):
            if self._slots[i].port == port and self._slots[i].peer == peer:
                return i
        return -1

    def _place(self, peer, now):
        """The slot for a new request, or -1. It may still be in use: then it is to be taken from
        one that never acknowledged or takes too long (the oldest first), or, where the peer has
        its share, from one of its own that only waits for a last ACK that was lost."""
        free = oldest = own = ended = -1
        same = brisk = 0
        for i in range(len(self._slots)):
            s = self._slots[i]
            if s.file is None:
                if free < 0 or s.last_peer == peer:  # which knows the round trip
                    free = i
                continue
            age = now - s.began_at
            idle = now - s.gained_at > (IDLE_US if s.heard else HALF_OPEN_US)
            brisk += s.heard and not idle and age <= LONG_US
            if idle or age > LONG_US:
                if oldest < 0 or s.began_at < self._slots[oldest].began_at:
                    oldest = i
            if s.peer == peer:
                same += 1
                if not s.heard and age > HALF_OPEN_US:
                    own = i
                elif s.finishing(now):
                    ended = i
        if same >= PER_PEER:
            # One more while one seems to have ended: its peer may be asking for a lost block yet.
            if same == PER_PEER and ended >= 0 and free >= 0:
                return free
            return ended if ended >= 0 else own
        if brisk >= BRISK:
            return -1
        return free if free >= 0 else oldest

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

    def _repeat(self, s, i, n, now):
        """The request once more: our answer was lost, or the network made a copy."""
        if s.heard or now - s.sent_at < tftp.RTO_MIN_US:
            return tftp.REJECT_STALE
        self._asked(s, n, now)
        self._send_again(s, i, now)
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

    def _answer(self, s, i, options, n, now):
        """OACK with what was asked for and is granted (RFC 2347), or DATA 1 if that is nothing."""
        out = self._out
        grant = tftp.grant
        least, legal, most = tftp.MIN_BLKSIZE, tftp.LEGAL_BLKSIZE, tftp.MAX_BLKSIZE
        s.blksize, at = grant(out, 2, options, b"blksize", least, legal, most)
        # A window of small blocks would be mostly headers, many for one acknowledgement.
        most = tftp.MAX_WINDOW if not 0 < s.blksize < tftp.DEFAULT_BLKSIZE else 1
        s.window, at = grant(out, at, options, b"windowsize", 1, tftp.LEGAL_WINDOW, most)
        at = grant(out, at, options, b"timeout", 1, 255, 255)[1]  # our timer's most is 1 s anyway
        s.keep, at = grant(out, at, options, tftp.KEEP, 1, 1, 1)
        s.blksize = s.blksize or tftp.DEFAULT_BLKSIZE
        s.window = s.window or 1
        if b"tsize" in options and s.file.size:  # there are clients that refuse a size of 0
            at = tftp.put_option(out, at, b"tsize", s.file.size)
        s.last = s.file.size // s.blksize + 1  # number of the last block, which is short
        if at > 2:
            out[0] = 0
            out[1] = tftp.OACK
            s.oack = bytes(memoryview(out)[:at])
            s.acked = -1  # ACK 0 is owed for the options
        self._asked(s, n, now)
        self._send_again(s, i, now)

    # --- the transfer, on the slot's own port

    def receive(self, i, peer, port, buf, n, now):
        """0, or REJECT_*. buf is borrowed until return."""
        result = self._receive(i, peer, port, buf, n, now)
        if result:
            self.rejects += 1
        return result

    def _receive(self, i, peer, port, buf, n, now):
        s = self._slots[i]
        if s.file is None:
            return tftp.REJECT_STALE
        if port != s.port or peer != s.peer:
            if n == tftp.HEAD_BYTES and buf[1] == tftp.ACK:  # its slot is gone: ask again
                self._refuse(i, peer, port, tftp.E_UNDEFINED, tftp.BUSY, now)
            return tftp.REJECT_STRANGER
        if n < tftp.HEAD_BYTES or buf[1] != tftp.ACK or buf[0]:
            if tftp.opcode(buf, n) != tftp.ERROR:
                return tftp.REJECT_MALFORMED
            self._close(s)
            return 0
        acked = s.acked
        block = acked + ((buf[2] << 8 | buf[3]) - acked & 0xFFFF)
        if block > s.high:
            return tftp.REJECT_STALE
        if block == acked:
            return self._asked_again(s, i, now)
        s.heard = s.proven = True
        if block <= s.again:
            s.timer.answered_late(now - s.progress_at)
        # The OACK's round trip says nothing of a window's, of which so much waits in the queues.
        elif acked >= 0 and (not s.steady or block & 7 == 0):  # often enough for a timer
            s.timer.sample(now - s.sent_at)
            s.steady = True
        s.acked = block  # if it is not the last one sent, the next was lost
        if block > s.sent:
            s.sent = block  # it came late: we had gone back already
        s.tries = s.asked_again = 0
        s.progress_at = now
        if block > 0:
            s.gained_at = now
        if block >= s.last:
            self.served += 1
            self._close(s)
        elif block == s.sent:
            self._send_window(s, i, now)
        else:
            self._send_lost(s, i, now)
        return 0

    def _asked_again(self, s, i, now):
        """An acknowledgement said twice: the window's first block was lost. It is followed only
        when it can be an answer to the last transmission, and a few times without progress, so
        that copies multiply nothing (RFC 1123, section 4.2.3.1). In lock-step it never is."""
        if s.window == 1 or s.acked in (-1, s.sent) or s.asked_again >= TRIES:
            return tftp.REJECT_STALE
        if now - s.sent_at < s.timer.shortest_us():
            return tftp.REJECT_STALE
        s.asked_again += 1
        self._send_lost(s, i, now)
        return 0

    def _send_lost(self, s, i, now, last=0):
        """The block behind the acknowledged one, which was sent before; of those behind it what a
        peer that keeps nothing has lost, or so many; and as much as the window allows."""
        sent = s.sent - last
        s.sent = s.acked
        s.steady = False
        if s.keep and sent > s.acked:
            s.again = s.high
            if not self._send_block(s, i, now):
                return
            s.sent = sent
        self._send_window(s, i, now)

    def _send_again(self, s, i, now):
        """Back to what is not acknowledged."""
        if s.acked >= 0:
            self._send_lost(s, i, now, 1)  # by the last one it sees what it lacks
            return
        if s.credit >= len(s.oack):
            s.credit -= len(s.oack)
            self._send(i, s.peer, s.port, s.oack, len(s.oack))
            s.sent_at = now
        s.wake_at = now + s.timer.rto_us

    def _send_window(self, s, i, now):
        """Sends from behind the last block that is on its way to the end of the window."""
        if s.sent < s.high:
            s.again = s.high
        end = min(s.acked + s.window, s.last)
        while s.sent < end and self._send_block(s, i, now):
            pass
        if s.file is not None:
            if s.sent > s.high:
                s.high = s.sent
            s.wake_at = at = now + s.timer.rto_us
            # A later time is found out by tick: mostly the next ACK comes before.
            if self.next_at is None or at < self.next_at:
                self.next_at = at

    def _send_block(self, s, i, now):
        """The block behind s.sent, if there is credit for it. False if it was not sent."""
        offset = s.sent * s.blksize
        want = min(s.blksize, s.file.size - offset)
        at = tftp.HEAD_BYTES + want
        view = self._data
        if len(view) != want:
            view = self._data = memoryview(self._out)[tftp.HEAD_BYTES : at]
        if not s.heard:
            if s.credit < at:
                return False
            s.credit -= at
        if want and s.file.read_into(offset, view) != want:
            # What was verified is gone. No other bytes are sent in its place.
            self._refuse(i, s.peer, s.port, tftp.E_UNDEFINED, b"gone", now)
            self._close(s)
            return False
        s.sent += 1
        pack_into("!HH", self._out, 0, tftp.DATA, s.sent & 0xFFFF)
        self._send(i, s.peer, s.port, self._out, at)
        s.sent_at = now
        return True

    def tick(self, now):
        if self.next_at is None or now < self.next_at:
            return
        for i in range(len(self._slots)):
            s = self._slots[i]
            if s.file is None or now < s.wake_at:
                continue
            s.tries += 1
            if now - s.progress_at >= (tftp.STALL_US if s.keep else tftp.STOCK_STALL_US) or (
                s.keep and s.tries > (LAST_TRIES if s.sent == s.last else TRIES)
            ):
                self._close(s)
                continue
            s.timer.back_off(tftp.RTO_MAX_US if s.keep else tftp.STOCK_RTO_MAX_US)
            self._send_again(s, i, now)
        self._wake()

    def _wake(self):
        self.next_at = None
        for s in self._slots:
            if s.file is not None and (self.next_at is None or s.wake_at < self.next_at):
                self.next_at = s.wake_at

    def _close(self, s):
        s.file.close()
        s.file = s.peer = s.name = None
        self._wake()
