"""Maps as people have them: read for what they are, and what is not understood is named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_pack import quick
from typed import swdist

from swdist_host import maps
from swdist_host.errors import BadValue


def read(tmp_path, text):
    path = tmp_path / "map"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return maps.read(path)


def netjson(*links, **more):
    rows = [dict(zip(("source", "target", "cost"), link, strict=False)) for link in links]
    return {"type": "NetworkGraph", "metric": "ETX", "links": rows, **more}


def collection(*graphs):
    return {"type": "NetworkCollection", "collection": list(graphs)}


JSONDOC = {
    "source_version": "2026.1",
    "algorithm": 4,
    "vis": [
        {
            "primary": "02:00:00:00:00:0a",
            "neighbors": [
                {"router": "02:00:00:00:00:0a", "neighbor": "02:00:00:00:00:0b", "metric": "1.000"},
                {"router": "02:00:00:00:00:0a", "neighbor": "02:00:00:00:01:0c", "metric": "4.000"},
            ],
            "clients": ["00:00:00:00:00:01"],
        },
        {
            "primary": "02:00:00:00:00:0c",
            "secondary": ["02:00:00:00:01:0c"],
            "neighbors": [
                {"router": "02:00:00:00:01:0c", "neighbor": "02:00:00:00:00:0a", "metric": "1.563"}
            ],
        },
    ],
}
HOPGLASS = {
    "version": 1,
    "batadv": {
        "nodes": [{"id": "x", "node_id": "a"}, {"id": "y", "node_id": "b"}, {"id": "c"}],
        "links": [{"source": 0, "target": 1, "tq": 1.0}, {"source": 1, "target": 2, "tq": 4}],
    },
}
MESHVIEWER = {
    "timestamp": "2026-01-01",
    "nodes": [{"node_id": "a", "hostname": "Attic"}, {"node_id": "b"}, {"node_id": "c"}],
    "links": [
        {"source": "a", "target": "b", "source_tq": 1, "target_tq": 1.0},
        {"source": "c", "target": "b", "source_tq": 0.5, "target_tq": 0.5},
    ],
}
BATADV_DOT = """digraph {
\tsubgraph "cluster_a" {
\t\t"a" [peripheries=2]
\t}
\t"a" -> "b" [label="1.000"]
\t"b" -> "c" [label="4.000"]
\t"a" -> "00:00:00:00:00:01" [label="TT"]
}
"""
OLSR_DOT = '"a" -> "b"[label="1.000", style=solid];\n"b" -> "c"[label="4.000"];\n'


@pytest.mark.parametrize(
    "text, links",
    [
        (netjson(("a", "b", 1.0), ("c", "b", 4)), {"ab": 0.0, "bc": 0.5}),
        (netjson(("a", "b", 1.0), ("b", "a", 4.0)), {"ab": 0.5}),
        (netjson(("a", "b", 900), ("b", "c", 0.999)), {"ab": 0.9, "bc": 0.0}),
        (netjson(("a", "b")), {"ab": None}),
        (HOPGLASS, {"ab": 0.0, "bc": 0.5}),
        (MESHVIEWER, {"ab": 0.0, "bc": 0.5}),
        (BATADV_DOT, {"ab": 0.0, "bc": 0.5}),
        (OLSR_DOT, {"ab": 0.0, "bc": 0.5}),
        ({"topology": [{"lastHopIP": "a", "destinationIP": "b", "tcEdgeCost": 4096}]}, {"ab": 0.5}),
        (collection(netjson(("a", "b", 1)), netjson(("b", "c", 4))), {"ab": 0.0, "bc": 0.5}),
    ],
)  # fmt: skip
def test_each_form_gives_its_links_and_losses(tmp_path, text, links):
    found = read(tmp_path, text)
    assert {a + b: loss for (a, b), loss in found.links.items()} == links
    assert found.odd == []


def test_jsondoc_counts_a_node_s_addresses_as_one(tmp_path):
    found = read(tmp_path, JSONDOC)
    a, b, c = (f"02:00:00:00:00:0{x}" for x in "abc")
    assert found.links == {(a, b): 0.0, (a, c): 0.5} and set(found.names) == {a, b, c}


def test_names_are_what_people_call_the_nodes(tmp_path):
    assert read(tmp_path, MESHVIEWER).names == {"a": "Attic", "b": "b", "c": "c"}
    nodes = [
        {"id": "a", "label": "Attic"},
        {"id": "b", "properties": {"name": "Barn"}},
        {"id": "z"},
    ]
    found = read(tmp_path, netjson(("a", "b", 1.0), nodes=nodes))
    assert found.names == {"a": "Attic", "b": "Barn", "z": "z"}
    assert found.parts() == [["a", "b"], ["z"]]


TXTINFO = """Table: Topology
Dest. IP\tLast hop IP\tLQ\tNLQ\tCost
10.0.0.1\t10.0.0.2\t1.000\t1.000\t1.000
10.0.0.2\t10.0.0.3\t0.000\t0.000\tINFINITE
10.0.0.3\t10.0.0.4\t0.500\t0.000\t9.000
"""


@pytest.mark.parametrize(
    "text",
    [
        TXTINFO,
        netjson(("10.0.0.1", "10.0.0.2", 1), ("10.0.0.2", "10.0.0.3", "INFINITE")),
        json.dumps(netjson(("10.0.0.1", "10.0.0.2", 1), ("10.0.0.2", "10.0.0.3", float("inf")))),
        netjson(("10.0.0.1", "10.0.0.2", 256), ("10.0.0.2", "10.0.0.3", 65535),
                protocol="Babel", metric="cost"),
        '"10.0.0.1" -> "10.0.0.2"[label="1.0"]\n"10.0.0.2" -> "10.0.0.3"[label="INFINITE"]\n',
        {"topology": [
            {"lastHopIP": "10.0.0.1", "destinationIP": "10.0.0.2", "tcEdgeCost": 1024},
            {"lastHopIP": "10.0.0.2", "destinationIP": "10.0.0.3", "tcEdgeCost": 4194304},
        ]},
        {"links": [{"source": "10.0.0.1", "target": "10.0.0.2", "source_tq": 1, "target_tq": 1},
                   {"source": "10.0.0.2", "target": "10.0.0.3", "source_tq": 1, "target_tq": 0}]},
    ],
)  # fmt: skip
def test_an_infinite_link_is_no_link_and_that_is_said(tmp_path, text):
    found = read(tmp_path, text)
    assert list(found.links) == [("10.0.0.1", "10.0.0.2")]
    assert any("infinite" in line for line in found.odd)
    assert len(found.parts()) > 1  # the others are there, and nobody's neighbours


def test_the_simulator_takes_the_same_maps_and_names_what_is_odd(tmp_path):
    (tmp_path / "map.txt").write_text(TXTINFO)
    words = "sim --topology map.txt --duration 2s --fidelity chunk --json"
    done = swdist(*words.split(), cwd=tmp_path)
    assert json.loads(done.stdout)["nodes"] == 2
    assert "swdist: map.txt: a link of infinite cost is no link, and left out" in done.stderr


@pytest.mark.parametrize(
    "text, what",
    [
        (netjson(("a", "b", 2105088), metric="ff_dat_metric"), "'ff_dat_metric' says nothing of"),
        ({**JSONDOC, "algorithm": 5}, "algorithm '5' says nothing of losses"),
        (netjson(("a", "b", -1)), "cost means nothing here"),
        (netjson(("a", "b", "good")), "cost means nothing here"),
        (netjson(("a", "b", 1), ("a", None, 1)), "a node without a name"),
        (netjson(("a", "b", 1), ("a", "n" * 65, 1)), "of more than 64 characters"),
        (
            collection({"type": "NetworkRoutes"}, netjson(("a", "b"))),
            "an object of type 'NetworkRoutes' is not understood, and left out",
        ),
        (
            {"batadv": {"nodes": [{"id": "a"}, {"id": "b"}],
                        "links": [{"source": 0, "target": 1, "tq": 1}, {"target": 2}]}},
            "a link names no node of the list",
        ),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_named(tmp_path, text, what):
    found = read(tmp_path, text)
    assert len(found.links) >= 1 and what in "; ".join(found.odd)


@pytest.mark.parametrize(
    "text, why",
    [
        ("hello", "it is no JSON, and no line of it tells of a link"),
        ("[]", "it is JSON, but no object"),
        ('{"router_id": 1, "routes": []}', "with 'router_id', 'routes' is not understood"),
        ("[" * 100_000, "nested too deeply"),
        ('{"type":"NetworkCollection","collection":[' * 5000 + "]}" * 5000, "nested too deeply"),
        ('{"links": [{"source": "a", "cost": ' + "9" * 5000 + "}]}", "no links found"),
        (json.dumps(netjson(*(("hub", n, 1) for n in range(10_001)))), "more than 10,000 nodes"),
        (json.dumps(netjson(*((n % 600, 600 + n // 600, 1) for n in range(200_001)))),
         "more than 200,000 links"),
    ],
)  # fmt: skip
def test_hostile_and_strange_files_are_refused_in_one_line(tmp_path, text, why):
    with pytest.raises(BadValue) as e:
        read(tmp_path, text)
    assert why in str(e.value) and "\n" not in str(e.value)


def test_a_file_without_an_end_is_not_read_to_it(tmp_path):
    with open(tmp_path / "map", "wb") as f:
        f.truncate(1 << 40)
    with pytest.raises(Exception, match="longer than"):
        maps.read(tmp_path / "map")
    (tmp_path / "map").write_bytes(b"\xff")
    with pytest.raises(BadValue, match="is not text"):
        maps.read(tmp_path / "map")


SAMPLES = [
    *(json.dumps(one) for one in (JSONDOC, HOPGLASS, MESHVIEWER, netjson(("a", "b", 1.5)))),
    TXTINFO, BATADV_DOT, '{"router": "a", "neighbor": "b", "label": "1.0"}\n' * 3,
]  # fmt: skip
PIECES = r'null [] {} -1 1e999 NaN true "" "a" [[ }} \ud800'.split()


@quick
@given(st.sampled_from(SAMPLES), st.floats(0, 1), st.integers(0, 30), st.sampled_from(PIECES))
def test_a_map_with_anything_in_it_is_read_or_is_none(text, where, cut, piece):
    at = int(where * len(text))
    made = maps._Maker()
    made.read(text[:at] + piece + text[at + cut :])
    found = made.map()
    assert set().union(*found.links, set()) <= set(found.names)
    assert all(loss is None or 0 <= loss <= 0.9 for loss in found.links.values())
    assert sum(map(len, found.parts())) == len(found.names)
    assert all(line.isprintable() for line in found.odd)
