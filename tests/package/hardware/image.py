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

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import ipk  # noqa: E402
import ipk_runtime  # noqa: E402

PACKAGES = "qemu-system-mips squashfs-tools kmod cpio".split()
MODULES = (
    "crc32c_generic virtio_pci virtio_net squashfs jffs2 overlay phram batman-adv sch_netem".split()
)
MIB = 1024 * 1024
# As a WRT54GS: 8 MB of flash, of which 1 MB is left for jffs2. Offsets within it.
ERASE = 64 * 1024
LAYOUT = {
    "boot": (0, 0x40000),
    "firmware": (0x40000, 0x7B0000),
    "rootfs": (0x140000, 0x5B0000),
    "rootfs_data": (0x6F0000, 0x100000),
    "nvram": (0x7F0000, 0x10000),
}
FLASH_BYTES = 8 * MIB
FLASH_AT = 40 * MIB  # in the machine's memory
RAM_FILE_BYTES = 56 * MIB
FOLDERS = "proc sys dev tmp root etc/init.d etc/config bin sbin usr/bin usr/share overlay mnt lib"
PASSWD = "root::0:0:root:/root:/bin/sh\nnobody:*:65534:65534:nobody:/var:/bin/false\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"
INITTAB = "::sysinit:/etc/init.d/rcS\nttyS0::respawn:/bin/sh\n"


def say(text):
    print("lab:", text, flush=True)


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
        run("apt-get", *apt, "-q", "update")
        meta = run("apt-cache", *apt, "depends", "linux-image-4kc-malta")
        kernels = [line.split()[1] for line in meta.splitlines() if "Depends: linux-image" in line]
        if not kernels:
            raise RuntimeError("no kernel for mipsel in apt's sources: Debian 12 is the last")
        run("apt-get", *apt, "-q", "download", kernels[0], "busybox-static", cwd=state / "debs")
        out = Path(tempfile.mkdtemp(prefix=".malta-", dir=cache))
        for deb in (state / "debs").glob("*.deb"):
            name = "busybox" if deb.name.startswith("busybox") else "kernel"
            run("dpkg", "-x", deb, out / name)
        out.rename(target)
    return target


def initramfs(malta, out):
    """Busybox, the modules of MODULES with what they need, and ./init."""
    with tempfile.TemporaryDirectory(prefix="swdist-initramfs-") as folder:
        root = Path(folder)
        for name in ("bin", "proc", "sys", "dev"):
            (root / name).mkdir()
        shutil.copy(malta / "busybox/bin/busybox", root / "bin")
        shutil.copy(HERE / "init", root / "init")
        (root / "init").chmod(0o755)
        parts = (
            f"phram={n},{FLASH_AT + at:#x},{size:#x},{ERASE}" for n, (at, size) in LAYOUT.items()
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


def root_image(malta, packages, out):
    """The read-only root: busybox, the runtime (as an image builder installs it), and the other
    packages as files in /rom/packages, to be installed by the router itself."""
    with tempfile.TemporaryDirectory(prefix="swdist-root-") as folder:
        root = Path(folder)
        for name in FOLDERS.split():
            (root / name).mkdir(parents=True)
        (root / "var").symlink_to("tmp")
        shutil.copy(malta / "busybox/bin/busybox", root / "bin")
        applets = run("qemu-mipsel", malta / "busybox/bin/busybox", "--list").split()
        for name in applets:
            if name != "busybox":
                (root / "bin" / name).symlink_to("busybox")
        (root / "sbin/init").symlink_to("../bin/busybox")
        (root / "etc/passwd").write_text(PASSWD)
        (root / "etc/group").write_text(GROUP)
        (root / "etc/inittab").write_text(INITTAB)
        shutil.copy(HERE / "rcS", root / "etc/init.d/rcS")
        (root / "etc/init.d/rcS").chmod(0o755)
        shutil.copy(HERE.parent / "opkg.sh", root / "bin/opkg.sh")
        run(
            "busybox",
            "sh",
            HERE.parent / "opkg.sh",
            "-o",
            root,
            "install",
            packages["swdist-runtime"],
        )
        (root / "packages").mkdir()
        for name in ("swdist", "swdist-keyring"):
            shutil.copy(packages[name], root / f"packages/{name}.ipk")
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
        if out.stat().st_size > LAYOUT["rootfs"][1]:
            raise RuntimeError("the root does not fit into 8 MB of flash")


def flash(root, out):
    """The machine's memory as a file, its flash as from the factory: all ones but the root."""
    with open(out, "wb") as file:
        file.truncate(RAM_FILE_BYTES)
        file.seek(FLASH_AT)
        file.write(b"\xff" * FLASH_BYTES)
        file.seek(FLASH_AT + LAYOUT["rootfs"][0])
        file.write(root.read_bytes())


def make(folder, ca):
    """(kernel, initramfs, root image) for routers that trust `ca`."""
    malta = fetch()
    packages = {}
    swdist = ipk.swdist(ipk.modules("mpy"))
    for p in (swdist, ipk.keyring(ca), ipk_runtime.package(ipk_runtime.program())):
        ipk.write(p, folder, ipk.source_epoch())
        packages[p.name] = folder / p.filename()
    root_image(malta, packages, folder / "root.squashfs")
    initramfs(malta, folder / "initramfs.gz")
    kernel = next((malta / "kernel/boot").glob("vmlinuz-*"))
    return kernel, folder / "initramfs.gz", folder / "root.squashfs"
