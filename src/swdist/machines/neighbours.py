"""The neighbours heard of late: one fixed table, shared by the machines as an argument."""

MAX_NEIGHBOURS = 16
ANEW = 3  # datagrams in a row with a new nonce: it has started anew
USUAL_PORT = 27183  # of TFTP: where nearly all serve
MAX_OFFERS = 8  # releases that one neighbour has and we don't
MAX_PAYLOADS = 16  # payloads of one neighbour that are remembered: what it has, and what it wants
YOUNG_US = 20000000  # a full table gives nobody's place away who was heard so lately, but that
TRIAL_US = 16000000  # of one who has given nothing yet, at most so often: a crowd shall not fill it


class Neighbour:
    """One row. peer is None while it is free. offers: ids of releases that it has and we don't;
    pieces: {payload id: how many it holds}; wants: {payload id: (starved, when it said so)}."""

    def __init__(self):
        self.offers = []
        self.pieces = {}
        self.wants = {}
        self.take(None, 0, 0)

    def take(self, peer, nonce, now):
        self.peer = peer
        self.nonce = nonce
        self.anew = 0
        self.heard_at = self.since = now
        self.tftp_port = 0  # as it was said last
        self.good_port = 0  # the last that answered
        self._second = False
        self.small_until = now  # the link to it swallows large frames
        self.digest = 0
        self.version = (0, 0, 0)
        self.revision = 0
        self.state = 0
        self.offers = []
        self.pieces.clear()
        self.wants.clear()
        self.pace_ms = 0  # what 16 KiB from it take, on average; 0: unknown
        self.gave = False  # anything that was right?
        self.faults = 0  # failures that count against it; each success halves them
        self.wait_until = now  # nothing is fetched from it before

    def replaces(self, peer, nonce):
        """Is that another than the one of this row: another address, or, said ANEW times in a row,
        another nonce? Else one forged datagram would take all that is known of a neighbour."""
        if self.peer == peer:
            if self.nonce == nonce:
                self.anew = 0
                return False
            self.anew += 1
            return self.anew >= ANEW
        return True

    def blame(self, now, seconds, most_s):
        """Fetch nothing from it for a while, which doubles with each fault up to most_s."""
        wait_s = min(seconds << min(self.faults, 12), most_s)
        self.faults = min(self.faults + 1, 12)
        self._second = not self._second
        self.wait_until = now + wait_s * 1000000

    def port(self):
        """Where to ask it. A port that has answered outlives what is said in its name; after a
        fault the other one is tried."""
        if self.good_port:
            return self.tftp_port if self._second else self.good_port
        return USUAL_PORT if self._second else self.tftp_port

    def praise(self, took_us, size, port):
        """It has given what it should, from that port. took_us, where not 0, decides whom we ask
        next."""
        self.good_port = port
        self._second = False
        self.faults //= 2
        self.gave = True
        if took_us:
            pace_ms = took_us * 16 // (1000 * (size // 1024 + 1)) + 1
            self.pace_ms = (self.pace_ms * 3 + pace_ms) // 4 if self.pace_ms else pace_ms


class Neighbours:
    def __init__(self):
        self.rows = [Neighbour() for _ in range(MAX_NEIGHBOURS)]
        self._trial_at = 0  # the next one

    def find(self, peer):
        """Row number, or -1."""
        for i in range(MAX_NEIGHBOURS):
            if self.rows[i].peer == peer:
                return i
        return -1

    def place(self, now, rand):
        """Row number for a newcomer: a free one, or that of the longest silent, or now and then
        that of anyone who has given nothing, those with faults first; or -1."""
        best = trial = -1
        most = 0
        for i in range(MAX_NEIGHBOURS):
            row = self.rows[i]
            if row.peer is None:
                return i
            if best < 0 or row.heard_at < self.rows[best].heard_at:
                best = i
            weight = 0 if row.gave else 1 + row.faults * 16 + rand(16)
            if weight > most:
                most = weight
                trial = i
        if now - self.rows[best].heard_at > YOUNG_US:
            return best
        if now < self._trial_at:
            return -1
        self._trial_at = now + TRIAL_US + rand(TRIAL_US)
        return trial

    def fresh(self, now, within_us):
        count = 0
        for row in self.rows:
            if row.peer is not None and now - row.heard_at <= within_us:
                count += 1
        return count
