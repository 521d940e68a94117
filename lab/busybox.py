"""A root file system of busybox, and what process 1 of one needs: for routers of the lab, and of
the tests."""

import os
import shutil
import subprocess

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


def put_busybox(root):
    """busybox, and a link in /bin for each thing that it can do on a router."""
    put_program(root, shutil.which("busybox"), "bin/busybox")
    listed = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        place = root / "bin" / name
        if name not in MISSING and not place.exists():
            place.symlink_to("busybox")
