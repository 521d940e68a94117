"""One download: a TFTP client as a machine (RFC 1350, 2347, 2348, 2349, 7440).

The whole file lands in one buffer. Who answers first from the asked address is the peer, and
nobody else is heard after that. A stall, a trickle or a lie ends in FAILED with a reason. A lie in
the bytes is not seen here: the owner checks digests, piece by piece, while it runs (`mark`).

Numbers of blocks do not wrap, since no file is longer than a run (docs/protocol.md, section 4,
rule 3); so `_next` counts on, and only what is sent and heard is cut to 16 bits.
"""

from struct import pack_into

from swdist.formats import tftp
from swdist.formats.bits import plain

IDLE = 0
RUNNING = 1
DONE = 2
# All above are failures. What is done about one goes by this; its reason is for people.
FAILED = 3  # it stalled, was too slow, or did not keep to the protocol
BUSY = 4  # the server has no room: no fault
REFUSED = 5  # another ERROR: it does not have it, or not any more

ASK_BLKSIZE = 1428  # fits an Ethernet frame over IPv6: one lost fragment would cost the whole block
ASK_WINDOW = 16  # a run of 12 KiB has some 9 such blocks, so it takes one round trip
# Transmissions without progress: the server may have given us up, and says nothing. From a timer of
# 20 ms, doubled up to a second, that is some 3 s; a stock server is waited for by time alone.
TRIES = 7
# After so many none of a window's blocks came, though the OACK, which is small, did: some tunnels
# and radios swallow large frames, and all would fail there without a word.
NOTHING_TRIES = 5
MAX_REASON = 60


class Get:
    """send(peer, port, buf, n). view[:length] is the file when state is DONE, and all of it that is
    in order while it is RUNNING. Microseconds and bytes throughout."""

    def __init__(self, send, max_bytes):
        self._send = send
        self._data = bytearray(max_bytes)
        self.view = memoryview(self._data)
        self._out = bytearray(tftp.MAX_REQUEST_BYTES)
        self._timer = tftp.Timer()
        self.state = IDLE
        self.small_blocks = False  # ask for those that all serve? Set by the owner, and here
        self._peer = None
        self._port = self._port_before = 0
        self.length = 0
        self.mark = 0  # from so many bytes on the owner wants to look at them
        self.took_us = 0
        self.reason = ""
        self.rejects = 0  # datagrams that were for nothing
        self.progress_at = 0  # when something awaited came last
        self.next_at = None

    def start(self, peer, port, name, limit, now):
        """Asks peer, on its server's port, for the file; more than `limit` bytes is a failure."""
        assert len(name) <= tftp.MAX_NAME_BYTES
        if peer == self._peer:
            self._timer.resume()  # else each run of a payload would begin by waiting 250 ms
        else:
            self._timer.reset()
        self._peer = peer
        self._server = port
        self._name = name
        self._limit = min(limit, len(self._data))
        self.length = 0
        self.mark = self._limit + 1
        self.reason = ""
        self._whole = -1  # bytes of a full block's packet, once one has come
        self._window = 1
        self._next = 1  # block that is to come, not wrapped
        self._in_window = 0
        self._keeps = False  # may blocks behind a gap be kept? Else the server sends them again
        self._kept = 0  # bit i: the block _next + i is here
        self._fresh = True  # nothing has come since the last transmission, and that was no gap's
        self._tries = 0
        self._began_at = self.progress_at = now
        self._slow_at = now + tftp.TRICKLE_US  # from then on too slow a server is looked for
        self.state = RUNNING
        self._ask(now)

    def _ask(self, now):
        """Asks, for the first time or with smaller blocks."""
        # A new request is a new transfer (RFC 1350, section 4): the server takes another TID.
        self._port_before = self._port
        self._port = 0  # its TID, known with the first answer
        self._blksize = tftp.DEFAULT_BLKSIZE
        self._agreed = False  # an OACK has come
        self._ahead = 0  # of the blocks behind a gap the last one, counted from _next
        blksize = tftp.DEFAULT_BLKSIZE if self.small_blocks else ASK_BLKSIZE
        self._out_bytes = tftp.put_request(self._out, self._name, blksize, ASK_WINDOW)
        self._transmit(now)

    def stop(self):
        """Forgets the download, and tells the server, which then frees its slot."""
        if self.state == RUNNING:
            self._fail("stopped", tftp.E_UNDEFINED)
        self.state = IDLE

    def give_up(self):
        """The server stalls: ends in FAILED."""
        self._fail("stalled", tftp.E_UNDEFINED)

    def gone(self):
        """Nobody is at the port of the transfer any more: the server has needed its slot."""
        if self.state == RUNNING:
            self._fail("busy", state=BUSY)

    def _transmit(self, now):
        """Sends the request, or the last acknowledgement, again or for the first time."""
        self._send(self._peer, self._port or self._server, self._out, self._out_bytes)
        self._sent_at = now
        self._wait(now)

    def _wait(self, now):
        # From the last packet on, not from the last ACK: a window may be long under way.
        self.next_at = min(now + self._timer.rto_us, self.progress_at + tftp.STALL_US)

    def _ack(self, now):
        """Acknowledges all that came in order. The server's next window begins behind it (RFC
        7440, section 4), whether the one before was whole or not."""
        pack_into("!HH", self._out, 0, tftp.ACK, self._next - 1 & 0xFFFF)
        self._out_bytes = tftp.HEAD_BYTES
        self._in_window = 0
        self._fresh = True
        self._transmit(now)

    def _fail(self, reason, error=-1, state=FAILED):
        """error: what the server is told, or -1: nothing."""
        if error >= 0 and self._port:
            n = tftp.put_error(self._out, error, reason.encode())
            self._send(self._peer, self._port, self._out, n)
        self.state = state
        self._whole = -1
        self.reason = reason
        self.next_at = None
        return 0

    def tick(self, now):
        if self.state != RUNNING or now < self.next_at:
            return
        self._tries += 1
        # By time, for who is slow; by tries, for who is gone: other neighbours may have the piece.
        # A stock server may send no sooner than by its own timer, whatever we say.
        stock = self._port and not self._keeps
        if now - self.progress_at >= tftp.STALL_US or (self._tries > TRIES and not stock):
            self.give_up()
            return
        self._timer.back_off(tftp.RTO_MAX_US)
        if (
            self._agreed
            and self._next == 1
            and not self._kept  # a last one, which is short, passes anyway
            and self._tries == NOTHING_TRIES
            and not self.small_blocks
        ):
            self.small_blocks = True
            self._tries = 0
            self._ask(now)
        elif self._port:
            self._ack(now)
        else:
            self._transmit(now)

    def receive(self, peer, port, buf, n, now):
        """0, or REJECT_*. buf is borrowed until return."""
        result = self._receive(peer, port, buf, n, now)
        if result:
            self.rejects += 1
        return result

    def _receive(self, peer, port, buf, n, now):
        if peer != self._peer or (self._port and port != self._port):
            return tftp.REJECT_STRANGER
        if n == self._whole and buf[1] == tftp.DATA and not buf[0]:  # what nearly always comes
            if (buf[2] << 8 | buf[3]) == self._next & 0xFFFF:
                return self._next_block(buf, n, now)
        op = tftp.opcode(buf, n)
        if op not in (tftp.DATA, tftp.OACK, tftp.ERROR):
            return tftp.REJECT_MALFORMED
        if self.state == DONE:
            if op == tftp.DATA:  # our last ACK was lost, and the server's slot waits for it
                self._send(self._peer, self._port, self._out, self._out_bytes)
            return tftp.REJECT_STALE
        if self.state != RUNNING:
            return tftp.REJECT_STALE
        if not self._port:
            # The shell may keep its socket: blocks that the transfer before left on their way
            # must not begin this one. Our own server answers with an OACK, stock ones from a
            # new port.
            if op == tftp.DATA and (tftp.block_of(buf) != 1 or port == self._port_before):
                return tftp.REJECT_STALE
            self._port = port
        if op == tftp.DATA:
            return self._receive_data(buf, n, now)
        if op == tftp.OACK:
            return self._receive_oack(buf, n, now)
        words = tftp.strings(buf, tftp.HEAD_BYTES, n)
        if words and tftp.block_of(buf) == tftp.E_UNDEFINED and words[0] == tftp.BUSY:
            return self._fail("busy", state=BUSY)
        text = plain(words[0][:MAX_REASON]) if words else ""
        return self._fail("refused, error %d %s" % (tftp.block_of(buf), text), state=REFUSED)

    def _receive_oack(self, buf, n, now):
        if self._agreed or self._next != 1:
            # What was agreed is not changed any more: blocks may lie in place by that size.
            if self._next == 1 and self._overdue(now):
                self._ack(now)  # ACK 0 was lost
            return tftp.REJECT_STALE
        words = tftp.strings(buf, 2, n)
        options = None if words is None else tftp.options(words)
        if options is None or len(options) * 2 != len(words):
            return self._fail("malformed options", tftp.E_OPTION)
        for name in options:
            # RFC 2347: who is granted what it has not asked for ends it with ERROR 8.
            if name not in (b"blksize", b"windowsize", b"tsize", tftp.KEEP):
                return self._fail("option that was not asked for", tftp.E_OPTION)
        blksize = options.get(b"blksize", tftp.DEFAULT_BLKSIZE)
        window = options.get(b"windowsize", 1)
        # Less may be granted, never more (RFC 2348, 7440); larger blocks would go in fragments.
        if not tftp.MIN_BLKSIZE <= blksize <= ASK_BLKSIZE or not 1 <= window <= ASK_WINDOW:
            return self._fail("option larger than asked for", tftp.E_OPTION)
        if options.get(b"tsize", 0) > self._limit:
            return self._fail("file too large", tftp.E_OPTION)
        self._blksize = blksize
        self._window = window
        self._keeps = options.get(tftp.KEEP) == 1
        self._agreed = True
        self._measure(now)
        self._tries = 0
        self.progress_at = now
        self._ack(now)
        return 0

    def _overdue(self, now):
        """Can what comes now be the answer to our last transmission? What comes earlier was on its
        way before; to answer that too would double the traffic on a link that is full."""
        return now - self._sent_at >= self._timer.shortest_us()

    def _measure(self, now):
        """The first that comes after a transmission is a sample of the round trip; not if that was
        one of several, for nobody knows which of them it answers (Karn; RFC 6298, section 3)."""
        if self._fresh:
            self._fresh = False
            if self._tries == 0:
                self._timer.sample(now - self._sent_at)
            else:
                self._timer.answered_late(now - self.progress_at)

    def _receive_data(self, buf, n, now):
        ahead = tftp.block_of(buf) - self._next & 0xFFFF
        if ahead:
            if ahead < self._window:
                # RFC 7440, section 4: an ACK once a gap. A number that goes back shows that the
                # server has gone back, and lost the block again.
                self._measure(now)
                self._keep(ahead, buf, n)
                told = self._ahead
                self._ahead = ahead
                if not told or ((self._keeps or ahead <= told) and self._overdue(now)):
                    self._ack(now)
                    self._fresh = False  # what comes next may still be of the old window
            elif ahead >= 0x10000 - self._window and not self._in_window and self._overdue(now):
                # The window once more: its ACK was lost. Only when it can be an answer to that, or
                # each copy would be answered by one more (RFC 1123, section 4.2.3.1).
                self._ack(now)
            return tftp.REJECT_STALE
        size = n - tftp.HEAD_BYTES
        if size > self._blksize:
            self._fail("block larger than agreed", tftp.E_ILLEGAL)
            return tftp.REJECT_MALFORMED
        # A short block is the last (RFC 1350, section 6), but some behind it are here already.
        if size < self._blksize and self._kept:
            return self._fail("blocks behind the last", tftp.E_ILLEGAL)
        self._whole = tftp.HEAD_BYTES + self._blksize
        return self._next_block(buf, n, now)

    def _next_block(self, buf, n, now):
        at = self.length
        end = at + n - tftp.HEAD_BYTES
        if end > self._limit:
            return self._fail("file too large", tftp.E_ILLEGAL)
        if self._fresh:
            if self._tries or self._window > 1 or not self._next & 7:  # often enough for a timer
                self._measure(now)
            self._fresh = False
        self._tries = 0
        self.progress_at = now
        self.view[at:end] = memoryview(buf)[tftp.HEAD_BYTES : n]
        self.length = end
        self._next += 1
        self._in_window += 1
        filled = self._ahead
        if filled:
            self._ahead = 0
        if self._kept:
            # The gap is filled: what was kept behind it counts now, up to the next gap.
            self._kept >>= 1
            while self._kept & 1:
                self._next += 1
                self._in_window += 1
                self.length += self._blksize
                self._kept >>= 1
        if n != self._whole:
            self._ack(now)
            self.took_us = now - self._began_at
            self.state = DONE
            self._whole = -1
            self.next_at = None
        # Each block in time, and yet no end: a slot of ours would be held for hours.
        elif now >= self._slow_at and tftp.too_slow(now - self._began_at, self.length):
            self._fail("too slow", tftp.E_UNDEFINED)
        elif self._in_window >= self._window or (filled and self._keeps):
            self._ack(now)
        else:
            self._wait(now)
        return 0

    def _keep(self, ahead, buf, n):
        """Puts a block behind a gap in its place; not a last one, whose length ends the file."""
        at = self.length + ahead * self._blksize
        full = n - tftp.HEAD_BYTES == self._blksize
        if self._keeps and full and at + self._blksize <= self._limit:
            self.view[at : at + self._blksize] = memoryview(buf)[tftp.HEAD_BYTES : n]
            self._kept |= 1 << ahead
