"""The leash of a hardened clock (docs/protocol.md, section 8, rule 8).

Neighbours steer a clock by little each, and nobody can tell liars who say just that from others. So
each clock has a flywheel, which turns at a rate of its own and follows it slowly, and stays near
it: so fast can near liars move a node for long, however many. Where counters wander much against
each other, by more of the node's neighbours than may lie, the flywheel follows faster.
"""

REACH_US = 25000  # so far the clock may be from its flywheel
FOLLOW_PPB = 3500  # how fast that follows at most
LEARN_PPB = 25000  # and how much its rate changes in a day, but for what its own counter does
RATE_PPB = 20000  # so far the clock's rate may be from it
LOOK_US = 1800000000  # so often a node looks how much rates have wandered
LOOKS = 16  # so long is their mean, of which
CALM_PPB = 3500  # they are so far: with more, up to twice that, the leash is wider by its cube


def within(most, value):
    return max(-most, min(most, value))


class Leash:
    def __init__(self, now):
        self.wander_ppb = CALM_PPB
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
        held = within(REACH_US, off)
        width = ((self.wander_ppb << 10) // CALM_PPB) ** 3 >> 20  # in 1024ths
        # From a millisecond on as fast as it may.
        us = within(1000, held) * us // 1000 * width >> 10
        self._offset += us * FOLLOW_PPB // 1000000000
        self._rate += us * (LEARN_PPB << 10) // 86400000000
        rate = self._rate >> 10
        return held - off, rate + within(RATE_PPB, rate_ppb - rate)

    def look(self, peers, intos, now):
        """intos: how far our counter is ahead of each peer's, or None. What most have changed by is
        our own doing, and no wish of theirs."""
        changes, far = [], []
        for into, p in zip(intos, peers):
            slope = None
            if into is not None and p.mark is not None:
                slope = (into - p.mark) * 1000000000 // (now - self.looked)
                if p.slope is None:
                    p.mean = slope
                else:
                    changes.append(slope - p.slope)
                    far.append(abs(slope - p.mean))
                    p.mean += (slope - p.mean) // LOOKS
            p.mark, p.slope = into, slope
        self.looked = now
        if changes:
            changes.sort()
            far.sort()
            n = len(changes)
            more = far[n - 1 - (n - 1) // 3] - self.wander_ppb  # so many may lie
            more = self.wander_ppb + more // (4 if more > 0 else 32)
            self.wander_ppb = max(CALM_PPB, min(2 * CALM_PPB, more))
            if n > 2 and self._offset is not None:  # of two nobody knows whose it was
                self._rate -= changes[(n - 1) // 2] + changes[n // 2] << 9
