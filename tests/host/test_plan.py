"""swdist release plan: what a release would do, told before it is published."""

import io
import json
import struct
import tarfile

import pytest
from typed import good, refused

from swdist.commands import rollcall, words
from swdist.machines import census
from swdist_host import commands_plan, keys, maps, plan, release, rolls, spread
from swdist_host.errors import BadValue
from swdist_host.release import Source

NOW = 2_000_000_000
DAY = 86400
NETWORK = b"networkA"


def slot(**contents):
    """A slot as a Source; names with _ for /."""
    return Source("slot", (), archive({k.replace("_", "/"): v for k, v in contents.items()}))


def archive(contents):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as made:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def build(*payloads, start_s=NOW + DAY, **words):
    payloads = payloads or (slot(a=b"x" * 99),)
    return release.build(NETWORK, "1.1.0", start_s, payloads, now_s=NOW, **words)


def complaints(*payloads, quota_kb=1024, **words):
    return plan.complaints(build(*payloads, **words), NOW + 60, quota_kb)


def test_a_release_that_is_in_order_is_not_complained_of():
    assert complaints() == complaints(end_s=NOW + 2 * DAY) == []
    hooks = slot(hooks_activate=b"true\n", hooks_health=b"true\n", hooks_notes=b"if\n")
    assert complaints(hooks) == []
    assert complaints(slot(**{f"lib_swdist_{n}.mpy": b"x" for n in ("install", "sntp")})) == []


@pytest.mark.parametrize(
    "payload, words, why",
    [
        (None, {"start_s": NOW}, "Start was 1 min 00 s ago: each node switches as soon as it has"),
        (None, {"start_s": NOW - 9 * DAY}, "Start was 9 d 0 h ago"),
        (None, {"start_s": NOW + 100 * DAY}, "Start is 99 d 23 h away: is the year right?"),
        (None, {"start_s": NOW - DAY, "end_s": NOW + 30}, "End was 30 s ago"),
        (None, {"end_s": NOW + DAY + 60}, "it runs for 1 min 00 s only"),
        (slot(hooks_health=b"if\n"), {}, "payload 1: hooks/health: sh does not understand it"),
        (slot(hooks_health=b"true\r\n"), {}, "payload 1: hooks/health: its lines end in CR LF"),
        (Source("imgae", (), b"x"), {}, "payload 1: no node knows the kind 'imgae'"),
        (Source("slot", (), b"x"), {}, None),
        (Source("ipk", (), b"x" * 999), {}, "payload 1: no node will take it: it is no archive"),
        (slot(a=bytes(99) + keys.os.urandom(70_000)), {"quota_kb": 64}, "have 65,536 for all"),
        (slot(**{"lib_swdist_sntp.mpy": b"x"}), {}, "it brings swdist without swdist-install"),
        (slot(**{"lib_swdist_install.mpy": b"x"}), {}, "it brings swdist without swdist-sntp"),
    ],
)
def test_what_builds_silently_and_goes_wrong_is_said(payload, words, why):
    said = complaints(*([] if payload is None else [payload]), **words)
    assert (any(why in line for line in said)) if why else not said, said


# --- over a map


def links(*pairs):
    found = maps.Map()
    for a, b in pairs:
        found.names |= {a: a, b: b}
        found.links[a, b] = 0.0
    return found


@pytest.fixture(scope="module")
def modules():
    from swdist_host.commands_sim import simulator

    return simulator("topology", "radio", "station", "simulation")


def test_a_line_takes_longer_from_its_end_than_from_its_middle(modules):
    line = links(*zip("abcdef", "bcdefg", strict=True), ("x", "y"))
    far = spread.simulate(modules, line, [200_000])
    assert far.node in "ag" and far.nodes == 7 == len(far.seconds)
    assert far.seconds[0] == 0 and list(far.seconds) == sorted(far.seconds)
    near = spread.simulate(modules, line, [200_000], at="d")
    assert near.seconds[-1] < far.seconds[-1] == far.after(1)
    assert 6 * 190_000 < far.air_bytes < 20 * 200_000
    small = spread.simulate(modules, line, [200_000], at="y")
    assert small.nodes == 2
    assert far == spread.simulate(modules, line, [200_000])


def test_each_board_gets_its_own_payload_and_the_others_help(modules):
    line = links(*zip("abcd", "bcde", strict=True))
    found = spread.simulate(modules, line, [100_000, 50_000], fits={"a": 0, "b": 1, "e": 0}, at="a")
    assert found.nodes == 3 == len(found.seconds) and found.size == 150_000
    assert found.seconds[0] == 0 and found.air_bytes > 4 * 90_000 + 45_000


def test_slow_radios_and_large_payloads_take_longer(modules, monkeypatch):
    pair = links(("a", "b"))
    fast, slow = (spread.simulate(modules, pair, [500_000], kbps=kbps) for kbps in (24_000, 1_000))
    assert slow.seconds[-1] > 3 > fast.seconds[-1]
    monkeypatch.setattr(spread, "BUDGET_BYTES", 1 << 20)
    huge = spread.simulate(modules, pair, [1 << 27])
    assert huge.simulated == 1 << 19 and huge.air_bytes > 1 << 26
    assert huge.seconds[-1] > (1 << 27) / 3_000_000


def test_who_does_not_get_it_is_counted(modules, monkeypatch):
    monkeypatch.setattr(spread, "MORE_S", -1000)  # no patience
    found = spread.simulate(modules, links(("a", "b")), [3000])
    assert found.seconds == (0,) and found.after(0.5) == 0 and found.after(1) is None
    (said,) = commands_plan._of_spread(build().parsed, found, NOW)
    assert "1 of 2 nodes did not get it in the simulation" in said


# --- the command


@pytest.fixture
def folder(tmp_path):
    good("keygen alice --no-passphrase", cwd=tmp_path)
    good("network init ca --name x --key alice.pub --threshold 1", cwd=tmp_path)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_text("a")
    rows = [("a", "b", 1.0), ("b", "c", 1.5), ("x", "y", 1.0), ("c", "d", "INFINITE")]
    graph = [dict(zip(("source", "target", "cost"), row, strict=True)) for row in rows]
    (tmp_path / "map.json").write_text(
        json.dumps({"type": "NetworkGraph", "metric": "ETX", "links": graph,
                    "nodes": [{"id": "a", "label": "Attic"},
                              {"id": "x", "label": "x\nEvil\x1b[2J"}]})
    )  # fmt: skip
    good(
        "release build -o 1.1.0.swd --ca ca --version 1.1.0 --start +2h --payload tree",
        cwd=tmp_path,
    )
    return tmp_path


def test_a_plan_says_who_gets_it_by_when_and_makes_the_withdrawal(folder):
    said = good("release plan 1.1.0.swd --ca ca --map map.json --at a", cwd=folder)
    assert "start " in said and "Z, in " in said and "it has no end" in said
    odd = "             a link of infinite cost is no link, and left out\n"
    assert f"map        6 nodes, 3 links\n{odd}" in said
    assert "hand it in elsewhere, too: 3 nodes have no link to the rest" in said
    assert "             x\\nEvil\\x1b[2J, y, d\n" in said
    assert "handed in  at Attic" in said and "3 of 3 nodes after" in said and "before Start" in said
    assert "WARNING" not in said and "withdrawal no-1.1.0.swd is made, and unsigned" in said
    good("release sign no-1.1.0.swd --key alice.sec --ca ca --yes", cwd=folder)
    assert good("release verify no-1.1.0.swd --ca ca", cwd=folder)
    back = json.loads(good("release show no-1.1.0.swd --json", cwd=folder))
    assert back["withdrawn"] and (back["version"], back["revision"]) == ("1.1.0", 1)
    again = good("release plan 1.1.0.swd", cwd=folder)
    assert "no-1.1.0.swd is there already" in again and "map " not in again


def test_a_plan_for_scripts(folder):
    words = "release plan 1.1.0.swd --map map.json --no-withdrawal --json"
    found = json.loads(good(words, cwd=folder))
    assert found["warnings"] == [] and 7000 < found["starts_in_s"] <= 7200
    assert found["withdrawal"] is None and not (folder / "no-1.1.0.swd").exists()
    assert found["map"]["could_get_it"] == 3 == len(found["map"]["seconds"])
    assert found["map"]["not_linked"] == ["x", "y", "d"] and found["sent"][0] > 0


def test_a_start_that_leaves_no_room_and_what_no_node_takes_are_warned_of(folder):
    words = "release build -o r.swd --ca ca --version 1.2.0 --start +1m --payload tree"
    good(words, cwd=folder)
    good("keygen mallory --no-passphrase", cwd=folder)
    good("release sign r.swd --key mallory.sec --yes", cwd=folder)
    said = good("release plan r.swd --ca ca --map map.json --no-withdrawal", cwd=folder)
    assert "WARNING    Start leaves" in said and "give 10 min 00 s at least" in said
    assert "WARNING    no node would take it: signatures: " in said


def test_what_nodes_hold_does_not_cross_the_air_again(folder):
    good("release build -o r.swd --ca ca --version 1.2.0 --start +2h --payload tree", cwd=folder)
    said = good("release plan r.swd --against 1.1.0.swd --no-withdrawal", cwd=folder)
    assert "nothing crosses the air" in said
    words = "release build -o s.swd --ca ca --version 1.1.0 --start +2h --payload tree@b"
    good(words, cwd=folder)
    said = good("release plan s.swd --against 1.1.0.swd --no-withdrawal", cwd=folder)
    assert "revision 0 does not replace 1.1.0.swd" in said


def test_withdrawals_and_experiments(folder):
    good(
        "release build -o w.swd --ca ca --version 1.1.0 --revision 3 --start now --withdraw",
        cwd=folder,
    )
    said = good("release plan w.swd --map map.json", cwd=folder)
    assert "it stays withdrawn" in said and not (folder / "no-w.swd").exists()
    words = "release build -o e.swd --ca ca --version 1.2.0 --payload tree --experimental"
    good(f"{words} --start +1h --end +3h --group testers --share 50", cwd=folder)
    said = good("release plan e.swd", cwd=folder)
    assert "after 2 h 00 min all that run it go back in the same second" in said
    assert "for        nodes of the groups testers, and 5 % of all nodes" in said
    (folder / "no-e.swd").rename(folder / "no-1.1.0.swd")
    assert "exists already" in refused("release plan 1.1.0.swd", cwd=folder)


def test_a_node_that_is_not_in_the_map_is_refused(folder):
    line = refused("release plan 1.1.0.swd --map map.json --at nobody", cwd=folder, status=2)
    assert "there is no node 'nobody' in the map" in line
    assert "no links found" in refused("release plan 1.1.0.swd --map tree/a", cwd=folder, status=2)
    (folder / "mesh.json").write_text(json.dumps({"rows": [row("x")]}))
    words = "release plan 1.1.0.swd --map mesh.json"
    assert "tell no links: give it to --mesh" in refused(words, cwd=folder, status=2)
    words = "release plan 1.1.0.swd --quota-kb x"
    assert "'--quota-kb': 'x' is no whole number" in refused(words, cwd=folder, status=2)
    assert "--at needs a --map" in refused("release plan 1.1.0.swd --at a", cwd=folder, status=2)
    line = refused("release plan 1.1.0.swd --kbps 900", cwd=folder, status=2)
    assert "--kbps needs a --map or --mesh" in line


def row(name, board="a", version="1.0.0", state="ready", age_s=60):
    return {"node": "00010002", "name": name, "board": board, "version": version,
            "state": state, "age_s": age_s}  # fmt: skip


def test_whom_it_would_not_reach_by_what_the_mesh_says(folder):
    rows = [
        row("attic"), row("barn", board="linksys,wrt54"), row("cellar", board="z"),
        row("dome", version="1.2.0"), row("eaves", state="no room"),
        row("farm", state="held by its owner"), row("gate", age_s=11000),
        row("", state="clock not synchronised"),
    ]  # fmt: skip
    (folder / "mesh.json").write_text(json.dumps({"nodes": 8, "rows": rows}))
    words = "release build -o b.swd --ca ca --version 1.1.0 --start +2h"
    good(f"{words} --payload tree@a@linksys,wrt54gs", cwd=folder)
    said = good("release plan b.swd --mesh mesh.json --no-withdrawal", cwd=folder)
    assert (
        "mesh       8 nodes heard of, 1 of them silent; boards: 6 a, 1 linksys,wrt54, 1 z" in said
    )
    for line in (
        "of a board that it is not for: cellar (1 of 8 nodes)",
        "with more than 1.1.0: dome (1 of 8 nodes)",
        "without room for what they are to fetch: eaves (1 of 8 nodes)",
        "held by their owners: farm (1 of 8 nodes)",
        "without time yet: 00010002 (1 of 8 nodes)",
        "silent, to get it when they come back: gate (1 of 8 nodes)",
    ):
        assert f"WARNING    {line}\n" in said
    good(f"{words.replace('b.swd', 'w.swd')} --revision 1 --withdraw", cwd=folder)
    assert "WARNING" not in good("release plan w.swd --mesh mesh.json", cwd=folder)


def test_without_a_map_it_is_simulated_on_a_drawn_mesh_of_the_nodes_that_are_heard(folder):
    rows = [row(f"n{i}", board="ab"[i % 2]) for i in range(9)] + [row("gate", age_s=11000)]
    (folder / "mesh.json").write_text(json.dumps({"rows": rows}))
    words = "release build -o b.swd --ca ca --version 1.1.0 --start +2h --payload tree@b"
    good(words, cwd=folder)
    words = "release plan b.swd --mesh mesh.json --no-withdrawal"
    said = good(words, cwd=folder)
    assert (
        "map        drawn: the 9 nodes that are heard, 8 neighbours each on average (seed 1):\n"
        in said
    )
    assert "handed in  at a far corner" in said and "4 of 4 nodes after" in said
    assert "nodes tell nobody their links; give a --map to have it on the real ones" in said
    assert "before Start" in said and "hand it in elsewhere" not in said
    found = json.loads(good(f"{words} --json", cwd=folder))
    assert (found["map"]["drawn"], found["map"]["nodes"]) == ({"degree": 8, "seed": 1}, 9)
    assert found["map"]["at"] is None and found["map"]["could_get_it"] == 4
    assert len(found["map"]["seconds"]) == 4 and found["mesh_nodes"] == 10
    slow = json.loads(good(f"{words} --json --kbps 100", cwd=folder))["map"]["seconds"]
    assert slow[-1] > found["map"]["seconds"][-1]


def test_on_a_map_each_node_that_is_heard_needs_what_is_for_its_board(folder):
    """map.json: Attic, b, c in a line; x, y and d are apart."""
    good("release build -o b.swd --ca ca --version 1.1.0 --start +2h --payload tree@b", cwd=folder)
    words = "release plan b.swd --mesh mesh.json --no-withdrawal --map map.json --at a"
    for names, boards, need, odd in (
        ("attic b c", "bba", 2, 3), ("attic b c", "aab", 1, 3),
        ("attic", "b", 3, 5), ("more", "b", 3, 6),
    ):  # fmt: skip
        rows = [row(n, board=b) for n, b in zip(names.split(), boards, strict=True)]
        (folder / "mesh.json").write_text(json.dumps({"rows": rows}))
        found = json.loads(good(f"{words} --json", cwd=folder))["map"]
        assert (found["drawn"], found["nodes"], found["could_get_it"]) == (None, 6, need)
        (line,) = [line for line in found["notes"] if "not heard of by the mesh" in line]
        assert len(line.split(", ")) == 1 + odd
    rows = [row(n) for n in ("attic", "b", "c", "d", "x?Evil?[2J", "y")]
    (folder / "mesh.json").write_text(json.dumps({"rows": rows}))
    assert "of a board that it is not for: attic" in good(words, cwd=folder)


@pytest.mark.parametrize("boards, ages", [("zz", (60, 60)), ("bb", (60, 11000))])
def test_where_nobody_could_get_it_from_another_nothing_is_drawn(folder, boards, ages):
    rows = [row("n", board=b, age_s=age_s) for b, age_s in zip(boards, ages, strict=True)]
    (folder / "mesh.json").write_text(json.dumps({"rows": rows}))
    good("release build -o b.swd --ca ca --version 1.1.0 --start +2h --payload tree@b", cwd=folder)
    said = good("release plan b.swd --mesh mesh.json --no-withdrawal", cwd=folder)
    assert "drawn" not in said and "WARNING" in said


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"rows": []}', '{"rows": [1]}', '{"rows": [{}]}', "[" * 99999,
             json.dumps({"rows": [row("x", age_s=-1)]}), json.dumps({"rows": [row("x", age_s="")]}),
             json.dumps({"rows": [row("x", version=1)]}), json.dumps({"rows": [row("x")] * 10_001})]
)  # fmt: skip
def test_what_is_no_word_of_the_mesh_is_refused(tmp_path, text):
    (tmp_path / "mesh.json").write_text(text)
    with pytest.raises(BadValue, match="mesh.json: "):
        rolls.read(tmp_path / "mesh.json")


def test_what_a_router_prints_is_understood(tmp_path):
    text = b"attic linksys,wrt"
    stamp = census.stamp_of(NOW)
    data = struct.pack(census.ROW_FORM, 1, 2, stamp, 3, 50, len(text), 5, 7, 1, 0, 0, 2)
    rows = rollcall.read(data + text, NOW + 640)
    (tmp_path / "mesh.json").write_text(json.dumps({"rows": rows}))
    (found,) = rolls.read(tmp_path / "mesh.json")
    assert found == rolls.Row("attic", "linksys,wrt", (1, 0, 0), "no room", 640)
    assert found.state in words.STATES and set(rolls.TOLD) <= set(words.STATES)
