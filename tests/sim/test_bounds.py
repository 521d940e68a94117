"""What no unicast can beat, and that the channel is shared fairly."""

from itertools import combinations

import networkx as nx
import pytest

from swdist_host.sim import bounds, radio, simulation, topology


@pytest.mark.parametrize(
    ("graph", "payloads"),
    [
        (nx.path_graph(2), 1),
        (nx.path_graph(4), 3),
        (nx.path_graph(30), 3),  # receive, send, and be silent while the next one sends
        (nx.complete_graph(6), 5),
        (nx.star_graph(7), 7),
    ],
)
def test_what_is_known_by_thought(graph, payloads):
    assert payloads * 0.98 < bounds.unicast_share(graph, 0) <= payloads + 1e-9


def test_each_edge_of_a_grid_shares_its_channel_with_six_others():
    assert 3.3 < bounds.unicast_share(topology.grid(400), 0) <= 3.5


def _slots(graph):
    """Time slots that an exhaustive search needs to give one payload to all, whoever has it."""
    free = [(a, b) for a in graph for b in graph[a]]
    near = {v: {v, *graph[v]} for v in graph}
    apart = {
        (e, f)
        for e, f in combinations(sorted({tuple(sorted(e)) for e in free}), 2)
        if not (near[e[0]] | near[e[1]]) & set(f)
    }
    reached, slots = {frozenset([0])}, 0
    while not any(len(r) == len(graph) for r in reached):
        slots += 1
        after = set()
        for r in reached:
            ways = [(a, b) for a, b in free if a in r and b not in r]
            after |= {r | {b} for _, b in ways}
            for (a, b), (c, d) in combinations(ways, 2):
                e, f = sorted([tuple(sorted((a, b))), tuple(sorted((c, d)))])
                if (e, f) in apart:
                    after.add(r | {b, d})
        reached = after
    return slots


@pytest.mark.parametrize("seed", range(12))
def test_no_schedule_is_faster(seed):
    graph = topology.geometric(8, degree=3, seed=seed)
    assert 1 < bounds.unicast_share(graph, 0) <= _slots(graph)


def test_who_has_much_to_send_does_not_keep_the_channel():
    sim = simulation.Simulation(nx.complete_graph(3), 1, air=radio.Settings(loss=0))
    sent = []
    air = sim.world.radio
    for n in (0, 2):
        for _ in range(100):
            air.enqueue(n, 1, lambda n: sent.append(n) or air.claim(n, 1, 600), n)
    sim.world.run(1000000)
    assert len(sent) == 200
    assert 30 < sent[:100].count(0) < 70
