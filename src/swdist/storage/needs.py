"""What is to be held of what the releases name: for this node, then for neighbours; and what gives
way to it (docs/protocol.md, section 6)."""

from swdist.formats.bits import to_hex

MAX_TOLD = 64  # payloads of which it is remembered that no more is to be said, or fetched


class Needs:
    """pinned: ids of releases (active, fallback, scheduled) whose payloads come first; relayed: ids
    of payloads that neighbours lack and this node is to hold for them."""

    def __init__(self, room, catalogue, payloads, log):
        self.room = room
        self.pinned = self.relayed = ()
        self._catalogue = catalogue
        self._held = payloads.held
        self._log = log
        self._told = []  # ids of payloads that can't be held, once said
        self._none = []  # ids of payloads whose index is none
        self.changed()

    def changed(self):
        """What is held has, or what is for this node. Both answers are asked for with each
        turn, and cost some hundred steps: they are kept until then."""
        self._plan = self._lines = None

    def pin(self, rids):
        if set(rids) != set(self.pinned):
            self.pinned = tuple(rids)
            self.changed()

    def hear(self, failed, lot):
        """What the switch side says: ids of releases that failed here, and which lot is ours."""
        room = self.room
        if (failed, lot) != (room.failed, room.here.lot):
            room.failed, room.here.lot = failed, lot
            self.changed()

    def relay(self, pids):
        if tuple(pids) != self.relayed:
            self.relayed = tuple(pids)
            self.changed()

    def lines(self):
        """{payload id: manifest.Payload} of all that the releases held name. Two releases may say
        different things of one payload, and only its pages tell who is right: of several lines it
        is the last that they bear out, so that a wrong one harms no other release."""
        if self._lines is None:
            self._lines = {}
            for r in self._catalogue.releases:
                for p in r.manifest.payloads:
                    h = self._held.get(p.pid)
                    if p.pid not in self._lines or h is None or h.sound(p):
                        self._lines[p.pid] = p
        return self._lines

    def plan(self):
        """A room.Plan."""
        if self._plan is None:
            lines = self.lines()
            releases = self._catalogue.releases
            relayed = [lines[pid] for pid in self.relayed if pid in lines]
            self._plan = self.room.plan(releases, self.pinned, relayed, self._held)
            for pid, why in self._plan.refused.items():
                if self._is_new(pid):
                    names = [
                        r.name() for r in releases if pid in [p.pid for p in r.manifest.payloads]
                    ]
                    words = (names[-1], lines[pid].stored, why)
                    self._log.warn("payload of release %s, %d bytes, %s" % words)
        return self._plan

    def wanted(self):
        """Ids of the payloads that are to be fetched, own ones first."""
        plan = self.plan()
        return [pid for pid in plan.own + plan.relayed if self.lacks(pid)]

    def lacks(self, pid):
        """Is a part of it missing that somebody can have?"""
        h = self._held.get(pid)
        if h is None:
            return pid not in self._none
        return not h.complete() and self.sound(h)

    def sound(self, h):
        """Is it what a release says of it, as far as is known yet?"""
        p = self.lines().get(h.pid)
        return p is not None and h.sound(p)

    def in_ram(self, pid):
        """Is it to lie there? No flash has room for an image besides the one that runs."""
        p = self.lines().get(pid)
        return p is not None and p.kind == "image" and self.room.ram is not None

    def no_index(self, pid):
        """What has a payload's id is no index. It is not kept, so else it were asked for for
        ever."""
        self._none = self._none[1 - MAX_TOLD :] + [pid]
        self.refuse(pid, "its index is none")

    def refuse(self, pid, why):
        """The CA has signed what can't be: nobody is to blame, and nobody can have it."""
        if self._is_new(pid):
            self._log.error("payload %s is not held: %s" % (to_hex(pid[:4]), why))

    def _is_new(self, pid):
        if pid in self._told:
            return False
        self._told = self._told[1 - MAX_TOLD :] + [pid]
        return True

    def fits(self, more_bytes):
        """Is there room for so many bytes on flash? An image in RAM takes none of it."""
        used = sum([h.chunks_end for h in self._held.values() if not h.in_ram])
        return used + more_bytes + self._catalogue.spare_bytes() <= self.room.quota

    def gives_way(self):
        """[Held] on flash, what is missed least first: what is neither own nor relayed, then what
        is relayed, the largest first. What is own never does: its plan has room for it."""
        plan = self.plan()
        here = [h for h in self._held.values() if not h.in_ram]
        relayed = [self._held.get(pid) for pid in reversed(plan.relayed)]
        others = [h for h in here if h.pid not in plan.own + plan.relayed]
        return others + [h for h in relayed if h in here]
