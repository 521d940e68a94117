"""Makes swdist-runtime_VERSION_mipsel_mips32.ipk: MicroPython for routers like the WRT54GS.

Cross-built from Debian's source with zig: static (musl), soft float, MIPS32 release 1; what is in
it says tools/micropython/mipsel/. The program is checked instruction by instruction, run once under
qemu-user as a 4Kc, and cached under ~/.cache/swdist.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import ipk
import runtime

ROOT = runtime.ROOT
VARIANT = ROOT / "tools/micropython/mipsel"
REQUIREMENTS = VARIANT / "requirements.txt"
LINK = ROOT / "build/runtime/mipsel/micropython"
MPY_CROSS = ROOT / "build/runtime/bin/mpy-cross"
PACKAGES = "binutils-mipsel-linux-gnu qemu-user".split()
BINUTILS = "mipsel-linux-gnu-"
QEMU = ["qemu-mipsel", "-cpu", "4Kc"]
ALLOWED = {
    # rdhwr v1,$29: of release 2, and Linux answers for it on every older processor.
    0x7C03E83B,
    # What the linker fills gaps between functions with: it traps everywhere, and is never reached.
    0x04170001,
}
FPU = re.compile(r"\$f\d|\b(?:bc1|c[ft]c1|[md][ft]c1|[ls][wd]x?c1|sdc1|ldc1)")


def say(text):
    print("runtime:", text, flush=True)


def check(program):
    """Refuses what is more than MIPS32 release 1, or not static. How many instructions it has."""
    header = output(BINUTILS + "readelf", "-hlA", program)
    for needed in ("ISA: MIPS32\n", "FP ABI: Soft float\n", ", o32, mips32\n"):
        if needed not in header:
            raise ValueError("readelf does not say " + needed.strip(", \n"))
    if "INTERP" in header or "DYNAMIC" in header:
        raise ValueError("not static")
    return instructions(program)


def instructions(program):
    """Refuses an instruction beyond MIPS32 release 1, and of the FPU. objdump knows only that set
    here (-m), and shows as .word what is not part of it. How many there are."""
    count = 0
    behind = 0  # musl's first `bal` jumps over three words of data, up to this address
    for line in output(BINUTILS + "objdump", "-d", "-z", "-m", "mips:isa32", program).splitlines():
        match = re.match(r" *([0-9a-f]+):\t([0-9a-f]{8}) \t(.*)", line)
        if not match:
            continue
        count += 1
        address, word, text = int(match[1], 16), int(match[2], 16), match[3]
        over = re.match(r"bal\t(0x[0-9a-f]+)", text)
        if over and count == 1 and int(over[1], 16) <= address + 20:
            behind = int(over[1], 16)
        known = ".word" not in text or word in ALLOWED or address < behind
        if not known or FPU.search(text):
            raise ValueError("not of MIPS32 release 1 without FPU: " + line.strip())
    if not count:
        raise ValueError("objdump has shown no instruction")
    return count


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def build(work, program):
    """Builds the program with everything it takes in the folder `work`."""
    runtime.LOG.parent.mkdir(parents=True, exist_ok=True)
    runtime.LOG.unlink(missing_ok=True)
    # apt drops root to fetch, and has to reach the folder.
    with tempfile.TemporaryDirectory(prefix="swdist-") as fetched:
        os.chmod(fetched, 0o755)
        version = runtime.fetch(Path(fetched))
        shutil.move(Path(fetched, "source"), work / "source")
    say("installing zig (some 400 MB, for this build only)")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    runtime.run([*pip, "--no-deps", "--target", work / "zig", "-r", REQUIREMENTS])
    port = work / "source/ports/unix"
    variant = port / "variants/swdist"
    shutil.copytree(VARIANT, variant)
    say(f"building MicroPython {version} for mipsel_mips32")
    environment = {
        "ZIG": work / "zig/ziglang/zig",
        "ZIG_GLOBAL_CACHE_DIR": work / "cache",
        "ZIG_LOCAL_CACHE_DIR": work / "cache",
        "SOURCE_DATE_EPOCH": 0,  # the banner holds a date
    }
    options = {
        "VARIANT": "swdist",
        "LDFLAGS_EXTRA": "-static",
        "CFLAGS_EXTRA": "-Wno-error",
        "CC": variant / "cc",
        "LD": variant / "cc",
        "MICROPY_MPYCROSS": MPY_CROSS,
        **{name.upper(): BINUTILS + name for name in ("strip", "size", "objcopy")},
    }
    make = ["make", f"-j{os.cpu_count() or 1}", "-C", port]
    runtime.run(["env", *assignments(environment), *make, *assignments(options)])
    shutil.copy2(port / "build-swdist/micropython", program)


def assignments(values):
    return [f"{key}={value}" for key, value in values.items()]


def recipe():
    """Names a build: what it is made of."""
    parts = [path.read_text() for path in sorted(VARIANT.iterdir())]
    parts += [runtime.suites(runtime.os_release())[1], platform.machine()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def program():
    """The program's path, built if need be, and checked."""
    if subprocess.call([ROOT / "tools/packages.sh", *PACKAGES]):
        sys.exit(1)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swdist"
    target = cache / f"mipsel-{recipe()}"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=cache) as folder:
            built = Path(folder, "program")
            build(Path(folder), built)
            checked(built)
            built.rename(target)
    checked(target)
    LINK.parent.mkdir(parents=True, exist_ok=True)
    LINK.unlink(missing_ok=True)
    LINK.symlink_to(target)
    return target


def checked(path):
    try:
        count = check(path)
    except ValueError as error:
        sys.exit(f"runtime: {path}: {error}")
    # As a 4Kc, which is what a WRT54GS has at heart: MIPS32 release 1, no FPU.
    said = output(*QEMU, path, "-c", "import sys; print(sys.implementation._machine)").strip()
    say(f"{count:,} instructions, all of MIPS32 release 1 without FPU; as a 4Kc: {said}")


def package(path):
    return ipk.Package(
        name="swdist-runtime",
        architecture="mipsel_mips32",
        description="MicroPython with what swdist needs, for systems that have none\n"
        " Static, soft float, MIPS32 release 1; for Linux 2.6 and later.",
        provides="micropython",
        conflicts="micropython",
        files={"usr/bin/micropython": (0o755, path.read_bytes())},
    )


def main():
    parser = argparse.ArgumentParser(description="Makes the runtime's .ipk.")
    parser.add_argument("--out", type=Path, default=ipk.OUT)
    parser.add_argument("--build-to", type=Path, help="only build the program anew, to this file")
    arguments = parser.parse_args()
    if arguments.build_to:
        with tempfile.TemporaryDirectory(prefix="swdist-runtime-") as folder:
            build(Path(folder), arguments.build_to)
        return
    ipk.write(package(program()), arguments.out, ipk.source_epoch())


if __name__ == "__main__":
    main()
