"""One download: a TFTP client as a machine (RFC 1350, 2347, 2348, 2349, 7440).

The whole file lands in one buffer. Who answers first from the asked address is the peer, and
nobody else is heard after that. A stall, a trickle or a lie ends in FAILED with a reason.
"""

from swdist import tftp

IDLE = 0
RUNNING = 1
DONE = 2
FAILED = 3

ASK_BLKSIZE = 1428
ASK_WINDOW = 16
STALL_US = 10000000  # without a new block
TRICKLE_US = 20000000  # a whole download of at most 64 KiB takes no longer than this ...
TRICKLE_US_PER_KIB = 1000000  # ... plus this for each KiB received
TRIES = 8


class Get:
    """send(peer, port, buf, n); rand(n). view[:length] is the file when state is DONE."""

    def __init__(self, send, rand, max_bytes):
        self._send = send
        self._rand = rand
        self._data = bytearray(max_bytes)
        self.view = memoryview(self._data)
        self._out = bytearray(tftp.MAX_REQUEST_BYTES)
        self._timer = tftp.Timer()
        self.state = IDLE
        self._peer = None
        self._port = 0
        self.length = 0
        self.reason = ""
        self.next_at = None

    def start(self, peer, port, name, limit, now):
        """Asks peer, on its server's port, for the file; more than `limit` bytes is a failure."""
        self._peer = peer
        self._server = port
        self._port = 0  # its TID, known with the first answer
        self._limit = min(limit, len(self._data))
        self.length = 0
        self.reason = ""
        self._blksize = tftp.DEFAULT_BLKSIZE
        self._window = 1
        self._next = 1  # block that is to come, not wrapped
        self._in_window = 0
        self._gap_told = False
        self._tries = 0
        self._timer.reset()
        self._began_at = self._progress_at = now
        self.state = RUNNING
        out = self._out
        tftp.put_head(out, tftp.RRQ, 0)
        at = tftp.put_text(out, tftp.put_text(out, 2, name), b"octet")
        at = tftp.put_option(out, at, b"blksize", ASK_BLKSIZE)
        at = tftp.put_option(out, at, b"windowsize", ASK_WINDOW)
        self._out_bytes = tftp.put_option(out, at, b"tsize", 0)
        self._transmit(now)

    def stop(self):
        """Forgets the download; the server's retransmissions die out by themselves."""
        self.state = IDLE
        self.next_at = None

    def _transmit(self, now):
        """Sends the request, or the last acknowledgement, again or for the first time."""
        port = self._port or self._server
        self._send(self._peer, port, self._out, self._out_bytes)
        self._sent_at = now
        self.next_at = now + self._timer.rto_us

    def _ack(self, now):
        tftp.put_head(self._out, tftp.ACK, self._next - 1 & 0xFFFF)
        self._out_bytes = 4
        self._in_window = 0
        self._transmit(now)

    def _fail(self, reason, code=None):
        if code is not None and self._port:
            n = tftp.put_error(self._out, code, reason.encode())
            self._send(self._peer, self._port, self._out, n)
        self.state = FAILED
        self.reason = reason
        self.next_at = None
        return 0

    def tick(self, now):
        if self.state != RUNNING or now < self.next_at:
            return
        self._tries += 1
        if self._tries > TRIES or now - self._progress_at > STALL_US:
            self._fail("stalled")
            return
        self._timer.back_off()
        self._transmit(now)

    def receive(self, peer, port, buf, n, now):
        """0, or REJECT_*. buf is borrowed until return."""
        if peer != self._peer or (self._port and port != self._port):
            return tftp.REJECT_STRANGER
        op = tftp.opcode(buf, n)
        if op not in (tftp.DATA, tftp.OACK, tftp.ERROR):
            return tftp.REJECT_MALFORMED
        if self.state == DONE:
            if op == tftp.DATA and self._out_bytes == 4:
                self._send(self._peer, self._port, self._out, 4)  # our last ACK was lost
            return tftp.REJECT_STALE
        if self.state != RUNNING:
            return tftp.REJECT_STALE
        if not self._port:
            self._port = port
        if op == tftp.DATA:
            return self._receive_data(buf, n, now)
        if op == tftp.OACK:
            return self._receive_oack(buf, n, now)
        words = tftp.strings(buf, 4, n)
        text = bytes(words[0][:60]) if words else b""
        return self._fail("refused, error %d %s" % (tftp.block_of(buf), printable(text)))

    def _receive_oack(self, buf, n, now):
        if self._next != 1 or self.length:
            return tftp.REJECT_STALE
        words = tftp.strings(buf, 2, n)
        options = None if words is None else tftp.options(words)
        if options is None or len(options) * 2 != len(words):
            return self._fail("malformed options", tftp.E_OPTION)
        for name in options:
            if name not in (b"blksize", b"windowsize", b"tsize"):
                return self._fail("option that was not asked for", tftp.E_OPTION)
        blksize = options.get(b"blksize", tftp.DEFAULT_BLKSIZE)
        window = options.get(b"windowsize", 1)
        if not 8 <= blksize <= ASK_BLKSIZE or not 1 <= window <= ASK_WINDOW:
            return self._fail("option larger than asked for", tftp.E_OPTION)
        if options.get(b"tsize", 0) > self._limit:
            return self._fail("file too large", tftp.E_OPTION)
        self._blksize = blksize
        self._window = window
        if self._tries == 0:
            self._timer.sample(now - self._sent_at)
        self._tries = 0
        self._progress_at = now
        self._ack(now)
        return 0

    def _receive_data(self, buf, n, now):
        ahead = tftp.block_of(buf) - self._next & 0xFFFF
        if ahead:
            if ahead < 0x8000 and not self._gap_told:
                self._gap_told = True  # RFC 7440, section 4: once a gap
                self._ack(now)
            elif ahead == 0xFFFF and self._window == 1 and self._tries:
                self._ack(now)
            return tftp.REJECT_STALE
        size = n - tftp.HEAD_BYTES
        if size > self._blksize:
            self._fail("block larger than agreed", tftp.E_ILLEGAL)
            return tftp.REJECT_MALFORMED
        if self.length + size > self._limit:
            return self._fail("file too large", tftp.E_ILLEGAL)
        if self._in_window == 0 and self._tries == 0:
            self._timer.sample(now - self._sent_at)
        self._data[self.length : self.length + size] = buf[tftp.HEAD_BYTES : n]
        self.length += size
        self._next += 1
        self._in_window += 1
        self._gap_told = False
        self._tries = 0
        self._progress_at = now
        if now - self._began_at > TRICKLE_US + TRICKLE_US_PER_KIB * (self.length >> 10):
            return self._fail("too slow")
        if size < self._blksize:
            self._ack(now)
            self.state = DONE
            self.next_at = None
        elif self._in_window >= self._window:
            self._ack(now)
        else:
            self.next_at = now + self._timer.rto_us
            tftp.put_head(self._out, tftp.ACK, self._next - 1 & 0xFFFF)
            self._out_bytes = 4
        return 0


def printable(data):
    """What a stranger wrote, safe for a log line."""
    return "".join([chr(c) if 0x20 <= c < 0x7F else "?" for c in data])
