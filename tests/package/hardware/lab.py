"""`make lab`: four emulated routers in a line, from the packages to an experiment and back.

As root only: the host's seed is a neighbour on a TAP device, in a network of its own. All else is
user's work: QEMU without privileges, radio by UNIX sockets. Exit status 0: all held.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from packing import make_ca  # noqa: E402

from hardware import image, vm, wire  # noqa: E402

SWDIST = Path(sys.executable).with_name("swdist")
CLONE_NEWNET = 0x40000000
CLONE_NEWNS = 0x00020000
# MiB of memory for Linux below the flash; 8 more are above it. 44 in all leave programs what they
# have on a router of 32 MB, whose own kernel is smaller than Debian's. Stress: the least with which
# that kernel still boots from this initramfs, give or take 1.
SCENES = {"line": 36, "stress": 30, "batman": 36}
PAYLOAD_BYTES = 200_000
# batman-adv with its defaults passes no multicast on for 30 to 40 s after a router has started
# (bridge loop avoidance), so that it takes longer until one is heard that comes back.
START_S = {"line": 120, "stress": 120, "batman": 180}
CONFIG = """config swdist 'node'
{interfaces}
	option board 'lab,malta'
	option factory_version '1.0.0'
	option confirm_s '120'
"""
HOOK = '#!/bin/sh\necho "SWITCH {version}" >/dev/ttyS1\n'
RSS_BUDGET_KIB = 3 * 1024
FLASH_BUDGET_KIB = 1024
SAME_SECOND_S = 1.0


def ms(seconds, error=None):
    return f"{seconds * 1000:.1f} ms" + (f" +- {error * 1000:.1f}" if error is not None else "")


class Lab:
    def __init__(self, folder, scene, loss):
        self.folder = folder
        self.scene = scene
        self.batman = scene == "batman"
        self.results = []
        self.table = []
        self.seeds = []
        self.ca, self.secret = make_ca(folder)
        boot = image.make(folder, self.ca)
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET | CLONE_NEWNS):
            sys.exit("lab: no network of its own to be had: run it as root")
        # /sys shows the network of whoever has mounted it.
        for words in (["mount", "--make-rprivate", "/"], ["mount", "-t", "sysfs", "sysfs", "/sys"]):
            subprocess.run(words, check=True)
        # host - r1 - r2 - r3 - r4; a router's eth0 is on its left.
        ends = {name: folder / name for name in "1l 1r 2l 2r 3l 3r 4l".split()}
        qemu = {name: wire.QemuEnd(path) for name, path in ends.items()}
        links = [("1r", "2l"), ("2r", "3l"), ("3r", "4l")]
        self.wires = wire.Wires(
            [(wire.TapEnd("mesh0"), qemu["1l"]), *((qemu[a], qemu[b]) for a, b in links)], loss, 1
        )
        self.routers = []
        for n in "1234":
            wires = [wire.qemu_paths(ends[e]) for e in ends if e[0] == n]
            more = "batman=" + ",".join(self.links(n, len(wires))) if self.batman else ""
            router = vm.Router("r" + n, folder, boot, wires, SCENES[scene], more)
            self.routers.append(router)

    def links(self, n, count):
        """What a router's batman-adv runs on: not the link to the host, which has none."""
        return [f"eth{link}" for link in range(1 if n == "1" else 0, count)]

    def interfaces(self, router):
        if not self.batman:
            return [f"eth{n}" for n in range(len(router.wires))]
        return ["eth0", "bat0"] if router.name == "r1" else ["bat0"]

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
        took = router.up()
        before = self.number(router, "MemAvailable", "/proc/meminfo")
        router.run("opkg.sh install /packages/*.ipk")
        interfaces = "\n".join(f"\tlist interface '{n}'" for n in self.interfaces(router))
        text = CONFIG.format(interfaces=interfaces)
        router.run(f"cat >/etc/config/swdist <<'EOF'\n{text}EOF\n")
        router.run("/usr/bin/swdist restart")
        self.say(f"{router.name} up after {took:.1f} s, packages installed")
        return before

    def release(self, version, start_s, end_s=None):
        """A signed release of 200 KB of program text; its hook tells a serial line that it runs."""
        tree = self.folder / f"tree-{version}"
        (tree / "hooks").mkdir(parents=True)
        (tree / "hooks/activate").write_text(HOOK.format(version=version))
        text = "".join(p.read_text() for p in sorted((image.ROOT / "src/swdist").glob("*.py")))
        (tree / "program.py").write_text(f"# {version}\n" + text[: PAYLOAD_BYTES - 4000])
        path = self.folder / f"{version}.swd"
        times = ["--start", f"+{start_s}s"]
        times += ["--experimental", "--end", f"+{end_s}s"] if end_s else []
        words = [SWDIST, "release", "build", "-o", path, "--ca", self.ca, "--version", version]
        self.start = time.monotonic() + start_s
        for command in (
            [*words, "--payload", tree, *times],
            [SWDIST, "release", "sign", path, "--key", self.secret, "--ca", self.ca, "--yes"],
        ):
            subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
        return path

    def seed(self, path):
        with open(self.folder / "seed.log", "ab") as log:
            words = [SWDIST, "seed", path, "--ca", self.ca, "--interface", "mesh0"]
            self.seeds.append(subprocess.Popen(words, stdout=log, stderr=log))

    def unseed(self):
        while self.seeds:
            child = self.seeds.pop()
            child.terminate()
            child.wait()

    def switched(self, routers, version, since, seconds):
        """Waits for the line that the release's hook says on each router. Where there are several:
        when they switched, by this host's clock, and how exactly that is known."""

        def said(router):
            return [
                t for t, line in router.events.lines if line == f"SWITCH {version}" and t > since
            ]

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

    def held(self, router):
        said = router.run("cat /usr/share/swdist/state/slots/*/program.py 2>/dev/null | wc -c")
        return int(said)

    def number(self, router, name, file):
        """A line `name: number kB` of a file in /proc."""
        command = f"sed -n 's/^{name}:[^0-9]*\\([0-9]*\\).*/\\1/p' {file}"
        return int(router.run(command))

    def memory(self, router, before):
        total = 0
        for daemon in ("netd", "switchd"):
            pid = router.run(f"cat /var/run/swdist-{daemon}.pid")
            rss = self.number(router, "VmRSS", f"/proc/{pid}/status")
            total += rss
            self.figure(f"{router.name} {daemon}: resident", f"{rss} KiB")
        self.expect("both processes within 3 MiB", total <= RSS_BUDGET_KIB, f"{total} KiB")
        now = self.number(router, "MemAvailable", "/proc/meminfo")
        self.figure(f"{router.name} memory available before and with it", f"{before}, {now} KiB")

    def flash(self, router, when):
        used = int(
            router.run("df /overlay | sed -n 's/^[^ ]* *[0-9]* *\\([0-9]*\\).*/\\1/p' | tail -n1")
        )
        self.figure(f"{router.name} jffs2 used {when}", f"{used} of 1024 KiB")
        return used

    def cut_in_mid_write(self, router):
        """Cuts the power as soon as a part of a payload is on flash; how many bytes that was."""
        written = "cat /usr/share/swdist/store/payloads/*/payload 2>/dev/null | wc -c"
        end = time.monotonic() + 120
        while (size := int(router.run(written))) == 0 and time.monotonic() < end:
            time.sleep(0.1)
        router.kill()
        return size

    # --- the scene

    def line(self):
        first, second, third, late = self.routers
        early = [first, second, third]
        for router in early:
            router.start()
        before = {router: self.install(router) for router in early}
        self.flash(first, "after installation")
        self.until(
            "neighbours' clocks agree", 180,
            lambda: all('"synced": true' in r.run("cat /var/run/swdist/net.json") for r in early),
        )  # fmt: skip
        self.memory(first, before[first])

        self.say("a release of 200 KB, from the host at one end; then power off in mid-write")
        since = time.monotonic()
        self.seed(self.release("1.1.0", START_S[self.scene]))
        size = self.cut_in_mid_write(second)
        self.expect("r2 was cut while it wrote", 0 < size < PAYLOAD_BYTES, f"{size} bytes")
        self.say(f"r2 is off, the release begins in {self.start - time.monotonic():.0f} s")
        time.sleep(3)
        second.start()
        self.say(f"r2 is up again after {second.up():.1f} s")
        self.until("r1, r2, r3 have it unpacked", 200, lambda: all(map(self.held, early)))
        left = self.start - time.monotonic()
        self.expect("before it begins", left > 0, f"{left:.0f} s to go")
        self.switched(early, "1.1.0", since, left + 60)
        self.unseed()

        self.say("a fourth router, new, behind the third; nobody seeds any more")
        since = time.monotonic()
        late.start()
        self.install(late)
        self.switched([late], "1.1.0", since, 300)

        self.say("an experiment, and back")
        self.flash(first, "after one release")
        since = time.monotonic()
        self.seed(self.release("1.2.0", 75, 120))
        self.switched(self.routers, "1.2.0", since, 140)
        used = self.flash(first, "after two releases")
        self.expect("two releases within 1 MiB of jffs2", used <= FLASH_BUDGET_KIB, f"{used} KiB")
        self.switched(self.routers, "1.1.0", time.monotonic(), 120)
        for router in self.routers:
            net = json.loads(router.run("cat /var/run/swdist/net.json"))
            ahead = [n["ahead_us"] for n in net["neighbours"] if n["ahead_us"] is not None]
            seen = ", ".join(ms(a / 1e6) for a in ahead)
            self.figure(f"{router.name} sees its neighbours' clocks ahead by", seen)
        self.memory(first, before[first])
        for router in self.routers:
            log = router.run("logread | grep swdist- | grep -v 'daemon.info' || true")
            self.expect(f"{router.name} has nothing to complain of", not log, log)

    def end(self):
        self.unseed()
        for router in self.routers:
            router.stop()
        width = max((len(what) for what, _ in self.table), default=0)
        print("\n" + "\n".join(f"{what:<{width}}  {value}" for what, value in self.table))
        print(f"{self.wires.frames} frames, {self.wires.lost} of them lost")
        print(f"{sum(self.results)} held, {len(self.results) - sum(self.results)} did not")


def main():
    parser = argparse.ArgumentParser(description="Emulated routers like the WRT54GS.")
    parser.add_argument("--scene", choices=SCENES, default="line")
    parser.add_argument("--loss", type=float, default=0.05)
    parser.add_argument("--keep", action="store_true", help="leave the folder with all logs")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("lab: the host's seed needs a TAP device: run it as root")
    subprocess.run([image.ROOT / "tools/packages.sh", *image.PACKAGES], check=True)
    folder = Path(tempfile.mkdtemp(prefix="swdist-lab-"))
    lab = Lab(folder, arguments.scene, arguments.loss)
    try:
        lab.line()
    except (vm.Failed, RuntimeError) as error:
        lab.expect("the scene to its end", False, str(error))
    finally:
        for router in lab.routers:
            if router.process is not None and not all(lab.results):
                try:
                    print(
                        f"--- {router.name}\n" + router.run("logread | grep swdist- | tail -n 25")
                    )
                except vm.Failed:
                    print(router.console.text[-2000:])
        lab.end()
        if not arguments.keep:
            subprocess.run(["rm", "-rf", folder])
    sys.exit(not (lab.results and all(lab.results)))


if __name__ == "__main__":
    main()
