"""A root file system with apk for files/usr/lib/swdist/install-apk: an OpenWrt's where ROOTFS is
set (a folder or a tar, for this machine), else busybox with apk.sh in the place of apk."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from apks import apk
from router import make_root

from lab.rootfs import put_program

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "files/usr/lib/swdist/install-apk"
ROOTFS = os.environ.get("ROOTFS")
DB = "lib/apk/db"
QUIET = ["--allow-untrusted", "--no-network", "--repositories-file", "/dev/null"]
EXPECTED = {
    "a": {"base": "2.0-r1", "pinned": "2.0-r1", "extra": "1.0-r1"},
    "b": {"base": "1.0-r1", "pinned": "1.0-r1", "extra": "2.0-r1"},
    "factory": {"base": "1.0-r1", "pinned": "1.0-r1"},
}
IMAGE = "C:Q1AAAA=\nP:busybox\nV:1.36.1-r1\nA:noarch\nF:bin\nR:busybox\n\n"


class System:
    """One router's files. Processes see nothing else, but are the machine's own."""

    limit_s = 120  # of one process

    def __init__(self, folder):
        self.folder = Path(folder)
        self.root = self.folder / "root"
        self.root.mkdir(exist_ok=True)
        if ROOTFS is None:
            self.stand_in()
        elif Path(ROOTFS).is_dir():
            shutil.copytree(ROOTFS, self.root, symlinks=True, dirs_exist_ok=True)
        else:
            with tarfile.open(ROOTFS) as tar:
                tar.extractall(self.root, filter="fully_trusted")
        for name in ("dev", "proc", "tmp", "st/slots"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        null = self.root / "dev/null"
        if not null.is_char_device():
            null.unlink(missing_ok=True)
            os.mknod(null, 0o20666, os.makedev(1, 3))
        var = self.root / "var"
        if var.is_symlink():
            (self.root / "tmp/log").mkdir(exist_ok=True)
        (self.root / "usr/lib/swdist").mkdir(parents=True, exist_ok=True)
        self.script = self.root / "usr/lib/swdist/install-apk"
        shutil.copy(SCRIPT, self.script)
        subprocess.run(["mount", "--bind", "/proc", self.root / "proc"], check=True)

    def stand_in(self):
        self.root.rmdir()
        make_root(self.root)
        for name in ("etc/apk", f"{DB}", "etc/rc.d", "usr/bin"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        put_program(self.root, shutil.which("flock"), "usr/bin/flock")  # Debian's busybox has none
        shutil.copy(Path(__file__).with_name("apk.sh"), self.root / "usr/bin/apk")
        (self.root / "usr/bin/apk").chmod(0o755)
        for name, text in (("installed", IMAGE), ("triggers", "")):
            (self.root / DB / name).write_text(text)
        with tarfile.open(self.root / DB / "scripts.tar.gz", "w:gz") as tar:
            tar.addfile(tarfile.TarInfo("busybox-1.36.1-r1.X100.post-upgrade"))
        (self.root / "etc/apk/world").write_text("busybox\n")
        (self.root / "etc/apk/arch").write_text("noarch\n")

    def close(self):
        subprocess.run(["umount", self.root / "proc"], check=True)

    def run(self, *words, cut=None):
        before = [] if cut is None else [cut[0], str(cut[1]), str(self.root)]
        command = [*before, shutil.which("chroot"), str(self.root), *words]
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.limit_s,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )

    def apk(self, *words):
        done = self.run("apk", words[0], *QUIET, *words[1:])
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def package(self, name, version, files, scripts=None, **fields):
        folder = self.folder / "packages"
        folder.mkdir(exist_ok=True)
        return apk(folder / f"{name}-{version}.apk", name, version, files, scripts, **fields)

    def slot(self, name, *packages):
        path = self.root / "st/slots" / name
        path.mkdir(parents=True, exist_ok=True)
        for package in packages:
            shutil.copy(package, path)

    def image(self, *packages):
        """They are part of it."""
        for package in packages:
            shutil.copy(package, self.root / "tmp")
            self.apk("add", f"/tmp/{package.name}")

    def call(self, what, slot, kind=None, limit_s=20, cut=None):
        """None, or why it failed."""
        kind = kind or ("none" if slot == "factory" else "apk")
        why = self.root / "tmp/why"
        why.unlink(missing_ok=True)
        words = f"{what} /st/slots/{slot} {kind} /tmp/why /st /tmp/run {limit_s} b swdist"
        done = self.run("/bin/sh", "/usr/lib/swdist/install-apk", *words.split(), cut=cut)
        self.said = done.stderr
        if done.returncode == 0:
            return None
        return why.read_text().strip() if why.exists() else f"exit {done.returncode} {done.stderr}"

    def go(self, slot):
        assert self.call("activate", slot) is None

    def text(self, name):
        path = self.root / name
        return path.read_text() if path.exists() else None

    def write(self, name, text):
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def versions(self):
        """Of the packages of the tests."""
        stanzas = self.stanzas(self.text(f"{DB}/installed"))
        pairs = [
            (s.split("\nP:")[1].split("\n")[0], s.split("\nV:")[1].split("\n")[0]) for s in stanzas
        ]
        return {name: version for name, version in pairs if name in EXPECTED["a"]}

    @staticmethod
    def stanzas(text):
        return frozenset(text.strip("\n").split("\n\n"))

    def state(self):
        """{path: what it is} of the whole system, but for what is in RAM and for times; of apk's
        database what is in it, and not in which order."""
        found = {}
        for folder, folders, files in os.walk(self.root):
            for name in folders + files:
                path = Path(folder, name)
                key = str(path.relative_to(self.root))
                if key.split("/")[0] in ("tmp", "proc", "dev", "st"):
                    continue
                mode = path.lstat().st_mode
                if path.is_symlink():
                    found[key] = os.readlink(path)
                elif key == f"{DB}/installed":
                    found[key] = self.stanzas(path.read_text())
                elif key == f"{DB}/scripts.tar.gz":
                    with tarfile.open(path) as tar:
                        found[key] = {m.name: tar.extractfile(m).read() for m in tar}
                elif key != f"{DB}/lock":
                    about = path.stat()
                    big = about.st_size > 65536 and (about.st_size, about.st_mtime_ns)
                    found[key] = (mode, path.is_file() and (big or path.read_bytes()))
        return found

    def kept(self):
        path = self.root / "st/packages"
        return sorted(p.name for p in path.iterdir()) if path.exists() else []


def with_releases(system):
    """a: base and pinned in other versions, and extra. b: another extra, and else the image's."""
    log = {
        kind: f"#!/bin/sh\necho {kind} $0 >>/tmp/ran\n"
        for kind in ("post-install", "post-upgrade", "pre-deinstall")
    }
    conf = "etc/config/base"
    one = {"usr/bin/tool": "one", "usr/lib/base/old": "x", conf: "as it came", "etc/base.d/a": "a"}
    two = {"usr/bin/tool": "two", "usr/lib/base/new/file": "y", conf: "new", "etc/base.d/a": "b"}
    system.image(
        system.package("base", "1.0-r1", one, log),
        system.package("pinned", "1.0-r1", {"usr/bin/pinned": "one"}, log),
    )
    world = system.text("etc/apk/world").splitlines()
    assert any(line.startswith("pinned><") for line in world)
    world = ["base" if line.startswith("base>") else line for line in world]
    system.write("etc/apk/world", "".join(line + "\n" for line in world))
    system.write(conf, "edited")
    first = {"usr/bin/extra": "e", "usr/lib/extra/deep/file": "f", "etc/config/extra": "g"}
    extra = system.package("extra", "1.0-r1", first, log, depend="base")
    base = system.package("base", "2.0-r1", two, log)
    system.slot(
        "a", base, extra, system.package("pinned", "2.0-r1", {"usr/bin/pinned": "two"}, log)
    )
    system.slot(
        "b", system.package("extra", "2.0-r1", {"usr/bin/extra": "h", "etc/config/extra": "i"}, log)
    )
    system.apk("audit")  # makes what apk makes at its first run
