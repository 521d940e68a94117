"""A root file system of busybox, and what process 1 of one needs: for the routers of both worlds,
and of the tests. Beside it lie what stands for OpenWrt's own programs there."""

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
OPKG = HERE / "opkg.sh"
MISSING = ("timeout", "diff")  # in busybox as OpenWrt configures it

# The first lines of a shell script that is given the root as $1, in namespaces of its own.
MOUNTS = """set -e
mount -t proc proc "$1/proc"
mount -t sysfs sysfs "$1/sys"
mount -t tmpfs tmpfs "$1/dev"
for name in null zero urandom random; do
	: >"$1/dev/$name"
	mount --bind "/dev/$name" "$1/dev/$name"
done
"""


def libraries(program):
    """A program's libraries and loader, as absolute paths."""
    said = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    return [word for word in said.split() if word.startswith("/")]


def put_program(root, source, target):
    """Copies a program into a root file system, with the libraries it needs."""
    for path in [*libraries(source), source]:
        place = root / (target if path == source else str(path).lstrip("/"))
        if not place.exists():  # what runs there has it mapped
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.realpath(path), place)


def put_busybox(root, busybox=None, run=()):
    """busybox, and a link in /bin for each thing that it can do on a router. run: what runs one of
    another machine."""
    busybox = busybox or shutil.which("busybox")
    put_program(root, busybox, "bin/busybox")
    command = [*run, busybox, "--list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        place = root / "bin" / name
        if name not in MISSING and not place.exists():
            place.symlink_to("busybox")


def put_users(root, user="nobody", number=65534, group=None):
    """root, without a password, and one more."""
    group = group or user
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(
        f"root:x:0:0:root:/root:/bin/ash\n{user}:*:{number}:{number}:{user}:/var:/bin/false\n"
    )
    (root / "etc/group").write_text(f"root:x:0:\n{group}:x:{number}:\n")


def make(root, *folders, busybox=None, run=()):
    """The folders that every system has, and these; and busybox."""
    for name in ("proc", "sys", "dev", "tmp", *folders):
        (root / name).mkdir(parents=True)
    put_busybox(root, busybox, run)
