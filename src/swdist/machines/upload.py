"""What a TFTP server knows of one transfer."""

from swdist.formats import tftp

LONG_US = 5000000  # after that a transfer does not go well


class Upload:
    """One transfer, or none (file is None). Block numbers are not wrapped."""

    def __init__(self):
        self.file = None
        self.peer = self.last_peer = None
        self.port = 0
        self.name = None
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
        # Who begins anew what it has not ended holds the slot for as long as before.
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

    def finishing(self, now):
        """Has all been sent, and should the last ACK be here by now?"""
        if self.sent < self.last or not self.heard:
            return False
        return now - self.sent_at >= self.timer.srtt_us // 2
