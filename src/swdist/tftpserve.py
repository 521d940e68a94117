"""A bounded number of uploads: a TFTP server as a machine (RFC 1350, 2347, 2348, 2349, 7440).

Each slot has a port of its own. Before a peer has acknowledged anything it may be a spoofed
address: until then it gets at most AMPLIFY bytes for each byte it sent, except for the one DATA
packet that RFC 1350 owes a request without options.
"""

from swdist import tftp

AMPLIFY = 3
PER_PEER = 2  # slots that one neighbour may hold
HALF_OPEN_US = 1000000  # after that a slot that was never acknowledged can be taken by another
TRIES = 6
STALL_US = 10000000
MAX_ERRORS_PER_S = 20


class Slot:
    def __init__(self):
        self.file = None
        self.peer = None
        self.buf = bytearray(tftp.PACKET_BYTES)
        self.view = memoryview(self.buf)
        self.timer = tftp.Timer()
        self.wake_at = 0


class Serve:
    """send(slot, peer, port, buf, n); open(name) -> file (.size .read_into .close), or None."""

    def __init__(self, send, open_file, rand, slots):
        self._send = send
        self._open = open_file
        self._rand = rand
        self._slots = [Slot() for _ in range(slots)]
        self._error = bytearray(64)
        self._errors = 0
        self._errors_at = 0
        self.served = 0
        self.next_at = None

    def idle(self, slot):
        return self._slots[slot].file is None

    # --- requests, on the well-known port

    def request(self, peer, port, buf, n, now):
        """0, or REJECT_*."""
        op = tftp.opcode(buf, n)
        if op not in (tftp.RRQ, tftp.WRQ) or n > tftp.MAX_REQUEST_BYTES:
            return tftp.REJECT_MALFORMED
        words = tftp.strings(buf, 2, n)
        if words is None or len(words) < 2 or not 0 < len(words[0]) <= tftp.MAX_NAME_BYTES:
            return tftp.REJECT_MALFORMED
        options = tftp.options(words[2:])
        if options is None or words[1].lower() != b"octet":
            return tftp.REJECT_MALFORMED
        i = self._place(peer, port, now)
        if i < 0:
            return tftp.REJECT_STALE  # busy, or known already: the client asks again
        if op == tftp.WRQ:
            return self._refuse(i, peer, port, tftp.E_ACCESS, b"nobody writes here", now)
        file = self._open(words[0])
        if file is None:
            return self._refuse(i, peer, port, tftp.E_NOT_FOUND, b"not here", now)
        self._begin(self._slots[i], i, peer, port, file, options, n, now)
        return 0

    def _place(self, peer, port, now):
        """The slot for a new request, or -1."""
        free = -1
        same = 0
        oldest = -1
        for i in range(len(self._slots)):
            s = self._slots[i]
            if s.file is None:
                free = i if free < 0 else free
                continue
            if s.peer == peer:
                if s.port == port:
                    return -1  # the request once more: the timer answers it
                same += 1
            if not s.heard and now - s.began_at > HALF_OPEN_US:
                if oldest < 0 or s.began_at < self._slots[oldest].began_at:
                    oldest = i
        if same >= PER_PEER:
            return -1
        if free < 0 and oldest >= 0:
            self._close(self._slots[oldest])
            free = oldest
        return free

    def _refuse(self, i, peer, port, code, text, now):
        if now - self._errors_at > 1000000:
            self._errors_at = now
            self._errors = 0
        self._errors += 1
        if self._errors <= MAX_ERRORS_PER_S:
            self._send(i, peer, port, self._error, tftp.put_error(self._error, code, text))
        return 0

    def _begin(self, s, i, peer, port, file, options, n, now):
        s.peer = peer
        s.port = port
        s.file = file
        s.blksize = tftp.DEFAULT_BLKSIZE
        s.window = 1
        s.heard = False
        s.began_at = s.progress_at = now
        s.credit = AMPLIFY * n
        s.tries = 0
        s.resent = False  # since the last progress
        s.clean = True  # nothing of what is on its way was sent twice
        s.timer.reset()
        at = 2
        asked = options.get(b"blksize", 0)
        if asked >= 8:
            s.blksize = min(asked, tftp.MAX_BLKSIZE)
            at = tftp.put_option(s.buf, at, b"blksize", s.blksize)
        asked = options.get(b"windowsize", 0)
        if asked >= 1:
            s.window = min(asked, tftp.MAX_WINDOW)
            at = tftp.put_option(s.buf, at, b"windowsize", s.window)
        if b"tsize" in options:
            at = tftp.put_option(s.buf, at, b"tsize", file.size)
        s.last = file.size // s.blksize + 1  # number of the last block, which is short
        if at > 2:
            s.buf[0] = 0
            s.buf[1] = tftp.OACK
            s.oack_bytes = at
            s.acked = -1  # ACK 0 is owed for the options
            s.sent = 0
            self._send_oack(s, i, now)
            self._wake()
        else:
            s.oack_bytes = 0
            s.acked = 0
            s.sent = 0
            s.credit = max(s.credit, tftp.HEAD_BYTES + s.blksize)
            self._send_window(s, i, now)

    def _send_oack(self, s, i, now):
        if s.credit >= s.oack_bytes:
            s.credit -= s.oack_bytes
            self._send(i, s.peer, s.port, s.buf, s.oack_bytes)
        s.sent_at = now
        s.wake_at = now + s.timer.rto_us

    # --- the transfer, on the slot's own port

    def receive(self, i, peer, port, buf, n, now):
        """0, or REJECT_*."""
        s = self._slots[i]
        if s.file is None:
            return tftp.REJECT_STALE
        if peer != s.peer or port != s.port:
            return tftp.REJECT_STRANGER
        op = tftp.opcode(buf, n)
        if op == tftp.ERROR:
            self._close(s)
            return 0
        if op != tftp.ACK:
            return tftp.REJECT_MALFORMED
        block = s.acked + (tftp.block_of(buf) - s.acked & 0xFFFF)
        if block > s.sent:
            return tftp.REJECT_STALE
        if block == s.acked:
            # Said twice: the first block of the window was lost. Once only, or each stray copy
            # would send a window (the Sorcerer's Apprentice, RFC 1123, section 4.2.3.1); and not
            # before an answer to this window can be here.
            early = now - s.sent_at < s.timer.srtt_us * 3 // 4
            if s.resent or early or s.sent == s.acked:
                return tftp.REJECT_STALE
            s.resent = True
            s.clean = False
            s.sent = s.acked
            self._send_window(s, i, now)
            return 0
        s.heard = True
        if s.clean:
            s.timer.sample(now - s.sent_at)
        s.clean = block == s.sent  # else the rest of the window goes out again
        s.acked = block
        s.sent = block
        s.resent = False
        s.tries = 0
        s.progress_at = now
        if block >= s.last:
            self.served += 1
            self._close(s)
        else:
            self._send_window(s, i, now)
        return 0

    def _send_window(self, s, i, now):
        """Sends from the first block that is not acknowledged."""
        end = min(s.acked + s.window, s.last)
        while s.sent < end:
            block = s.sent + 1
            want = min(s.blksize, s.file.size - (block - 1) * s.blksize)
            at = tftp.HEAD_BYTES
            got = s.file.read_into((block - 1) * s.blksize, s.view[at : at + want]) if want else 0
            if got != want:
                self._close(s)  # what was verified is gone: say nothing rather than something else
                return
            if not s.heard:
                if s.credit < at + want:
                    break
                s.credit -= at + want
            tftp.put_head(s.buf, tftp.DATA, block & 0xFFFF)
            self._send(i, s.peer, s.port, s.buf, at + want)
            s.sent = block
        s.sent_at = now
        s.wake_at = now + s.timer.rto_us
        self._wake()

    def tick(self, now):
        if self.next_at is None or now < self.next_at:
            return
        for i in range(len(self._slots)):
            s = self._slots[i]
            if s.file is None or now < s.wake_at:
                continue
            s.tries += 1
            if s.tries > TRIES or now - s.progress_at > STALL_US:
                self._close(s)
                continue
            s.timer.back_off()
            s.clean = False
            if s.acked < 0:
                self._send_oack(s, i, now)
            else:
                s.sent = s.acked
                self._send_window(s, i, now)
        self._wake()

    def _wake(self):
        self.next_at = None
        for s in self._slots:
            if s.file is not None:
                if self.next_at is None or s.wake_at < self.next_at:
                    self.next_at = s.wake_at

    def _close(self, s):
        s.file.close()
        s.file = None
        s.peer = None
