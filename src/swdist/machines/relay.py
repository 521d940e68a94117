"""What is fetched for others: payloads that fit not here, and that neighbours can't get from
anybody else (docs/protocol.md, section 6.3).

A neighbour that is starved of one is helped after a random delay, if nobody has begun to help it
by then: of all that hear it, one does. Who helps and finds no source is, after a longer delay,
starved too, and says so. So a wish travels towards a source, and no further than it must.
"""

HELP_US = 500000  # the delay is drawn from this
HELP_MOST_US = 5000000  # to this
ASK_US = 10000000  # and that of a helper without a source from this
ASK_MOST_US = 20000000
RELAY_US = 5000000  # at least so often it is looked who is to be helped: wishes end unsaid
WANT_US = 300000000  # a wish counts for so long after it was said
MAX_RELAYED = 16


class Relay:
    def __init__(self, neighbours, rand):
        self._rows = neighbours.rows
        self._rand = rand
        self._soon = {}  # {payload id: when we begin to help}
        self._helped = {}  # {payload id: when we are starved of it ourselves}
        self._now = 0  # of the last tick
        self.next_at = 0

    def wake(self, now):
        """What neighbours want has changed, or what is known here."""
        self.next_at = now

    def tick(self, now, lines, own, offered):
        """Ids of what is to be held for others. lines: {id: Payload} of all known; own: ids of
        what is for this node; offered(id): does a neighbour have what we lack of it?"""
        self._now = now
        wanted, starved = self._wishes(now, lines, own)
        for pid in [p for p in self._soon if p not in starved or p in self._helped]:
            del self._soon[pid]
        for pid in starved:
            if pid not in self._soon and pid not in self._helped and len(self._soon) < MAX_RELAYED:
                self._soon[pid] = now + HELP_US + self._rand(HELP_MOST_US - HELP_US)
        for pid, at in list(self._soon.items()):
            if now >= at and len(self._helped) < MAX_RELAYED:
                del self._soon[pid]
                self._helped[pid] = now + ASK_US + self._rand(ASK_MOST_US - ASK_US)
        for pid in list(self._helped):
            if pid not in wanted:
                del self._helped[pid]
            elif offered(pid):
                self._helped[pid] = max(self._helped[pid], now + ASK_US)
        self.next_at = now + RELAY_US
        for at in list(self._soon.values()) + list(self._helped.values()):
            if now < at < self.next_at:
                self.next_at = at
        return sorted(self._helped)

    def starved(self, pid):
        """Have we looked for a source in vain for so long that others shall look too?"""
        return self._now >= self._helped.get(pid, self._now + 1)

    def _wishes(self, now, lines, own):
        """Ids that neighbours want, and those of which one is starved."""
        wanted = set()
        starved = set()
        for row in self._rows:
            for pid, (hungry, at) in row.wants.items():
                if pid in lines and pid not in own and now - at < WANT_US:
                    wanted.add(pid)
                    if hungry:
                        starved.add(pid)
        return wanted, sorted(starved)
