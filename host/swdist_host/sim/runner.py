"""Runs a scenario: carries out its actions, measures, and checks what was expected."""

import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import networkx as nx
import numpy as np

from swdist_host.sim.invariants import Violation
from swdist_host.sim.scenario import share
from swdist_host.sim.simulation import Simulation
from swdist_host.sim.world import SECOND

SAMPLES = 240  # of each curve of the report
SLOWED = 2  # as long as without attackers it may take with them,
SLOWED_S = 10  # or that much longer, where that is more


@dataclass
class Result:
    """What came of a run. series: one row for each sample."""

    scenario: object
    digest: str = ""
    violation: Violation | None = None
    history: list = field(default_factory=list)
    log: list = field(default_factory=list)
    series: dict = field(default_factory=dict)
    figures: dict = field(default_factory=dict)
    cpu_s: float = 0
    nodes: int = 0

    @property
    def ok(self):
        return self.violation is None


class Runner:
    """asleep: are the attackers there, and off? So it is known what they cost."""

    def __init__(self, scenario, every_event=True, asleep=False):
        self.scenario = scenario
        self._asleep = asleep
        graph = scenario.graph()
        placed = scenario.placed(graph.number_of_nodes())
        self.sim = Simulation(
            graph, scenario.seed, scenario.settings(), scenario.air(), every_event, placed
        )
        self.sim.checks.live = scenario.live
        if "clock_error" in scenario.expect:
            self.sim.checks.clock_error_us = int(scenario.expect["clock_error"] * SECOND)
            self.sim.checks.clock_from = int(scenario.expect.get("clock_from", 0) * SECOND)
        self.made = {}  # name: Swd
        self.injected_s = {}
        self._rows = []
        self._sampled = (0, 0)

    def run(self, progress=None):
        """The Result. progress(virtual seconds done, coverage text) is called now and then."""
        s, sim = self.scenario, self.sim
        result = Result(s, nodes=len(sim.stations))
        started = time.process_time()
        try:
            if not any(a["what"] == "boot" for a in s.actions):
                self._do({"what": "boot", "at": 0, "spread": 1})
            self._all(progress)
            self._expected()
        except Violation as e:
            result.violation = e
        except Exception as e:  # device code must never raise: that would end the daemon
            where = traceback.extract_tb(e.__traceback__)[-1]
            text = f"{type(e).__name__}: {e}, in {Path(where.filename).name} line {where.lineno}"
            result.violation = Violation("crash", sim.world.now, None, text)
        result.digest = sim.digest()
        result.history = list(sim.checks.history)
        if result.violation is not None and result.violation.station is not None:
            result.log = list(sim.stations[result.violation.station].log.lines)
        result.series = self._series()
        result.figures = self._figures()
        result.cpu_s = round(time.process_time() - started, 2)
        return result

    def _all(self, progress):
        s, sim = self.scenario, self.sim
        todo = sorted(s.actions, key=lambda a: a["at"])
        every = max(s.duration / SAMPLES, 0.5)
        check_at = sample_at = 0
        while sim.world.now < s.duration * SECOND:
            now = sim.world.now / SECOND
            while todo and todo[0]["at"] <= now:
                self._do(todo.pop(0))
            if now >= sample_at:
                sample_at = now + every
                self._sample()
                if progress is not None:
                    progress(now, self._rows[-1]["covered"])
            if now >= check_at:
                check_at = now + s.check_every
                sim.checks.all()
            until = min(check_at, sample_at, s.duration, todo[0]["at"] if todo else s.duration)
            sim.world.run(max(int(until * SECOND), sim.world.now + 1))
        self._sample()
        sim.checks.all()

    # --- actions

    def _do(self, action):
        sim, what = self.sim, action["what"]
        if what == "boot":
            sim.boot(
                self._chosen(action.get("nodes", "all")), int(action.get("spread", 1) * SECOND)
            )
        elif what == "inject":
            self._inject(action)
        elif what == "down":
            sim.down(self._chosen(action.get("nodes", "10%")), action.get("cut", True))
        elif what == "up":
            sim.up(self._chosen(action.get("nodes", "off")), int(action.get("spread", 1) * SECOND))
        elif what == "power-cut":
            chosen = self._chosen(action.get("nodes", "10%"))
            sim.note(f"power-cut soon: {len(chosen)} nodes")
            for n in chosen:
                sim.stations[n].cut_in(sim.rng.randrange(action.get("steps", 40)))
        elif what == "partition":
            sim.partition(action.get("parts", 2))
        elif what == "heal":
            sim.heal()
        elif what == "join":
            sim.join(action.get("count", 1), action.get("links", 3))
        elif what == "hook-fails":
            for n in self._chosen(action.get("nodes", "10%")):
                sim.stations[n].fails = True
        elif what in ("renew", "rot"):
            for n in self._chosen(action.get("nodes", "10%")):
                getattr(sim.stations[n], what)()
            sim.checks.changed()
        elif what == "hold":
            for n in self._chosen(action.get("nodes", "10%")):
                sim.stations[n].set_hold()

    def _chosen(self, value):
        stations = self.sim.stations
        everyone = [s.number for s in stations if s.honest or not self._asleep]
        if value == "all":
            return everyone
        if value == "off":
            return [n for n in everyone if not stations[n].up]
        if isinstance(value, list):
            return [n for n in value if n in everyone]
        up = [n for n in everyone if stations[n].up and stations[n].honest]
        return sorted(self.sim.rng.sample(up, min(share(value, len(stations)), len(up))))

    def _inject(self, action):
        """On the node named; where that one is not up, not honest or behind with its keys, on one
        that is."""
        sim = self.sim
        if not any(s.up and s.honest for s in sim.stations):
            return
        wanted = action.get("node", 0)
        swd = self._release(action["release"])
        keys = sim.authority.by[swd.rid] - (swd.parsed.is_keys)
        up = [s.number for s in sim.stations if s.up and s.honest
              and sim.checks.key_set(r.rid for r in s.store.releases) >= keys]  # fmt: skip
        if not up:
            return
        if sim.parts is not None and "part" in str(wanted):
            part = int(str(wanted).removeprefix("part"))
            up = [n for n in up if sim.parts.get(n) == part] or up
            wanted = up[0]
        number = wanted if wanted in up else up[sim.rng.randrange(len(up))]
        self.injected_s.setdefault(action["release"], sim.world.now / SECOND)
        sim.inject(number, swd)

    def _release(self, name):
        """Signed now, once."""
        if name in self.made:
            return self.made[name]
        row = self.scenario.releases[name]
        if row["keys"]:
            kept = [self.made[k] for k in row.get("keep", self.made) if k in self.made]
            self.made[name] = self.sim.authority.rekey(self.sim.now_s(), kept)
            return self.made[name]
        start_s = self._true_s(row["start"]) if "start" in row else None
        more = {}
        if "end" in row:
            more["end_s"] = self._true_s(row["end"])
        for key in ("groups", "share"):
            if key in row:
                more[key] = row[key]
        if row.get("withdraw"):
            more["withdraw"] = True
        elif "same_as" in row:
            more["same_as"] = self._release(row["same_as"])
        elif "like" in row:
            more["like"] = self.scenario.releases[row["like"]]["version"]
        self.made[name] = self.sim.release(
            row["version"],
            start_s=start_s,
            size=row["size"],
            boards=self.scenario.node.get("boards", 1),
            revision=row.get("revision", 0),
            **more,
        )
        return self.made[name]

    def _true_s(self, seconds):
        return self.sim.now_s() - self.sim.world.now // SECOND + int(seconds)

    # --- measuring

    def _sample(self):
        sim = self.sim
        up = [s for s in sim.honest() if s.up]
        errors = [abs(s.mesh_us() - sim.true_us()) for s in up if s.clock.synced]
        sent = sum(sim.world.radio.sent)
        t, before = self._sampled
        span_h = max(sim.world.now - t, 1) / 3600 / SECOND
        self._sampled = (sim.world.now, sent)
        held = {}
        for name, swd in self.made.items():
            held[name] = len(sim.checks.holders.get(swd.rid, ()))
        active = {}
        for s in up:
            version = s.switch.switcher.active.manifest.version
            active["%d.%d.%d" % version] = active.get("%d.%d.%d" % version, 0) + 1
        self._rows.append(
            {
                "t": sim.world.now / SECOND,
                "up": len(up),
                "synced": len(errors),
                "covered": held,
                "active": active,
                "datagrams_per_node_hour": (sent - before) / span_h / max(len(up), 1),
                "error_us": np.percentile(errors, (50, 95, 100)).tolist() if errors else [],
            }
        )

    def _series(self):
        rows = self._rows
        return {key: [row[key] for row in rows] for key in (rows[0] if rows else ())}

    def _figures(self):
        """The numbers that sum a run up."""
        sim = self.sim
        honest = sim.honest()
        figures = {
            "virtual_s": round(sim.world.now / SECOND, 3),
            "events": sim.world.events,
            "nodes": len(sim.stations),
            "datagrams": sum(sim.world.radio.sent),
            "bytes_on_air": sum(sim.world.radio.sent_bytes),
            "collisions": sim.world.radio.collisions,
            "refusals": sum(s.node.fetch.outcomes.refusals for s in honest if s.node is not None),
            "releases": {},
            "switches": self._spread(),
        }
        for name, swd in self.made.items():
            have = sorted(sim.checks.holders.get(swd.rid, {}).values())
            first = self.injected_s.get(name, 0)
            figures["releases"][name] = {
                "id": swd.rid.hex(),
                "holders": len(have),
                "last_s": round(have[-1] / SECOND - first, 3) if have else None,
            }
        return figures

    def slowest_s(self, name):
        """How long a release has taken the honest nodes, each from when it was up."""
        have = self.sim.checks.holders.get(self.made[name].rid, {})
        began = {n: self.sim.stations[n].booted_t / SECOND for n in have}
        return max(
            (t / SECOND - max(began[n], self.injected_s[name]) for n, t in have.items()), default=0
        )

    def _spread(self):
        """For each start or end: the milliseconds from the first node that switched to the last."""
        times = {}
        for s in self.sim.honest():
            for t, to, reason in s.switches:
                if reason in ("start", "end"):
                    times.setdefault(f"{to} {reason}", []).append(t)
        return {
            to: {"nodes": len(ts), "spread_ms": round((max(ts) - min(ts)) / 1000, 3)}
            for to, ts in sorted(times.items())
        }

    # --- what was expected

    def _expected(self):
        sim, expect = self.sim, self.scenario.expect
        graph = sim.connected()
        up = set(graph)
        for name in expect.get("covered", []):
            swd = self._release(name)
            have = sim.checks.verified if not swd.payloads else sim.checks.holders
            have = have.get(swd.rid, {})
            # Whoever has attackers only for neighbours can't have it.
            near = set().union(*(nx.node_connected_component(graph, n) for n in have if n in graph))
            up &= near
            lacking = sorted(near.difference(have))
            if lacking or not near:
                s = sim.stations[lacking[0]] if lacking else None
                sim.checks.fail("expected", s, f"lacks release {name} at the end")
            late = max(have.values()) / SECOND - self.injected_s[name]
            if "within" in expect and late > expect["within"]:
                sim.checks.fail("expected", None, f"release {name} took {late:.1f} s")
        if "active" in expect:
            for n in sorted(up):
                s = sim.stations[n]
                version = "%d.%d.%d" % s.switch.switcher.active.manifest.version
                if version != expect["active"]:
                    sim.checks.fail("expected", s, f"runs {version} at the end")


def run(scenario, progress=None, every_event=True):
    runner = Runner(scenario, every_event)
    result = runner.run(progress)
    if result.ok and scenario.expect.get("siege"):
        free = Runner(scenario, every_event, asleep=True)
        result.violation = free.run().violation or _slowed(runner, free)
    return result


def _slowed(siege, free):
    """A Violation if any release took the honest ones too much longer than without attackers."""
    for name in siege.scenario.expect.get("covered", []):
        took_s, free_s = siege.slowest_s(name), free.slowest_s(name)
        if took_s > max(SLOWED * free_s, free_s + SLOWED_S):
            text = f"release {name} took {took_s:.2f} s, {free_s:.2f} without attackers"
            return Violation("siege", siege.sim.world.now, None, text)
    return None


def story(result):
    """A violation for people: the seed, the event, what led to it."""
    e = result.violation
    who = "the mesh" if e.station is None else f"node {e.station}"
    lines = [
        f"violation of '{e.rule}' with seed {result.scenario.seed}"
        f" after {e.t / SECOND:.6f} s at {who}: {e.text}",
        f"trace digest {result.digest}",
        "what had happened (seconds, node, event):",
    ]
    mine = [h for h in result.history if h[1] in (-1, e.station)][-30:]
    for t, number, text in mine:
        lines.append(f"  {t / SECOND:14.6f}  {'mesh' if number < 0 else number:>5}  {text}")
    if result.log:
        lines.append("its log:")
        for t, text in result.log[-15:]:
            lines.append(f"  {t / SECOND:14.6f}  {text}")
    return "\n".join(lines)
