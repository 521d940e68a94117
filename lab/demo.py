"""make demo: a mesh of real nodes takes a signed release, switches in the same second, runs an
experiment and ends it, while a malicious neighbour tries its best. Everything that the summary says
is read from the nodes' own records."""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from lab import net, topology
from lab.node import Node
from swdist_host import ca, keys, payload, release

ROOT = Path(__file__).resolve().parent.parent
LOSS_PERCENT = 10
LAPTOP, FORGER, TAMPERER = "laptop", "forger", "tamperer"
SPREAD_LIMIT_MS = 100


class Failed(Exception):
    """A promise that did not hold."""


class Demo:
    def __init__(self, count, seed, folder, python):
        self.count = count
        self.random = random.Random(seed)
        self.folder = folder
        self.began = time.monotonic()
        self.results = []  # (what, holds, figure)
        self.world = net.World(LOSS_PERCENT)
        self.python = python
        self._make_ca()
        self._make_nodes()

    def say(self, text):
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", flush=True)

    def _make_ca(self):
        self.key = keys.generate()
        self.ca = self.folder / "ca"
        self.network = ca.create(self.ca, "demo", [self.key.public], 1)

    def _make_nodes(self):
        names = [f"n{i}" for i in range(self.count)]
        self.links = topology.grid(self.count)
        for name in [*names, LAPTOP, FORGER, TAMPERER]:
            self.world.add(name)
        for i, (a, b) in enumerate(self.links):
            self.world.link(names[a], names[b], ipv4=i % 2 == 1)
        self.world.link(LAPTOP, "n0", ipv4=False)
        self.world.link(FORGER, names[-1], ipv4=False)
        self.world.link(TAMPERER, names[self.count // 2], ipv4=True)
        self.nodes = []
        for i, name in enumerate(names):
            # Routers have no clock of their own and wake in the past; the first node is a gateway
            # and knows the time.
            offset_s = 0 if i == 0 else -self.random.uniform(600, 11 * 3600)
            ppm = round(self.random.uniform(-100, 100), 3)
            self.nodes.append(self._node(name, self.python, offset_s, ppm))
        self.late = self.nodes[self.count * 2 // 3]
        self.early = [n for n in self.nodes if n is not self.late]
        self.laptop = self._node(LAPTOP, [sys.executable], 0, 0)

    def _node(self, name, python, offset_s, ppm):
        interfaces = self.world.interfaces[name]
        return Node(name, self.folder / name, interfaces, self.ca, python, offset_s, ppm)

    # --- waiting

    def wait(self, what, seconds, ready, show=None):
        """Until ready() is true; Failed after that many seconds."""
        end = time.monotonic() + seconds
        shown = None
        while not ready():
            for node in self.nodes:
                if node.dead():
                    tail = (node.log() + node.log("switchd"))[-2000:]
                    raise Failed(f"{node.name} ended by itself while waiting: {what}\n{tail}")
            if time.monotonic() > end:
                raise Failed(f"not within {seconds} s: {what}")
            if show is not None:
                now = show()
                if now != shown:
                    shown = now
                    self.say(now)
            time.sleep(0.25)

    def expect(self, what, holds, figure=""):
        self.results.append((what, bool(holds), figure))
        self.say(f"{'ok  ' if holds else 'FAIL'} {what}{': ' + figure if figure else ''}")

    def coverage(self, version):
        """Share of the wanted chunks that all running nodes together hold, and who has all."""
        held = whole = total = 0
        running = [n for n in self.nodes if n.processes]
        for node in running:
            r = node.release(version)
            held += r.get("held", 0) / r["chunks"] if r else 0
            whole += bool(r.get("complete"))
            total += 1
        return held / total, whole, total

    def show_coverage(self, version):
        share, whole, total = self.coverage(version)
        bar = "#" * round(share * 30)
        return f"{version} spreads |{bar:<30}| {share:4.0%}, {whole} of {total} nodes have all"

    # --- releases

    def tree(self, version, size):
        folder = self.folder / f"tree-{version}"
        (folder / "hooks").mkdir(parents=True)
        (folder / "version.txt").write_text(version + "\n")
        (folder / "firmware").write_bytes(self.random.randbytes(size))
        (folder / "hooks/activate").write_text('#!/bin/sh\necho "$1" > "$1/../../activated"\n')
        (folder / "hooks/activate").chmod(0o755)
        return payload.from_dir(folder)

    def release(self, version, start_s, end_s=None, key=None, size=200_000):
        swd = release.build(
            self.network, version, start_s, end_s=end_s, data=self.tree(version, size)
        )
        swd = release.sign(swd, key or self.key)
        path = self.folder / f"{version}.swd"
        release.save(swd, path)
        return path

    def seed(self, path):
        """The laptop is a neighbour that offers the release, with the operator's own command."""
        if self.laptop.processes:
            self.laptop.stop()
        interface = self.world.interfaces[LAPTOP][0]
        self.laptop.start_command(
            ROOT,
            [Path(sys.executable).parent / "swdist", "seed", path, "--json"]
            + ["--interface", interface, "--ca", self.ca],
        )
        return release.load(path).rid.hex()

    # --- the story

    def boot(self):
        hops = topology.hops(self.links, 0)
        self.say(
            f"{self.count} nodes, up to {max(hops.values())} hops, {LOSS_PERCENT} % loss on each "
            f"link, half of them without IPv4, clocks up to 11 h wrong, drifting up to 100 ppm"
        )
        for node in self.early:
            node.start()
        self.say(f"{self.late.name} stays off; the others look for one time")

        def agreed():
            truth_us = time.time() * 1e6
            for node in self.early:
                status = node.net()
                if not status.get("synced"):
                    return False
                if abs(status["mesh_us"] - truth_us) > 3e6:
                    return False
            return True

        self.wait("all clocks agree with the gateway's", 60, agreed)
        self.expect("clocks agree", True, f"after {time.monotonic() - self.began:.0f} s")

    def stable(self):
        lead_s = 25 if self.count < 24 else 40
        start_s = int(time.time()) + lead_s
        rid = self.seed(self.release("1.1.0", start_s))
        seeded = time.monotonic()
        self.say(f"a laptop beside n0 offers 1.1.0 ({rid[:8]}), to start in {lead_s} s")
        self.wait(
            "1.1.0 is everywhere",
            lead_s + 30,
            lambda: self.coverage("1.1.0")[1] == len(self.early),
            lambda: self.show_coverage("1.1.0"),
        )
        covered_s = time.monotonic() - seeded
        self.expect("every node has all of 1.1.0 before it starts", covered_s < lead_s,
                    f"{covered_s:.1f} s to full coverage")  # fmt: skip
        self.covered_s = covered_s
        self.wait("all run 1.1.0", lead_s + 15, lambda: self.all_run(self.early, "1.1.0"))
        self.expect_together(self.early, "1.1.0", "start", start_s)

    def all_run(self, nodes, version):
        return all(n.active() == version for n in nodes)

    def expect_together(self, nodes, version, reason, at_s):
        """One switch each, for that reason; how far apart, and how far from the second itself."""
        skew_us = time.time() * 1e6 - time.monotonic() * 1e6
        instants = []
        for node in nodes:
            found = [
                r for r in node.switches()
                if r["to"] == f"{version}-r0" and r["reason"] == reason
            ]  # fmt: skip
            if len(found) != 1:
                self.expect(f"{node.name} switched to {version} once ({reason})", False)
                return
            instants.append(found[0]["raw_us"])
        spread_ms = (max(instants) - min(instants)) / 1000
        off_ms = max(abs(i + skew_us - at_s * 1e6) for i in instants) / 1000
        self.spreads_ms.append(spread_ms)
        self.expect(
            f"{len(nodes)} nodes switched to {version} together ({reason})",
            spread_ms <= SPREAD_LIMIT_MS,
            f"spread {spread_ms:.1f} ms, at most {off_ms:.1f} ms from the second",
        )

    spreads_ms = []
    covered_s = None

    def latecomer(self):
        self.say(f"{self.late.name} is switched on: its clock says {time.ctime(86400)}")
        self.late.offset_s = 86400 - time.time()
        self.late.start()
        began = time.monotonic()
        self.wait(f"{self.late.name} runs 1.1.0", 45, lambda: self.late.active() == "1.1.0")
        reasons = [r["reason"] for r in self.late.switches()]
        self.expect(f"{self.late.name}, which was off, catches up", reasons == ["late"],
                    f"after {time.monotonic() - began:.1f} s")  # fmt: skip

    def experiment(self):
        lead_s = 28 if self.count < 24 else 45
        start_s = int(time.time()) + lead_s
        end_s = start_s + 8
        path = self.release("1.2.0", start_s, end_s)
        self.attack(path)
        self.wait(
            "the strangers' lies are tried and refused",
            20,
            lambda: any(self.refusals("digest")) and any(self.refusals("signature")),
        )
        rid = self.seed(path)
        self.say(f"the laptop offers experimental 1.2.0 ({rid[:8]}), to run for 8 s")
        self.wait(
            "1.2.0 is everywhere",
            lead_s + 20,
            lambda: self.coverage("1.2.0")[1] == self.count,
            lambda: self.show_coverage("1.2.0"),
        )
        self.wait("all run 1.2.0", lead_s + 10, lambda: self.all_run(self.nodes, "1.2.0"))
        self.expect_together(self.nodes, "1.2.0", "start", start_s)
        self.wait("all are back on 1.1.0", 30, lambda: self.all_run(self.nodes, "1.1.0"))
        self.expect_together(self.nodes, "1.1.0", "end", end_s)

    def attack(self, true_path):
        past_s = int(time.time()) - 3600
        liar = keys.SecretKey(self.key.key_id, os.urandom(32))
        forged = self.release("6.6.6", past_s, key=liar, size=5000)
        replayed = self.release("1.0.5", past_s, size=5000)
        self.say(
            "two strangers come: one offers a forged 6.6.6 and the old 1.0.5 once more, "
            "one the new 1.2.0 with changed chunks"
        )
        self._hostile(FORGER, [forged, replayed])
        self._hostile(TAMPERER, ["--tamper", true_path])

    def _hostile(self, name, words):
        python = [sys.executable, "-m", "lab.hostile"]
        node = self._node(name, python, 0, 0)
        flags = ["--config", node.folder / "config"]
        node.start_command(ROOT, [*python, *flags, *words])

    def refusals(self, word):
        lines = "".join(n.log() for n in self.nodes).splitlines()
        return [line for line in lines if ": refused " in line and word in line]

    def judge_attack(self):
        forged = self.refusals("signature")
        tampered = self.refusals("digest")
        for line in forged[:1] + tampered[:1]:
            self.say(f"     {line.partition(': ')[2]}")
        self.expect("the forged release was refused", forged, f"{len(forged)} times")
        self.expect("the changed chunk was refused", tampered, f"{len(tampered)} times")
        stored = [n.name for n in self.nodes if n.release("6.6.6")]
        self.expect("nobody stores the forged release", not stored)
        ran = {r["to"] for n in self.nodes for r in n.switches()}
        self.expect("nobody ever ran what the strangers offered", ran <= {"1.1.0-r0", "1.2.0-r0"},
                    "only " + ", ".join(sorted(ran)))  # fmt: skip

    def count_traffic(self):
        stats = [n.net() for n in self.nodes if n.processes]
        seconds = time.monotonic() - self.began
        self.traffic = {
            "datagrams_per_node": round(sum(s["tx_datagrams"] for s in stats) / len(stats)),
            "bytes_per_node": round(sum(s["tx_bytes"] for s in stats) / len(stats)),
            "lost_by_the_lab": self.world.lost(),
            "seconds": round(seconds),
        }

    def stop(self):
        running = [n for n in self.nodes if n.processes]
        statuses = [s for n in running for s in n.stop()]
        self.expect("all daemons stop cleanly at SIGTERM", set(statuses) == {0},
                    f"{len(statuses)} of them")  # fmt: skip

    def run(self, scene):
        self.boot()
        self.stable()
        if scene == "mesh":
            self.latecomer()
            self.experiment()
            self.judge_attack()
        self.count_traffic()
        self.stop()

    def summary(self):
        return {
            "nodes": self.count,
            "coverage_s": self.covered_s and round(self.covered_s, 1),
            "switch_spread_ms": [round(s, 1) for s in self.spreads_ms],
            **getattr(self, "traffic", {}),
            "results": [{"what": w, "holds": h, "figure": f} for w, h, f in self.results],
        }


def arguments():
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--nodes", type=int, default=12, help="how many nodes, 6 to 60")
    parser.add_argument("--seed", type=int, default=1, help="for clocks, drifts and payloads")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON at the end")
    parser.add_argument(
        "--scene", default="mesh", choices=["mesh", "spread"], help="all of it, or one release only"
    )
    parser.add_argument("--keep", action="store_true", help="keep the nodes' files and logs")
    parser.add_argument("--micropython", default=os.environ.get("MICROPYTHON"))
    found = parser.parse_args()
    if not 6 <= found.nodes <= 60:
        parser.error("--nodes must be 6 to 60")
    return found


def inside(args, folder):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    python = [args.micropython or str(ROOT / "build/runtime/bin/micropython"), "-X", "heapsize=2M"]
    demo = Demo(args.nodes, args.seed, folder, python)
    ok = False
    try:
        demo.run(args.scene)
        ok = all(holds for _, holds, _ in demo.results)
    except Failed as e:
        demo.say(f"FAIL {e}")
    except KeyboardInterrupt:
        demo.say("stopped")
        return 130
    summary = demo.summary()
    if args.json:
        print(json.dumps(summary, indent=1))
    else:
        print("\nSummary")
        for key, value in summary.items():
            if key != "results":
                print(f"  {key:<20} {value}")
    held = sum(holds for _, holds, _ in demo.results)
    print(f"\n{held} of {len(demo.results)} promises held: {'all is well' if ok else 'FAILED'}")
    return 0 if ok else 1


def main():
    args = arguments()
    if os.environ.get(net.INSIDE):
        return inside(args, Path(os.environ["SWDIST_LAB_FOLDER"]))
    folder = tempfile.mkdtemp(prefix="swdist-demo-")
    os.environ["SWDIST_LAB_FOLDER"] = folder
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    status = 1
    try:
        status = net.enter("lab.demo", sys.argv[1:])
        if status is None:
            print("network namespaces are not allowed here: run as root, or allow user namespaces")
            status = 1
    finally:
        if status not in (0, 130) or args.keep:
            print(f"the nodes' files and logs are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
