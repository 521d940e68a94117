"""What a scene of emulated routers is played on: the routers in a line, the radio between them, the
host's seed at its end, and what is measured.

The host's seed is a neighbour on a TAP device, in a network of its own, which takes root. All else
is user's work: QEMU without privileges, radio by UNIX sockets.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field

from bench.bytes import Corpus
from lab import community, stage
from lab.emulated import image, vm, wire
from swdist.machines.census import ROW_FORM, STAMP_S

CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
# What the releases carry, by names of bench/bytes.py: this project's modules, five commits apart.
MODULES = {"1.1.0": "c199737", "1.2.0": "4002f15"}


@dataclass(frozen=True)
class Setting:
    """memory_mib is for Linux below the flash; 8 more are above it. 44 in all leave programs what
    they have on a router of 32 MB, whose own kernel is smaller than Debian's. data_kib: of flash
    for jffs2. start_s: from the building of the first release to its start."""

    memory_mib: int = 36
    routers: int = 4
    data_kib: int = 1024
    start_s: int = 120
    quota_kib: int = 1024
    trees: dict = field(default_factory=lambda: MODULES)
    batman: bool = False  # between the routers runs batman-adv


STORE, STATE = "/etc/swdist/store", "/etc/swdist/state"
CONFIG = """config swdist 'node'
{interfaces}
	option board 'lab,malta'
	option factory_version '1.0.0'
	option quota_kb '{quota_kib}'
	option confirm_s '120'
	option store '{store}'
	option state '{state}'
"""
HOOK = '#!/bin/sh\necho "SWITCH {version}" >/dev/ttyS1\n'
# What a thousand nodes have told, as netd leaves it for the commands.
THOUSAND = f"""import json, sys
from struct import pack
mesh_us = json.load(open("/var/run/swdist/net.json"))["mesh_us"]
stamp = mesh_us // {STAMP_S * 1_000_000} & 0xFFFF
for i in range(1, 1001):
    text = ("roof-%03d linksys,wrt54gs" % i).encode()
    row = pack("{ROW_FORM}", i, 1, stamp, i % 15, 50, len(text), 9, 1, 1, 1, 0, 0)
    sys.stdout.buffer.write(row + text)
"""
WHEELS = image.ROOT / "build/bytes"
RSS_BUDGET_KIB = 3 * 1024
SAME_SECOND_S = 1.0
RATE_MAX_PPM = 400  # as far as two counters may be apart, twice what a clock of swdist corrects
INSTALLED = "after installation"


def ms(seconds, error=None):
    return f"{seconds * 1000:.1f} ms" + (f" +- {error * 1000:.1f}" if error is not None else "")


class Stage(stage.Stage):
    """tree: the checkout whose packages and host tool are tried."""

    def __init__(self, folder, setting, loss, tree=image.ROOT):
        super().__init__(self._say)
        self.folder = folder
        self.setting = setting
        self.tree = tree
        self.table = []
        self.used = {}  # {what, when: KiB}
        self.seeds = []
        self.counters = {}  # {router: (when, what its counter was then by this host's clock)}
        # Before there is no network any more to fetch packages from.
        (folder / "trees").mkdir()
        corpus = Corpus(folder / "trees", WHEELS)
        self.trees = {version: corpus.path(half) for version, half in self.setting.trees.items()}
        community.make(folder, "emulated")
        self.ca, self.secret = folder / "ca", folder / "alice.sec"
        boot = image.make(tree, folder, self.ca, self.setting.data_kib * 1024)
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET | CLONE_NEWNS):
            raise RuntimeError("no network of its own to be had: run it as root")
        # /sys shows the network of whoever has mounted it.
        for words in (["mount", "--make-rprivate", "/"], ["mount", "-t", "sysfs", "sysfs", "/sys"]):
            subprocess.run(words, check=True)
        # host - r1 - r2 - r3 - r4; a router's eth0 is on its left.
        count = self.setting.routers
        links = [(wire.TapEnd("mesh0"), wire.QemuEnd(folder / "1l"))]
        for n in range(1, count):
            links.append((wire.QemuEnd(folder / f"{n}r"), wire.QemuEnd(folder / f"{n + 1}l")))
        self.wires = wire.Wires(links, loss, 1)
        self.routers = []
        for n in range(1, count + 1):
            ends = [folder / f"{n}{side}" for side in ("lr" if n < count else "l")]
            wires = [wire.qemu_paths(end) for end in ends]
            more = "batman=" + ",".join(self.links(n, len(wires))) if self.setting.batman else ""
            router = vm.Router(f"r{n}", folder, boot, wires, self.setting.memory_mib, more)
            self.routers.append(router)

    def links(self, n, count):
        """What a router's batman-adv runs on: not the link to the host, which has none."""
        return [f"eth{link}" for link in range(1 if n == 1 else 0, count)]

    def interfaces(self, router):
        if not self.setting.batman:
            return [f"eth{n}" for n in range(len(router.wires))]
        return ["eth0", "bat0"] if router.name == "r1" else ["bat0"]

    def swdist(self, *words):
        """The tree's own host tool: what it is started with."""
        paths = os.pathsep.join([str(self.tree / "host"), str(self.tree / "src")])
        command = [sys.executable, "-m", "swdist_host", *map(str, words)]
        return command, {**os.environ, "PYTHONPATH": paths}

    def _say(self, text):
        print(f"lab: {time.strftime('%H:%M:%S')} {text}", flush=True)

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
        text = CONFIG.format(
            interfaces=interfaces, quota_kib=self.setting.quota_kib, store=STORE, state=STATE
        )
        router.run(f"cat >/etc/config/swdist <<'EOF'\n{text}EOF\n")
        # Until here the daemons may have said, and rightly, that no interface is set.
        router.run("logger -t lab configured; /usr/bin/swdist restart")
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
            record = json.loads(router.run(f"tail -n1 {STATE}/switches"))
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
        told = "cat /var/run/swdist/net.json || true"  # not there yet after a restart
        self.until(
            "neighbours' clocks agree", 180,
            lambda: all(r.run(told).count('"synced": true') for r in routers),
        )  # fmt: skip

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

    def page(self, router, before):
        """What swdist-utils costs a router, and the page's document where a thousand nodes told."""
        router.run("opkg.sh install /packages/later/*.ipk; /usr/bin/swdist restart")
        self.synced([router])
        self.memory(router, before, "with swdist-utils")
        router.run(f"micropython -c '{THOUSAND}' >/tmp/mesh && mv /tmp/mesh /var/run/swdist/mesh")
        said = router.run(
            "read begin _ </proc/uptime; swdist page >/tmp/page; read end _ </proc/uptime; "
            # The last look at a process before it ends: as much as ever was resident.
            "swdist page >/tmp/page & pid=$!; "
            "while kept=$(grep -s VmHWM /proc/$pid/status); do peak=$kept; done; "
            "echo $begin $end ${peak##*:}; wc -c </tmp/page; "
            "grep -c '\"nodes\": 1000,' /tmp/page; rm /tmp/page"
        )
        begin, end, kib, _, size, whole = said.split()
        took_s = float(end) - float(begin)
        self.used["page, KiB resident"] = int(kib)
        self.figure(
            f"{router.name}'s page of 1,000 nodes",
            f"{size} bytes, {took_s:.1f} s, at most {kib} KiB resident",
        )
        self.expect("all of them are in it", whole == "1", said)
        self.expect("a page within 3 MiB", int(kib) <= RSS_BUDGET_KIB, f"{kib} KiB")

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
            f"{used} of {self.setting.data_kib} KiB, by files of {files} KiB",
        )
        return used

    # --- the scene

    def end(self):
        self.unseed()
        for router in self.routers:
            router.stop()
        width = max((len(what) for what, _ in self.table), default=0)
        print("\n" + "\n".join(f"{what:<{width}}  {value}" for what, value in self.table))
        print(f"{self.wires.frames} frames, {self.wires.lost} of them lost")
        print(f"{self.held()} held, {len(self.results) - self.held()} did not")

    def complaints(self):
        """What the routers have logged last and see of others, where something did not hold."""
        for router in self.routers:
            if router.process is not None and not self.holds():
                try:
                    said = router.run(
                        "logread | grep swdist- | tail -n 25; cat /var/run/swdist/net.json"
                    )
                except vm.Failed:
                    said = router.console.text[-2000:]
                print(f"--- {router.name}\n{said}")
