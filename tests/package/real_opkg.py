"""The install script with the real opkg, in a root file system of OpenWrt (ROOTFS: a tar, as its
downloads offer it, or a folder). The flash is an overlay over it, as on a router; opkg can be
killed at each of its system calls that writes, and with it all else, as when the power goes.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from packing import ROOT, simple

SCRIPT = ROOT / "files/usr/lib/swdist/install"
STATE = "/etc/swdist-state"
CALLS = (
    "write,writev,pwrite64,sendfile,copy_file_range,ftruncate,truncate,rename,renameat,renameat2,"
    "unlink,unlinkat,rmdir,mkdir,mkdirat,mknod,mknodat,link,linkat,symlink,symlinkat,chmod,fchmod,"
    "fchmodat,chown,fchown,lchown,fchownat,utime,utimes,utimensat"
)
FLASH = ("etc", "usr", "bin", "sbin", "lib", "opt", "www", "root")
# opkg changes something for the AT-th time: it is killed at the WHEN-th of its calls.
WRAPPER = f"""#!/bin/sh
case "$*" in status* | *--noaction*) exec /bin/opkg "$@" ;; esac
echo >>/tmp/times
[ "$(wc -l </tmp/times)" = "$AT" ] || exec /bin/opkg "$@"
here=/tmp/tools
"$here/ld.so" --library-path "$here" "$here/strace" -o /dev/null -e trace={CALLS} \
	-e inject={CALLS}:signal=KILL:when="$WHEN" /bin/opkg "$@"
status=$?
[ $status = 137 ] || exit $status
echo >/tmp/out/killed
[ "$CUT" != 1 ] || kill -9 -1
exit 137
"""
ENTER = """
mount -t overlay overlay -o lowerdir="$LOWER",upperdir="$UPPER/up",workdir="$UPPER/work" "$TOP"
mount -t proc proc "$TOP/proc"
mount --rbind /dev "$TOP/dev"
mount -t tmpfs tmpfs "$TOP/tmp"
mkdir -p "$TOP/tmp/tools" "$TOP/tmp/lock" "$TOP/tmp/run" "$TOP/tmp/out"
mount --bind "$TOOLS" "$TOP/tmp/tools"
mount --bind "$OUT" "$TOP/tmp/out"
[ -e "$TOP/var/lock" ] || mkdir -p "$TOP/var/lock"
chroot "$TOP" /bin/sh -c "$1" <"/dev/null"
exit $?
"""


class Tree:
    """A root file system that is not written to, and what is used in it."""

    def __init__(self, folder, rootfs):
        self.folder = Path(folder)
        self.lower = Path(rootfs)
        if self.lower.is_file():
            self.lower = self.folder / "lower"
            self.lower.mkdir()
            subprocess.run(["tar", "xf", rootfs, "-C", self.lower], check=True)
        self.tools = self.folder / "tools"
        self.tools.mkdir()
        strace = shutil.which("strace")
        shutil.copy(strace, self.tools)
        needs = subprocess.run(["ldd", strace], capture_output=True, text=True).stdout
        for line in needs.splitlines():
            if found := re.search(r"(/\S+)", line):
                name = "ld.so" if "ld-linux" in line else Path(found[1]).name
                shutil.copy(found[1], self.tools / name)
        (self.tools / "opkg").write_text(WRAPPER)
        (self.tools / "opkg").chmod(0o755)
        self.n = 0

    def flash(self, of=None, size_kb=None):
        self.n += 1
        return Flash(self, self.folder / f"flash{self.n}", of, size_kb)


class Flash:
    def __init__(self, tree, path, of=None, size_kb=None):
        self.tree = tree
        self.path = path
        self.size_kb = size_kb
        self.top = tree.folder / "top"
        self.out = tree.folder / "out"
        for folder in (path, self.top, self.out):
            folder.mkdir(exist_ok=True)
        if size_kb:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", path]
            subprocess.run(mount, check=True)
        if of:
            subprocess.run(["cp", "-a", of.path / "up", path / "up"], check=True)
        else:
            (path / "up/usr/lib/swdist").mkdir(parents=True)
            shutil.copy(SCRIPT, path / "up/usr/lib/swdist/install")
        (path / "work").mkdir()

    def remove(self):
        if self.size_kb:
            subprocess.run(["umount", self.path], check=True)
        shutil.rmtree(self.path)

    def run(self, command, at=0, when=0, cut=False):
        """What a command says; power goes when it has ended."""
        environment = {
            "PATH": "/tmp/tools:/usr/sbin:/usr/bin:/sbin:/bin",
            "AT": str(at), "WHEN": str(when), "CUT": str(int(cut)),
            "LOWER": self.tree.lower, "UPPER": self.path, "TOP": self.top, "TOOLS": self.tree.tools,
            "OUT": self.out,
        }  # fmt: skip
        for name in ("killed", "why", "why.pid"):
            (self.out / name).unlink(missing_ok=True)
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return subprocess.run(
            [*unshare, "sh", "-ec", ENTER, "sh", command],
            env={**environment, "PATH": environment["PATH"] + ":" + os.environ["PATH"]},
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    def killed(self):
        return (self.out / "killed").exists()

    def go(self, slot, kind="ipk", what="activate", **how):
        """None, or why it failed."""
        why = "/tmp/out/why"
        path = f"{STATE}/slots/{slot}"
        words = f"{what} {path} {kind} {why} {STATE} /tmp/run/swdist 60 board swdist"
        done = self.run(f"sh /usr/lib/swdist/install {words}", **how)
        if done.returncode == 0:
            return None
        file = self.out / "why"
        return file.read_text().strip() if file.exists() else f"{done.returncode} {done.stderr}"

    def put(self, package, folder):
        (self.path / "up" / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(package, self.path / "up" / folder)

    def state(self):
        """{path: what is there}, of the merged tree; opkg's status by its fields."""
        listed = self.run(
            "cd / && find " + " ".join(FLASH) + " ! -type d -exec ls -ln {} + 2>/dev/null; "
            "find " + " ".join(FLASH) + " -type d; "
            "find " + " ".join(FLASH) + " -type f -exec sha256sum {} +; cat usr/lib/opkg/status"
        ).stdout
        found = {}
        listed, _, status = listed.partition("\nPackage: ")
        for line in listed.splitlines():
            words = line.split()
            if len(words) == 1:
                found[words[0] + "/"] = ""
            elif len(words[0]) == 64:
                found[words[1]] = (*found.get(words[1], ()), words[0])
            else:
                found[words[8]] = (words[0], *words[2:4], *words[9:])
        for text in ("Package: " + status).split("\n\n"):
            kept = [x for x in text.splitlines() if not re.match("Installed-Time|Auto-", x)]
            found["status " + text.split("\n")[0]] = sorted(
                x.replace("install user", "install ok") for x in kept
            )
        drop = ("usr/lib/opkg/status", STATE[1:])
        return {k: v for k, v in found.items() if k.strip() and not k.startswith(drop)}


def different(one, two):
    """The paths in which two states differ, with both."""
    paths = sorted(one.keys() | two.keys())
    return [(k, one.get(k), two.get(k)) for k in paths if one.get(k) != two.get(k)]


SERVICE = "#!/bin/sh /etc/rc.common\nSTART=50\nSTOP=10\nstart() { :; }\nstop() { :; }\n"
SCRIPTS = {
    "postinst": "#!/bin/sh\n. /lib/functions.sh\ndefault_postinst $0 $@\n",
    "prerm": "#!/bin/sh\n. /lib/functions.sh\ndefault_prerm $0 $@\n",
}  # as OpenWrt's build makes them


def package(folder, name, version, files, conffiles=(), scripts=None, **fields):
    """As OpenWrt's build makes it. files: {name: text, or a Path that a link leads to}."""
    control = {"Package": name, "Version": version, "Architecture": "all", **fields}
    path = Path(folder) / f"{name}_{version}.ipk"
    return simple(path, control, SCRIPTS | (scripts or {}), files, conffiles)


def releases(folder):
    """base, of the image; and what two releases have."""
    conf = ("/etc/config/base", "/etc/config/plain")
    one = {
        "etc/config/base": "as it came\n", "etc/config/plain": "plain\n",
        "etc/init.d/on": SERVICE, "etc/init.d/off": SERVICE,
        "usr/bin/tool": "one" * 3000, "usr/lib/base/old": "old\n", "usr/bin/alias": Path("tool"),
    }  # fmt: skip
    two = one | {"etc/config/base": "two\n", "etc/config/plain": "two\n", "opt/base/new": "new\n",
                 "usr/bin/tool": "2" * 9000}  # fmt: skip
    del two["usr/lib/base/old"]
    extra = {
        "usr/bin/extra": "e" * 5000, "opt/extra/deep/file": "f\n", "etc/config/extra": "extra\n",
        "etc/init.d/extra": SERVICE,
    }  # fmt: skip
    more = {"usr/bin/extra": "E" * 7000, "opt/extra/other": "g\n", "etc/config/extra": "2\n"}
    return (
        package(folder, "base", "1.0", one, conf),
        [package(folder, "base", "2.0", two, conf),
         package(folder, "extra", "1", extra, ("/etc/config/extra",), Depends="base")],
        [package(folder, "base", "0.9", {"usr/bin/tool": "0"}),
         package(folder, "extra", "2", more, ("/etc/config/extra",))],
    )  # fmt: skip


def image(tree, folder):
    """A flash with base as the image has it, one of its services disabled and a file edited, and
    the slots a and b."""
    base, a, b = releases(folder)
    flash = tree.flash()
    for slot, packages in (("a", a), ("b", b)):
        for each in packages:
            flash.put(each, f"{STATE[1:]}/slots/{slot}")
    flash.put(base, "root")
    done = flash.run(
        "opkg install /root/base_1.0.ipk && /etc/init.d/off disable &&"
        "echo edited >/etc/config/base && rm /root/base_1.0.ipk"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return flash
