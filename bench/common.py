"""What the simulator's benches share: a mesh that is up, and a release that spreads in it."""

import resource
import time

import networkx as nx

from swdist_host.sim import radio, simulation, station, topology
from swdist_host.sim.world import SECOND

SEED = 1
UP_S = 30  # the mesh runs for so long before the injection
GIVE_UP_S = 24 * 3600


def mesh(
    kind,
    nodes,
    seed=SEED,
    *,
    loss=0.0,
    fidelity="chunk",
    degree=8,
    kbps=24000,
    air=None,
    attackers=None,
    off=(),
    **settings,
):
    """A Simulation of nodes whose clocks are right, up for UP_S seconds; but those in `off`."""
    graph = topology.make(kind, nodes, seed, degree=degree)
    ipc_us = 1000 if fidelity == "packet" else 1000000
    node = station.Settings(fidelity=fidelity, clock="right", ipc_us=ipc_us, **settings)
    air = air or radio.Settings(loss=loss, unicast_kbps=kbps)
    sim = simulation.Simulation(graph, seed, node, air, attackers=attackers)
    sim.boot([n for n in graph if n not in off] if off else None)
    sim.run(UP_S)
    return sim


def spread(sim, size, version="1.1.0", start_s=7 * 86400, wanted=None, like=None):
    """One release into node 0; like: the version of an earlier one of which little has changed. A
    dict of figures once all, or those in `wanted`, have it."""
    swd = sim.release(version, start_s=sim.now_s() + start_s, size=size, like=like)
    wanted = set(range(len(sim.stations)) if wanted is None else wanted)
    hops = max(nx.single_source_shortest_path_length(sim.graph, 0).values())
    began = sim.world.now
    sim.inject(0, swd)
    holders = sim.checks.holders[swd.rid]
    radio = sim.world.radio
    sent = sum(radio.sent_bytes)
    sim.run(GIVE_UP_S, lambda: len(holders) >= len(wanted) and wanted <= holders.keys())
    took_us = max(at for n, at in holders.items() if n in wanted) - began
    return {
        "covered": wanted <= holders.keys(),
        "hops": hops,
        "took_s": took_us / SECOND,
        "bytes": (sum(radio.sent_bytes) - sent) / len(sim.stations),
        "swd": swd,
    }


class Stopwatch:
    """CPU seconds of this process, and the most memory it has had."""

    def __init__(self):
        self._began = time.process_time()

    def cpu_s(self):
        return time.process_time() - self._began

    @staticmethod
    def rss_mib():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def calibration_s():
    """CPU seconds for a loop that every Python knows, to compare machines and their load."""
    watch, x = Stopwatch(), 0
    for i in range(10000000):
        x += i
    return watch.cpu_s()
