"""Who has what: announcements timed by Trickle (RFC 6206; docs/protocol.md, sections 3.4 and 7)."""

from swdist.formats import datagram

IMIN_US = 250000
DOUBLINGS = 12
K = 2
MANY = 1000000  # more than can be heard in an interval
NEWS_GAP_US = 25000  # what we have got is told at once, but at most that often
AGAIN = 3  # so often a release that is new here is told, whatever others say
AGAIN_US = 50000  # between two of these
QUERY_GAP_US = 1000000  # queries are answered at most that often, and where there is nothing new
QUERY_GAP_MOST_US = 8000000  # ever more rarely: an answer may be a hundred times as long
# One datagram, at most 50 times as long, goes on each second, so that who starts beside somebody
# who asks for ever hears of us; more of them twice, four and eight times as rarely.
_LONG = 3


class Announce:
    """When to say it."""

    def __init__(self, rand):
        self._rand = rand
        self._interval = 0
        self._queried_at = self._answered_at = None
        self._gap = self._gap_most = QUERY_GAP_US
        self._fired = True
        self.said_at = 0
        self._again = 0
        self.next_at = None

    def start(self, now):
        self._interval = 0
        self.inconsistent(now)

    def _begin(self, interval, now):
        """RFC 6206, section 4.2, steps 1 to 3."""
        self._interval = interval
        self._heard = 0
        self._fired = False
        self._end = now + interval
        self.next_at = now + interval // 2 + self._rand(interval // 2)

    def consistent(self):
        """A neighbour said what we would say."""
        self._heard += 1

    def inconsistent(self, now):
        """News: start over with the shortest interval, if that is not so already."""
        if self._interval != IMIN_US:
            self._begin(IMIN_US, now)

    def again(self, now):
        """Once more. What others said before is no answer; and they may speak in others' names to
        keep all silent, so one in four speaks whatever they say."""
        self._fired = False
        self._heard = 0 if self._rand(4) else -MANY
        self.next_at = min(self.next_at, now + self._rand(IMIN_US))

    def news(self, now, release):
        """We have more than before: a chunk shall run through many hops as through a pipe. Is it a
        release? Who missed a chunk's announcement asks for the next one, but not who knows of
        nothing."""
        self._gap = QUERY_GAP_US
        if release:
            self._again = AGAIN
        at = max(now, self.said_at + NEWS_GAP_US)
        if not self._fired:
            at = min(at, self.next_at)
        self._begin(IMIN_US, now)
        self.next_at = at

    def query(self, now):
        if self._queried_at is None or now - self._queried_at > QUERY_GAP_MOST_US:
            self._gap = QUERY_GAP_US
            self._answered_at = now
            self.inconsistent(now)
        elif now - self._answered_at > self._gap:
            self._gap = min(self._gap * 2, self._gap_most)
            self._answered_at = now
            self.again(now)
        self._queried_at = now

    def tick(self, now, say):
        """Calls say() when it is time to announce; it says how many datagrams that took."""
        if now < self.next_at:
            return
        if not self._fired:
            if self._heard < K or self._again:
                self.said_at = now
                self._gap_most = QUERY_GAP_US << min(say() - 1, _LONG)
            if self._again:
                self._again -= 1
                self.next_at = now + AGAIN_US
            else:
                self._fired = True
                self.next_at = self._end
        else:
            self._begin(min(self._interval * 2, IMIN_US << DOUBLINGS), now)


def say(send, writer, store, port, wants):
    """One burst: all that is held, in as many datagrams as it needs. wants: {payload id: WANTED, or
    that and STARVED}. How many they were."""
    count = 1
    shown = store.catalogue.shown()
    head = store.catalogue.digest(), len(shown), port
    writer.announce(*head)

    def put(write, *fields):
        nonlocal count
        if not write(*fields):
            count += 1
            send(writer.buf, writer.n)
            writer.announce(*head)
            write(*fields)

    for r in shown:
        m = r.manifest
        flags = datagram.EXPERIMENTAL if m.experimental else 0
        flags |= datagram.WITHDRAWN if m.withdrawn else 0
        flags |= datagram.FAILED_HERE if r.rid in store.room.failed else 0
        put(writer.release, r.rid, m.version, m.revision, flags)
    payloads = store.payloads.held
    for pid, h in payloads.items():
        flags = datagram.COMPLETE if h.complete() else wants.get(pid, 0)
        put(writer.payload, pid, flags, h.total, h.held)
    for pid, flags in wants.items():
        if pid not in payloads:
            put(writer.payload, pid, flags, 0, 0)
    writer.grease()
    send(writer.buf, writer.n)
    return count
