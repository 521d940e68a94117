"""make demo: a mesh of real nodes takes a signed release, switches in the same second, runs an
experiment and ends it, while a malicious neighbour tries its best. Everything that the summary says
is read from the nodes' own records."""

import argparse
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab import image, net, topology
from lab.node import Node
from lab.report import Report, bar
from swdist.choose import draw
from swdist_host import ca, keys, payload, release

ROOT = Path(__file__).resolve().parent.parent
LOSS_PERCENT = 10
LAPTOP, FORGER, TAMPERER, REPLAYER = "laptop", "forger", "tamperer", "replayer"
# Of the scene `mesh`: by turns, and one in their midst that no release is for.
ALPHA, BETA, GAMMA = "alpha", "beta", "gamma"
TESTERS = "testers"
HOLD = "\toption hold '1'"
SPREAD_LIMIT_MS = 100
SWITCHES, GAP_S, SWITCHES_LIMIT_MS = 20, 5, 20  # of the scene `switches`
BACK_LIMIT_S = 25  # confirm_s of the lab's nodes, and the last hook that was begun before it
KILLS_A_RELEASE = 40  # about so many while one spreads and switches
# What a bad payload does when it becomes active. The lab's host has more memory than a router, and
# other things to do: the hook limits itself.
BAD = {
    "1.2.0": ("crashes at once", "kill -SEGV $$"),
    "1.3.0": ("hangs", "sleep 600"),
    "1.4.0": ("eats all memory", "ulimit -v 65536; x=xxxxxxxx; while :; do x=$x$x; done"),
}
# What a hook of the scene `switches` does: notes by the host's clock when it does it.
BEGAN = 'date +%s%N >> "$1/../../began"'
OWN_WORLD = ("self-update", "image")  # scenes that take network namespaces
HEAP = "1M"  # as files/etc/init.d/swdist starts the daemons on a router
FOLDER = Path("/run/lab")  # in RAM, in the lab's private world: it goes with it


class Failed(Exception):
    """A promise that did not hold."""


class Demo:
    def __init__(self, scene, count, seed, folder, python, file, loopback):
        self.scene = scene
        self.count = count
        self.random = random.Random(seed)
        self.folder = folder
        self.results = []  # (what, holds, figure)
        self.spreads_ms = []
        self.coverage_s = {}
        self.report = Report(self.rows, file)
        self.say = self.report.say
        self.nodes = []
        self.others = []  # the laptop and the strangers
        self.world = net.Loopback(LOSS_PERCENT, folder) if loopback else net.World(LOSS_PERCENT)
        folder.mkdir(exist_ok=loopback)
        self.python = python
        self._make_ca()
        if scene == "image":
            image.make_nodes(self)
            self.count = len(self.nodes)
        else:
            self._make_nodes()
        self.laptop = self._node(LAPTOP, [sys.executable], 0, 0)
        self.others.append(self.laptop)

    def _make_ca(self):
        self.key = keys.generate()
        self.ca = self.folder / "ca"
        self.network = ca.create(self.ca, "demo", [self.key.public], 1)
        self.laptop_ca = self.ca

    def _make_nodes(self):
        names = [f"n{i}" for i in range(self.count)]
        self.links = topology.grid(self.count)
        for name in [*names, LAPTOP, FORGER, TAMPERER, REPLAYER]:
            self.world.add(name)
        for i, (a, b) in enumerate(self.links):
            self.world.link(names[a], names[b], ipv4=i % 2 == 1)
        self.world.link(LAPTOP, "n0", ipv4=False)
        self.world.link(FORGER, names[-1], ipv4=False)
        self.world.link(TAMPERER, names[self.count // 2], ipv4=True)
        self.world.link(REPLAYER, names[self.count // 3], ipv4=False)
        boards = [None] * self.count
        more = dict.fromkeys(range(self.count), ())
        if self.scene == "mesh":
            late = self.count * 2 // 3
            # Who is behind the one that is off gets it from the other side.
            boards = [(ALPHA, BETA)[(i + (i > late and i % 2 == late % 2)) % 2]
                      for i in range(self.count)]  # fmt: skip
            boards[max(self.count // 3, 1)] = GAMMA
        elif self.scene == "canary":
            for i in range(0, self.count, 2):
                more[i] = (f"\tlist group '{TESTERS}'",)
            more[1] = (HOLD,)
        for i, name in enumerate(names):
            # Routers have no clock of their own and wake in the past; the first node is a gateway
            # and knows the time.
            offset_s = 0 if i == 0 else -self.random.uniform(600, 11 * 3600)
            ppm = round(self.random.uniform(-100, 100), 3)
            self.nodes.append(self._node(name, self.python, offset_s, ppm, boards[i], more[i]))
        self.late = self.nodes[self.count * 2 // 3]
        self.early = [n for n in self.nodes if n is not self.late]
        self.hops = topology.hops(self.links, 0)

    def _node(self, name, python, offset_s, ppm, board=None, more=()):
        folder = self.folder / name
        return Node(name, folder, self.world, self.ca, python, offset_s, ppm, board, more)

    def takers(self, nodes=None):
        """Those of them whose boards the releases are for, and that are not on hold."""
        return [n for n in nodes or self.nodes if n.board != GAMMA and HOLD not in n.more]

    # --- waiting

    def wait(self, what, seconds, ready, nodes=(), show=None):
        """Until ready(node) is true for each of the nodes; Failed after that many seconds, with
        the last words of those for which it is not. Without nodes: until ready()."""
        end = time.monotonic() + seconds
        shown = None
        while True:
            late = [n for n in nodes if not ready(n)]
            if not late and (nodes or ready()):
                return
            self.check_alive(what)
            if time.monotonic() > end:
                words = "\n".join(n.last_words() for n in late[:3])
                who = f" (not yet: {' '.join(n.name for n in late)})" if late else ""
                raise Failed(f"not within {seconds:.0f} s: {what}{who}\n{words}".rstrip())
            self.report.refresh()
            if show is not None and not self.report.live:
                now = show()
                if now != shown:
                    shown = now
                    self.say(now)
            time.sleep(0.25)

    def check_alive(self, what):
        for node in self.nodes + self.others:
            node.tend()
            if node.dead():
                raise Failed(f"{node.name} ended by itself while: {what}\n{node.last_words(15)}")

    def expect(self, what, holds, figure=""):
        self.results.append((what, bool(holds), figure))
        self.say(f"{'ok  ' if holds else 'FAIL'} {what}{': ' + figure if figure else ''}")

    # --- the screen

    def rows(self):
        for i, node in enumerate(self.nodes):
            if not node.processes:
                yield (node.name, str(self.hops[i]), "off", "", "", "", "")
                continue
            status = node.net()
            held = [
                f"{r['version']} {r['percent']} %" if r["fits"] else f"{r['version']} not for here"
                for r in status.get("releases", [])
            ]
            clock = "-"
            if status.get("synced"):
                clock = f"good to {status['error_us'] / 1000:.1f} ms"
            elif status:
                wrong_s = status["mesh_us"] / 1e6 - time.time()
                clock = f"wrong by {abs(wrong_s) / 3600:.1f} h"
            yield (
                node.name, str(self.hops[i]), node.active() or "-", ", ".join(held), clock,
                str(len(status.get("neighbours", []))), str(status.get("refusals", "-")),
            )  # fmt: skip

    def running(self):
        return [n for n in self.nodes if n.processes]

    def show_coverage(self, version, nodes=None):
        """Share of the wanted pieces that all running nodes together hold, and who has all."""
        found = [n.release(version) for n in nodes or self.takers(self.running())]
        share = sum(r["held"] / max(r["total"], 1) for r in found if r) / len(found)
        whole = sum(bool(r.get("complete")) for r in found)
        return (
            f"{version} spreads {bar(share, 30)} {int(share * 100):3} %, "
            f"{whole} of {len(found)} nodes have all"
        )

    # --- releases

    def tree(self, version, size, does="", code=None, board=None):
        """The folder of what becomes a payload."""
        folder = self.folder / f"tree-{version}-{board}"
        for name, text in (code or {}).items():
            (folder / payload.CODE).mkdir(parents=True, exist_ok=True)
            (folder / payload.CODE / f"{name}.py").write_text(text)
        (folder / "hooks").mkdir(parents=True)
        (folder / "version.txt").write_text(version + "\n")
        (folder / "firmware").write_bytes(self.random.randbytes(size))
        (folder / "hooks/activate").write_text(
            f'#!/bin/sh\ncat "$1/version.txt" >> "$1/../../activated"\n{does}\n'
        )
        (folder / "hooks/activate").chmod(0o755)
        return folder

    def release(
        self, version, start_s, end_s=None, key=None, size=200_000, signed_at_s=None, does="",
        code=None, boards=(None,),
    ):  # fmt: skip
        """Its file. boards: of each the board of a payload, None for any."""
        sources = [
            release.Source("slot", (board,) if board else (), payload.from_dir(
                self.tree(version, size, does, code, board)))
            for board in boards
        ]  # fmt: skip
        swd = release.build(
            self.network, version, start_s, sources, end_s=end_s, signed_at_s=signed_at_s,
        )  # fmt: skip
        path = self.folder / f"{version}.swd"
        release.save(release.sign(swd, key or self.key), path)
        return path

    def operator(self, *words):
        """What an operator types behind `swdist`; what it prints as JSON."""
        command = [sys.executable, "-m", "swdist_host", *map(str, words), "--json"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"swdist {' '.join(map(str, words))}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def build(self, path, version, *words):
        """The operator makes a release and signs it; what is in it."""
        self.operator("release", "build", "-o", path, "--ca", self.ca, "--version", version, *words)
        key = self.folder / "alice.sec"
        key.write_bytes(keys.secret_text(self.key, None))
        self.operator("release", "sign", path, "--key", key, "--yes")
        return release.load(path).parsed

    def boards(self):
        """What a release of this scene has payloads for."""
        return (ALPHA, BETA) if self.scene == "mesh" else (None,)

    def seed(self, path):
        """The laptop is a neighbour that offers the release, with the operator's own command."""
        if self.laptop.processes:
            self.laptop.stop()
        interface = self.world.interfaces[LAPTOP][0]
        self.laptop.start_other(
            ROOT,
            "swdist_host.__main__",
            ["seed", path, "--json", "--interface", interface, "--ca", self.laptop_ca],
        )
        return release.load(path).rid.hex()

    # --- the story

    def power_up(self):
        self.say(
            f"{self.count} nodes, up to {max(self.hops.values())} hops, {LOSS_PERCENT} % loss in "
            f"each direction of a link, {self.world.links}"
        )
        self.say("clocks up to 11 h behind, but for the gateway n0; drifts of up to 100 ppm")
        for node in self.nodes:
            node.start()

        def agrees(node):
            status = node.net()
            return status.get("synced") and abs(status["mesh_us"] - time.time() * 1e6) < 3e6

        self.wait("its clock agrees with the gateway's", 60, agrees, self.nodes)
        self.expect("all clocks agree", True, f"after {self.report.seconds():.0f} s")

    def boot(self):
        self.power_up()
        self.late.stop(signal.SIGKILL)
        self.say(f"{self.late.name}: power cut. It will miss what comes now")

    def lead_s(self):
        """Time for a release to spread; more where nodes fetch for others what is not for them."""
        return (25 if self.count < 24 else 32) + (15 if self.scene == "mesh" else 0)

    def spread(self, nodes, version, start_s):
        """Waits until they have all of it, and then until they run it."""
        nodes = self.takers(nodes)
        began = time.monotonic()
        left_s = start_s - time.time()
        self.wait(
            f"has all of {version}",
            left_s + 30,
            lambda n: n.release(version).get("complete"),
            nodes,
            lambda: self.show_coverage(version),
        )
        took_s = time.monotonic() - began
        self.coverage_s[version] = round(took_s, 1)
        self.expect(f"all {len(nodes)} nodes have all of {version} before it starts",
                    took_s < left_s, f"{took_s:.1f} s after it was offered")  # fmt: skip
        left_s = max(start_s - time.time(), 0)
        self.wait(f"runs {version}", left_s + 15, lambda n: n.active() == version, nodes)
        self.expect_together(nodes, version, "start", start_s)

    def stable(self):
        start_s = int(time.time()) + self.lead_s()
        path = self.release("1.1.0", start_s, boards=self.boards())
        rid = self.seed(path)
        self.say(f"a laptop beside n0 seeds 1.1.0 ({rid[:8]}), to start in {self.lead_s()} s")
        self.spread(self.early, "1.1.0", start_s)
        if self.scene == "mesh":
            self.judge_boards(path)

    def judge_boards(self, path):
        """Each node has the payload of its board; the one that has none has relayed."""
        sizes = {p.boards[0]: (p.pid.hex(), p.stored) for p in release.load(path).parsed.payloads}
        wrong = [n.name for n in self.takers(self.early) if not n.holds(*sizes[n.board])]
        found = [f"{sum(n.board == b for n in self.early)} of {b}" for b in sizes]
        self.expect("each node has the payload of its own board", not wrong, ", ".join(found))
        other = next(n for n in self.nodes if n.board == GAMMA)
        said = other.release("1.1.0")
        self.expect(
            f"{other.name}, of {GAMMA}, says that 1.1.0 is not for it, and runs on",
            said and not said["fits"] and other.active() == "1.0.0" and not other.switches(),
        )
        relayed = [board for board, held in sizes.items() if other.holds(*held)]
        self.expect(f"{other.name} has fetched for others what they could not get elsewhere",
                    relayed, f"the payload of {' and '.join(relayed)}")  # fmt: skip

    def expect_together(self, nodes, version, reason, at_s, revision=0):
        """One switch each, for that reason; how far apart, and how far from the second itself."""
        skew_us = time.time() * 1e6 - time.monotonic() * 1e6
        instants = []
        claimed_ms = 0
        for node in nodes:
            found = [
                r for r in node.switches()
                if r["to"] == f"{version}-r{revision}" and r["reason"] == reason
            ]  # fmt: skip
            if len(found) != 1:
                self.expect(f"{node.name} switched to {version} once ({reason})", False,
                            f"{len(found)} records of it")  # fmt: skip
                return
            instants.append(found[0]["raw_us"])
            claimed_ms = max(claimed_ms, found[0]["error_us"] / 1000)
        spread_ms = (max(instants) - min(instants)) / 1000
        off_ms = max(abs(i + skew_us - at_s * 1e6) for i in instants) / 1000
        self.spreads_ms.append(spread_ms)
        self.expect(
            f"{len(nodes)} nodes switched to {version} together ({reason})",
            spread_ms <= SPREAD_LIMIT_MS,
            f"spread {spread_ms:.1f} ms, at most {off_ms:.1f} ms from the second "
            f"(their own bound: {claimed_ms:.1f} ms)",
        )

    def switches(self):
        """Twenty switches, seconds apart: by turns a stable release, an experiment, and its end."""
        first_s = int(time.time()) + self.lead_s() + 15
        began = time.monotonic()
        plan = []
        for i in range(SWITCHES):
            at_s = first_s + i * GAP_S
            if i % 3 == 2:
                plan.append((plan[-2][0], "end", at_s))
                continue
            version = f"1.{i + 1}.0"
            plan.append((version, "start", at_s))
            end_s = at_s + GAP_S if i % 3 else None
            self.seed(self.release(version, at_s, end_s, size=5000, does=BEGAN))
            self.wait(
                f"has {version} from the laptop",
                20,
                lambda n, v=version: n.release(v).get("complete"),
                self.nodes[:1],
            )
        self.laptop.stop()
        versions = [v for v, reason, _ in plan if reason == "start"]
        self.say(f"a laptop beside n0 has seeded {len(versions)} releases, and goes")
        self.wait("has all of them", first_s - time.time(),
                  lambda n: all(n.release(v).get("complete") for v in versions),
                  self.nodes)  # fmt: skip
        self.expect(f"all {self.count} nodes have all {len(versions)} before the first starts",
                    True, f"{time.monotonic() - began:.1f} s after it was offered")  # fmt: skip
        self.wait(f"has switched {SWITCHES} times", plan[-1][2] + 15 - time.time(),
                  lambda n: len(n.switches()) >= SWITCHES, self.nodes)  # fmt: skip
        time.sleep(1)  # the last hooks
        self.judge_switches(plan)

    def judge_switches(self, plan):
        """By the host's clock. Two things add up: how far the nodes' mesh times are apart, and how
        unequally late their processes come to do it."""
        records = [n.switches() for n in self.nodes]
        others = [
            n.name for n, found in zip(self.nodes, records)
            if [(r["to"], r["reason"]) for r in found] != [(f"{v}-r0", why) for v, why, _ in plan]
        ]  # fmt: skip
        self.expect(f"each node switched {len(plan)} times as planned, and to nothing else",
                    not others, " ".join(others))  # fmt: skip
        if others:
            return
        hooks = [n.hooks_began() for n in self.nodes]
        parts = []
        for i, (version, why, at_s) in enumerate(plan):
            raws = [found[i]["raw_us"] for found in records]
            late = [found[i]["at_us"] - at_s * 1e6 for found in records]
            clocks = [raw - by for raw, by in zip(raws, late)]  # where each one's second began
            parts.append(
                [(max(x) - min(x)) / 1000 for x in (raws, clocks, late)]
                + [(max(h[i] for h in hooks) - min(h[i] for h in hooks)) / 1000]
            )
            spread, apart, waking, hook = parts[-1]
            self.say(
                f"     {i + 1:2}. {version} ({why}): spread {spread:.1f} ms (mesh times "
                f"{apart:.1f}, waking {waking:.1f}; hooks begin within {hook:.1f})"
            )
        self.spreads_ms += [p[0] for p in parts]
        spread, apart, waking, hook = (max(p) for p in zip(*parts))
        self.expect(
            f"{self.count} nodes switched together, {len(plan)} times",
            spread <= SWITCHES_LIMIT_MS,
            f"spread at most {spread:.1f} ms (mesh times at most {apart:.1f}, waking {waking:.1f}; "
            f"hooks begin within {hook:.1f})",
        )

    def latecomer(self, version="1.1.0"):
        self.late.offset_s = 86400 - time.time()
        self.late.start()
        self.say(f"{self.late.name} has power again; its clock says {time.ctime(86400)}")
        began = time.monotonic()
        self.wait(f"runs {version}", 45, lambda n: n.active() == version, [self.late])
        reasons = [r["reason"] for r in self.late.switches()]
        self.expect(f"{self.late.name}, which was off, catches up", set(reasons) == {"late"},
                    f"after {time.monotonic() - began:.1f} s")  # fmt: skip

    def experiment(self):
        lead_s = self.lead_s() + 3
        start_s = int(time.time()) + lead_s
        end_s = start_s + 12
        path = self.release("1.2.0", start_s, end_s, boards=self.boards())
        self.attack(path)
        rid = self.seed(path)
        self.say(f"the laptop seeds the experimental 1.2.0 ({rid[:8]}), to run for 12 s")
        self.spread(self.nodes, "1.2.0", start_s)
        self.wait("is back on 1.1.0", 30, lambda n: n.active() == "1.1.0", self.takers())
        self.expect_together(self.takers(), "1.1.0", "end", end_s)

    def canary(self):
        """An experiment for some, which becomes the stable release for all. All that the operator
        does is done by the operator's own commands."""
        held = self.nodes[1]
        testers = self.nodes[::2]
        others = [n for n in self.nodes if n not in testers and n is not held]
        # So large that the lots draw one of those that are not testers.
        draws = {n.name: draw((n.state / "lot").read_bytes(), (1, 2, 0)) for n in others}
        share = min(draws.values()) + 1
        drawn = [n for n in others if draws[n.name] < share]
        path = self.folder / "1.2.0.swd"
        made = self.build(
            path, "1.2.0", "--payload", self.tree("1.2.0", 200_000), "--experimental",
            "--group", TESTERS, "--share", share,
            "--start", f"+{self.lead_s()}s", "--end", f"+{self.lead_s() + 12}s",
        )  # fmt: skip
        rid = self.seed(path)
        self.say(f"the laptop seeds 1.2.0 ({rid[:8]}), an experiment for the group {TESTERS}, and")
        self.say(f"for {share} of 1000: {' '.join(n.name for n in drawn)}")
        audience = [n for n in self.nodes if n in testers or n in drawn]
        self.wait("has all of 1.2.0", self.lead_s(), lambda n: n.release("1.2.0").get("complete"),
                  self.nodes, lambda: self.show_coverage("1.2.0"))  # fmt: skip
        self.wait("runs 1.2.0", max(made.start_s - time.time(), 0) + 15,
                  lambda n: n.active() == "1.2.0", audience)  # fmt: skip
        self.expect_together(audience, "1.2.0", "start", made.start_s)
        ran = [n.name for n in self.nodes if n not in audience and n.active() == "1.2.0"]
        self.expect(f"nobody else runs it, though all {self.count} hold it", not ran, " ".join(ran))
        self.wait("is back on what it ran", 30, lambda n: n.active() == "1.1.0", audience)
        self.expect_together(audience, "1.1.0", "end", made.end_s)
        before = {n.name: self.written(n) for n in self.nodes}
        stable = self.folder / "1.2.0-r1.swd"
        made = self.build(stable, "1.2.0", "--promote", path, "--start", f"+{self.lead_s()}s")
        rid = self.seed(stable)
        self.say(f"it was good: the laptop seeds 1.2.0-r1 ({rid[:8]}), the stable one, for all")
        runners = testers + others
        self.wait("has 1.2.0-r1", self.lead_s(), lambda n: n.release("1.2.0").get("revision") == 1
                  and n.release("1.2.0")["complete"], self.nodes)  # fmt: skip
        self.wait("runs 1.2.0-r1", max(made.start_s - time.time(), 0) + 15,
                  lambda n: n.switch()["active"]["id"] == rid, runners)  # fmt: skip
        self.expect_together(runners, "1.2.0", "start", made.start_s, 1)
        moved = [n.name for n in self.nodes if self.written(n) != before[n.name]]
        self.expect("the promotion has moved not a byte of payload", not moved, " ".join(moved))
        said = held.switch()
        self.expect(
            f"{held.name}, which its owner holds, has fetched both, and switched to neither",
            said["hold"] and not held.switches() and held.active() == "1.0.0"
            and held.release("1.2.0")["complete"],
        )  # fmt: skip

    def written(self, node):
        """When each file of its payloads was written: a piece that comes changes that."""
        files = (node.store / "payloads").rglob("*")
        return {str(f): (f.stat().st_ino, f.stat().st_mtime_ns) for f in files if f.is_file()}

    def bad_releases(self):
        """Three signed releases that do nobody any good: all nodes come back by themselves."""
        for version, (how, does) in BAD.items():
            start_s = int(time.time()) + self.lead_s()
            rid = self.seed(self.release(version, start_s, size=20_000, does=does))
            self.say(f"the laptop seeds 1.1.0's successor {version} ({rid[:8]}), which {how}")
            self.wait(
                f"{version} has failed",
                self.lead_s() + BACK_LIMIT_S + 15,
                lambda n, rid=rid: rid in n.switch().get("failed", []) and n.active() == "1.1.0",
                self.nodes,
            )
            took_s = [self.back_after_s(n, version) for n in self.nodes]
            self.expect(
                f"all {len(took_s)} nodes are back on 1.1.0 after {version}, which {how}",
                max(took_s) <= BACK_LIMIT_S,
                f"within {max(took_s):.1f} s",
            )
        ran = [[r["to"] for r in n.switches()] for n in self.nodes]
        story = ["1.1.0-r0"]
        for version in BAD:
            story += [f"{version}-r0", "1.1.0-r0"]
        self.expect("none of them was tried twice", all(found == story for found in ran))

    def self_update(self):
        """Releases with a swdist of their own: a good one, and one that does not even start."""
        started = self.start_of("1.2.0", "a swdist of its own", {"__init__": 'VERSION = "1.2.0"\n'})
        self.spread(self.nodes, "1.2.0", started)
        self.wait("runs its own swdist, confirmed", 40, lambda n: self.runs_code(n, "1.2.0"),
                  self.nodes)  # fmt: skip
        self.expect(f"all {self.count} nodes run the swdist that 1.2.0 has brought", True)
        broken = {"__init__": 'VERSION = "1.3.0"\n', "switchd": "def main(:\n"}
        self.start_of("1.3.0", "a swdist that no Python can read", broken)
        self.wait(
            "1.3.0 has failed, and 1.2.0's swdist runs again",
            self.lead_s() + BACK_LIMIT_S + 60,
            lambda n: n.switch().get("failed") and self.runs_code(n, "1.2.0"),
            self.nodes,
        )
        reasons = {(n.state / "failed").read_text().split(None, 1)[1] for n in self.nodes}
        self.expect("all of them came back by their launchers", reasons == {
            "switchd ended 5 times\n"}, " ".join(reasons).strip())  # fmt: skip

    def start_of(self, version, what, modules):
        start_s = int(time.time()) + self.lead_s()
        code = {p.stem: p.read_text() for p in (ROOT / "src/swdist").glob("*.py")} | modules
        rid = self.seed(self.release(version, start_s, size=20_000, code=code))
        self.say(f"the laptop seeds {version} ({rid[:8]}) with {what}")
        return start_s

    def runs_code(self, node, version):
        switch = node.switch()
        return (
            node.net().get("swdist") == switch.get("swdist") == version
            and node.active() == version
            and switch["confirmed"] == switch["active"]["id"]
        )

    def rekey(self):
        """The CA's keys change twice while one node sleeps; then a thief signs with the first."""
        stolen = self.key
        laptop = ca.load(shutil.copytree(self.ca, self.folder / "laptop-ca"))
        self.laptop_ca = laptop.path
        kept = [release.load(self.folder / "1.1.0.swd").rid]
        for n in (1, 2):
            key = keys.generate()
            swd = release.build_keys(laptop.trust, [key.public], 1, kept)
            swd = release.sign(release.sign(swd, self.key), key)
            release.save(swd, self.folder / f"0.0.{n}.swd")
            laptop.adopt(swd)
            self.key = key
            rid = self.seed(self.folder / f"0.0.{n}.swd")
            self.say(f"the laptop seeds 0.0.{n} ({rid[:8]}), a new key in the place of the last")
            began = time.monotonic()
            self.wait(f"has 0.0.{n}", 30, lambda x, n=n: x.release(f"0.0.{n}").get("complete"),
                      self.early)  # fmt: skip
            self.expect(f"all {len(self.early)} nodes have the key set 0.0.{n}", True,
                        f"{time.monotonic() - began:.1f} s after it was offered")  # fmt: skip
        self.thieve(stolen, laptop.trust)
        start_s = int(time.time()) + self.lead_s()
        rid = self.seed(self.release("1.2.0", start_s))
        self.say(f"the laptop seeds 1.2.0 ({rid[:8]}), signed by the newest key alone")
        self.spread(self.early, "1.2.0", start_s)
        self.laptop.stop()
        self.laptop.processes = []
        self.say("the laptop goes")
        self.latecomer("1.2.0")
        held = [self.late.release(v).get("complete") for v in ("0.0.1", "0.0.2")]
        blamed = [line for line in self.late.log().splitlines() if ": refused " in line]
        self.expect(f"{self.late.name} went through both changes, and blames nobody",
                    all(held) and not blamed, " ".join(blamed[:1]))  # fmt: skip
        self.wait("has all of 1.1.0", 20, lambda n: n.release("1.1.0").get("complete"), self.nodes)
        self.expect("1.1.0, which only the first key has signed, is kept by all", True)
        ran = {n.name: [r["to"] for r in n.switches()] for n in self.early}
        others = [name for name, found in ran.items() if found != ["1.1.0-r0", "1.2.0-r0"]]
        self.expect("no node switched to anything else", not others, " ".join(others))

    def thieve(self, stolen, trust):
        """Who has stolen the first key signs what he can think of: a release, and key sets."""
        past_s = int(time.time()) - 3600
        founding = ca.load(self.ca).trust
        lies = [self.release("6.6.6", past_s, key=stolen, size=5000)]
        for name, after in (("first", founding), ("next", trust)):
            his = keys.generate()
            swd = release.build_keys(after, [his.public], 1)
            lies.append(self.folder / f"thief-{name}.swd")
            release.save(release.sign(release.sign(swd, stolen), his), lies[-1])
        self.say(
            "a thief has the first key. Three strangers offer what it has signed: 6.6.6, another"
        )
        self.say("0.0.1, and a 0.0.3")
        for name, lie in zip((FORGER, TAMPERER, REPLAYER), lies):
            self.hostile(name, [lie])
        rids = {release.load(lie).rid.hex(): lie.stem for lie in lies}
        first, fork, following = rids

        def refused(rid):
            lines = self.refusals("signatures: 0 of the 1 needed")
            return any(rid[:8] in line for line in lines)

        for rid in (first, following):
            self.wait(f"{rids[rid]} is refused", 30, lambda r=rid: refused(r))
        forger, liar, _ = self.others[-3:]
        self.wait("the other 0.0.1 is offered", 30, lambda: liar.net().get("tx_datagrams", 0) > 20)
        self.expect("the other 0.0.1, of a version that all have, is not even asked for",
                    f"asked for 1/{first}" in forger.log()
                    and f"asked for 1/{fork}" not in liar.log())  # fmt: skip
        stored = [f"{n.name} {name}" for n in self.nodes for rid, name in rids.items()
                  if n.on_flash(rid)]  # fmt: skip
        self.expect("what the stolen key alone has signed is refused, and on no node's flash",
                    not stored, " ".join(stored))  # fmt: skip

    def back_after_s(self, node, version):
        """From its switch to that version until it left it again; infinite if it did not."""
        records = node.switches()
        for there, back in zip(records, records[1:]):
            if there["to"] == f"{version}-r0" and back["reason"] == "rollback":
                return (back["raw_us"] - there["raw_us"]) / 1e6
        return math.inf

    def kills(self, count):
        """kill -9 of daemons at random instants, while releases spread and switch."""
        done = 0
        minor = 1
        while done < count:
            minor += 1
            version = f"1.{minor}.0"
            start_s = int(time.time()) + self.lead_s()
            self.seed(self.release(version, start_s))
            while time.time() < start_s + 5 and done < count:
                time.sleep(self.random.random() * 2 * (self.lead_s() + 5) / KILLS_A_RELEASE)
                self.random.choice(self.nodes).kill(self.random.choice(("netd", "switchd")))
                done += 1
            self.wait(
                f"runs {version}, confirmed",
                max(start_s - time.time(), 0) + 60,
                lambda n, v=version: (
                    n.active() == v and n.switch()["confirmed"] == n.switch()["active"]["id"]
                ),
                self.nodes,
            )
            self.expect(f"all {len(self.nodes)} nodes run {version}", True, f"{done} killed")
        logs = [n.log(d) for n in self.nodes for d in ("netd", "switchd")]
        self.expect("no daemon has ended by an exception", not any("Traceback" in t for t in logs))
        failed = [n.name for n in self.nodes if n.switch()["failed"]]
        self.expect("no release has failed", not failed, " ".join(failed))

    def attack(self, true_path):
        past_s = int(time.time()) - 3600
        liar = keys.SecretKey(self.key.key_id, os.urandom(32))
        forged = self.release("6.6.6", past_s, key=liar, size=5000)
        replayed = self.release(
            "1.0.5", past_s, size=5000, signed_at_s=past_s, boards=self.boards()
        )
        self.forged_rid = release.load(forged).rid.hex()
        self.say("three strangers come. One offers 6.6.6, signed by a key that poses as the CA's;")
        self.say("one 1.2.0 with a changed byte in each chunk; one the true, but old 1.0.5")
        # One lie each: a neighbour caught lying is not asked again for a while, and a second lie
        # from the same one would never be tried.
        self.hostile(FORGER, [forged])
        self.hostile(TAMPERER, ["--tamper", true_path])
        self.hostile(REPLAYER, [replayed])
        # That nothing came of it is worth something only if it was tried: each lie is seen to
        # arrive, before a true copy of 1.2.0 can be had elsewhere.
        self.wait("a forged signature is refused", 20, lambda: self.refusals("signature"))
        self.wait("a changed chunk is refused", 20, lambda: self.refusals("digest"))
        self.wait("the replayed 1.0.5 has come to a node", 20, self.holders_of_replay)

    def hostile(self, name, words):
        node = self._node(name, [sys.executable], 0, 0)
        flags = ["--config", node.folder / "config"]
        node.start_other(ROOT, "lab.hostile", [*flags, *words])
        self.others.append(node)

    def refusals(self, word):
        lines = "".join(n.log() for n in self.nodes).splitlines()
        return [line for line in lines if ": refused " in line and word in line]

    def holders_of_replay(self):
        return [n.name for n in self.nodes if n.release("1.0.5")]

    def judge_attack(self):
        forged = self.refusals("signature")
        tampered = self.refusals("digest")
        for line in forged[:1] + tampered[:1]:
            self.say(f"     {line.partition(': ')[2]}")
        self.expect("the forged release was refused", forged, f"{len(forged)} times")
        self.expect("the changed chunk was refused", tampered, f"{len(tampered)} times")
        stored = [n.name for n in self.nodes if n.on_flash(self.forged_rid)]
        self.expect("nobody has anything of the forged release on flash", not stored,
                    " ".join(stored))  # fmt: skip
        holders = self.holders_of_replay()
        ran = {n.name: [r["to"] for r in n.switches()] for n in self.nodes}
        downgraded = [name for name, found in ran.items() if "1.0.5-r0" in found]
        self.expect("the replayed 1.0.5 was taken for what it is, and never ran",
                    holders and not downgraded, f"held by {len(holders)} nodes")  # fmt: skip
        story = ["1.1.0-r0", "1.2.0-r0", "1.1.0-r0"]
        others = [n.name for n in self.takers() if ran[n.name] != story]
        self.expect("each node switched to 1.1.0, 1.2.0 and back, and to nothing else",
                    not others, " ".join(others))  # fmt: skip
        others = [n.name for n in self.takers() if n.hook_runs() != ["1.1.0", "1.2.0", "1.1.0"]]
        self.expect("each release's own hook says the same", not others, " ".join(others))

    def judge_loss(self):
        """The lab itself: 10 % must be 10 %, within what chance allows."""
        came, lost = self.world.loss()
        share = lost / came if came else 0
        p = LOSS_PERCENT / 100
        self.expect(
            "the links really were lossy",
            came and abs(share - p) < 5 * math.sqrt(p * (1 - p) / came),
            f"{lost} of {came} frames lost, {share:.1%}",
        )

    def count_traffic(self):
        stats = [n.net() for n in self.running()]
        self.traffic = {
            f"{key}_per_node": round(sum(s[key] for s in stats) / len(stats))
            for key in ("tx_datagrams", "tx_bytes", "rx_datagrams", "rx_bytes")
        }
        self.traffic["seconds"] = round(self.report.seconds())

    def stop(self):
        self.check_alive("the end")
        statuses = [s for n in self.running() for s in n.stop()]
        self.expect("all daemons stop cleanly at SIGTERM", set(statuses) == {0},
                    f"{len(statuses)} of them")  # fmt: skip

    def play(self, scene, kills):
        if scene == "self-update":
            for node in self.nodes:
                node.make_launcher()
        self.boot()
        if scene == "kills":
            self.late.start()
            self.kills(kills)
        elif scene == "switches":
            self.late.start()
            self.switches()
        else:
            self.stable()
            if scene != "rekey":
                self.latecomer()
        if scene == "mesh":
            self.experiment()
            self.judge_attack()
        elif scene == "bad-release":
            self.bad_releases()
        elif scene == "self-update":
            self.self_update()
        elif scene == "rekey":
            self.rekey()
        elif scene == "canary":
            self.canary()

    def run(self, kills):
        if self.scene == "image":
            image.Scene(self).run()
        else:
            self.play(self.scene, kills)
        self.judge_loss()
        if self.scene != "self-update":  # its daemons have just begun to count
            self.count_traffic()
        self.stop()

    def summary(self):
        return {
            "nodes": self.count,
            "coverage_s": self.coverage_s,
            "switch_spread_ms": [round(s, 1) for s in self.spreads_ms],
            **getattr(self, "traffic", {}),
            "results": [{"what": w, "holds": h, "figure": f} for w, h, f in self.results],
        }


def arguments():
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--nodes", type=int, default=12, help="how many nodes, 4 to 60")
    parser.add_argument("--seed", type=int, default=1, help="for clocks, drifts and payloads")
    parser.add_argument(
        "--json", action="store_true", help="the summary as JSON on stdout, all else on stderr"
    )
    parser.add_argument(
        "--scene", default="mesh",
        choices=["mesh", "spread", "bad-release", "kills", "self-update", "rekey", "switches",
                 "image", "canary"],
        help="all of it, one release and a node that was off, releases that do harm, kill -9, "
        "releases that bring swdist itself, changes of the CA's keys, how far apart the nodes are "
        "in 20 switches, a whole image that the routers of one board flash (always 6 nodes), or an "
        "experiment for a group that becomes the release for all",
    )  # fmt: skip
    parser.add_argument("--kills", type=int, default=20, help="of the scene `kills`")
    parser.add_argument(
        "--loopback", action="store_true",
        help="without network namespaces: each node on a loopback address of its own",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="keep the nodes' files and logs")
    parser.add_argument("--micropython", default=os.environ.get("MICROPYTHON"))
    found = parser.parse_args()
    if not 4 <= found.nodes <= 60:
        parser.error("--nodes must be 4 to 60")
    return found


def show(args, folder, loopback):
    """The whole demo in this process; its exit status."""
    python = args.micropython or str(ROOT / "build/runtime/bin/micropython")
    file = sys.stderr if args.json else sys.stdout
    ok = False
    keep = True
    demo = None
    try:
        program = [python, "-X", f"heapsize={HEAP}"]
        demo = Demo(args.scene, args.nodes, args.seed, folder, program, file, loopback)
        try:
            with demo.report:
                demo.run(args.kills)
            ok = all(holds for _, holds, _ in demo.results)
        except Failed as e:
            demo.expect(str(e), False)
        finish(demo, args.json, ok)
        keep = args.keep or not ok
    except (KeyboardInterrupt, SystemExit):
        keep = False
        print("stopped; nothing is left behind", file=file)
        return 130
    finally:
        for node in demo.nodes + demo.others if demo is not None else ():
            node.stop(signal.SIGKILL)
        if keep and folder.is_dir():
            kept = tempfile.mkdtemp(prefix="swdist-demo-")
            shutil.copytree(folder, kept, symlinks=True, dirs_exist_ok=True, ignore=_sockets)
            print(f"the nodes' files and logs are kept in {kept}", file=file, flush=True)
    return 0 if ok else 1


def _sockets(folder, names):
    return [n for n in names if (Path(folder) / n).is_socket()]


def finish(demo, as_json, ok):
    summary = demo.summary()
    if as_json:
        print(json.dumps(summary, indent=1), flush=True)
    demo.report.plain("\nSummary")
    for key, value in summary.items():
        if key != "results":
            demo.report.plain(f"  {key:<22} {value}")
    held = sum(holds for _, holds, _ in demo.results)
    end = "all is well" if ok else "FAILED"
    demo.report.plain(f"\n{held} of {len(demo.results)} promises held: {end}")


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.environ.get(net.INSIDE):
        net.obey_leash()
        return show(args, FOLDER, False)
    status = None
    if not args.loopback:
        try:
            status = net.enter("lab.demo", sys.argv[1:])
        except KeyboardInterrupt:
            return 130
        if status is None:
            print(net.NOT_ALLOWED, file=sys.stderr, end="")
    if status is None and args.scene in OWN_WORLD:
        print(f"the scene {args.scene} takes network namespaces", file=sys.stderr)
        return 2
    if status is None:
        with tempfile.TemporaryDirectory(prefix="swdist-lab-") as folder:
            status = show(args, Path(folder), True)
    return status


if __name__ == "__main__":
    sys.exit(main())
