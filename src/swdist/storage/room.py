"""Which payloads deserve room: a pure plan (docs/protocol.md, section 6).

What this node runs, or may run, comes first; then, as far as there is room, what neighbours lack.
"""


class Plan:
    """own, relayed: [payload id] to be held, in the order in which they are fetched; refused:
    {payload id: why} of own ones that there is no room for."""

    def __init__(self):
        self.own = []
        self.relayed = []
        self.refused = {}


class Room:
    """here: choose.Here. quota: bytes of payloads on flash; relay_quota: of these for others.
    ram: install.Ram, for images, or None: then none is held. keep_all: a host that seeds holds
    what is for any board."""

    def __init__(self, here, factory_version, quota, relay_quota, ram=None, keep_all=False):
        self.here = here
        self.ram = ram
        self.quota = quota
        self.failed = ()  # ids of releases that failed here
        self.relay_quota = relay_quota
        self._factory_version = factory_version
        self._keep_all = keep_all

    def lines(self, release):
        """The payloads of a release that this node would run, or seeds. Who is not in its audience
        holds it too: so its promotion moves nothing."""
        m = release.manifest
        if self._keep_all:
            return m.payloads
        p = self.here.payload(m) if not m.critical else None
        if p is None:
            return ()
        image = p.kind == "image"
        if m.version < self._factory_version or image and m.version == self._factory_version:
            return ()  # it will never run here: what the image holds is newer, or it
        if image and release.rid in self.failed:
            return ()  # RAM is too dear for what is never flashed
        return (p,)

    def plan(self, releases, pinned, relayed, held):
        """releases: in order; pinned: ids of those whose payloads come first; relayed: lines of
        what neighbours lack; held: {payload id: Held}."""
        plan = Plan()
        left = self.quota - sum([r.spare_bytes for r in releases])
        image = False
        wanted = []
        for r in reversed(releases):
            for p in self.lines(r):
                here = held.get(p.pid)
                if here is not None and not here.sound(p):
                    continue  # another release may name it truly
                if p.kind == "image" and self.ram is not None:
                    if not image or self._keep_all:
                        image = True  # the newest one: two of them are half of a router's memory
                        self._image(plan, p, held)
                elif p.kind == "image":
                    plan.refused[p.pid] = "option images_kb leaves no room"
                else:
                    wanted.append((r.rid not in pinned, p))
        for late in (False, True):
            for second, p in wanted:
                if second != late or p.pid in plan.own:
                    continue
                here = held.get(p.pid)
                if p.stored <= left or (not late and here is not None and here.complete()):
                    plan.own.append(p.pid)
                    plan.refused.pop(p.pid, None)  # another line of it
                    left -= p.stored
                else:
                    needed, room = (p.stored + 1023) >> 10, max(left, 0) >> 10
                    plan.refused[p.pid] = "needs %d KB, quota_kb has %d" % (needed, room)
        # Fetched in the order of versions, whatever came first for room: what is pinned may be the
        # fallback, and the newest is what a mesh waits for.
        order = [p.pid for _, p in wanted]
        plan.own.sort(key=lambda pid: order.index(pid) if pid in order else -1)
        self._relay(plan, relayed, held, min(left, self.relay_quota))
        return plan

    def _image(self, plan, p, held):
        if self.ram.fits(p.stored, held.get(p.pid)):
            plan.own.append(p.pid)
        else:
            plan.refused[p.pid] = "is larger than option images_kb or memory allow"

    def _relay(self, plan, relayed, held, left):
        """The smallest first: they help most neighbours for the same room."""
        for p in sorted(relayed, key=lambda p: (p.stored, p.pid)):
            if p.pid in plan.own or p.pid in plan.relayed:
                continue
            if p.kind == "image":
                if self.ram is not None and self.ram.fits(p.stored, held.get(p.pid)):
                    plan.relayed.append(p.pid)
            elif p.stored <= left:
                plan.relayed.append(p.pid)
                left -= p.stored
