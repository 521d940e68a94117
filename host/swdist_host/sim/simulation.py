"""A whole mesh: stations, radio, CA and truth, and what can be done to them."""

import random

import networkx as nx

from swdist_host import release
from swdist_host.sim import crypto, disk, radio, station
from swdist_host.sim.authority import EPOCH_S, Authority
from swdist_host.sim.besiegers import KINDS
from swdist_host.sim.invariants import Checks
from swdist_host.sim.world import ACTION, SECOND, World

RIGHT_SPREAD_US = 10000  # how far clocks are apart that begin right


class Simulation:
    """graph: see `topology`; attackers: {node: kind, see `attackers`}. Everything random comes out
    of the seed."""

    def __init__(self, graph, seed, node=None, air=None, every_event=True, attackers=None):
        crypto.install()
        station.install()
        self.seed = seed
        self.graph = graph
        self.settings = node or station.Settings()
        self.rng = random.Random(f"swdist-sim {seed}")
        self.authority = Authority(seed)
        self.trust = self.authority.trust()  # of a node that has just begun
        world = self.world = World()
        world.seed = seed
        world.pieces = crypto.Pieces()
        world.radio = radio.Radio(world, air or radio.Settings(), self._stream("radio"))
        world.stations = world.radio.stations
        world.addresses = {}
        world.checks = self.checks = Checks(self, every_event)
        self.parts = None  # {node: part} while the mesh is partitioned
        attackers = attackers or {}
        for n in range(graph.number_of_nodes()):
            if n in attackers:
                self._add(KINDS[attackers[n]], sim=self)
            else:
                self._add(station.Station)
        for a, b, attributes in sorted(graph.edges(data=True), key=lambda e: e[:2]):
            world.radio.connect(a, b, attributes.get("loss"))
        world.retuned = self._links
        if self.settings.channels > 1:
            self.parts = self._parts(self.settings.channels, self._stream("channels"))
            self._links()

    def _stream(self, name):
        """Randomness for one purpose, so that one more draw elsewhere changes nothing here."""
        return random.Random(f"swdist-sim {self.seed} {name}")

    def _add(self, kind, **more):
        world = self.world
        number = len(world.stations)
        drift = self.settings.drift_ppm * 1000
        rng = self._stream(number)
        new = kind(
            world,
            number,
            self.settings,
            self.authority.trust,
            rng.randint(-drift, drift),
            rng,
            **more,
        )
        world.radio.add(new)
        world.addresses[new.peer] = number
        return new

    @property
    def stations(self):
        return self.world.stations

    def honest(self):
        return [s for s in self.stations if s.honest]

    def now_s(self):
        """True time, seconds since 1970."""
        return EPOCH_S + self.world.now // SECOND

    def true_us(self):
        return EPOCH_S * SECOND + self.world.now

    # --- what can be done

    def note(self, text):
        self.world.trace.note(self.world.now, -1, ACTION, len(text))
        self.checks.history.append((self.world.now, -1, text))

    def boot(self, numbers=None, spread_us=SECOND):
        """Power on, each at a random moment within spread_us."""
        for n in range(len(self.stations)) if numbers is None else numbers:
            s = self.stations[n]
            off_us = self._clock_off_us() if s.epoch == 0 else None
            after_us = int(self.rng.random() * spread_us)
            if off_us is not None:
                s.save_soft_start(self.true_us() + after_us + off_us)
            self.world.at(self.world.now + after_us, s.boot)

    def _clock_off_us(self):
        """How wrong a clock is at the moment of its first boot; None: it has no idea."""
        if self.settings.clock == "none":
            return None
        if self.settings.clock == "saved":
            return -3600 * SECOND - self.rng.randrange(60 * SECOND)
        return self.rng.randrange(2 * RIGHT_SPREAD_US) - RIGHT_SPREAD_US

    def release(self, version, *, start_s=None, size=65536, boards=1, like=None, same_as=None,
                **more):  # fmt: skip
        """A release, signed now, with a payload for each of so many boards; same_as: a Swd whose
        payloads it has; like: the version of one from which they differ in a few bytes only."""
        now_s = self.now_s()
        if same_as is not None:
            payloads = sources(same_as)
        elif more.get("withdraw"):
            payloads = ()
        else:
            payloads = self.payloads(version, size, boards, like)
        start_s = now_s if start_s is None else start_s
        return self.authority.build(version, start_s, now_s, payloads, **more)

    def payloads(self, version, size, boards=1, like=None):
        """A release.Source for each board; the first nodes' is for any where it is the only one."""
        made = self.authority.payload
        if boards == 1:
            return (release.Source("slot", (), made(version, size, like)),)
        found = []
        for n in range(boards):
            base = f"{like} {n}" if like else None
            data = made(f"{version} {n}", size, base)
            found.append(release.Source("slot", (station.board_name(n),), data))
        return tuple(found)

    def inject(self, number, swd):
        """As `swdist inject` on that node: through its store, by its own checks."""
        s = self.stations[number]
        self.note(f"release {swd.parsed.version} r{swd.parsed.revision} injected at node {number}")
        try:
            self.put(s, swd)
        except disk.PowerCut:
            s.down()
            return
        self.checks.injected(number, swd)

    def put(self, s, swd):
        """None, or why not, as the store says it."""
        found, why = s.store.add(swd.manifest, swd.signatures)
        if found is None:
            return why
        for packed in swd.payloads:
            why = self._put_payload(s.store, packed)
            if why is not None:
                return why
        now = s.counter(self.world.now)
        if s.tap is not None:
            s.tap.put(swd, now)
        s.fs.spent_us = 0
        s.node.news(now)
        s.tell_switch(None)
        s.turn(now)
        return None

    def _put_payload(self, store, packed):
        why = store.put_index(packed.pid, packed.index)
        held = store.held(packed.pid)
        while why is None and held is not None and not held.complete():
            piece = self.world.pieces.share(packed.pieces[held.held])
            _, why = store.put(held, memoryview(piece))
        return why

    def down(self, numbers, cut=True):
        self.note(f"down: {_names(numbers)}")
        for n in numbers:
            self.stations[n].down(cut)

    def up(self, numbers, spread_us=SECOND):
        self.note(f"up: {_names(numbers)}")
        self.boot(numbers, spread_us)

    def join(self, count, links=3):
        """New nodes, each in the hearing of a few that are neighbours of each other."""
        old = len(self.stations)
        self.note(f"{count} nodes join")
        for _ in range(count):
            near = self.rng.randrange(old)
            ring = sorted({near, *self.graph[near]})
            new = self._add(station.Station).number
            for b in self.rng.sample(ring, min(links, len(ring))):
                self.graph.add_edge(new, b)
                self.world.radio.connect(new, b)
        self.boot(range(old, len(self.stations)))

    def partition(self, count=2):
        """Cuts the links between `count` connected parts of about equal size."""
        self.note(f"partition into {count}")
        self.parts = self._parts(count, self.rng)
        self._links()

    def _parts(self, count, rng):
        """{node: part}, each of them connected."""
        roots = sorted(rng.sample(sorted(self.graph), count))
        parts = {r: i for i, r in enumerate(roots)}
        fronts = [[r] for r in roots]
        while any(fronts):
            for i, front in enumerate(fronts):
                new = []
                for a in front:
                    for b in sorted(self.graph[a]):
                        if b not in parts:
                            parts[b] = i
                            new.append(b)
                fronts[i] = new
        return parts

    def heal(self):
        self.note("healed")
        self.parts = None
        self._links()

    def _links(self):
        """Who has one radio hears those that are on the same channel."""
        parts = self.parts
        for a, b in self.graph.edges:
            x, y = self.stations[a], self.stations[b]
            same = x.on_fallback or parts is None or parts[a] == parts[b]
            self.world.radio.set_up(a, b, same and x.on_fallback == y.on_fallback)
        self.checks.changed()

    def connected(self):
        """The graph of what works now: honest nodes that are up, links that are up."""
        links = self.world.radio.links
        good = [s.number for s in self.stations if s.up and s.honest]
        graph = nx.Graph()
        graph.add_nodes_from(good)
        for a in good:
            for b, link in links[a].items():
                if link.up and self.stations[b].up and self.stations[b].honest:
                    graph.add_edge(a, b)
        return graph

    # --- what came of it

    def coverage(self, rid):
        """How many honest nodes hold all of it."""
        return len(self.checks.holders.get(rid, ()))

    def run(self, seconds, done=None):
        """So much longer in virtual time."""
        self.world.run(self.world.now + int(seconds * SECOND), done)
        self.checks.all()

    def digest(self):
        return self.world.trace.digest()


def sources(swd):
    """What a release was built of."""
    found = []
    for line in swd.parsed.payloads:
        data = swd.packed(line).inflated()
        found.append(release.Source(line.kind, line.boards or (), data))
    return tuple(found)


def _names(numbers):
    numbers = list(numbers)
    text = ", ".join(str(n) for n in numbers[:12])
    return text + (f" and {len(numbers) - 12} more" if len(numbers) > 12 else "")
