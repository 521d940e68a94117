"""A router with swdist on it, and what is installed and signed for it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from openwrt.router import Router, wait_for
from openwrt.router import host as _host

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))
import ipk

SWDIST = Path(sys.executable).with_name("swdist")
ROOTFS = os.environ.get("ROOTFS")
LAN = """
config interface 'loopback'
	option device 'lo'
	option proto 'static'
	list ipaddr '127.0.0.1/8'

config device
	option name 'br-mesh'
	option type 'bridge'
	option bridge_empty '1'
	list ports 'eth0'

config interface 'mesh'
	option device 'br-mesh'
	option proto 'static'
	list ipaddr '10.9.0.%d/24'
"""


# A zone that lets nobody in: what swdist needs it has to open itself.
FIREWALL = """
config defaults
	option input 'REJECT'
	option output 'ACCEPT'
	option forward 'REJECT'

config zone
	option name 'mesh'
	list network 'mesh'
	option input 'REJECT'
	option output 'ACCEPT'
	option forward 'REJECT'
"""
# Short times; two routers agree on the time within seconds.
FAST = ("confirm_s=15", "beacon_ms=500", "quota_kb=8192")


@dataclass
class Made:
    """What is installed and signed with. kind: of packages, ipk or apk."""

    folder: Path
    kind: str

    def swdist(self, *words):
        done = subprocess.run(
            [SWDIST, *map(str, words)], cwd=self.folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def package(self, name):
        return next(p for p in (self.folder / "packages").glob(f"*.{self.kind}") if p.name.startswith(name)
                    and not p.name[len(name) + 1].isalpha())  # fmt: skip

    def luci(self):
        """luci-app-swdist, and what it depends on: an empty luci-base, for no root file system needs LuCI."""
        base = ipk.Package("luci-base", "all", "Stands for LuCI")
        ipk.write(base, self.folder / "packages", 1)
        return self.package("luci-base"), self.package("luci-app-swdist")

    def release(self, version, *words, start="now", sign=True):
        path = self.folder / f"{version}-{len(list(self.folder.glob('*.swd')))}.swd"
        self.swdist(
            "release",
            "build",
            "-o",
            path,
            "--ca",
            "ca",
            "--version",
            version,
            "--start",
            start,
            *words,
        )
        if sign:
            self.swdist("release", "sign", path, "--key", "alice.sec", "--yes")
        return path


class Node(Router):
    """A router with swdist on it. mesh: also with keys, and an interface."""

    def __init__(self, made, folder, *parts, mesh=True, address=1, files=None, start=True, **more):
        self.made = made
        if mesh:
            files = {
                "/etc/config/network": LAN % address,
                "/etc/config/firewall": FIREWALL,
                **(files or {}),
            }
        super().__init__(ROOTFS, folder, files=files, **more)
        if mesh:
            self.wait("ip link show br-mesh >/dev/null")
        names = [
            "swdist",
            *(f"swdist-{part}" for part in parts),
            *(["swdist-keyring"] if mesh else []),
        ]
        self.install(*(made.package(name) for name in names))

    def add(self, *paths):
        """The command that installs them."""
        tool = {"ipk": "opkg install", "apk": "apk add --allow-untrusted"}[self.made.kind]
        return " ".join([tool, *paths])

    def install(self, *packages):
        for package in packages:
            self.put(package, f"/tmp/{package.name}")
        return self.run(self.add(*(f"/tmp/{p.name}" for p in packages)) + " 2>&1; rm /tmp/*.?pk")

    def remove(self, *names):
        return self.run(
            {"ipk": "opkg remove ", "apk": "apk del "}[self.made.kind] + " ".join(names)
        )

    def reinstall(self, name):
        """Its package once more, as it is."""
        path = f"/tmp/{self.made.package(name).name}"
        self.put(self.made.package(name), path)
        if self.made.kind == "ipk":
            again = f"opkg install --force-reinstall {path}"
        else:  # from a repository only
            again = (f"cd /tmp; awk -v RS= '/\\nP:{name}\\n/' /lib/apk/db/installed | grep '^[A-Zot]:' | grep -v '^[FRZM]:'"
                     " >APKINDEX; tar czf APKINDEX.tar.gz APKINDEX; apk fix --reinstall --allow-untrusted"
                     f" --repositories-file /dev/null -X /tmp/APKINDEX.tar.gz {name}")  # fmt: skip
        said = self.run(f"({again}) 2>&1; rm /tmp/*.?pk")
        assert "skipped" not in said, said

    def owned(self, name):
        """The paths of an installed package."""
        ask = {"ipk": "opkg files", "apk": "apk info -qL"}[self.made.kind]
        said = self.run(f"{ask} {name} 2>/dev/null").split()
        return {"/" + path.lstrip("/") for path in said}

    def daemons(self):
        """{name: process} of those that run."""
        said = self.run(
            "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null && echo ${p#/proc/}; done || true"
        )
        lines = [line.split() for line in said.splitlines()]
        return {
            words[words.index("-m") + 1].removeprefix("swdist."): int(words[-1])
            for words in lines
            if "-m" in words
        }

    def up(self, limit_s=30):
        """Until both sides run and have said something of themselves."""
        self.wait("/etc/init.d/swdist status", limit_s)
        return self.daemons()

    def switch(self):
        return self.json("cat /var/run/swdist/switch.json")

    def runs(self, version, limit_s=40, confirmed=True):
        """Until this version runs here, and is confirmed. An experiment never is."""

        def so():
            status, text = self.call("cat /var/run/swdist/switch.json")
            said = json.loads(text) if status == 0 else {"active": {"version": ""}}
            if "confirmed" not in said:  # while it boots
                return False
            is_confirmed = said["confirmed"] == said["active"]["id"]
            return said["active"]["version"] == version and (is_confirmed or not confirmed)

        wait_for(so, f"{version} on {self.name}", limit_s)

    def fails(self, limit_s=40):
        """Until a release has failed here: why."""

        def why():
            return (
                self.switch()["why"]
                if self.call("[ -e /var/run/swdist/switch.json ]")[0] == 0
                else []
            )

        return wait_for(why, f"a failure on {self.name}", limit_s)[-1]

    def said(self, text, limit_s=30):
        """The line of the log with this text."""
        return self.wait(f"logread | grep -F '{text}'", limit_s)


class Mesh:
    """A bridge here, which routers are put at. All of it goes with the suite's network."""

    def __init__(self, made):
        self.made = made
        self.laptop = None
        self.nodes = []
        _host("ip", "link", "add", "air", "type", "bridge")
        _host("ip", "link", "set", "air", "up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave()
        for node in self.nodes:
            node.stop()
        _host("ip", "link", "del", "air")

    def add(self, folder, *parts, options=(), **more):
        """One more router, whose configuration has these lines besides."""
        n = len(self.nodes) + 1
        _host("ip", "link", "add", f"r{n}", "type", "veth", "peer", "name", f"air{n}")
        _host("ip", "link", "set", f"air{n}", "master", "air", "up")
        node = Node(self.made, folder, *parts, address=n, link=f"r{n}", name=f"router{n}", **more)
        self.nodes.append(node)
        for line in (*FAST, *options):
            key, value = line.split("=")
            node.run(
                f"uci {'add_list' if key == 'group' else 'set'} swdist.@swdist[0].{key}={value}"
            )
        node.run("uci commit swdist; /etc/init.d/swdist restart")
        node.up()
        return node

    def hand_in(self, release):
        """From now on a laptop at the bridge offers this release."""
        self.leave()
        seed = [SWDIST, "seed", release, "--ca", self.made.folder / "ca", "--interface", "air"]
        self.laptop = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", 'mount -t sysfs none /sys; exec "$@"', "sh", *seed],
            cwd=self.made.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def leave(self):
        if self.laptop:
            self.laptop.kill()
            self.laptop.wait()
            self.laptop = None
