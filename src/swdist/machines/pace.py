"""How often a thing may be done, however often somebody asks for it. Each switch, each slot that is
made and each release that is looked at costs flash or minutes of a router's processor, and who has
taken over the network side asks without end (docs/architecture.md, section 4)."""

PACE_US = 300000000  # a switch, or a slot begun, on average: 100,000 a year at most
RETRY_US = 60000000  # what can't be done now is tried again,
RETRY_MAX_US = 3600000000  # but ever more rarely, down to once an hour: each try writes, too


class Pace:
    """A bucket of turns, kept as the time that is spent: once in each_us on average, but at_once
    times at once. One number, so that the next process can go on with it (`until`)."""

    def __init__(self, each_us, at_once):
        self._each_us = each_us
        self._ahead_us = each_us * (at_once - 1)
        self.until = 0  # how far the time for it is spent, microseconds of the counter

    def free(self, now):
        return self.until - now <= self._ahead_us

    def spend(self, now):
        # What was not used before now is lost: a quiet year does not add up to a storm.
        self.until = max(self.until, now) + self._each_us
