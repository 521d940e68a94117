"""Scenario and topology files: what is right is read, what is wrong is one line and status 2."""

import json

import pytest

from swdist_host import cli
from swdist_host.errors import BadValue
from swdist_host.sim import scenario, topology

WRONG = [
    ("duration = 'soon'", "duration"),
    ("colour = 1", "colour"),
    ("[topology]\nkind = 'grid'\nnodes = 0", "nodes"),
    ("[topology]\nnodes = 'many'", "nodes"),
    ("[radio]\nloss = 'much'", "loss"),
    ("[radio]\nspeed = 1", "speed"),
    ("[radio]\nretries = -1", "retries"),
    ("[node]\nfidelity = 'best'", "fidelity"),
    ("[node]\nfactory_version = '1'", "version"),
    ("[[release]]\nversion = '1.1.0'", "name"),
    ("[[release]]\nname = 'a'\nversion = '1.1'", "version"),
    ("[[release]]\nname = 'a'\nversion = '1.1.0'\nsize = 'big'", "size"),
    ("[[release]]\nname = 'a'\nversion = '1.1.0'\nstart = '2h'\nend = '1h'", "end"),
    ("[[do]]\nwhat = 'dance'", "what"),
    ("[[do]]\nwhat = 'inject'\nrelease = 'a'", "release"),
    ("[[do]]\nwhat = 'down'\nnodes = 'some'", "nodes"),
    ("[[attacker]]\nkind = 'friendly'", "kind"),
    ("[expect]\ncovered = ['a']", "covered"),
    ("name = ", "TOML"),
]


@pytest.mark.parametrize("text, word", WRONG)
def test_wrong_scenario_is_one_line_and_status_2(text, word, tmp_path, capsys):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    assert cli.run(["sim", "--scenario", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and word in said and str(path) in said


def test_unknown_scenario_or_topology_names_what_there_is(capsys):
    assert cli.run(["sim", "--scenario", "no-such"]) == 2
    assert "one-injection" in capsys.readouterr().err
    assert cli.run(["sim", "--topology", "torus"]) == 2
    assert "geometric" in capsys.readouterr().err
    assert cli.run(["swarm"]) == 2
    assert "--time" in capsys.readouterr().err


def test_every_scenario_that_comes_along_is_read():
    assert len(scenario.names()) >= 8
    for name in scenario.names():
        assert scenario.load(name).about


def test_a_run_prints_json_and_writes_a_report(tmp_path, capsys):
    page = tmp_path / "out.html"
    words = ["sim", "--scenario", "one-injection", "--nodes", "6", "--topology", "line"]
    assert cli.run([*words, "--seed", "4", "--json", "--report", str(page)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["seed"] == 4 and said["nodes"] == 6 and said["violation"] is None
    assert said["releases"]["a"]["holders"] == 6 and len(said["digest"]) == 64
    text = page.read_text()
    assert text.count("<svg") >= 4 and said["digest"] in text and "http" not in _links(text)


def _links(text):
    return " ".join(part[:60] for part in text.split('src="')[1:])


NETJSON = {
    "type": "NetworkGraph",
    "links": [
        {"source": "a", "target": "b", "cost": 1.0},
        {"source": "b", "target": "c", "cost": 4.0},
        {"source": "x", "target": "y", "cost": 1.0},
    ],
}
BATADV = """{ "primary" : "fe:f0:00:00:01:01" }
{ "router" : "fe:f0:00:00:01:01", "neighbor" : "fe:f0:00:00:02:01", "label" : "1.000" }
{ "router" : "fe:f0:00:00:02:01", "neighbor" : "fe:f0:00:00:03:01", "label" : "4.000" }
{ "router" : "fe:f0:00:00:03:01", "gateway" : "aa:aa:aa:aa:aa:aa", "label" : "TT" }
"""
OLSR = """Table: Links
Local IP\tRemote IP\tHyst.\tLQ\tNLQ\tCost
10.0.0.1\t10.0.0.2\t0.00\t1.000\t1.000\t1.000

Table: Topology
Dest. IP\tLast hop IP\tLQ\tNLQ\tCost
10.0.0.2\t10.0.0.1\t1.000\t1.000\t1.000
10.0.0.3\t10.0.0.2\t0.500\t0.500\t4.000

Table: HNA
"""
OLSR_JSON = {
    "topology": [
        {"lastHopIP": "10.0.0.1", "destinationIP": "10.0.0.2", "tcEdgeCost": 1024},
        {"lastHopIP": "10.0.0.2", "destinationIP": "10.0.0.3", "tcEdgeCost": 4096},
    ]
}


@pytest.mark.parametrize("text", [json.dumps(NETJSON), BATADV, OLSR, json.dumps(OLSR_JSON)])
def test_topology_of_a_real_mesh_is_imported_with_its_losses(text, tmp_path):
    path = tmp_path / "mesh"
    path.write_text(text)
    graph = topology.load(path)
    edges = sorted(tuple(sorted(edge)) for edge in graph.edges)
    assert edges == [(0, 1), (1, 2)]
    assert [graph.edges[edge].get("loss") for edge in edges] == [0.0, 0.5]


@pytest.mark.parametrize("text", ["", "[]", "{}", "hello", '{"links": [1]}', '{"links": 3}'])
def test_file_that_is_no_topology_is_refused(text, tmp_path):
    path = tmp_path / "mesh"
    path.write_text(text)
    with pytest.raises(BadValue, match="no links"):
        topology.load(path)


@pytest.mark.parametrize("kind", sorted(topology.KINDS))
def test_topology_is_connected_and_the_same_for_the_same_seed(kind):
    import networkx as nx

    graph = topology.make(kind, 60, 3)
    assert nx.is_connected(graph) and graph.number_of_nodes() >= 49
    assert sorted(graph.nodes) == list(range(graph.number_of_nodes()))
    assert sorted(graph.edges) == sorted(topology.make(kind, 60, 3).edges)


def test_sample_of_a_real_shape_comes_along(capsys):
    words = ["sim", "--topology", "valley", "--duration", "70s", "--json", "--seed", "2"]
    assert cli.run([*words, "--fidelity", "chunk"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["nodes"] == 36
