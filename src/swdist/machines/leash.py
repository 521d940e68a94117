"""The leash of a hardened clock (docs/protocol.md, section 8, rule 8).

Neighbours steer a clock by little each, and nobody can tell liars who say just that from others. So
each clock has a flywheel, which turns at a rate of its own and follows it slowly, and stays near
it: so fast can near liars move a node for long, however many. Where its own rate wanders much, by
the word of most counters that it hears, the flywheel follows faster.
"""

REACH_US = 25000  # so far the clock may be from its flywheel
FOLLOW_PPB = 3500  # how fast that follows at most
LEARN_PPB = 25000  # and how much its rate changes in a day
RATE_PPB = 20000  # so far the clock's rate may be from it
LOOK_US = 1800000000  # so often a node looks how much its own rate has wandered
CALM_PPB = 850  # in that while, as a mean: with more the leash is wider by its square,
WIDEST = 4  # up to so much


def _within(most, value):
    return max(-most, min(most, value))


class Leash:
    def __init__(self, now):
        self.wander_ppb = 1500  # until more is known
        self.looked = now
        self.cut()

    def cut(self):
        """What it knew of the clock is over; hold begins anew."""
        self._offset = None

    def moved(self, change):
        """The clock has made a step."""
        if self._offset is not None:
            self._offset += change

    def hold(self, offset, rate_ppb, now):
        """(what is to be added to the clock's offset, its rate), so that it stays near."""
        if self._offset is None:
            self._offset, self._rate, self._at = offset, rate_ppb << 10, now  # in 1024ths
        us = now - self._at
        self._at = now
        self._offset += (self._rate >> 10) * us // 1000000000
        off = offset - self._offset
        held = _within(REACH_US, off)
        # From a millisecond on as fast as it may.
        width = self.wander_ppb * self.wander_ppb // CALM_PPB
        width = max(CALM_PPB, min(WIDEST * CALM_PPB, width))
        us = _within(1000, held) * us * width // (1000 * CALM_PPB)
        self._offset += us * FOLLOW_PPB // 1000000000
        self._rate += us * (LEARN_PPB << 10) // 86400000000
        rate = self._rate >> 10
        return held - off, rate + _within(RATE_PPB, rate_ppb - rate)

    def look(self, peers, intos, now):
        """intos: how far our counter is ahead of each peer's, or None. What most have changed by is
        our own doing, and no wish of theirs."""
        changes = []
        for into, p in zip(intos, peers):
            slope = None
            if into is not None and p.mark is not None:
                slope = (into - p.mark) * 1000000000 // (now - self.looked)
                if p.slope is not None:
                    changes.append(slope - p.slope)
            p.mark, p.slope = into, slope
        self.looked = now
        if changes:
            changes.sort()
            n = len(changes)
            change = (changes[(n - 1) // 2] + changes[n // 2]) // 2
            self.wander_ppb += (abs(change) - self.wander_ppb) // 4
            if n > 2 and self._offset is not None:  # of two nobody knows whose it was
                self._rate -= change << 10
