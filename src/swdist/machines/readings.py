"""What is known of one neighbour's clock (docs/protocol.md, section 8, "What is compared").

Two things are kept apart. How far its *counter* is from ours is filtered over many beacons, for
neither ever steps: what a beacon took on its way is never negative, so the least difference is the
best (the minimum-delay idea of RFC 5905, section 10). How far its *mesh time* is from its counter
it says itself, and may change with each beacon, so only the latest word counts; filtered, too, a
cold mesh would take eight beacons a hop to follow a step (docs/decisions/0003-clock.md).

All times are microseconds, rates parts per billion. No datagram is authenticated: whatever a beacon
says may be a third one's, in this neighbour's name.
"""

SAMPLES = 8  # as many as the clock filter of RFC 5905 has
STEP_US = 30000  # whose time differs by less is near, and averaged; by more it takes a step
RATE_MAX_PPB = 200000  # two crystals that are 100 ppm off either way: beyond is a lie, or a fault
FRESH_PERIODS = 6  # sparse ones, as the next: at 20 % loss once in 16,000 none of six comes
SAMPLE_PERIODS = 16  # 256 s, in which 1 ppm that is not known makes a quarter of a millisecond
ECHO_PERIODS = 22  # nor echoes, which are a sample that was as old when it was sent
# A step of its time is not its word while it also says otherwise: who speaks in its name between
# its own beacons would else move what it says with each of them.
HELD_PERIODS = 2
# Within one place no link takes so long; and a limit there must be, for half of a round trip is how
# far who delays one way only can shift what is measured.
ROUND_TRIP_MAX_US = 1000000
EARLY = 3  # samples that count as first: the very first may be another's, in its name
ODD = 3  # impossible samples in a row: the ones before were the others


class Readings:
    """slow_us: what a neighbour's period may be. .count samples came since the last clear;
    .round_trip is as ahead found it last, .chosen the sample (difference, our counter) that into
    did: what is echoed, so that both ends of a link judge by the same two."""

    def __init__(self, slow_us):
        self._slow_us = slow_us
        self._at = [0] * SAMPLES  # our counter when a beacon came
        self._diff = [0] * SAMPLES  # and by how much more that is than its counter at sending
        self.clear()

    def clear(self):
        self._nonce = self.sent = None
        self.count = self._offset = self.rate = self.round_trip = self._odd = self._stepped = 0
        self.elder = False  # was it synchronised when first heard?
        self.anchor = self.near_since = None  # says it that it has a reference? and near since when
        self.mark = None  # its counter against ours, when last looked at,
        self.slope = self.mean = None  # and since, and as it was of late

    def take(self, nonce, counter, rx_counter, offset, synced, rate, anchor, now, sure):
        """A beacon. counter: its own at sending, rx_counter: ours at reception; sure: neither of
        us is at a cold boot, where times step with each beacon, and rightly so."""
        diff = rx_counter - counter
        # A counter never steps: what is that far from the last sample is another's, in its name.
        # But if that one came first, the neighbour's own would be refused for ever: hence ODD.
        last = self._diff[(self.count - 1) % SAMPLES]
        odd = self.count and abs(diff - last) > ROUND_TRIP_MAX_US
        self._odd = self._odd + 1 if odd else 0
        if self._nonce == nonce and 0 < self._odd < ODD:
            return
        if self._nonce != nonce or odd:  # another process, and another counter: nothing holds
            self.clear()
            self._nonce = nonce
        i = self.count % SAMPLES
        self._at[i] = self._heard = rx_counter
        self._diff[i] = diff
        self.count += 1
        if synced and self.count <= EARLY:
            self.elder = True
        if sure and self.count > 1 and abs(offset - self._offset) > 2 * STEP_US:
            self._stepped = self._stepped or now
            if now - self._stepped < HELD_PERIODS * self._slow_us:
                return
        self._stepped = 0
        self._offset, self.rate, self.anchor = offset, rate, anchor

    def echoed(self, d_us, their_rx_counter, now):
        """Its counter when a beacon of ours came, and by how much more that is than ours at
        sending (d_us)."""
        sent = their_rx_counter - d_us  # by our counter: it is no echo of what was not sent
        if self._nonce is not None and now - ECHO_PERIODS * self._slow_us <= sent <= now:
            self.sent, self._out = sent, d_us

    def into(self, now, rate):
        """The least of the differences, each grown by `rate` since then; None without samples."""
        least = self.chosen = None
        for i in range(min(self.count, SAMPLES)):
            age = now - self._at[i]
            diff = self._diff[i] + age * rate // 1000000000
            if age <= SAMPLE_PERIODS * self._slow_us and (least is None or diff < least):
                least, self.chosen = diff, (self._diff[i], self._at[i])
        return least

    def ahead(self, now, rate_ppb):
        """Its offset, by our counter; rate_ppb: ours. None if it is silent or one-way."""
        if self.count == 0 or now - self._heard > FRESH_PERIODS * self._slow_us:
            return None
        rate = self.rate - rate_ppb
        into = self.into(now, rate)
        if into is None or self.sent is None or now - self.sent > ECHO_PERIODS * self._slow_us:
            return None
        out = self._out - (now - self.sent) * rate // 1000000000
        # Below zero it was there before it was sent. A little of that is the rates' doing.
        if not -STEP_US < into + out < ROUND_TRIP_MAX_US:
            return None
        self.round_trip = max(0, into + out)
        return (out - into) // 2 + self._offset + (now - self._heard) * self.rate // 1000000000
