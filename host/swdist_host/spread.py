"""How a release would spread over a map: the nodes' own code in virtual time."""

from dataclasses import dataclass

from swdist_host.errors import BadValue

SETTLE_S = 30  # by then neighbours know each other
MORE_S = 300  # who has not got it so long after the one before, will not
BUDGET_BYTES = 1 << 26  # simulated, over all nodes: some 10 s of this host's time
LEAST_BYTES = 1 << 16
QUOTA_KIB = 1 << 20
SECOND = 1_000_000


@dataclass(frozen=True)
class Spread:
    """nodes: so many could get it; node: the one where it was handed in; seconds: when each had all
    of it, sorted; air_bytes: all that was sent; size: of the payload; simulated: so much of it was
    really sent in the simulation, and what is above is told for all."""

    nodes: int
    node: str
    seconds: tuple
    air_bytes: int
    size: int
    simulated: int

    def after(self, share):
        """Seconds until that share (0..1) of the nodes has it; None: never."""
        n = max(1, round(self.nodes * share))
        return self.seconds[n - 1] if n <= len(self.seconds) else None


def simulate(modules, found, size, at=None, kbps=None, progress=None):
    """The Spread of a payload of so many bytes over the largest part of a maps.Map, or over that of
    the node `at`. modules: topology, radio, station, simulation. progress(how many have it, of)."""
    topology, radio, station, simulation = modules
    part = _part(found, at)
    graph = topology.graph(found, part)
    begin = part.index(at) if at is not None else _farthest(graph)
    simulated = min(size, max(LEAST_BYTES, BUDGET_BYTES // len(part)))
    nodes = station.Settings(
        fidelity="chunk", clock="right", quota_kib=QUOTA_KIB, relay_kib=QUOTA_KIB
    )
    air = radio.Settings(unicast_kbps=kbps) if kbps else radio.Settings()
    sim = simulation.Simulation(graph, 1, nodes, air, every_event=False)
    sim.checks.live = False
    sim.boot()
    sim.world.run(SETTLE_S * SECOND)
    began, sent = sim.world.now, sum(sim.world.radio.sent_bytes)
    swd = sim.release("1.1.0", start_s=sim.now_s() + 365 * 86400, size=simulated)
    sim.inject(begin, swd)
    count, news_at = 0, began
    patience_s = MORE_S + 8 * simulated // (125 * air.unicast_kbps)
    while count < len(part) and sim.world.now - news_at < patience_s * SECOND:
        sim.world.run(sim.world.now + SECOND, lambda: sim.coverage(swd.rid) == len(part))
        if sim.coverage(swd.rid) > count:
            count, news_at = sim.coverage(swd.rid), sim.world.now
        if progress is not None:
            progress(count, len(part))
    scale = size / simulated
    have = sorted(sim.checks.holders[swd.rid].values())
    return Spread(
        len(part),
        part[begin],
        tuple((t - began) / SECOND * scale for t in have),
        int((sum(sim.world.radio.sent_bytes) - sent) * scale),
        size,
        simulated,
    )


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
