"""A node's life with two releases, on the real store, slots and switcher, and their switch side.

A neighbour has all that was released. What the network side does with sockets is done here by hand:
one index or piece is fetched a turn.
"""

import random

from logs import Log

from crash.flash import Flash
from swdist.storage.room import Room
from swdist.storage.store import Store
from swdist.trust import choose
from swdist.trust.choose import FACTORY
from swdist_host import payload
from swdist_host.release import Source
from swdist_host.sim import crypto, station
from swdist_host.sim.authority import Authority

S = 1_000_000
DAY_S = 1_800_000_000  # the mesh time when the life begins
CONFIRM_S = 30
DOWN_S = 3  # without power
STABLE_S, BEGIN_S, END_S = DAY_S + 100, DAY_S + 200, DAY_S + 300
NEXT_S = DAY_S + 500
LAST_S = DAY_S + 700
QUOTA = 256 * 1024
TIGHT = 14 * 1024  # room for two payloads


def install():
    station.install()
    crypto.install()


def tree(folder, version):
    """A payload of some files, directories and chunks."""
    (folder / "hooks").mkdir(parents=True)
    (folder / "etc/deep").mkdir(parents=True)
    (folder / "hooks/activate").write_text("true\n")
    (folder / "version").write_text(version)
    (folder / "etc/deep/a").write_bytes(random.Random(version).randbytes(4500))
    (folder / "etc/deep/b").write_bytes(version.encode() * 900)
    (folder / "etc/same").write_bytes(random.Random(0).randbytes(1500))
    if version != "1.1.0":  # so that other code is due before and after the experiment
        (folder / "lib/swdist").mkdir(parents=True)
        (folder / "lib/swdist/__init__.py").write_text(f"VERSION = '{version}'\n")


class World:
    """What was released: stable 1.1.0, experimental 1.2.0 within it, and later 1.3.0. `revised`:
    1.1.0 once more with the same payload, as a correction of its description."""

    def __init__(self, folder):
        self.authority = Authority(1)
        self.trust = self.authority.trust()
        self.folder = folder
        self.trees = {}  # release id: {name: content}
        self.stable = self._build("1.1.0", STABLE_S)
        self.revised = self._build("1.1.0", STABLE_S, revision=1)
        self.experiment = self._build("1.2.0", BEGIN_S, end_s=END_S)
        self.next = self._build("1.3.0", NEXT_S)

    def _build(self, version, start_s, **more):
        folder = self.folder / version
        if not folder.exists():
            tree(folder, version)
        swd = self.authority.build(
            version, start_s, DAY_S - 10, [Source("slot", (), payload.from_dir(folder))], **more,
        )  # fmt: skip
        self.trees[swd.rid] = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        return swd


def installed():
    """A node's flash before its first start, which makes the folders."""
    return Flash()


class Node:
    """On `flash`, from one start of its power to the next."""

    settings = station.Settings(confirm_s=CONFIRM_S)
    board = "sim"
    groups = ()
    lot = bytes(16)
    hold = 0

    def __init__(self, world, flash, now_s, quota=QUOTA):
        self.world = self  # what station.Switch asks for the time
        self.released = world
        self.now = now_s * S  # of mesh time, which is known from the start
        self.fs = flash
        self.log = Log()
        self.records = []
        self.turns = self.restarts = 0
        self.sick = ()  # versions whose hooks/health fails
        flash.mkdirs(station.STORE)
        self.here = choose.Here(self.board, ("slot",))
        room = Room(self.here, (1, 0, 0), quota, 0)
        self.store = Store(flash, station.STORE, world.trust, self.log, room)
        self.store.load()
        self.switch = station.Switch(self, world.trust)
        self.slots = self.switch.slots
        self.tell_time()
        self.switch.begin(self.now)

    def counter(self, t):
        return t

    def hook(self, release, name):
        return "ill" if name == "health" and release.manifest.version in self.sick else 0

    def switched(self, record):
        self.records.append((record["to"], record["reason"]))

    def from_switch(self, message):
        _, rid, *_ = message
        factory = choose.factory((1, 0, 0))
        store, now_s = self.store, self.now // S
        store.collect(choose.pinned(store.releases, rid, now_s, self.here, factory, store.ready))

    def tell_time(self):
        self.switch.switcher.set_time(self.now, 0, 1000, True, 1, self.now)

    def restart(self):
        """What the launcher does when switchd has ended for other code: the next one takes over."""
        active = self.switch.switcher.active
        readable = not (self.fs.fault and self.fs.reads_fail)
        assert not readable or self.slots.active() == active.rid  # what the launcher goes by
        fault, self.fs.fault = self.fs.fault, None  # RUN is in RAM
        self.switch._hand_over(self.now)
        self.switch = station.Switch(self, self.released.trust)
        self.slots = self.switch.slots
        self.switch._take_over(self.now)
        self.fs.fault = fault
        self.switch.begin(self.now)
        assert self.switch.switcher.synced
        assert not readable or self.switch.switcher.active.rid == active.rid
        self.restarts += 1

    def fetch(self, offered):
        """One more part of what the neighbour offers. True if there was one."""
        for swd in offered:
            if self.store.catalogue.get(swd.rid) is None:
                why = self.store.add(swd.manifest, swd.signatures)[1]
                if why is None or "later" not in why:
                    return True
        for pid in self.store.needs.wanted():
            packed = self.released.authority.payloads[pid]
            h = self.store.held(pid)
            if h is None:
                self.store.put_index(pid, packed.index)
            else:
                self.store.put(h, memoryview(packed.pieces[h.held]))
            return True
        return False

    def turn(self, offered):
        """What the two processes do, one after the other; then the time goes on."""
        self.turns += 1
        busy = self.store.reuse()[0] or self.fetch(offered)
        if busy:
            self.switch._look_at = self.now
        if busy or self.turns % 4 == 0:
            self.tell_time()
        wake = self.switch.turn(self.now)
        if self.switch.switcher.restart_due:
            self.restart()
            wake = self.now
        self.now = min(max(wake, self.now + S), self.now + 10 * S)

    def run(self, until_s, offered, after=None):
        while self.now < until_s * S:
            self.turn(offered)
            if after is not None:
                after(self)

    def check_slot(self, rid):
        """Is it the release's own tree, whole?"""
        if rid == FACTORY:
            return
        root = self.slots.path(rid)
        for name, data in self.released.trees[rid].items():
            assert self.fs.read(root + "/" + name, 1 << 20) == data, (rid.hex()[:8], name)

    def check_settled(self, swd):
        assert self.slots.active() == self.slots.confirmed() == swd.rid, self.log.lines[-20:]
        self.check_slot(swd.rid)


class Story:
    """What happens in a life; the same names in the messages of failures."""

    def __init__(self, world, name):
        self.name = name
        self.world = world
        self.quota = TIGHT if name == "little room" else QUOTA
        self.sick = ((1, 2, 0),) if name == "sick experiment" else ()
        self.last = world.revised if name == "revised" else world.stable  # before the next

    def offered(self, now_s):
        w = self.world
        offered = [w.stable, w.experiment]
        if self.name == "revised" and now_s >= STABLE_S + 50:
            offered = [w.revised, w.experiment]
        if now_s >= END_S + 60:
            offered.append(w.next)
        return offered

    def boot(self, flash, now_s):
        node = Node(self.world, flash, now_s, self.quota)
        node.sick = self.sick
        return node

    def live(self, node, until_s, after=None):
        while node.now < until_s * S:
            node.turn(self.offered(node.now // S))
            if after is not None:
                after(node)
