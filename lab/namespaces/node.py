"""One node of the lab: its files, its two daemons, and what it says of itself."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from lab.web import Web

SRC = Path(__file__).resolve().parents[2] / "src"
FILES = SRC.parent / "files"
HOLD = "\toption hold '1'"  # its owner wants no release
CLOCKED = Path(__file__).with_name("clocked.py")


class Node:
    """offset_s, ppm: how wrong its clock is. python: the interpreter's command. more: further lines
    of its configuration."""

    board = "lab"

    def __init__(self, name, folder, world, ca, python, offset_s=0.0, ppm=0.0, board=None, more=()):
        self.name = name
        self.board = board or self.board
        self.more = more
        self.world = world
        self.folder = Path(folder)
        self.python = python
        self.ppm = ppm
        self.offset_s = offset_s
        self.processes = []
        self.launcher = None  # the path of its own, if that starts the daemons
        self.make_files(ca)

    def make_files(self, ca):
        self.store, self.state, self.run = (self.folder / sub for sub in ("store", "state", "run"))
        self.logs = self.folder
        for path in (self.store, self.state, self.run):
            path.mkdir(parents=True, exist_ok=True)
        lines = [
            *self.options(),
            *[f"\toption {k} '{self.folder / k}'" for k in ("store", "state", "run")],
            f"\toption ca '{ca}'",
            f"\toption board '{self.board}'",
            "\toption factory_version '1.0.0'",
            "\toption user 'root'",
        ]
        (self.folder / "config").write_text("\n".join(lines) + "\n")

    def options(self):
        """The lines of its configuration that all kinds of nodes have."""
        return [
            "config swdist 'node'",
            *[f"\tlist interface '{i}'" for i in self.world.interfaces[self.name]],
            "\toption log 'stderr'",
            "\toption log_level 'debug'",
            "\toption beacon_ms '1000'",
            "\toption confirm_s '20'",
            "\toption quota_kb '4096'",
            *self.more,
        ]

    def make_launcher(self):
        """From now on it picks the code that the daemons run."""
        self.launcher = self.write_launcher()

    def write_launcher(self):
        """The path of the router's command, with this node's paths in it."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        paths = {
            "/usr/lib/swdist": str(folder),
            "/usr/lib/micropython/swdist": str(SRC / "swdist"),
            "-m swdist.tool": f"-m swdist.tool --config {self.folder / 'config'}",
            "-m swdist.netd --check": f"-m swdist.netd --check --config {self.folder / 'config'}",
            "/etc/config/swdist": str(self.folder / "config"),
            "/var/run/swdist": str(self.folder / "run"),
            "/usr/lib/micropython\n": f"{SRC}\n",
            "micropython -X heapsize=1M": " ".join(self._python()),
            "AGAIN_S=5": "AGAIN_S=1",
        }
        for file in ("bin/swdist", "lib/swdist/functions.sh"):
            text = (FILES / "usr" / file).read_text()
            for old, new in paths.items():
                text = text.replace(old, new)
            path = folder / file.rpartition("/")[2]
            path.write_text(text)
            path.chmod(0o755)
        return folder / "swdist"

    def web(self, door):
        """Its page, for who comes to that socket."""
        return Web(self.folder, self.write_launcher(), door, self._inside)

    def _inside(self, words):
        return self.world.inside(self.name, words)

    def _python(self):
        wrong = round(self.offset_s * 1000000), round(self.ppm * 1000)
        return [*self.python, str(CLOCKED), *map(str, wrong)]

    def start(self, daemons=("netd", "switchd")):
        python = self._python()
        for daemon in daemons:
            command = [
                *self.world.command(self.name, python, f"swdist.{daemon}"),
                "--config", str(self.folder / "config"),
            ]  # fmt: skip
            if self.launcher is not None:
                command = self._inside(["sh", str(self.launcher), "supervise", daemon])
            with open(self.folder / f"{daemon}.log", "a") as log:
                child = subprocess.Popen(
                    command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env={**os.environ, "MICROPYPATH": str(SRC), "PYTHONPATH": str(SRC)},
                    start_new_session=self.launcher is not None,
                )  # fmt: skip
            if self.launcher is None:  # which says it itself
                Path(f"{self.run}-{daemon}.pid").write_text(f"{child.pid}\n")
            self.processes.append(child)

    def kill(self, daemon):
        """kill -9 of one daemon, and its next start at once, as procd does."""
        i = ("netd", "switchd").index(daemon)
        child = self.processes.pop(i)
        child.kill()
        child.wait()
        self.start((daemon,))
        self.processes.insert(i, self.processes.pop())

    def start_other(self, folder, module, words):
        """Another program in the place of the daemons: a module of the host's side."""
        command = [*self.world.command(self.name, [sys.executable], module), *map(str, words)]
        paths = ":".join(str(p) for p in (SRC, SRC.parent / "host", SRC.parent))
        with open(self.folder / "netd.log", "a") as log:
            child = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                # What it leaves when it ends with the lab goes with the lab's folder.
                env={**os.environ, "PYTHONPATH": paths, "TMPDIR": str(self.folder)},
            )  # fmt: skip
        self.processes.append(child)

    def stop(self, how=signal.SIGTERM):
        """Exit statuses of the daemons."""
        for child in self.processes:
            if self.launcher is not None and how == signal.SIGKILL:
                os.killpg(child.pid, how)  # what it has started too
            else:
                child.send_signal(how)
        statuses = [child.wait() for child in self.processes]
        self.processes = []
        return statuses

    def tend(self):
        """Called often; a router comes up again when it has rebooted itself."""

    def dead(self):
        """Has a daemon ended by itself?"""
        return any(child.poll() is not None for child in self.processes)

    def _json(self, name):
        try:
            return json.loads((self.run / name).read_text())
        except (OSError, ValueError):
            return {}

    def net(self):
        return self._json("net.json")

    def switch(self):
        return self._json("switch.json")

    def release(self, version):
        """What it holds of a version, as net.json says it; {} if nothing."""
        found = [r for r in self.net().get("releases", []) if r["version"] == version]
        return found[0] if found else {}

    def payload(self, pid):
        """Where it keeps a payload (its id in hex), on flash or in RAM."""
        places = (self.store / "payloads" / pid, self.run / "images" / pid)
        return next((path for path in places if path.is_dir()), places[0])

    def holds(self, pid, size):
        """Is all of it there, going by the size?"""
        try:
            return (self.payload(pid) / "payload").stat().st_size == size
        except OSError:
            return False

    def active(self):
        return self.switch().get("active", {}).get("version")

    def switches(self):
        """Its records, each with raw_us: the host's monotonic clock at the switch."""
        try:
            lines = (self.state / "switches").read_text().splitlines()
        except OSError:
            return []
        records = [json.loads(line) for line in lines]
        for r in records:
            milli = round(self.ppm * 1000)
            r["raw_us"] = r["counter_us"] * 1_000_000_000 / (1_000_000_000 + milli)
        return records

    def on_flash(self, rid):
        """Is anything of that release (its id in hex) in the store, or in a slot?"""
        places = (self.store / "releases", self.state / "slots")
        return any((path / rid).exists() for path in places)

    def hook_runs(self):
        """What the releases' own hooks have written down: the versions, in order."""
        try:
            return (self.state / "activated").read_text().split()
        except OSError:
            return []

    def hooks_began(self):
        """When they have run by the host's clock, microseconds, of those that write it down."""
        try:
            return [int(ns) // 1000 for ns in (self.state / "began").read_text().split()]
        except OSError:
            return []

    def last_words(self, lines=6):
        found = []
        for daemon in ("netd", "switchd"):
            found += [f"    {self.name} {line}" for line in self.log(daemon).splitlines()[-lines:]]
        return "\n".join(found) or f"    {self.name} has logged nothing"

    def log(self, daemon="netd"):
        try:
            return (self.logs / f"{daemon}.log").read_text()
        except OSError:
            return ""
