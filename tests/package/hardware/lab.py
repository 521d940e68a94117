"""`make lab`: four emulated routers in a line, from the packages to an experiment and back.

    python tests/package/hardware/lab.py [--scene NAME] [--loss SHARE] [--keep]
    python tests/package/hardware/lab.py --scene flash [--old REVISION]

The scene `flash` tells what the releases of a public package take of flash and memory, and with
--old what they take by another revision of this repository, and ours over theirs.

As root only: the host's seed is a neighbour on a TAP device, in a network of its own. All else is
user's work: QEMU without privileges, radio by UNIX sockets. Exit status 0: all held.
"""

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE.parent.parent.parent / "bench"))

from bytes import Corpus, checkout  # noqa: E402
from packing import make_ca  # noqa: E402

from hardware import image, vm, wire  # noqa: E402

CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000

# What the releases carry, by names of bench/bytes.py: this project's modules, five commits apart;
# and the point releases of a package of shell scripts, 1.8 MB.
MODULES = {"1.1.0": "c199737", "1.2.0": "4002f15"}
SCRIPTS = {
    "1.1.0": "diskimage-builder==3.29.0",
    "1.2.0": "diskimage-builder==3.30.0",
    "1.3.0": "diskimage-builder==3.31.0",
}


@dataclass(frozen=True)
class Scene:
    """memory_mib is for Linux below the flash; 8 more are above it. 44 in all leave programs what
    they have on a router of 32 MB, whose own kernel is smaller than Debian's. data_kib: of flash
    for jffs2. start_s: from the building of the first release to its start."""

    memory_mib: int = 36
    routers: int = 4
    data_kib: int = 1024
    start_s: int = 120
    quota_kib: int = 1024
    trees: dict = field(default_factory=lambda: MODULES)


SCENES = {
    "line": Scene(),
    # The least with which Debian's kernel still boots from this initramfs, give or take 1.
    "stress": Scene(memory_mib=30),
    # batman-adv with its defaults passes no multicast on for 30 to 40 s after a router has started
    # (bridge loop avoidance), so that it takes longer until one is heard that comes back.
    "batman": Scene(start_s=180),
    "flash": Scene(routers=2, data_kib=5120, quota_kib=8192, trees=SCRIPTS),
}
CONFIG = """config swdist 'node'
{interfaces}
	option board 'lab,malta'
	option factory_version '1.0.0'
	option quota_kb '{quota_kib}'
	option confirm_s '120'
"""
HOOK = '#!/bin/sh\necho "SWITCH {version}" >/dev/ttyS1\n'
WHEELS = image.ROOT / "build/bytes"
RSS_BUDGET_KIB = 3 * 1024
FLASH_BUDGET_KIB = 1024
SAME_SECOND_S = 1.0
RATE_MAX_PPM = 400  # as far as two counters may be apart, twice what a clock of swdist corrects
INSTALLED = "after installation"


def ms(seconds, error=None):
    return f"{seconds * 1000:.1f} ms" + (f" +- {error * 1000:.1f}" if error is not None else "")


class Lab:
    """tree: the checkout whose packages and host tool are tried."""

    def __init__(self, folder, name, loss, tree=image.ROOT):
        self.folder = folder
        self.scene = SCENES[name]
        self.batman = name == "batman"
        self.tree = tree
        self.results = []
        self.table = []
        self.used = {}  # {what, when: KiB}
        self.seeds = []
        self.counters = {}  # {router: (when, what its counter was then by this host's clock)}
        # Before there is no network any more to fetch packages from.
        (folder / "trees").mkdir()
        corpus = Corpus(folder / "trees", WHEELS)
        self.trees = {version: corpus.path(half) for version, half in self.scene.trees.items()}
        self.ca, self.secret = make_ca(folder)
        boot = image.make(tree, folder, self.ca, self.scene.data_kib * 1024)
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET | CLONE_NEWNS):
            raise RuntimeError("no network of its own to be had: run it as root")
        # /sys shows the network of whoever has mounted it.
        for words in (["mount", "--make-rprivate", "/"], ["mount", "-t", "sysfs", "sysfs", "/sys"]):
            subprocess.run(words, check=True)
        # host - r1 - r2 - r3 - r4; a router's eth0 is on its left.
        count = self.scene.routers
        links = [(wire.TapEnd("mesh0"), wire.QemuEnd(folder / "1l"))]
        for n in range(1, count):
            links.append((wire.QemuEnd(folder / f"{n}r"), wire.QemuEnd(folder / f"{n + 1}l")))
        self.wires = wire.Wires(links, loss, 1)
        self.routers = []
        for n in range(1, count + 1):
            ends = [folder / f"{n}{side}" for side in ("lr" if n < count else "l")]
            wires = [wire.qemu_paths(end) for end in ends]
            more = "batman=" + ",".join(self.links(n, len(wires))) if self.batman else ""
            router = vm.Router(f"r{n}", folder, boot, wires, self.scene.memory_mib, more)
            self.routers.append(router)

    def links(self, n, count):
        """What a router's batman-adv runs on: not the link to the host, which has none."""
        return [f"eth{link}" for link in range(1 if n == 1 else 0, count)]

    def interfaces(self, router):
        if not self.batman:
            return [f"eth{n}" for n in range(len(router.wires))]
        return ["eth0", "bat0"] if router.name == "r1" else ["bat0"]

    def swdist(self, *words):
        """The tree's own host tool: what it is started with."""
        paths = os.pathsep.join([str(self.tree / "host"), str(self.tree / "src")])
        command = [sys.executable, "-m", "swdist_host", *map(str, words)]
        return command, {**os.environ, "PYTHONPATH": paths}

    def say(self, text):
        print(f"lab: {time.strftime('%H:%M:%S')} {text}", flush=True)

    def expect(self, what, holds, figure=""):
        self.results.append(bool(holds))
        self.say(f"{'ok  ' if holds else 'FAIL'} {what}{': ' + figure if figure else ''}")

    def figure(self, what, value):
        self.table.append((what, value))

    def until(self, what, seconds, holds):
        """Waits; says how long it took, or that it did not come."""
        begin = time.monotonic()
        while not (found := holds()) and time.monotonic() < begin + seconds:
            time.sleep(1)
        self.expect(what, found, f"after {time.monotonic() - begin:.0f} s")
        return found

    # --- parts of scenes

    def install(self, router):
        """One machine boots at a time: Linux measures there how fast its counter runs, and is
        wrong by thousands of ppm where the host is too busy."""
        router.start()
        took = router.up()
        before = self.number(router, "MemAvailable", "/proc/meminfo")
        router.run("opkg.sh install /packages/*.ipk")
        interfaces = "\n".join(f"\tlist interface '{n}'" for n in self.interfaces(router))
        text = CONFIG.format(interfaces=interfaces, quota_kib=self.scene.quota_kib)
        router.run(f"cat >/etc/config/swdist <<'EOF'\n{text}EOF\n")
        router.run("/usr/bin/swdist restart")
        self.counters[router] = time.monotonic(), router.counter()[0]
        self.say(f"{router.name} up after {took:.1f} s, packages installed")
        return before

    def release(self, version, tree, start_s, end_s=None):
        """A signed release of a tree; its hook tells a serial line that it runs."""
        slot = self.folder / f"tree-{version}"
        shutil.copytree(tree, slot)
        (slot / "hooks").mkdir()
        (slot / "hooks/activate").write_text(HOOK.format(version=version))
        path = self.folder / f"{version}.swd"
        times = ["--start", f"+{start_s}s"]
        times += ["--experimental", "--end", f"+{end_s}s"] if end_s else []
        build = ["release", "build", "-o", path, "--ca", self.ca, "--version", version]
        self.start = time.monotonic() + start_s
        for words in (
            [*build, "--payload", slot, *times],
            ["release", "sign", path, "--key", self.secret, "--ca", self.ca, "--yes"],
        ):
            command, environment = self.swdist(*words)
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        return path

    def inject(self, version, start_s, end_s=None):
        """Builds and seeds a release; how many bytes its file has."""
        path = self.release(version, self.trees[version], start_s, end_s)
        self.seed(path)
        return path.stat().st_size

    def seed(self, path):
        command, environment = self.swdist("seed", path, "--ca", self.ca, "--interface", "mesh0")
        with open(self.folder / "seed.log", "ab") as log:
            self.seeds.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))

    def unseed(self):
        while self.seeds:
            child = self.seeds.pop()
            child.terminate()
            child.wait()

    def said(self, router, version, since):
        """When a release's hook has said that it runs."""
        lines = router.events.lines
        return [t for t, line in lines if line == f"SWITCH {version}" and t > since]

    def switched(self, routers, version, since, seconds):
        """Waits for the line that the release's hook says on each router. Where there are several:
        when they switched, by this host's clock, and how exactly that is known."""

        def said(router):
            return self.said(router, version, since)

        if not self.until(f"all switch to {version}", seconds, lambda: all(map(said, routers))):
            return
        if len(routers) == 1:
            return
        what = f"switch to {version}:"
        spread, error = self.spread(what, routers)
        self.expect(
            f"{version}: in the same second", spread + error < SAME_SECOND_S, ms(spread, error)
        )
        lines = [said(router)[0] for router in routers]
        self.figure(f"{what} lines of their hooks arrive within", ms(max(lines) - min(lines)))

    def spread(self, what, routers):
        """(time from the first to the last router, its error). Each router has recorded its counter
        and its mesh time at the instant of the switch, before anything is written or started; what
        its counter was by this host's clock, it says now."""
        instants, ahead, late, errors, bounds = [], [], [], [], []
        for router in routers:
            record = json.loads(router.run("tail -n1 /usr/share/swdist/state/switches"))
            offset, error = router.counter()
            self.check_rate(router, offset)
            instants.append(record["counter_us"] / 1e6 + offset)
            ahead.append(record["at_us"] / 1e6 - instants[-1])
            late.append(record["at_us"] % 1_000_000 / 1e6)  # starts and ends are whole seconds
            errors.append(error)
            bounds.append(record["error_us"] / 1e6)
        error = sum(sorted(errors)[-2:])
        spread = max(instants) - min(instants)
        self.figure(f"{what} first to last of {len(routers)} routers", ms(spread, error))
        self.figure(f"{what} their mesh clocks disagree by", ms(max(ahead) - min(ahead), error))
        self.figure(f"{what} the largest error that one of them admits", ms(max(bounds)))
        self.figure(f"{what} the last by its own clock is late by", ms(max(late)))
        return spread, error

    def check_rate(self, router, offset):
        """No clock can be agreed on with a machine whose counter is that wrong."""
        if router in self.counters:
            when, first = self.counters[router]
            ppm = (first - offset) / (time.monotonic() - when) * 1e6
            if abs(ppm) > RATE_MAX_PPM:
                self.expect(f"{router.name}'s counter runs as it should", False, f"{ppm:+.0f} ppm")

    def synced(self, routers):
        self.until(
            "neighbours' clocks agree", 180,
            lambda: all('"synced": true' in r.run("cat /var/run/swdist/net.json") for r in routers),
        )  # fmt: skip

    def slots(self, router):
        """How many releases are unpacked."""
        return int(router.run("ls /usr/share/swdist/state/slots | grep -vc '[.]' || true"))

    def confirmed(self, router):
        """Does what runs stay, and has all else that was unpacked been removed?"""
        state = "/usr/share/swdist/state"
        same = router.run(f"cmp -s {state}/active {state}/confirmed && echo same || true")
        return same and router.run(f"ls {state}/slots | wc -l") == "1"

    def number(self, router, name, file):
        """A line `name: number kB` of a file in /proc."""
        command = f"sed -n 's/^{name}:[^0-9]*\\([0-9]*\\).*/\\1/p' {file}"
        return int(router.run(command))

    def memory(self, router, before, when):
        total = 0
        for daemon in ("netd", "switchd"):
            pid = router.run(f"cat /var/run/swdist-{daemon}.pid")
            # All that is resident; of it what is no file's, so that the kernel can't drop it; and
            # the most that ever was resident.
            sizes = [
                self.number(router, name, f"/proc/{pid}/status")
                for name in ("VmRSS", "RssAnon", "VmHWM")
            ]
            total += sizes[0]
            for name, size in zip(("resident", "own", "at most"), sizes, strict=True):
                self.used[f"{daemon} {name} {when}"] = size
            said = ", ".join(map(str, sizes))
            self.figure(f"{router.name} {daemon} {when}: resident, own, at most", f"{said} KiB")
        self.expect("both processes within 3 MiB", total <= RSS_BUDGET_KIB, f"{total} KiB")
        now = self.number(router, "MemAvailable", "/proc/meminfo")
        what = f"{router.name} memory available before and {when}"
        self.figure(what, f"{before}, {now} KiB")

    def flash(self, router, when):
        used = int(
            router.run("df /overlay | sed -n 's/^[^ ]* *[0-9]* *\\([0-9]*\\).*/\\1/p' | tail -n1")
        )
        # jffs2 packs what it is given; du counts what it was given.
        files = int(router.run("du -sk /overlay/upper | cut -f1"))
        self.used[f"jffs2 {when}"] = used
        self.used[f"files {when}"] = files
        self.figure(
            f"{router.name} jffs2 used {when}",
            f"{used} of {self.scene.data_kib} KiB, by files of {files} KiB",
        )
        return used

    def cut_in_mid_write(self, router):
        """Cuts the power as soon as a part of a payload is on flash; how many bytes that was."""
        written = "find /usr/share/swdist/store -name payload -exec cat {} + | wc -c"
        end = time.monotonic() + 120
        while (size := int(router.run(written))) == 0 and time.monotonic() < end:
            time.sleep(0.1)
        router.kill()
        return size

    # --- the scene

    def line(self):
        first, second, third, late = self.routers
        early = [first, second, third]
        before = {router: self.install(router) for router in early}
        self.flash(first, INSTALLED)
        self.synced(early)
        self.memory(first, before[first], INSTALLED)

        self.say("a release, from the host at one end; then power off in mid-write")
        since = time.monotonic()
        whole = self.inject("1.1.0", self.scene.start_s)
        size = self.cut_in_mid_write(second)
        self.expect("r2 was cut while it wrote", 0 < size < whole, f"{size} of {whole} bytes")
        self.say(f"r2 is off, the release begins in {self.start - time.monotonic():.0f} s")
        time.sleep(3)
        second.start()
        self.counters.pop(second)  # it begins anew
        self.say(f"r2 is up again after {second.up():.1f} s")
        self.until("r1, r2, r3 have it unpacked", 200, lambda: all(map(self.slots, early)))
        left = self.start - time.monotonic()
        self.expect("before it begins", left > 0, f"{left:.0f} s to go")
        self.switched(early, "1.1.0", since, left + 60)
        self.unseed()

        self.say("a fourth router, new, behind the third; nobody seeds any more")
        since = time.monotonic()
        self.install(late)
        self.switched([late], "1.1.0", since, 300)

        self.say("an experiment with what has changed since, and back")
        self.flash(first, "after one release")
        since = time.monotonic()
        self.inject("1.2.0", 75, 120)
        self.switched(self.routers, "1.2.0", since, 140)
        used = self.flash(first, "after two releases")
        self.expect("two releases within 1 MiB of jffs2", used <= FLASH_BUDGET_KIB, f"{used} KiB")
        self.switched(self.routers, "1.1.0", time.monotonic(), 120)
        for router in self.routers:
            net = json.loads(router.run("cat /var/run/swdist/net.json"))
            ahead = [n["ahead_us"] for n in net["neighbours"] if n["ahead_us"] is not None]
            seen = ", ".join(ms(a / 1e6) for a in ahead)
            self.figure(f"{router.name} sees its neighbours' clocks ahead by", seen)
        self.memory(first, before[first], "at the end")
        for router in self.routers:
            log = router.run("logread | grep swdist- | grep -v 'daemon.info' || true")
            self.expect(f"{router.name} has nothing to complain of", not log, log)

    def flash_only(self):
        first = self.routers[0]
        before = {router: self.install(router) for router in self.routers}
        self.flash(first, INSTALLED)
        self.synced(self.routers)
        self.memory(first, before[first], INSTALLED)
        for version, when in (("1.1.0", "after one release"), ("1.2.0", "after two releases")):
            self.take(version)
            self.until("it is confirmed", 300, lambda: all(map(self.confirmed, self.routers)))
            self.flash(first, when)
            self.memory(first, before[first], when)
        self.take("1.3.0", 600)
        self.flash(first, "while a third is tried")
        self.memory(first, before[first], "while a third is tried")

    def take(self, version, end_s=None):
        """A release that begins when it is there, on all routers."""
        since = time.monotonic()
        before = self.wires.bytes
        whole = self.inject(version, 0, end_s)
        self.say(f"release {version}, {whole} bytes")
        self.until(
            f"all switch to {version}", 900,
            lambda: all(self.said(r, version, since) for r in self.routers),
        )  # fmt: skip
        sent = (self.wires.bytes - before) // 1024
        self.used[f"on both links for {version}"] = sent
        self.figure(f"on both links for {version}", f"{sent} KiB")
        self.unseed()

    def end(self):
        self.unseed()
        for router in self.routers:
            router.stop()
        width = max((len(what) for what, _ in self.table), default=0)
        print("\n" + "\n".join(f"{what:<{width}}  {value}" for what, value in self.table))
        print(f"{self.wires.frames} frames, {self.wires.lost} of them lost")
        print(f"{sum(self.results)} held, {len(self.results) - sum(self.results)} did not")

    def complaints(self):
        """What the routers have logged last and see of others, where something did not hold."""
        for router in self.routers:
            if router.process is not None and not all(self.results):
                try:
                    said = router.run(
                        "logread | grep swdist- | tail -n 25; cat /var/run/swdist/net.json"
                    )
                except vm.Failed:
                    said = router.console.text[-2000:]
                print(f"--- {router.name}\n{said}")


def run(options):
    """Runs a scene; did all hold?"""
    folder = Path(tempfile.mkdtemp(prefix="swdist-lab-"))
    try:
        lab = Lab(folder, options.scene, options.loss, options.tree)
        try:
            lab.flash_only() if options.scene == "flash" else lab.line()
        except (vm.Failed, RuntimeError) as error:
            lab.expect("the scene to its end", False, str(error))
        finally:
            lab.complaints()
            lab.end()
        if options.figures:
            options.figures.write_text(json.dumps(lab.used))
        return lab.results and all(lab.results)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def compare(options):
    """The same scene with this tree and with another revision; did all hold?"""
    held = True
    with tempfile.TemporaryDirectory(prefix="swdist-lab-old-") as folder:
        old = Path(folder, "tree")
        checkout(old, options.old)
        (old / "build").mkdir()
        (old / "build/runtime").symlink_to(image.ROOT / "build/runtime")
        sides = []
        for tree in (image.ROOT, old):
            figures = Path(folder, "figures.json")
            words = ["--scene", options.scene, "--loss", options.loss, "--tree", tree]
            words += ["--figures", figures, *(["--keep"] if options.keep else [])]
            command = [sys.executable, __file__, *map(str, words)]
            held = subprocess.call(command) == 0 and held
            if not figures.exists():
                return False
            sides.append(json.loads(figures.read_text()))
            figures.unlink()
    width = max(map(len, sides[0]))
    print(f"\n{'KiB':<{width}} {'this':>6} {options.old:>8}  ratio")
    for what, ours in sides[0].items():
        if theirs := sides[1].get(what):
            print(f"{what:<{width}} {ours:>6} {theirs:>8}  {ours / theirs:.2f}")
    return held


def share(text):
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError("from 0 to below 1, such as 0.05")
    return value


def main():
    parser = argparse.ArgumentParser(description="Emulated routers like the WRT54GS.")
    parser.add_argument("--scene", choices=SCENES, default="line")
    parser.add_argument("--loss", type=share, default=0.05, help="of all frames, 0 to 1")
    parser.add_argument("--keep", action="store_true", help="leave the folder with all logs")
    parser.add_argument("--old", metavar="REVISION", help="of git, to compare with")
    parser.add_argument("--tree", type=Path, default=image.ROOT, help="whose swdist is tried")
    parser.add_argument("--figures", type=Path, metavar="FILE", help="also as JSON")
    options = parser.parse_args()
    try:
        image.check_there()
        held = compare(options) if options.old else run(options)
    except RuntimeError as error:
        sys.exit(f"lab: {error}")
    sys.exit(not held)


if __name__ == "__main__":
    main()
