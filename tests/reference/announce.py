"""Section 7: when to speak. `random(low, high)` comes from outside, as the time does."""

IMIN_US, IMAX_US, K = 250_000, 250_000 << 12, 2
S = 1_000_000
ANSWER_US, CALM_US, PROGRESS_US, NEW_US = S, 8 * S, 25_000, 50_000
FIRST_QUERY_US, LAST_QUERY_US = S, 64 * S


class Voice:
    """The turns of announcements and queries: `tick` says which of them is due."""

    def __init__(self, random, now_us):
        self.random = random
        self.query_us, self.query_wait_us = None, FIRST_QUERY_US
        self.soon = []  # when to announce besides Trickle, whatever others say
        self.progress_us = -S
        self.asked_us, self.answered_us, self.answer_wait_us = -CALM_US, -S, ANSWER_US
        self._begin(IMIN_US, now_us)

    def _begin(self, interval_us, now_us):
        """RFC 6206, section 4.2."""
        self.interval_us, self.heard = interval_us, 0
        self.ends_us = now_us + interval_us
        self.speaks_us = now_us + self.random(interval_us // 2, interval_us)

    def inconsistent(self, now_us):
        if self.interval_us > IMIN_US:
            self._begin(IMIN_US, now_us)

    def consistent(self):
        self.heard += 1

    def progressed(self, now_us):
        """A piece more is held."""
        at = max(now_us, self.progress_us + PROGRESS_US)
        if at not in self.soon:
            self.soon.append(at)
        self.progress_us, self.answer_wait_us = at, ANSWER_US
        self.inconsistent(now_us)

    def holds_new(self, now_us):
        """A release more is held."""
        self.soon += [now_us + n * NEW_US for n in range(3)]
        self.inconsistent(now_us)

    def asked(self, now_us):
        """A query has come, or a digest that is unlike ours."""
        if now_us - self.asked_us >= CALM_US:
            self.inconsistent(now_us)
        else:
            at = max(now_us, self.answered_us + self.answer_wait_us)
            if not self.soon:
                self.soon.append(at)
                self.answered_us = at
                self.answer_wait_us = min(2 * self.answer_wait_us, CALM_US)
        self.asked_us = now_us

    def lacks(self, something, now_us):
        """Whether something is to be asked for by queries (rule 4)."""
        if not something:
            self.query_us, self.query_wait_us = None, FIRST_QUERY_US
        elif self.query_us is None:
            self.query_us = now_us + self.query_wait_us

    def tick(self, now_us):
        """(whether to announce, whether to query) now."""
        announce = query = False
        if self.speaks_us is not None and now_us >= self.speaks_us:
            announce, self.speaks_us = self.heard < K, None
        if now_us >= self.ends_us:
            self._begin(min(2 * self.interval_us, IMAX_US), now_us)
        if any(at <= now_us for at in self.soon):
            announce, self.soon = True, [at for at in self.soon if at > now_us]
        if self.query_us is not None and now_us >= self.query_us:
            announce = query = True
            self.query_wait_us = min(2 * self.query_wait_us, LAST_QUERY_US)
            self.query_us = now_us + self.query_wait_us
        return announce, query
