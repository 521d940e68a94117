"""The neighbours heard of late: one fixed table, shared by the machines as an argument."""

MAX_NEIGHBOURS = 16
ANEW = 3  # datagrams in a row with a new nonce: it has started anew
TWICE = 8  # times a nonce comes and goes: two nodes have one address
USUAL_PORT = 27183  # of TFTP: where nearly all serve
MAX_OFFERS = 8  # releases that one neighbour has and we don't
MAX_PAYLOADS = 16  # payloads of one neighbour that are remembered: what it has, and what it wants
YOUNG_US = 20000000  # a full table gives nobody's place away who was heard so lately, but that
TRIAL_US = 16000000  # of one who has given nothing yet, at most so often: a crowd shall not fill it
KNOCKS = 32  # addresses without a place that are remembered, each replaced by lot
AGAIN_US = 300000  # who is heard again after that is more than a name that was made up


class Neighbour:
    """One row. peer is None while it is free. offers: ids of releases that it has and we don't;
    pieces: {payload id: how many it holds}; wants: {payload id: (starved, when it said so)}."""

    def __init__(self):
        self.wants = {}
        self.peer = b""
        self.twice = 0
        self.take(None, 0, 0)

    def take(self, peer, nonce, now):
        # Times that another nonce was heard between two of its own, or in its place.
        self.twice = self.twice + 1 if peer == self.peer else 0
        if peer != self.peer:
            # A new nonce clears no guilt, no merit, and nothing of what there is to be had: it may
            # be another's word, in its name.
            self.faults = 0  # failures that count against it; each success halves them
            self.wait_until = now  # nothing is fetched from it before
            self.since = now
            self.once = True  # not heard again yet?
            self.small_until = now  # the link to it swallows large frames
            self.offers = []
            self.pieces = {}
            self.pace_ms = 0  # what 16 KiB from it take, on average; 0: unknown
            self.gave = False  # anything that was right?
        self.peer = peer
        self.nonce = nonce
        self.anew = 0
        self.heard_at = now
        self.tftp_port = 0  # as it was said last
        self.good_port = 0  # the last that answered
        self._second = self._unsure = False
        self.digest = 0
        self.node = None  # who it is in the census, by its own word
        self.version = (0, 0, 0)
        self.revision = 0
        self.state = 0
        self.wants.clear()
        self.news_at = now  # another set digest of it is no news before

    def offer(self, rid, alone):
        """It has a release that we don't hold. alone: all else may need it, and comes later. False
        where there is no room to remember it."""
        if alone:
            self.offers[:] = [r for r in self.offers if r == rid]
        if rid not in self.offers:
            if len(self.offers) == MAX_OFFERS:
                return False
            self.offers.append(rid)
        return True

    def has(self, pid, count, wanted):
        """It holds the index of a payload, and `count` pieces. wanted(): ids of those that we want;
        what is not wanted goes when it says too much. False if it is not remembered."""
        pieces = self.pieces
        if pid not in pieces and len(pieces) >= MAX_PAYLOADS:
            want = wanted()
            for other in pieces if pid in want else ():
                if other not in want:
                    del pieces[other]
                    break
            else:
                return False
        pieces[pid] = count
        return True

    def forget(self, key):
        """It has it not, or not any more, or has lied about it."""
        self.pieces.pop(key, None)
        if key in self.offers:
            self.offers.remove(key)

    def replaces(self, peer, nonce):
        """Is that another than the one of this row: another address, or, said ANEW times in a row,
        another nonce? Else one forged datagram would take all that is known of a neighbour."""
        if self.peer == peer:
            if self.nonce == nonce:
                self.twice += self.anew > 0
                self.anew = 0
                if self.heard_at - self.since >= AGAIN_US:
                    self.once = False
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

    def forgive(self):
        self.wait_until = self.faults = 0

    def serves_at(self, port):
        """As it says, or somebody in its name; 0 says nothing. Of whom two things are said is first
        asked where nearly all serve."""
        if port and port != self.tftp_port:
            if self.tftp_port and not self._unsure:
                self._unsure = True
                self._second = not self.good_port
            self.tftp_port = port

    def port(self):
        """Where to ask it. A port that has answered outlives what is said in its name; after a
        fault the other one is tried, unless two have been said: who moves has another nonce."""
        if self.good_port:
            return self.tftp_port if self._second and not self._unsure else self.good_port
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
        self._knocked = [(None, 0)] * KNOCKS  # (peer, when it was heard first)

    def find(self, peer):
        """Row number, or -1."""
        for i in range(MAX_NEIGHBOURS):
            if self.rows[i].peer == peer:
                return i
        return -1

    def _heard_before(self, peer, now, rand):
        """Has one who has no place been heard before, and not only just now?"""
        for who, when in self._knocked:
            if who == peer:
                return now - when >= AGAIN_US
        self._knocked[rand(KNOCKS)] = (peer, now)
        return False

    def place(self, peer, now, rand):
        """Row number for a newcomer, or -1: a free one, or that of the longest silent. Who is heard
        again gets that of one that was not, or that failed, and has given nothing; or, now and
        then, that of anyone who has given nothing. Else the table would be theirs who make up
        names the fastest, above all after a start."""
        best = trial = -1
        most = 0
        for i in range(MAX_NEIGHBOURS):
            row = self.rows[i]
            if row.peer is None:
                return i
            if best < 0 or row.heard_at < self.rows[best].heard_at:
                best = i
            weight = 0 if row.gave else 1 + (row.faults + row.once) * 16 + rand(16)
            if weight > most:
                most = weight
                trial = i
        if now - self.rows[best].heard_at > YOUNG_US:
            return best
        if not self._heard_before(peer, now, rand) or most <= 16 and now < self._trial_at:
            return -1
        if most <= 16:
            self._trial_at = now + TRIAL_US + rand(TRIAL_US)
        return trial

    def fresh(self, now, within_us):
        count = 0
        for row in self.rows:
            if row.peer is not None and now - row.heard_at <= within_us:
                count += 1
        return count
