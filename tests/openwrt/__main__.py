"""`make openwrt`: the suite in a private world, so that all of it ends with this process."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import pytest

from lab.namespaces import net

HERE = Path(__file__).parent
CGROUPS = "swdist-openwrt"


def clean_up():
    for mount in Path("/proc/mounts").read_text().splitlines():
        _, point, kind, *_ = mount.split()
        if kind == "cgroup2":
            for folder, _, _ in os.walk(Path(point) / CGROUPS, topdown=False):
                with contextlib.suppress(OSError):  # another suite runs beside
                    os.rmdir(folder)


def main():
    if os.environ.get(net.INSIDE):
        net.obey_leash()
        return pytest.main(["-v", "-p", "no:cacheprovider", str(HERE), *sys.argv[2:]])
    rootfs = Path(sys.argv[1]).absolute() if sys.argv[1:2] not in ([], [""]) else None
    if not rootfs or not rootfs.exists():
        print(
            "openwrt: skipped, for there is no ROOTFS=FILE (tar or folder, x86-64, of OpenWrt's downloads)"
        )
        return 0
    if os.geteuid() != 0:
        print("openwrt: this takes root", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="swdist-openwrt-") as folder:
        os.environ["ROOTFS"] = str(rootfs)
        os.environ["TMPDIR"] = folder
        status = net.enter("tests.openwrt", sys.argv[1:])
    clean_up()
    return status


if __name__ == "__main__":
    sys.exit(main())
