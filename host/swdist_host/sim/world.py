"""Virtual time: a queue of events, and a digest over all that happened."""

import gc
import hashlib
import struct
from heapq import heappop, heappush

SECOND = 1000000
RECENT = 4096  # of the last things that happened, kept for the history of a violation
_BATCH = 4096
_form = struct.Struct("<QiBI")

# Kinds of things that are traced:
BROADCAST, UNICAST, CHUNK, SWITCH, BOOT, DOWN, ACTION = range(7)
KINDS = ("broadcast", "unicast", "chunk", "switch", "boot", "down", "action")


class Trace:
    """Everything that left a node, in order. Equal digests mean equal runs."""

    def __init__(self):
        self._hash = hashlib.sha256()
        self._waiting = []
        self.count = 0
        self.kinds = [0] * len(KINDS)

    def note(self, t, station, kind, value):
        """value: 0..2**32-1, such as a check sum of what was sent."""
        self.kinds[kind] += 1
        self._waiting.append(_form.pack(t, station, kind, value))
        if len(self._waiting) >= _BATCH:
            self._flush()

    def _flush(self):
        self.count += len(self._waiting)
        self._hash.update(b"".join(self._waiting))
        self._waiting = []

    def tail(self, n):
        """The last events that were noted, as (t, station, kind, value)."""
        return [_form.unpack(w) for w in self._waiting[-n:]]

    def digest(self):
        self._flush()
        return self._hash.hexdigest()


class World:
    """now: microseconds of true time since the run began. Events of the same time come in the order
    in which they were asked for."""

    def __init__(self):
        self.now = 0
        self.events = 0
        self.trace = Trace()
        self._queue = []
        self._count = 0

    def at(self, t, call, *args):
        """call(*args) at time t."""
        self._count += 1
        heappush(self._queue, (t, self._count, call, args))

    def run(self, until, done=None):
        """Up to time `until`, or until done() is true. done is asked now and then."""
        queue = self._queue
        was = gc.isenabled()
        gc.disable()  # nothing here makes cycles, and there are millions of objects
        events = 0
        try:
            while queue and queue[0][0] <= until:
                t, _, call, args = heappop(queue)
                self.now = t
                call(*args)
                events += 1
                if not events & 255 and done is not None and done():
                    return
            self.now = max(self.now, until)
        finally:
            self.events += events
            if was:
                gc.enable()
