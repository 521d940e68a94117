"""Is a release that has just begun to run to stay? Its hooks say that it is well, and the network
side that it is alive and, where there was a neighbour before, has one."""

HEALTH_US = 5000000  # between two tries of hooks/health


class Trial:
    def __init__(self, confirm_us):
        self._confirm_us = confirm_us
        self._deadline = None
        self._heard_at = -1  # when the network side last told the time
        self.neighbours = 0
        self.company = False  # was there a neighbour before the last switch?

    def hear(self, neighbours, now):
        self.neighbours = neighbours
        self._heard_at = now

    def begin(self, now):
        self._deadline = now + self._confirm_us
        self._health_at = now
        self._ill = None  # what hooks/health said last

    def end(self):
        self._deadline = None

    def on(self):
        return self._deadline is not None

    def verdict(self, now, health):
        """None: not yet; 0: it is to stay; or why not. health(): 0, or what is wrong."""
        heard = self._heard_at > self._deadline - self._confirm_us
        company = self.neighbours > 0 or not self.company
        if heard and company and now >= self._health_at:
            self._health_at = now + HEALTH_US
            self._ill = health()
            if not self._ill:
                return 0
        if now >= self._deadline:
            return self._ill or "not confirmed in time"
        return None

    def next_at(self, now):
        return self._deadline if self._health_at <= now else min(self._deadline, self._health_at)
