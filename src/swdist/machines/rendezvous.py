"""When a node listens on its fallback link (docs/protocol.md, section 7.1).

Who has lost the mesh finds it there, if both look at the same time. Who hears nobody has nothing to
lose: it looks more often, and each time at another moment of the others' period.
"""

SPAN_US = 300000000
HOOKS_US = 160000000  # 8 hooks may take 20 s each, and no switch is to wait for them


class Rendezvous:
    """every_us: a window begins at each multiple of it, of the mesh time."""

    def __init__(self, every_us, now):
        self._every_us = every_us
        self._span_us = min(SPAN_US, every_us // 4)
        self.until = 0  # while it is up: the counter at its end, whatever becomes of the time
        # Whatever time it is told: once in four spans on average, and twice at once. Who has just
        # started may not know the time yet.
        self._spent = now + 6 * self._span_us

    def turn(self, now, mesh_us, alone, change_at):
        """`up` or `down` if that is to be done now, else None. alone: nobody is heard; change_at:
        the counter at the next switch that there may be, or None."""
        if self.until:
            if now < self.until:
                return None
            self.until = 0
            return "down"
        span = self._span_us
        busy = change_at is not None and change_at - now < span + HOOKS_US
        into = mesh_us % self._every_us
        if alone and into >= span:
            into = mesh_us % (self._every_us * 13 // 180)
        if busy or self._spent - now > 4 * span or into >= span:
            return None
        self._spent = max(self._spent, now) + 4 * span
        self.until = now + span - into
        return "up"
