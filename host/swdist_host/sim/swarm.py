"""Many runs of random scenarios: each seed is a scenario, and a verdict on it.

A violation is made as small as it gets: fewer nodes, actions, attackers, less time, as long as the
same rule is violated.
"""

import multiprocessing
import os
import random
import time
from dataclasses import dataclass

from swdist_host.sim import besiegers, runner, scenario, topology
from swdist_host.sim.besiegers import BESIEGERS
from swdist_host.sim.world import SECOND

SHRINK_S = 120  # of CPU time for making a violation small
HONEST_LIMIT_S = 3  # no clock may be that wrong where nobody lies
LIAR_LIMIT_S = 200  # what a liar may win where nobody believes him alone: the budget, twice
CLOCK_FROM_S = 900
BOARDS_SHARE = 0.3
KEYS_SHARE = 0.25  # of the scenarios with a change of keys
SIEGE_SHARE = 0.1  # of the scenarios with one victim, one honest neighbour and one attacker
MTU_SHARE = 0.2  # of the scenarios with links that swallow large frames
TRAITOR_SHARE = 0.25
FAULT_SHARE = 0.2  # of those with interfaces that are made anew, and with flash that forgets
TRAITORS = ("babbler", "spoiler", "twin")
TIME_LIARS = ("time-constant", "time-drift", "time-two-faced")


@dataclass
class Verdict:
    seed: int
    ok: bool
    rule: str = ""
    text: str = ""
    digest: str = ""
    cpu_s: float = 0
    virtual_s: float = 0
    data: dict | None = None


# --- random scenarios


def draw(seed):
    """A scenario as the table that a TOML file would give."""
    if random.Random(f"swarm siege {seed}").random() < SIEGE_SHARE:
        return _siege(seed)
    rand = random.Random(f"swarm {seed}")
    nodes = rand.choice((2, 3, 5, 8, 12, 16, 20))
    kind = rand.choice(("line", "grid", "geometric", "geometric", "villages", "ring"))
    if kind == "ring" and nodes < 3:
        kind = "line"
    minutes = rand.choice((10, 20, 20, 40))
    data = {
        "name": f"swarm-{seed}",
        "seed": seed,
        "duration": f"{minutes}m",
        "check_every": "30s",
        "topology": {"kind": kind, "nodes": nodes, "degree": rand.choice((6, 8, 10))},
        "radio": {
            "loss": rand.choice((0.0, 0.02, 0.1, 0.25)),
            "loss_spread": rand.choice((0.0, 0.5)),
            "unicast_kbps": rand.choice((6000, 24000)),
        },
        "node": {
            "fidelity": rand.choice(("packet", "packet", "chunk")),
            "clock": rand.choice(("none", "saved", "right", "right")),
            "drift_ppm": rand.choice((5, 50, 100)),
            "boot_horizon_s": rand.choice((60, 43200)),
            "write_us_per_kib": rand.choice((100, 1000)),
        },
        "release": [],
        "do": [],
        "attacker": [],
    }
    _releases(rand, data, minutes * 60)
    if rand.random() < 0.3:
        _one_attacker(rand, data)
        return data
    _events(rand, data, minutes * 60)
    _attackers(rand, data, nodes)
    _keys(random.Random(f"swarm keys {seed}"), data, minutes * 60)
    _boards(random.Random(f"swarm boards {seed}"), data)
    _links(random.Random(f"swarm links {seed}"), data)
    _traitors(random.Random(f"swarm traitors {seed}"), data, minutes * 60)
    return data


def _siege(seed):
    """The scenario of that name, with other attackers and sizes; the victim runs, or starts."""
    rand = random.Random(f"swarm siege {seed} kind")
    kind = rand.choice(["siege", *sorted(BESIEGERS)])
    starts = rand.random() < 0.5
    data = {
        "name": f"swarm-siege-{seed}",
        "seed": seed,
        "duration": "5m",
        "check_every": "10s",
        "topology": {"kind": "clique", "nodes": 3},
        "radio": {"loss": 0.0},
        "node": {"clock": "right", "boot_horizon_s": 60},
        "release": [{"name": "r0", "version": "1.1.0", "size": rand.choice(("64K", "256K", "1M")),
                     "start": "4m"}],
        "attacker": [{"kind": kind, "nodes": [2]}],
        "do": [{"at": "0s", "what": "boot", "nodes": [0, 2] if starts else [0, 1, 2]},
               {"at": "30s", "what": "inject", "release": "r0"}],
        "expect": {"covered": ["r0"], "siege": True},
    }  # fmt: skip
    if starts:
        data["do"].append({"at": "90s", "what": "up", "nodes": [1]})
    return data


def _links(rand, data):
    """In some there are links that swallow large frames."""
    if rand.random() < MTU_SHARE and data["node"]["fidelity"] == "packet":
        data["radio"]["mtu_share"] = rand.choice((0.2, 1.0))
        data["radio"]["mtu_bytes"] = rand.choice((1280, 1400))


def _traitors(rand, data, end_s):
    """In some a network side is taken over, or nodes have one address; interfaces are made anew, or
    flash forgets."""
    if rand.random() < TRAITOR_SHARE and data["topology"]["nodes"] >= 5:
        kind = rand.choice(TRAITORS)
        data["attacker"].append({"kind": kind, "nodes": 2 if kind == "twin" else 1})
        data["node"]["boot_horizon_s"] = 60
    for what in ("renew", "rot"):
        if rand.random() < FAULT_SHARE:
            for _ in range(rand.choice((1, 2, 8))):
                data["do"].append({"at": f"{rand.randrange(10, end_s)}s", "what": what,
                                   "nodes": rand.choice(("10%", "100%"))})  # fmt: skip


def _one_attacker(rand, data):
    """Nothing happens but that one neighbour is hostile: forges, or lies about the time to
    neighbours of whom none need believe it alone."""
    data["topology"] = {"kind": "geometric", "nodes": 16, "degree": 8}
    data["duration"] = "15m"
    data["node"].update(clock="right", boot_horizon_s=60)
    kind = rand.choice(("time-constant", "time-two-faced", "forger", "forger", "replay"))
    where = _outvoted(data) if kind in TIME_LIARS else [rand.randrange(4, 16)]
    if where:
        data["attacker"] = [{"kind": kind, "nodes": [rand.choice(where)]}]
    limit = LIAR_LIMIT_S if kind in TIME_LIARS else HONEST_LIMIT_S
    data["expect"] = {"clock_error": f"{limit}s", "clock_from": "60s"}


def _releases(rand, data, end_s):
    for i in range(rand.choice((1, 1, 2, 3))):
        row = {
            "name": f"r{i}",
            "version": f"1.{i + 1}.0",
            "size": f"{rand.choice((16, 40, 100, 200))}K",
            "start": f"{rand.randrange(end_s * 3 // 4)}s",
        }
        if i and rand.random() < 0.5:
            row["like"] = f"r{rand.randrange(i)}"
        if i and rand.random() < 0.6:
            begin = rand.randrange(end_s // 2)
            row["start"] = f"{begin}s"
            row["end"] = f"{begin + rand.randrange(60, end_s // 2)}s"
        data["release"].append(row)
        at = rand.randrange(20, max(end_s // 3, 30))
        data["do"].append({"at": f"{at}s", "what": "inject", "release": row["name"],
                           "node": rand.randrange(4)})  # fmt: skip
        if rand.random() < 0.3:
            newer = {"name": f"r{i}b", "version": row["version"], "revision": 1}
            if rand.random() < 0.5:
                newer["withdraw"] = True
            else:
                newer["same_as"] = row["name"]
                newer["start"] = f"{rand.randrange(end_s)}s"
            data["release"].append(newer)
            data["do"].append({"at": f"{at + rand.randrange(1, 300)}s", "what": "inject",
                               "release": newer["name"], "node": rand.randrange(4)})  # fmt: skip


def _keys(rand, data, end_s):
    """In some the CA's keys change, once or twice, and not all releases stay trusted."""
    if rand.random() >= KEYS_SHARE:
        return
    at = 0
    for i in range(rand.choice((1, 1, 2))):
        at += rand.randrange(20, end_s // 3)
        keep = [row["name"] for row in data["release"] if rand.random() < 0.7]
        keep = [name for name in keep if not name.startswith("keys")]
        data["release"].append({"name": f"keys{i}", "keys": True, "keep": keep})
        data["do"].append({"at": f"{at}s", "what": "inject", "release": f"keys{i}",
                           "node": rand.randrange(4)})  # fmt: skip
    if data["topology"]["nodes"] >= 5 and rand.random() < 0.5:
        data["attacker"].append({"kind": "thief"})


def _boards(rand, data):
    """In some there are several boards, audiences, nodes on hold, or little room to relay."""
    if rand.random() < BOARDS_SHARE:
        data["node"]["boards"] = rand.choice((2, 2, 3))
        data["node"]["relay_kib"] = rand.choice((256, 8192))
    if rand.random() < 0.3:
        data["node"]["group_every"] = rand.choice((2, 3, 5))
        for row in data["release"]:
            if "end" in row:
                row["groups"] = ["testers"]
                row["share"] = rand.choice((1, 100, 1000))
    if rand.random() < 0.2:
        data["do"].append({"at": f"{rand.randrange(300)}s", "what": "hold", "nodes": "10%"})


def _events(rand, data, end_s):
    if data["node"]["clock"] == "none" and rand.random() < 0.5:
        data["do"].append({"at": "0s", "what": "boot", "spread": "60s"})
    for _ in range(rand.choice((0, 1, 2, 4))):
        at = rand.randrange(10, end_s)
        what = rand.choice(("down", "power-cut", "power-cut", "partition", "join", "hook-fails"))
        row = {"at": f"{at}s", "what": what}
        if what in ("down", "power-cut", "hook-fails"):
            row["nodes"] = rand.choice(("10%", "30%", "100%"))
        if what == "hook-fails":
            row["nodes"] = "10%"
        if what == "partition" and data["topology"]["nodes"] < 4:
            continue
        data["do"].append(row)
        later = f"{at + rand.randrange(1, 300)}s"
        if what in ("down", "power-cut"):
            data["do"].append({"at": later, "what": "up", "nodes": "off", "spread": "30s"})
        if what == "partition":
            data["do"].append({"at": later, "what": "heal"})


def _attackers(rand, data, nodes):
    kinds = []
    if nodes >= 5 and rand.random() < 0.6:
        often = sorted(set(besiegers.KINDS) - {"thief", *TRAITORS}) + ["forger", "garbage"] * 2
        kinds = [rand.choice(often) for _ in range(rand.choice((1, 1, 2)))]
        data["node"]["boot_horizon_s"] = 60
    for kind in kinds:
        row = {"kind": kind}
        if kind in TIME_LIARS:
            where = _outvoted(data)
            if not where or any(a["kind"] in TIME_LIARS for a in data["attacker"]):
                continue
            row["nodes"] = [rand.choice(where)]
        data["attacker"].append(row)
    # Without a reference a majority of neighbours with an old time is right by definition.
    restarts = {"down", "power-cut", "partition", "join"}
    restarted = any(row["what"] in restarts for row in data["do"])
    at_risk = set(kinds) & {"identities", "spoof", "time-drift"}
    if data["node"]["clock"] == "right" and not restarted and not at_risk:
        limit = LIAR_LIMIT_S if set(kinds) & set(TIME_LIARS) else HONEST_LIMIT_S
        data["expect"] = {"clock_error": f"{limit}s", "clock_from": f"{CLOCK_FROM_S}s"}


def _outvoted(data):
    """Nodes whose neighbours all have three more neighbours: nobody need believe one liar."""
    shape = data["topology"]
    graph = topology.make(shape["kind"], shape["nodes"], data["seed"], degree=shape["degree"])
    return [n for n in sorted(graph) if n and all(graph.degree(b) >= 4 for b in graph[n])]


# --- verdicts


def check(seed):
    return verdict(draw(seed))


def verdict(data):
    """Runs one scenario, given as a table."""
    done = runner.run(scenario.parse(data))
    e = done.violation
    return Verdict(
        seed=data.get("seed", 1),
        ok=done.ok,
        rule="" if done.ok else e.rule,
        text="" if done.ok else runner.story(done),
        digest=done.digest,
        cpu_s=done.cpu_s,
        virtual_s=(done.figures["virtual_s"] if done.ok else e.t / SECOND),
        data=data,
    )


def shrink(found, budget_s=SHRINK_S):
    """The smallest scenario that was found to violate the same rule, as its Verdict."""
    best = found
    until = time.process_time() + budget_s
    again = True
    while again:
        again = False
        for smaller in _smaller(best):
            if time.process_time() > until:
                return best
            tried = _try(smaller)
            if tried is not None and not tried.ok and tried.rule == best.rule:
                best = tried
                again = True
                break
    return best


def _try(data):
    try:
        return verdict(data)
    except Exception:  # what is smaller need not make sense: releases that nobody injects
        return None


def _smaller(found):
    """Scenarios with less in them, the boldest first."""
    data = found.data
    end_s = int(found.virtual_s) + 2
    if end_s < scenario.parse({"duration": data["duration"]}).duration:
        yield {**data, "duration": f"{end_s}s"}
    for key in ("attacker", "do", "release"):
        for i in range(len(data[key])):
            rest = data[key][:i] + data[key][i + 1 :]
            yield {**data, key: rest}
    nodes = data["topology"]["nodes"]
    for fewer in (nodes // 2, nodes - 1):
        if 1 < fewer < nodes:
            yield {**data, "topology": {**data["topology"], "nodes": fewer}}
    if data["radio"].get("loss"):
        yield {**data, "radio": {**data["radio"], "loss": 0.0}}
    if data["topology"]["kind"] != "line":
        yield {**data, "topology": {**data["topology"], "kind": "line"}}


def toml(data):
    """The table as a scenario file."""
    lines = [f"{k} = {_value(v)}" for k, v in data.items() if not isinstance(v, (dict, list))]
    for key, value in data.items():
        if isinstance(value, dict):
            lines += [f"[{key}]"] + [f"{k} = {_value(v)}" for k, v in value.items()]
    for key, value in data.items():
        if isinstance(value, list):
            for row in value:
                lines += [f"[[{key}]]"] + [f"{k} = {_value(v)}" for k, v in row.items()]
    return "\n".join(lines) + "\n"


def _value(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


# --- on all cores, or on many machines


def local(seeds, jobs=None, until=None):
    """Yields a Verdict for each seed as they come, until the wall-clock time `until`."""
    jobs = jobs or os.cpu_count()
    if jobs == 1:
        for seed in seeds:
            if until is not None and time.monotonic() > until:
                return
            yield check(seed)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs, maxtasksperchild=50) as pool:
        for found in pool.imap_unordered(check, _while(seeds, until), chunksize=1):
            yield found
            if until is not None and time.monotonic() > until:
                return


def _while(seeds, until):
    for seed in seeds:
        if until is not None and time.monotonic() > until:
            return
        yield seed


def cluster(seeds, address, until=None, window=4):
    """The same on a Dask cluster: the address of its scheduler, or `local` for one made here. At
    most `window` jobs a worker's thread are handed out ahead."""
    from distributed import Client, LocalCluster, as_completed

    made = (
        LocalCluster(n_workers=os.cpu_count(), threads_per_worker=1) if address == "local" else None
    )
    with Client(made or address) as client:
        seeds = iter(seeds)
        ahead = window * max(sum(client.nthreads().values()), 1)
        going = as_completed(
            [client.submit(check, s, pure=False) for s, _ in zip(seeds, range(ahead))]
        )
        for future in going:
            yield future.result()
            if until is not None and time.monotonic() > until:
                break
            seed = next(seeds, None)
            if seed is not None:
                going.add(client.submit(check, seed, pure=False))
    if made is not None:
        made.close()
