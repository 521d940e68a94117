"""How a release would spread over a map: the nodes' own code in virtual time."""

from dataclasses import dataclass

from swdist_host import maps, release
from swdist_host.errors import BadValue

SETTLE_S = 30  # by then neighbours know each other
MORE_S = 300  # who has not got it so long after the one before, will not
BUDGET_BYTES = 1 << 26  # simulated, over all nodes: some 10 s of this host's time
LEAST_BYTES = 1 << 16
LEAST_KBPS = 500  # of simulated radios: slower ones stall
QUOTA_KIB = 1 << 20
SECOND = 1_000_000
DEGREE = 8  # of a drawn mesh: neighbours that a node has on average
SEED = 1


@dataclass(frozen=True)
class Spread:
    """nodes: so many could get it; node: the one where it was handed in; seconds: when each had all
    of it, sorted; air_bytes: all that was sent; size: of all payloads; simulated: so much of it was
    really sent in the simulation, by radios that are slower by as much."""

    nodes: int
    node: str
    seconds: tuple
    air_bytes: int
    size: int
    simulated: int

    @property
    def last_s(self):
        return self.seconds[-1] if self.seconds else 0

    def after(self, share):
        """Seconds until that share (0..1) of the nodes has it; None: never."""
        n = max(1, round(self.nodes * share))
        return self.seconds[n - 1] if n <= len(self.seconds) else None


def drawn(topology, names):
    """A maps.Map of nodes with these names, whose links nobody knows: at random in a square."""
    graph = topology.geometric(len(names), DEGREE, SEED)
    links = {tuple(sorted((str(a), str(b)))): None for a, b in graph.edges}
    return maps.Map({str(n): name for n, name in enumerate(names)}, links, drawn=True)


def simulate(modules, found, sizes, fits=None, at=None, kbps=None, progress=None):
    """The Spread of payloads of so many bytes over the largest part of a maps.Map, or over that of
    the node `at`. modules: topology, radio, station, simulation. fits: {node: which of the payloads
    its board needs}, where there are several boards; the others only help. progress(how many have
    it, of)."""
    topology, radio, station, simulation = modules
    part = _part(found, at)
    graph = topology.graph(found, part)
    begin = part.index(at) if at is not None else _farthest(graph)
    size = max(sum(sizes), 1)
    simulated = min(size, max(LEAST_BYTES, BUDGET_BYTES // len(part)))
    nodes = station.Settings(
        fidelity="chunk", clock="right", quota_kib=QUOTA_KIB, relay_kib=QUOTA_KIB,
        boards=1 if fits is None else len(sizes) + 1,
    )  # fmt: skip
    # Fewer bytes on radios that are slower by as much take as long, and what waits takes as ever;
    # radios that are slower yet would be taken for dead.
    kbps = kbps or radio.Settings.unicast_kbps
    least_kbps = min(kbps, LEAST_KBPS)
    air = radio.Settings(unicast_kbps=max(least_kbps, kbps * simulated // size))
    scale = max(1, size / simulated * air.unicast_kbps / kbps)
    sim = simulation.Simulation(graph, 1, nodes, air, every_event=False)
    wanting = range(len(part))
    if fits is not None:
        for node, one in zip(part, sim.stations, strict=True):
            one.board = station.board_name(fits.get(node, len(sizes)))
        wanting = [n for n, node in enumerate(part) if node in fits]
    sim.checks.live = False
    sim.boot()
    sim.world.run(SETTLE_S * SECOND)
    began, sent = sim.world.now, sum(sim.world.radio.sent_bytes)
    swd = _release(sim, station, [max(1, n * simulated // size) for n in sizes], fits is not None)
    sim.inject(begin, swd)

    def have():
        times = sim.checks.holders.get(swd.rid, {})
        return sorted(times[n] for n in wanting if n in times)

    count, news_at = 0, began
    patience_s = MORE_S + 8 * simulated // (125 * air.unicast_kbps)
    while count < len(wanting) and sim.world.now - news_at < patience_s * SECOND:
        sim.world.run(sim.world.now + SECOND, lambda: len(have()) == len(wanting))
        if len(have()) > count:
            count, news_at = len(have()), sim.world.now
        if progress is not None:
            progress(count, len(wanting))
    return Spread(
        len(wanting),
        part[begin],
        tuple((t - began) / SECOND * scale for t in have()),
        (sum(sim.world.radio.sent_bytes) - sent) * size // simulated,
        size,
        simulated,
    )


def _release(sim, station, sizes, of_boards):
    start_s = sim.now_s() + 365 * 86400
    if not of_boards:
        return sim.release("1.1.0", start_s=start_s, size=sizes[0])
    made = [
        release.Source("slot", (station.board_name(n),), sim.authority.payload(f"1.1.0 {n}", size))
        for n, size in enumerate(sizes)
    ]
    return sim.authority.build("1.1.0", start_s, sim.now_s(), tuple(made))


def _part(found, at):
    """The connected part that a node is in, or the largest."""
    parts = found.parts()
    if at is None:
        return parts[0]
    for part in parts:
        if at in part:
            return part
    raise BadValue(f"there is no node '{at}' in the map; give its id")


def _farthest(graph):
    """A node that is far from most: whoever hands it in there waits longest."""
    node = 0
    for _ in range(2):
        seen, front = {node}, [node]
        while front:
            node = front[0]
            front = sorted({b for a in front for b in graph[a]} - seen)
            seen.update(front)
    return node
