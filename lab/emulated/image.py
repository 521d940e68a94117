"""What an emulated router boots: Debian's kernel for MIPS Malta, an initramfs, a root on squashfs.

Nothing of it is installed on this host: apt fetches the packages of the other architecture with
lists of its own, and dpkg only unpacks them. Debian 12 is the last with mipsel.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lab import rootfs

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGES = "qemu-system-mips squashfs-tools kmod cpio".split()
PROGRAMS = "qemu-system-mipsel qemu-mipsel mksquashfs depmod cpio busybox apt-get dpkg".split()
MODULES = (
    "crc32c_generic virtio_pci virtio_net squashfs jffs2 overlay phram batman-adv sch_netem".split()
)
MIB = 1024 * 1024
DEBIAN_12 = (
    "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
    "http://deb.debian.org/debian bookworm main\n"
)
ERASE = 64 * 1024
ROOTFS_AT = 0x140000
NVRAM_AT = 0x7F0000
FLASH_BYTES = 8 * MIB
FLASH_AT = 40 * MIB  # in the machine's memory
RAM_FILE_BYTES = 56 * MIB
FOLDERS = "root etc/init.d etc/config sbin usr/bin usr/share overlay mnt lib".split()
INITTAB = "::sysinit:/etc/init.d/rcS\nttyS0::respawn:/bin/sh\n"


def layout(data_bytes):
    """{partition: (offset, size)} as a WRT54GS has it, with so much left for jffs2."""
    data_at = NVRAM_AT - data_bytes
    return {
        "boot": (0, 0x40000),
        "firmware": (0x40000, 0x7B0000),
        "rootfs": (ROOTFS_AT, data_at - ROOTFS_AT),
        "rootfs_data": (data_at, data_bytes),
        "nvram": (NVRAM_AT, 0x10000),
    }


def say(text):
    print("lab:", text, flush=True)


class Lacking(RuntimeError):
    """This machine can't run the lab; the text says what to do."""


def check_there():
    """Debian packages, and what else the lab needs."""
    if os.geteuid() != 0:
        raise Lacking("the host's seed needs a TAP device: run it as root")
    if not Path("/dev/net/tun").exists():
        raise Lacking("there is no /dev/net/tun: modprobe tun")
    if subprocess.call([ROOT / "tools/packages.sh", *PACKAGES]):
        raise Lacking(f"it needs the Debian packages {', '.join(PACKAGES)}")
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing:
        raise Lacking(f"not to be found: {', '.join(missing)}; install what has them")


def run(*words, **more):
    done = subprocess.run(
        list(map(str, words)), stdin=subprocess.DEVNULL, capture_output=True, text=True, **more
    )
    if done.returncode:
        raise RuntimeError(f"{words[0]}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def fetch():
    """A folder with `kernel` and `busybox` unpacked, cached."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swdist"
    target = cache / "malta-1"
    if target.exists():
        return target
    say("fetching Debian's kernel and busybox for mipsel")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="swdist-") as folder:
        os.chmod(folder, 0o755)
        state = Path(folder)
        for sub in ("lists/partial", "cache/archives/partial", "debs"):
            (state / sub).mkdir(parents=True)
        apt = [
            f"-oDir::State::Lists={state}/lists",
            f"-oDir::Cache={state}/cache",
            "-oDir::State::status=/dev/null",
            "-oAPT::Architecture=mipsel",
            "-oAPT::Architectures=mipsel",
            "-oAcquire::Retries=3",
        ]
        (state / "debian-12.list").write_text(DEBIAN_12)
        debian_12 = [f"-oDir::Etc::sourcelist={state}/debian-12.list", "-oDir::Etc::sourceparts=-"]
        kernel = kernel_package(apt)
        if kernel is None:
            apt += debian_12
            kernel = kernel_package(apt)
        if kernel is None:
            raise Lacking(
                "no kernel for mipsel, neither in apt's sources nor at deb.debian.org (bookworm): "
                f"unpack Debian 12's linux-image-*-4kc-malta to {target}/kernel and its "
                f"busybox-static to {target}/busybox, both of mipsel"
            )
        run("apt-get", *apt, "-q", "download", kernel, "busybox-static", cwd=state / "debs")
        out = Path(tempfile.mkdtemp(prefix=".malta-", dir=cache))
        for deb in (state / "debs").glob("*.deb"):
            name = "busybox" if deb.name.startswith("busybox") else "kernel"
            run("dpkg", "-x", deb, out / name)
        out.rename(target)
    return target


def kernel_package(apt):
    """The name of Debian's kernel for MIPS Malta in these sources, or None."""
    try:
        run("apt-get", *apt, "-q", "update")
        meta = run("apt-cache", *apt, "depends", "linux-image-4kc-malta")
    except RuntimeError:
        return None
    found = [line.split()[1] for line in meta.splitlines() if "Depends: linux-image" in line]
    return found[0] if found else None


def initramfs(malta, partitions, out):
    """Busybox, the modules of MODULES with what they need, and ./init."""
    with tempfile.TemporaryDirectory(prefix="swdist-initramfs-") as folder:
        root = Path(folder)
        for name in ("bin", "proc", "sys", "dev"):
            (root / name).mkdir()
        shutil.copy(malta / "busybox/bin/busybox", root / "bin")
        shutil.copy(HERE / "init", root / "init")
        (root / "init").chmod(0o755)
        parts = (
            f"phram={n},{FLASH_AT + at:#x},{size:#x},{ERASE}"
            for n, (at, size) in partitions.items()
        )
        (root / "layout").write_text(f'PHRAM="{" ".join(parts)}"\n')
        modules(malta / "kernel", root)
        names = run("find", ".", cwd=root)
        with open(out, "wb") as file:
            packed = subprocess.run(
                ["cpio", "--quiet", "-o", "-H", "newc"], cwd=root, input=names.encode(), stdout=-1
            )
            file.write(subprocess.run(["gzip", "-9n"], input=packed.stdout, stdout=-1).stdout)


def modules(kernel, root):
    source = next((kernel / "lib/modules").iterdir())
    version = source.name
    run("depmod", "-b", kernel, version)
    needed = {}
    for line in (source / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needed[Path(path).stem.replace("-", "_")] = [path, *others.split()]
    for name in MODULES:
        for path in needed.get(name.replace("-", "_"), []):
            place = root / "lib/modules" / version / path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / path, place)
    run("depmod", "-b", root, version)


def root_image(malta, packages, room, out):
    """The read-only root: busybox, the runtime (as an image builder installs it), and the other
    packages as files in /rom/packages, to be installed by the router itself."""
    with tempfile.TemporaryDirectory(prefix="swdist-root-") as folder:
        root = Path(folder)
        rootfs.make(root, *FOLDERS, busybox=malta / "busybox/bin/busybox", run=["qemu-mipsel"])
        (root / "var").symlink_to("tmp")
        (root / "sbin/init").symlink_to("../bin/busybox")
        rootfs.put_users(root, group="nogroup")
        (root / "etc/inittab").write_text(INITTAB)
        shutil.copy(HERE / "rcS", root / "etc/init.d/rcS")
        (root / "etc/init.d/rcS").chmod(0o755)
        shutil.copy(rootfs.OPKG, root / "bin/opkg.sh")
        run("busybox", "sh", rootfs.OPKG, "-o", root, "install", packages["swdist-runtime"])
        (root / "packages/later").mkdir(parents=True)
        for name in ("swdist", "swdist-keyring"):
            shutil.copy(packages[name], root / f"packages/{name}.ipk")
        if "swdist-utils" in packages:  # --old: before there was such a package
            shutil.copy(packages["swdist-utils"], root / "packages/later/swdist-utils.ipk")
        run(
            "mksquashfs",
            root,
            out,
            "-comp",
            "xz",
            "-all-root",
            "-noappend",
            "-no-progress",
            "-quiet",
        )
        if out.stat().st_size > room:
            raise RuntimeError("the root does not fit into 8 MB of flash")


def flash(root, out):
    """The machine's memory as a file, its flash as from the factory: all ones but the root."""
    with open(out, "wb") as file:
        file.truncate(RAM_FILE_BYTES)
        file.seek(FLASH_AT)
        file.write(b"\xff" * FLASH_BYTES)
        file.seek(FLASH_AT + ROOTFS_AT)
        file.write(root.read_bytes())


def packages(tree, folder, ca):
    """{name: .ipk} of a checkout, by its own tools."""
    for words in (["ipk.py", "--ca", ca], ["ipk_runtime.py"]):
        tool, *more = words
        print(run(sys.executable, tree / "tools" / tool, *more, "--out", folder), end="")
    return {path.name.split("_")[0]: path for path in folder.glob("*.ipk")}


def make(tree, folder, ca, data_bytes):
    """(kernel, initramfs, root image) for routers that trust `ca`, with a checkout's swdist."""
    malta = fetch()
    kernel = next(malta.glob("kernel/boot/vmlinuz-*"), None)
    if kernel is None:
        raise Lacking(f"no kernel in {malta}: remove that folder, so that it is fetched anew")
    partitions = layout(data_bytes)
    made = packages(tree, folder, ca)
    root_image(malta, made, partitions["rootfs"][1], folder / "root.squashfs")
    initramfs(malta, partitions, folder / "initramfs.gz")
    return kernel, folder / "initramfs.gz", folder / "root.squashfs"
