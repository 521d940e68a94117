"""How long spreading may take, and how much a node may remember."""

import networkx as nx
import numpy as np

from swdist.machines.agenda import RUN_BYTES
from swdist.wiring.node import SCRUB_US
from swdist_host.sim import transfer
from swdist_host.sim.world import SECOND

SHORTEST_US = 300 * SECOND
FACTOR = 60  # times the lower bound; measured are 2 to 20, see bench/coverage.py
PER_HOP_US = 30 * SECOND  # for the news, with announcements lost
WISH_US = 30 * SECOND  # more, until a neighbour of another board helps
AGAIN_US = 900 * SECOND  # who has given what is wrong is asked for it again by then
MAX_ITEMS = 10000  # measured: 1,300 to 3,600, under attack


def airtime_us(sim, size):
    """Of `size` bytes over one free link without loss, in whole blocks."""
    s = sim.world.radio.settings
    block = s.frame_us + (1432 + 48) * 8000 // s.unicast_kbps
    return transfer.blocks(size) * block


def lower_us(sim, size, chunk_size, hops):
    """Hop distance times the time of one chunk, plus the payload's time over the bottleneck: from
    two hops on, each node in the middle receives and sends each chunk on one channel, and must be
    silent while the next one sends it on (docs/simulator.md)."""
    share = min(max(hops, 1), 3)
    return hops * airtime_us(sim, min(size, chunk_size)) + share * airtime_us(sim, size)


def unicast_us(sim, size, chunk_size, source, loss):
    """No schedule of unicast TFTP, however clever, gets `size` bytes from `source` to all nodes in
    less time on the air: each transfer of a chunk is counted with its request, OACK and
    acknowledgements, each frame over 1 - loss."""
    s = sim.world.radio.settings
    chunk_size = min(size, chunk_size)
    payload_us = transfer.frames_us(s, chunk_size) * size / chunk_size
    return unicast_share(sim.graph, source) * payload_us / (1 - loss)


def unicast_share(graph, source, rounds=400):
    """How many payloads must cross the busiest channel if each node is sent the payload once.

    Of the transmissions that touch a clique (a set of nodes that all hear each other) at one end
    or both, only one can go on at a time. So with weights on the cliques that sum to 1, each node
    costs at least the weight of all cliques touched by the cheapest link that leads to it, and the
    sum over the nodes is a lower bound, whatever the weights. Good weights are found by giving more
    to cliques that the cheapest links load most (multiplicative weights)."""
    cliques = list(nx.find_cliques(graph))
    of = {v: set() for v in graph}
    for i, clique in enumerate(cliques):
        for v in clique:
            of[v].add(i)
    ways = [[sorted(of[u] | of[v]) for u in sorted(graph[v])] for v in graph if v != source]
    if not ways:
        return 0
    touched = [way for node in ways for way in node]
    flat = np.concatenate(touched)
    starts = np.cumsum([0] + [len(way) for way in touched[:-1]])
    firsts = np.cumsum([0] + [len(node) for node in ways[:-1]])
    weights = np.ones(len(cliques))
    best = 0
    for k in range(rounds):
        weights /= weights.sum()
        costs = np.add.reduceat(weights[flat], starts)
        best = max(best, np.minimum.reduceat(costs, firsts).sum())
        load = np.zeros(len(cliques))
        for first, node in zip(firsts, ways):
            load[touched[first + int(np.argmin(costs[first : first + len(node)]))]] += 1
        weights *= np.exp((load / load.max() - 1) / np.sqrt(k + 1))
        weights = np.maximum(weights, weights.max() * 1e-12)
    return float(best)


def spread_us(sim, size, hops):
    """The liveness bound, for `size` bytes of payloads."""
    s = sim.world.radio.settings
    loss = min(s.loss * (1 + s.loss_spread), 0.9)
    lower = lower_us(sim, size, RUN_BYTES, hops)
    cpu_us = transfer.blocks(size) * (sim.settings.cpu_us + sim.settings.write_us_per_kib)
    hop_us = PER_HOP_US + (WISH_US if sim.settings.boards > 1 else 0)
    bound = FACTOR * (lower + cpu_us) + (hops + 1) * hop_us
    attackers = sum(1 for other in sim.stations if not other.honest)
    bound += attackers * 600 * SECOND
    return SHORTEST_US + int(bound / (1 - loss) ** 2) + mend_us(sim)


def mend_us(sim):
    """More, where flash has forgotten something: until the only one who has a payload has read it
    all again, and is asked again."""
    if not any(s.rotten for s in sim.stations):
        return 0
    pieces = max(
        sum(h.held for h in s.store.payloads.held.values()) for s in sim.honest() if s.node
    )
    return pieces * SCRUB_US + AGAIN_US


def items(*roots):
    """How many objects the machines' own state consists of: elements of lists, tables, buffers by
    their length in 64 bytes."""
    count = 0
    seen = set()
    todo = list(roots)
    while todo:
        x = todo.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if isinstance(x, (list, tuple, set, frozenset)):
            count += len(x)
            todo.extend(x)
        elif isinstance(x, dict):
            count += 2 * len(x)
            todo.extend(x.values())
        elif isinstance(x, (bytes, bytearray, str)):
            count += len(x) // 64
        elif type(x).__module__.startswith("swdist."):
            count += len(x.__dict__)
            todo.extend(x.__dict__.values())
    return count
