"""A small router to install packages on: busybox in a root file system of its own, own processes,
network and mounts, by namespaces. What runs in it are real programs; only hardware is missing.

As systems before OpenWrt's /lib/functions.sh it has no rc.common and no procd.
"""

import shutil
import signal
import subprocess
import time
from pathlib import Path

from lab import rootfs

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = ROOT / "build/runtime/bin"
NAMESPACES = ["--mount", "--pid", "--net", "--uts"]
LIMIT_S = 20
INITTAB = """::sysinit:/bin/touch /tmp/up
::respawn:/bin/busybox syslogd -n -O /var/log/messages
"""
OF_INIT = ("var/log/messages", "var/run/syslogd.pid", "var/run/utmp")
FIRST = f"""{rootfs.MOUNTS}ip link set lo up
ip link add mesh0 type veth peer name mesh1
ip link set mesh0 up
ip link set mesh1 up
exec chroot "$1" /bin/init
"""


class Failed(Exception):
    """A command on the router did not exit with 0; the text is all that it said."""


def make_root(root):
    rootfs.make(root, "root", "var/run", "var/log", "etc/init.d", "usr/share/udhcpc")
    (root / "etc/init.d/rcS").write_text("")
    # As router images have it: root and nobody, no swdist yet.
    rootfs.put_users(root, group="nogroup")
    (root / "etc/inittab").write_text(INITTAB)
    shutil.copy(rootfs.OPKG, root / "bin/opkg.sh")


class Router:
    """with Router(folder) as router: router.run(...)"""

    def __init__(self, folder):
        self.root = Path(folder) / "root"
        make_root(self.root)

    def __enter__(self):
        command = ["unshare", *NAMESPACES, "--fork", "--kill-child", "sh", "-c", FIRST, "sh"]
        self.unshare = subprocess.Popen([*command, self.root], stdin=subprocess.DEVNULL)
        limit = time.monotonic() + LIMIT_S
        while not (self.root / "tmp/up").exists():
            if self.unshare.poll() is not None or time.monotonic() > limit:
                raise Failed("the router has not come up")
            time.sleep(0.02)
        children = Path(f"/proc/{self.unshare.pid}/task/{self.unshare.pid}/children").read_text()
        self.pid = children.split()[0]
        return self

    def __exit__(self, *_):
        self.unshare.send_signal(signal.SIGKILL)  # the kernel ends the whole world with it
        self.unshare.wait()

    def run(self, command, check=True):
        """What a shell command says, on both channels. Failed when its status is not 0."""
        enter = ["nsenter", "-t", self.pid, *NAMESPACES, shutil.which("chroot"), self.root]
        done = subprocess.run(
            [*enter, "/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            env={"PATH": "/bin:/usr/bin:/usr/sbin", "HOME": "/root"},
        )
        if check and done.returncode:
            raise Failed(f"{command}: {done.returncode}\n{done.stdout}")
        return done.stdout

    def wait(self, command):
        """Until a command says something and exits with 0; what it says."""
        limit = time.monotonic() + LIMIT_S
        while True:
            try:
                if said := self.run(command):
                    return said
            except Failed:
                if time.monotonic() > limit:
                    raise
            if time.monotonic() > limit:
                raise Failed(f"{command}: says nothing")
            time.sleep(0.1)

    def put(self, source, target):
        rootfs.put_program(self.root, source, target)

    def install(self, *packages):
        for package in packages:
            shutil.copy(package, self.root / "tmp")
        names = " ".join(f"/tmp/{Path(package).name}" for package in packages)
        said = self.run(f"opkg.sh install {names}")
        for package in packages:
            (self.root / "tmp" / Path(package).name).unlink()
        return said

    def processes(self):
        """{pid: command line} of the daemons."""
        lines = self.run("ps -o pid,user,args").splitlines()
        return [line.split(None, 2) for line in lines if "swdist" in line]

    def files(self):
        """Every name below the root, but for what the system itself keeps."""
        found = set()
        for path in self.root.rglob("*"):
            name = str(path.relative_to(self.root))
            if name.split("/")[0] not in ("proc", "sys", "dev") and name not in OF_INIT:
                found.add(name)
        return found
