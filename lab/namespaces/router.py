"""A node of the lab that is a whole router: a root file system of its own, made of swdist's
packages as an image builder does it. Launcher, daemons and the image's scripts run in it under
busybox's ash, each at its place. For sysupgrade and for the boot others stand in: lab/rootfs."""

import gzip
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

from lab import rootfs
from lab.firmware import LINKSYS_BYTES, TRX_BYTES, linksys, trx
from lab.namespaces.node import CLOCKED, SRC, Node

TOP = SRC.parent
sys.path.insert(0, str(TOP / "tools"))

import ipk_const  # noqa: E402

REBOOT = 77  # what process 1 ends with when sysupgrade has written another system
WAIT_S = 5  # of swdist.storage.install, which waits a minute
USER_ID = 471
STORE, STATE = "/etc/swdist/store", "/etc/swdist/state"  # what sysupgrade keeps some of
FIRST = f"""{rootfs.MOUNTS}mount --bind "$2" "$1/mtd"
exec chroot "$1" /sbin/init
"""


def packages(folder, ca):
    """swdist's own packages, by the tool that makes them for anybody."""
    tool = [sys.executable, TOP / "tools/ipk.py", "--out", folder, "--ca", ca]
    subprocess.run(tool, check=True, capture_output=True)
    return sorted(Path(folder).glob("*.ipk"))


def image(folder, ipks, version, bulk):
    """The bytes of an image that says it is of that version: TRX behind a Linksys header, as for a
    WRT54GS. What is in it is the router's system; bulk: bytes of the rest of it."""
    folder = Path(folder)
    for ipk in ipks:
        with tarfile.open(ipk) as outer:
            data = io.BytesIO(outer.extractfile("./data.tar.gz").read())
        with tarfile.open(fileobj=data) as inner:
            inner.extractall(folder, filter="tar")
    modules = folder / "usr/lib/micropython/swdist"
    minute = f"_WAIT_US = const({60 * 10**6})"
    for name, of_openwrt, of_the_lab in (
        ("install", minute, f"_WAIT_US = const({WAIT_S * 10**6})"),
        ("ownflash", "/proc/mtd", "/mtd/partitions"),
        ("ownflash", "/dev/", "/mtd/"),
    ):
        (modules / f"{name}.mpy").unlink(missing_ok=True)
        path = modules / f"{name}.py"
        source = path.read_text() if path.exists() else ipk_const.device()[name]
        assert of_openwrt in source
        path.write_text(source.replace(of_openwrt, of_the_lab))
    (folder / "usr/lib/swdist/version").write_text(version + "\n")
    rootfs.put_users(folder, "swdist", USER_ID)
    (folder / "sbin").mkdir()
    for name in ("init", "sysupgrade"):
        shutil.copy(rootfs.HERE / name, folder / "sbin")
    (folder / "lib/modules").write_bytes(bulk)

    def roots(member):
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = "root"
        return member

    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as packer,
        tarfile.open(fileobj=packer, mode="w") as archive,
    ):
        archive.add(folder, ".", filter=roots)
    return linksys(trx(out.getvalue()))


def make_rom(folder, python):
    """What each router has that is not in its image: busybox, MicroPython, and their libraries."""
    folder = Path(folder)
    rootfs.make(folder, "mtd", "var/run", "usr/lib/lab")
    rootfs.put_program(folder, python, "usr/lib/lab/micropython")
    shutil.copy(CLOCKED, folder / "usr/lib/lab")
    return folder


class Router(Node):
    """rom: of make_rom; firmware: the image that was put in at the factory; board: its name."""

    def __init__(self, name, folder, world, rom, firmware, board, offset_s=0.0, ppm=0.0):
        self.root = Path(folder) / "root"
        self.mtd = Path(folder) / "mtd"
        self.board = board
        self.boots = 0
        self._rom = rom
        self._firmware = firmware
        super().__init__(name, folder, world, None, None, offset_s, ppm)

    def make_files(self, ca):
        self.store, self.state = (self.root / part.lstrip("/") for part in (STORE, STATE))
        self.run = self.root / "var/run/swdist"
        self.logs = self.mtd
        self.mtd.mkdir(parents=True)
        (self.mtd / "firmware").write_bytes(self._firmware)
        (self.mtd / "mtd1").symlink_to("firmware")
        (self.mtd / "partitions").write_text('mtd1: 007c0000 00010000 "firmware"\n')
        self._unpack()
        lines = [
            *self.options(),
            f"\toption store '{STORE}'",
            f"\toption state '{STATE}'",
            "\toption images_kb '2048'",
            # Without a range of users, as a plain user's own world is, there is none to become.
            f"\toption user '{'swdist' if _users() > USER_ID else ''}'",
        ]
        (self.root / "etc/config/swdist").write_text("\n".join(lines) + "\n")

    def _unpack(self):
        """The boot loader and the root file system: what the flash holds becomes the system."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._rom, self.root, symlinks=True, copy_function=os.link)
        packed = (self.mtd / "firmware").read_bytes()[LINKSYS_BYTES + TRX_BYTES :]
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
            archive.extractall(self.root, filter="tar")
        self.store.parent.mkdir(exist_ok=True)

    def start(self):
        """A boot: of RAM nothing is left."""
        if (self.mtd / "sysupgrade.tgz").exists():
            self._unpack()
        self.boots += 1
        for name in ("tmp", "var/run"):
            shutil.rmtree(self.root / name)
            (self.root / name).mkdir()
        (self.root / "tmp").chmod(0o1777)
        (self.root / "tmp/sysinfo").mkdir()
        (self.root / "tmp/sysinfo/board_name").write_text(self.board + "\n")
        wrong = f"{round(self.offset_s * 1000000)} {round(self.ppm * 1000)}"
        python = self.root / "usr/bin/micropython"
        python.write_text(
            '#!/bin/sh\nheap=$2\nshift 2\nexec /usr/lib/lab/micropython -X "$heap" '
            f'/usr/lib/lab/clocked.py {wrong} "$@"\n'
        )
        python.chmod(0o755)
        own = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        command = [*own, "sh", "-c", FIRST, "sh", self.root, self.mtd]
        with open(self.mtd / "boot.log", "a") as log:
            child = subprocess.Popen(
                self.world.inside(self.name, command), cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.processes = [child]

    def tend(self):
        """Comes up again if its own sysupgrade has ended it."""
        if self.processes and self.processes[0].poll() == REBOOT:
            self.start()

    def web(self, door):
        """None: it boots, and then its web server would be gone."""

    def _init(self):
        """Process 1, as the lab counts processes."""
        pid = self.processes[0].pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())

    def stop(self, how=signal.SIGTERM):
        if not self.processes:
            return []
        if how == signal.SIGTERM:
            os.kill(self._init(), how)  # unshare ignores it
        else:
            self.processes[0].send_signal(how)  # the kernel ends the whole router with it
        statuses = [child.wait() for child in self.processes]
        self.processes = []
        return statuses

    def ask(self, *words):
        """What the operator's own command says on it."""
        enter = ["nsenter", "-t", str(self._init()), "--mount", "--pid", "--net"]
        done = subprocess.run(
            [*enter, "chroot", self.root, "/usr/bin/swdist", *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
            env={"PATH": "/usr/bin:/usr/sbin:/bin:/sbin:" + os.environ["PATH"]},
        )  # fmt: skip
        return done.stdout + done.stderr

    def _noted(self, name):
        try:
            return (self.mtd / name).read_text().splitlines()
        except OSError:
            return []

    def calls(self):
        """[(when, its words)]: what sysupgrade was called with."""
        return [(int(line.split()[0]), line.split()[1:]) for line in self._noted("calls")]

    def flashed(self):
        """SHA-256 of each image that sysupgrade has written."""
        return [line.split()[0] for line in self._noted("flashed")]

    def failures(self):
        """{release id in hex: why it failed here}"""
        try:
            lines = (self.state / "failed").read_text().splitlines()
        except OSError:
            return {}
        return dict(line.split(None, 1) for line in lines)


def _users():
    """How many users there are in this world."""
    return sum(int(line.split()[2]) for line in open("/proc/self/uid_map"))
