"""stub"""

from collections import deque


class Checks:
    def __init__(self, sim, every_event):
        self.holders = {}
        self.history = deque(maxlen=100)

    def after(self, s, now):
        for r in s.store.releases:
            if r.complete:
                self.holders.setdefault(r.rid, {})[s.number] = 1

    def booted(self, s):
        pass

    def going_down(self, s):
        pass

    def after_switch(self, s, now):
        pass

    def switched(self, s, record):
        pass

    def injected(self, *a):
        pass

    def changed(self):
        pass

    def all(self):
        pass
