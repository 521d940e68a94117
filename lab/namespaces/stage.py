"""What a scene in network namespaces is played on: nodes and the links between them, a CA, the
operator's laptop, strangers; and what the screen shows. Nothing is told of a node that is not in
its own records."""

import json
import math
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from lab import community, stage, topology
from lab.namespaces import net
from lab.namespaces.node import HOLD, Node
from lab.report import Report, bar
from lab.stage import Failed
from swdist_host import payload, release

ROOT = Path(__file__).resolve().parents[2]
LAPTOP, FORGER, TAMPERER, REPLAYER = "laptop", "forger", "tamperer", "replayer"
LOSS_PERCENT = 10


class Stage(stage.Stage):
    """scene: a module of lab/scenes. options: of `make demo`, with the number of nodes. folder: for
    all files. python: the nodes' interpreter, a command. file: where to say it."""

    def __init__(self, scene, options, folder, python, file, loopback):
        self.report = Report(self.rows, file)
        super().__init__(self.report.say)
        self.options = options
        self.count = options.nodes
        self.random = random.Random(options.seed)
        self.folder = folder
        self.python = python
        self.spreads_ms = []
        self.coverage_s = {}
        self.traffic = {}
        self.nodes = []
        self.others = []  # the laptop and the strangers
        self.web = None
        self.links = []  # pairs of numbers of nodes
        self.boards = (None,)  # what this scene's releases have a payload for; None: any
        self.lead_s = 25 if self.count < 24 else 32  # for a release to spread
        self.world = net.Loopback(LOSS_PERCENT, folder) if loopback else net.World(LOSS_PERCENT)
        folder.mkdir(exist_ok=loopback)
        self.key, self.network = community.make(folder, "demo")
        self.ca = self.laptop_ca = folder / "ca"
        getattr(scene, "cast", Stage.grid)(self)
        self.hops = topology.hops(self.links, 0)
        self.count = len(self.nodes)
        self.laptop = self.node(LAPTOP, [sys.executable])
        self.others.append(self.laptop)

    # --- who is there

    def grid(self, boards=None, more=None):
        """The usual cast: nodes in a grid, the laptop beside the first, and three strangers.
        boards, more: {number of a node: its board, or further lines of its configuration}."""
        names = [f"n{i}" for i in range(self.count)]
        self.links = topology.grid(self.count)
        self.connect(
            names, {LAPTOP: 0, FORGER: -1, TAMPERER: self.count // 2, REPLAYER: self.count // 3}
        )
        for i, name in enumerate(names):
            wrong = self.wrong_clock(i)
            own = (boards or {}).get(i), (more or {}).get(i, ())
            self.nodes.append(self.node(name, self.python, *wrong, *own))
        self.late = self.nodes[self.count * 2 // 3]  # whose power is cut before the first release
        self.early = [n for n in self.nodes if n is not self.late]

    def connect(self, names, guests):
        """Links as self.links says, by turns with IPv6 and IPv4. guests: {name: whose guest}."""
        for name in (*names, *guests):
            self.world.add(name)
        for i, (a, b) in enumerate(self.links):
            self.world.link(names[a], names[b], ipv4=i % 2 == 1)
        for guest, host in guests.items():
            self.world.link(guest, names[host], ipv4=guest == TAMPERER)

    def wrong_clock(self, i):
        """(offset_s, ppm). Routers have no clock of their own and wake in the past; the first node
        is a gateway and knows the time."""
        offset_s = 0 if i == 0 else -self.random.uniform(600, 11 * 3600)
        return offset_s, round(self.random.uniform(-100, 100), 3)

    def node(self, name, python, offset_s=0, ppm=0, board=None, more=()):
        folder = self.folder / name
        return Node(name, folder, self.world, self.ca, python, offset_s, ppm, board, more)

    def takers(self, nodes=None):
        """Those of them whose boards the releases are for, and that are not on hold."""
        return [
            n for n in nodes or self.nodes
            if (None in self.boards or n.board in self.boards) and HOLD not in n.more
        ]  # fmt: skip

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
            path = folder / payload.CODE / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
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
        self.operator("release", "sign", path, "--key", key, "--yes")
        return release.load(path).parsed

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

    def hostile(self, name, words):
        node = self.node(name, [sys.executable])
        flags = ["--config", node.folder / "config"]
        node.start_other(ROOT, "lab.hostile", [*flags, *words])
        self.others.append(node)
        return node

    def refusals(self, word):
        lines = "".join(n.log() for n in self.nodes).splitlines()
        return [line for line in lines if ": refused " in line and word in line]

    # --- the page

    def show_page(self, door):
        """Of the last node, which the laptop does not hear."""
        node = self.nodes[-1]
        self.web = node.web(door)
        if self.web:
            self.say(f"the page of {node.name}, as long as this runs: {self.web.url}/swdist/")

    # --- the end

    def close(self):
        for node in self.nodes + self.others:
            node.stop(signal.SIGKILL)
        if self.web:
            self.web.close()

    def end(self, traffic):
        self.judge_loss()
        if traffic:
            self.count_traffic()
        self.stop()

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

    def summary(self):
        return {
            "nodes": self.count,
            "coverage_s": self.coverage_s,
            "switch_spread_ms": [round(s, 1) for s in self.spreads_ms],
            **self.traffic,
            "results": [{"what": w, "holds": h, "figure": f} for w, h, f in self.results],
        }
