"""Who is whose neighbour: an undirected networkx graph with nodes 0..n-1, and edges that may carry
`loss` (0..1). Each graph is connected, and the same for the same seed."""

import json
import math
import random
import re
from pathlib import Path

import networkx as nx

from swdist_host.errors import BadValue

MAX_DEGREE = 16  # more neighbours than a node keeps is legal, but no honest test of it


def line(n, **_):
    return nx.path_graph(n)


def ring(n, **_):
    return nx.cycle_graph(n)


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
    "line": line, "ring": ring, "grid": grid, "geometric": geometric, "villages": villages,
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
                "or the path of a NetJSON, batctl or OLSR file",
            ]
        )
        raise BadValue(f"topology '{kind}' is not known; give {known}")
    if n < 1:
        raise BadValue(f"nodes is {n}; give at least 1")
    return KINDS[kind](n, degree=degree, seed=seed, **more)


# --- real ones


def load(path):
    """A NetJSON NetworkGraph, `batctl vd json` (batadv-vis), or OLSR's txtinfo or jsoninfo
    topology. Only the largest connected part is taken."""
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise BadValue(f"{path}: is not text; give a topology file") from None
    edges = _edges(text)
    if not edges:
        raise BadValue(f"{path}: no links found; give NetJSON, batadv-vis or OLSR topology")
    graph = nx.Graph()
    for a, b, loss in edges:
        if a != b:
            graph.add_edge(a, b, **({} if loss is None else {"loss": loss}))
    part = max(nx.connected_components(graph), key=lambda p: (len(p), min(p)))
    return nx.convert_node_labels_to_integers(
        graph.subgraph(sorted(part)).copy(), ordering="sorted"
    )


def _edges(text):
    """[(name, name, loss or None)]"""
    try:
        data = json.loads(text)
    except ValueError:
        return _batadv(text) or _olsr_text(text)
    if isinstance(data, dict) and isinstance(data.get("links"), list):
        return _rows(data["links"], "source", "target", "cost")
    if isinstance(data, dict) and isinstance(data.get("topology"), list):
        return _rows(data["topology"], "lastHopIP", "destinationIP", "tcEdgeCost")
    return []


def _rows(rows, a, b, cost):
    found = []
    for row in rows:
        if isinstance(row, dict) and isinstance(row.get(a), str) and isinstance(row.get(b), str):
            value = row.get(cost)
            if cost == "tcEdgeCost" and isinstance(value, (int, float)):
                value /= 1024
            found.append((row[a], row[b], _loss(value)))
    return found


def _loss(cost):
    """From ETX, the expected transmissions over both directions."""
    if not isinstance(cost, (int, float)) or not 1 <= cost < 100:
        return None
    return round(min(1 - 1 / math.sqrt(cost), 0.9), 4)


def _batadv(text):
    """batadv-vis in its JSON lines: {"router": MAC, "neighbor": MAC, "label": "1.000"}."""
    found = []
    for line_ in text.splitlines():
        try:
            row = json.loads(line_)
        except ValueError:
            continue
        if isinstance(row, dict) and "router" in row and "neighbor" in row:
            label = row.get("label", "")
            cost = float(label) if re.fullmatch(r"\d+(\.\d+)?", str(label)) else None
            found.append((str(row["router"]), str(row["neighbor"]), _loss(cost)))
    return found


def _olsr_text(text):
    """The table "Topology" of olsrd's txtinfo: destination, last hop, LQ, NLQ, cost."""
    found = []
    table = False
    for line_ in text.splitlines():
        words = line_.split()
        if words[:2] == ["Table:", "Topology"]:
            table = True
        elif words[:1] == ["Table:"]:
            table = False
        elif table and len(words) >= 5 and re.fullmatch(r"[0-9a-fA-F.:]+", words[0]):
            cost = float(words[4]) if re.fullmatch(r"\d+(\.\d+)?", words[4]) else None
            found.append((words[0], words[1], _loss(cost)))
    return found
