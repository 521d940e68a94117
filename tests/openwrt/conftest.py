"""Routers of the OpenWrt that ROOTFS is, and our packages for its package manager."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from openwrt.router import Router

ROOT = Path(__file__).resolve().parent.parent.parent
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


def pytest_collection_modifyitems(items):
    if not ROOTFS:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip("make openwrt ROOTFS=FILE runs this"))


@dataclass
class Made:
    """What is installed and signed with. kind: of packages, ipk or apk."""

    folder: Path
    kind: str

    def swdist(self, *words):
        done = subprocess.run([SWDIST, *map(str, words)], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def package(self, name):
        return next(p for p in (self.folder / "packages").glob(f"*.{self.kind}") if p.name.startswith(name)
                    and not p.name[len(name) + 1].isalpha())  # fmt: skip

    def release(self, version, *words, start="now", sign=True):
        path = self.folder / f"{version}-{len(list(self.folder.glob('*.swd')))}.swd"
        self.swdist("release", "build", "-o", path, "--ca", "ca", "--version", version, "--start", start, *words)
        if sign:
            self.swdist("release", "sign", path, "--key", "alice.sec", "--yes")
        return path


@pytest.fixture(scope="session")
def made(tmp_path_factory, kind):
    folder = tmp_path_factory.mktemp("made")
    made = Made(folder, kind)
    made.swdist("keygen", "alice", "--no-passphrase")
    made.swdist("network", "init", "ca", "--name", "openwrt", "--key", "alice.pub", "--threshold", "1")
    words = ["--ca", folder / "ca", "--out", folder / "packages"]
    subprocess.run([sys.executable, ROOT / "tools/ipk.py", *words], check=True, capture_output=True)
    return made


@pytest.fixture(scope="session")
def kind():
    listed = subprocess.run(["tar", "tf", ROOTFS], capture_output=True, text=True).stdout
    return "apk" if "/usr/bin/apk\n" in listed or Path(ROOTFS, "usr/bin/apk").exists() else "ipk"


class Node(Router):
    """A router with swdist on it. mesh: also with keys, and an interface."""

    def __init__(self, made, folder, *parts, mesh=True, address=1, files=None, start=True, **more):
        self.made = made
        if mesh:
            files = {"/etc/config/network": LAN % address, **(files or {})}
        super().__init__(ROOTFS, folder, files=files, **more)
        if mesh:
            self.wait("ip link show br-mesh >/dev/null")
        names = ["swdist", *(f"swdist-{part}" for part in parts), *(["swdist-keyring"] if mesh else [])]
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
        return self.run({"ipk": "opkg remove ", "apk": "apk del "}[self.made.kind] + " ".join(names))

    def daemons(self):
        """{name: process} of those that run."""
        said = self.run("for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null && echo ${p#/proc/}; done || true")
        lines = [line.split() for line in said.splitlines()]
        return {words[words.index("-m") + 1].removeprefix("swdist."): int(words[-1]) for words in lines if "-m" in words}

    def up(self, limit_s=30):
        """Until both sides have said something of themselves."""
        self.wait("[ -s /var/run/swdist/net.json ] && [ -s /var/run/swdist/switch.json ]", limit_s)
        return self.daemons()

    def said(self, text, limit_s=30):
        """The line of the log with this text."""
        return self.wait(f"logread | grep -F '{text}'", limit_s)
