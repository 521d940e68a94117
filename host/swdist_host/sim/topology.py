"""Who is whose neighbour: an undirected networkx graph with nodes 0..n-1, and edges that may carry
`loss` (0..1). Each graph is connected, and the same for the same seed."""

import math
import random
from pathlib import Path

import networkx as nx

from swdist_host import maps
from swdist_host.errors import BadValue


def line(n, **_):
    return nx.path_graph(n)


def ring(n, **_):
    return nx.cycle_graph(n)


def clique(n, **_):
    """All on one link."""
    return nx.complete_graph(n)


def grid(n, **_):
    """The squarest rectangle with n nodes or a few fewer; neighbours on four sides."""
    width = math.isqrt(n)
    return nx.convert_node_labels_to_integers(
        nx.grid_2d_graph(n // width, width), ordering="sorted"
    )


def geometric(n, degree=8, seed=0, **_):
    """Nodes at random in a square, neighbours within a radius that gives the mean degree. Parts
    that are not connected are joined by their shortest gaps."""
    radius = math.sqrt(degree / (math.pi * max(n - 1, 1)))
    graph = nx.random_geometric_graph(n, min(radius, 1.5), seed=seed)
    _join(graph)
    return graph


def _join(graph):
    """One edge from each smaller part to the nearest node of another part."""
    where = nx.get_node_attributes(graph, "pos")
    while True:
        parts = sorted(nx.connected_components(graph), key=lambda part: (len(part), min(part)))
        if len(parts) < 2:
            return
        part = parts[0]
        others = [b for b in graph if b not in part]
        a, b = min(
            ((a, b) for a in sorted(part) for b in others),
            key=lambda ab: (math.dist(where[ab[0]], where[ab[1]]), ab),
        )
        graph.add_edge(a, b)


def villages(n, degree=6, seed=0, size=12, thin_loss=0.2, **_):
    """Clusters of about `size` nodes, joined in a tree by single lossy links."""
    rand = random.Random(f"villages {seed}")
    count = max(1, round(n / size))
    graph = nx.Graph()
    first = 0
    heads = []
    for i in range(count):
        members = n // count + (i < n % count)
        part = geometric(members, min(degree, members - 1), rand.getrandbits(30))
        graph.update(nx.relabel_nodes(part, {v: v + first for v in part}))
        if heads:
            other = heads[rand.randrange(len(heads))]
            a = first + rand.randrange(members)
            graph.add_edge(a, rand.randrange(other[0], other[0] + other[1]), loss=thin_loss)
        heads.append((first, members))
        first += members
    return graph


KINDS = {
    "line": line, "ring": ring, "clique": clique, "grid": grid, "geometric": geometric,
    "villages": villages,
}  # fmt: skip


SAMPLES = Path(__file__).parent / "topologies"


def make(kind, n, seed, degree=8, **more):
    if (SAMPLES / f"{kind}.json").exists():
        return load(SAMPLES / f"{kind}.json")
    if kind not in KINDS:
        known = ", ".join(
            [
                *KINDS,
                "valley (a sample of a real shape)",
                "or the path of a map",
            ]
        )
        raise BadValue(f"topology '{kind}' is not known; give {known}")
    if n < 1:
        raise BadValue(f"nodes is {n}; give at least 1")
    return KINDS[kind](n, degree=degree, seed=seed, **more)


# --- real ones


def load(path):
    """Of a map as `maps` reads it. Only the largest connected part is taken."""
    return graph(maps.read(path))


def graph(found, part=None):
    """The same of a maps.Map, or of that part of it; each node's `name` is its id there."""
    part = part or found.parts()[0]
    number = {name: n for n, name in enumerate(part)}
    made = nx.Graph()
    made.add_nodes_from((n, {"name": name}) for name, n in number.items())
    for (a, b), loss in sorted(found.links.items()):
        if a in number:
            made.add_edge(number[a], number[b], **({} if loss is None else {"loss": loss}))
    return made
