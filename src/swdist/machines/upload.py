"""One transfer of the TFTP server: what is sent next, and when it is over
(docs/protocol.md, section 4; RFC 1350, 2347, 2348, 2349, 7440)."""

from struct import pack_into

from swdist.formats import tftp

# After that a transfer does not go well, and its slot can be taken: who asks for one block a second
# would else hold it for ever.
LONG_US = 5000000
# Transmissions without an answer, of which the first follow each other after 20 ms: some 5 s.
TRIES = 9
# Of the last window: mostly the client has it, and its ACK was lost; nobody else can have the slot
# meanwhile.
LAST_TRIES = 6


class Upload:
    """One transfer, or none (file is None). Block numbers are not wrapped. send(slot, peer, port,
    buf, n); out: the server's buffer for what is sent."""

    def __init__(self, slot, send, out):
        self._slot = slot
        self._send = send
        self._out = out
        self._data = b""  # a view of it, for a block of the last one's size
        self.file = None
        self.peer = self.last_peer = None
        self.port = 0
        self.timer = tftp.Timer()
        self.wake_at = 0
        self.proven = False  # has last_peer acknowledged anything since it got a block for nothing?
        self.acked = self.last = self.sent_at = 0

    def begin(self, peer, port, name, file, now):
        if peer == self.last_peer:
            self.timer.resume()
        else:
            self.timer.reset()
            self.proven = False
        # Who begins anew what it has not ended holds the slot for as long as before: two addresses
        # that ask again and again would else keep all slots.
        if peer != self.last_peer or self.acked >= self.last or now - self.sent_at > LONG_US:
            self.began_at = self.gained_at = now
        self.peer = self.last_peer = peer
        self.port = port
        self.name = name
        self.file = file
        self.oack = None
        self.heard = False  # has the peer acknowledged anything?
        self.steady = False  # has a round trip been measured since something was sent again?
        self.credit = 0  # bytes that may be sent before that
        self.acked = 0
        self.sent = 0  # last block on its way
        self.high = 0  # highest block ever sent
        self.again = -1  # highest block that was sent more than once
        self.tries = 0  # of the timer, without progress
        self.asked_again = 0  # repeated acknowledgements that were followed, without progress
        self.progress_at = self.sent_at = now

    def agree(self, options):
        """Grants of what was asked for what it can (RFC 2347)."""
        out = self._out
        grant = tftp.grant
        least, legal, most = tftp.MIN_BLKSIZE, tftp.LEGAL_BLKSIZE, tftp.MAX_BLKSIZE
        self.blksize, at = grant(out, 2, options, b"blksize", least, legal, most)
        # A window of small blocks would be mostly headers, many for one acknowledgement.
        most = tftp.MAX_WINDOW if not 0 < self.blksize < tftp.DEFAULT_BLKSIZE else 1
        self.window, at = grant(out, at, options, b"windowsize", 1, tftp.LEGAL_WINDOW, most)
        at = grant(out, at, options, b"timeout", 1, 255, 255)[1]  # our timer's most is 1 s anyway
        self.keep, at = grant(out, at, options, tftp.KEEP, 1, 1, 1)
        self.blksize = self.blksize or tftp.DEFAULT_BLKSIZE
        self.window = self.window or 1
        size = self.file.size
        if b"tsize" in options and size:  # there are clients that refuse a size of 0
            at = tftp.put_option(out, at, b"tsize", size)
        self.last = size // self.blksize + 1  # number of the last block, which is short
        if at > 2:
            out[0] = 0
            out[1] = tftp.OACK
            self.oack = bytes(memoryview(out)[:at])
            self.acked = -1  # ACK 0 is owed for the options

    def finishing(self, now):
        """Has all been sent, and should the last ACK be here by now?"""
        if self.sent < self.last or not self.heard:
            return False
        return now - self.sent_at >= self.timer.srtt_us // 2

    def close(self):
        self.file.close()
        self.file = self.peer = self.name = None

    # --- what comes in

    def receive(self, buf, n, now):
        """From the peer of the transfer. 0, or REJECT_*."""
        if n < tftp.HEAD_BYTES or buf[1] != tftp.ACK or buf[0]:
            if tftp.opcode(buf, n) != tftp.ERROR:
                return tftp.REJECT_MALFORMED
            self.close()
            return 0
        acked = self.acked
        block = acked + ((buf[2] << 8 | buf[3]) - acked & 0xFFFF)
        if block > self.high:  # of what was never sent, or one that came before `acked`
            return tftp.REJECT_STALE
        if block == acked:
            return self._asked_again(now)
        self.heard = self.proven = True
        if block <= self.again:
            self.timer.answered_late(now - self.progress_at)
        # The OACK's round trip says nothing of a window's, of which so much waits in the queues.
        elif acked >= 0 and (not self.steady or block & 7 == 0):  # often enough for a timer
            self.timer.sample(now - self.sent_at)
            self.steady = True
        self.acked = block  # if it is not the last one sent, the next was lost
        if block > self.sent:
            self.sent = block  # it came late: the timer had gone back already
        self.tries = self.asked_again = 0
        self.progress_at = now
        if block > 0:
            self.gained_at = now
        if block >= self.last:
            self.close()
        elif block == self.sent:
            self._send_window(now)
        else:
            self._send_lost(now)
        return 0

    def _asked_again(self, now):
        """An acknowledgement said twice: the window's first block was lost. It is followed only
        when it can be an answer to the last transmission, and a few times without progress, so
        that copies multiply nothing (RFC 1123, section 4.2.3.1). In lock-step it never is."""
        if self.window == 1 or self.acked in (-1, self.sent) or self.asked_again >= TRIES:
            return tftp.REJECT_STALE
        if now - self.sent_at < self.timer.shortest_us():
            return tftp.REJECT_STALE
        self.asked_again += 1
        self._send_lost(now)
        return 0

    def late(self, now):
        """Nothing has come until wake_at: sends again, or ends the transfer."""
        self.tries += 1
        keep = self.keep
        stall_us = tftp.STALL_US if keep else tftp.STOCK_STALL_US
        # Our own client asks in time; a stock one may ask again seconds later, and is waited for.
        tries = LAST_TRIES if self.sent == self.last else TRIES
        if now - self.progress_at >= stall_us or keep and self.tries > tries:
            self.close()
            return
        self.timer.back_off(tftp.RTO_MAX_US if keep else tftp.STOCK_RTO_MAX_US)
        self.send_again(now)

    # --- what goes out

    def send_again(self, now):
        """Back to what is not acknowledged; or the first answer."""
        if self.acked >= 0:
            self._send_lost(now, 1)  # by the last one it sees what it lacks
            return
        if self.credit >= len(self.oack):
            self.credit -= len(self.oack)
            self._send(self._slot, self.peer, self.port, self.oack, len(self.oack))
            self.sent_at = now
        self.wake_at = now + self.timer.rto_us

    def _send_lost(self, now, last=0):
        """The block behind the acknowledged one, which was sent before; of those behind it what a
        peer that keeps nothing has lost, or so many; and as much as the window allows."""
        sent = self.sent - last
        self.sent = self.acked
        self.steady = False
        if self.keep and sent > self.acked:
            self.again = self.high
            if not self._send_block(now):
                return
            self.sent = sent
        self._send_window(now)

    def _send_window(self, now):
        """Sends from behind the last block that is on its way to the end of the window."""
        if self.sent < self.high:
            self.again = self.high
        end = min(self.acked + self.window, self.last)
        while self.sent < end and self._send_block(now):
            pass
        self.high = max(self.high, self.sent)
        self.wake_at = now + self.timer.rto_us

    def _send_block(self, now):
        """The block behind `sent`, if there is credit for it. False if it was not sent."""
        offset = self.sent * self.blksize
        want = min(self.blksize, self.file.size - offset)
        at = tftp.HEAD_BYTES + want
        view = self._data
        if len(view) != want:
            view = self._data = memoryview(self._out)[tftp.HEAD_BYTES : at]
        if not self.heard:
            if self.credit < at:
                return False
            self.credit -= at
        if want and self.file.read_into(offset, view) != want:
            # What was verified is gone. No other bytes are sent in its place.
            n = tftp.put_error(self._out, tftp.E_UNDEFINED, b"gone")
            self._send(self._slot, self.peer, self.port, self._out, n)
            self.close()
            return False
        self.sent += 1
        pack_into("!HH", self._out, 0, tftp.DATA, self.sent & 0xFFFF)
        self._send(self._slot, self.peer, self.port, self._out, at)
        self.sent_at = now
        return True
