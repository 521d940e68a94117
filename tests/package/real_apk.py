"""files/usr/lib/swdist/install-apk with the real apk 3, and power cuts:

    PYTHONPATH=. ROOTFS=FILE python tests/package/real_apk.py [EVERY [BEFORE-AFTER]]

ROOTFS is a folder or a tar of an OpenWrt with apk, for this machine. It goes from the image to a
release, from that to another one, and back, and repeats each with a power cut (cut.c) before each
system call that changes anything, or each EVERYth. After each it is done once more, or undone; what
then differs is a loss, and printed. BEFORE-AFTER is one of WAYS; without it all four are gone.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from apk_system import EXPECTED, ROOTFS, System, with_releases

LIMIT_S = 900  # on a host that may have other work to do
WAYS = ("factory-a", "a-b", "b-a", "a-factory")


class Cuts:
    def __init__(self, system, cutter):
        self.system, self.cutter = system, cutter
        self.folder = system.folder
        self.losses = 0

    def save(self, name):
        self.copy(self.system.root, self.folder / name)

    def load(self, name):
        self.copy(self.folder / name, self.system.root)

    def copy(self, source, target):
        target.mkdir(exist_ok=True)
        names = [name for name in os.listdir(source) if name not in ("proc", "dev")]
        subprocess.run(["rm", "-rf", *[target / name for name in names]], check=True)
        subprocess.run(["cp", "-a", *[source / name for name in names], target], check=True)

    def activate(self, slot, cut=None):
        return self.system.call("activate", slot, limit_s=LIMIT_S, cut=cut)

    def one(self, before, slot, step, image):
        """A cut at one step. False: there is no such one."""
        self.load(before)
        if self.activate(slot, cut=(self.cutter, step)) is None:
            return False
        done = self.folder / "cut"
        self.copy(self.system.root, done)
        why = self.activate(slot)
        wrong = why or self.wrong(slot)
        if wrong is None and slot != "factory":
            wrong = self.activate("factory") or self.differs(image)
            self.copy(done, self.system.root)  # or it is not wanted any more
            wrong = wrong or self.activate("factory")
        wrong = wrong or self.differs(image)
        if wrong:
            self.losses += 1
            print(f"{before} to {slot}, step {step}: {wrong}", flush=True)
        return True

    def wrong(self, slot):
        found = self.system.versions()
        return None if found == EXPECTED[slot] else f"has {found}"

    def differs(self, image):
        found = self.system.state()
        names = {name for name in found.keys() | image.keys() if found.get(name) != image.get(name)}
        return f"differs: {sorted(names)}" if names else None


def cuts(every=1, only=None):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        # apk takes no file by path where all is in RAM, and it goes by the kind of the file system.
        parts = {name: Path(folder, name) for name in ("lower", "upper", "work", "root")}
        for path in parts.values():
            path.mkdir()
        where = "lowerdir={lower},upperdir={upper},workdir={work}".format(**parts)
        subprocess.run(["mount", "-t", "overlay", "-o", where, "cuts", parts["root"]], check=True)
        cutter = f"{folder}/cut-program"
        subprocess.run(["cc", "-O2", "-o", cutter, Path(__file__).with_name("cut.c")], check=True)
        system = System(folder)
        try:
            system.limit_s = LIMIT_S
            with_releases(system)
            (system.root / "bin/sync").unlink()  # a killed process loses nothing of what it wrote,
            (system.root / "bin/sync").write_text("#!/bin/sh\n")  # and this waits for all disks
            (system.root / "bin/sync").chmod(0o755)
            all_ = Cuts(system, cutter)
            image = system.state()
            all_.save("factory")
            for slot in ("a", "b"):
                system.go(slot)
                all_.save(slot)
            total = 0
            for way in [only] if only else WAYS:
                before, slot = way.split("-")
                step = 1
                while all_.one(before, slot, step, image):
                    step += every
                    total += 1
                print(f"{before} to {slot}: {step - 1} system calls", flush=True)
            print(f"{total} cuts, {all_.losses} losses")
        finally:
            system.close()
            subprocess.run(["umount", parts["root"]], check=True)
    return all_.losses


if __name__ == "__main__":
    if not ROOTFS:
        sys.exit("real_apk: skipped, for there is no ROOTFS=FILE of an OpenWrt with apk")
    sys.exit(cuts(int((sys.argv[1:] or ["1"])[0]), *sys.argv[2:3]) != 0)
