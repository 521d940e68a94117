"""Builds the MicroPython the tests run on, from Debian's source package. Used by `make runtime`.

Makes build/runtime/bin/{micropython,micropython-noffi,mpy-cross}, links into a cache, so that a
second clone costs nothing. Two runtimes, since MicroPython on a router may have `ffi` (OpenWrt's
package) or not (a static build). MICROPYTHON=path in the environment takes your own instead;
beside it MICROPYTHON_NOFFI=path (else the same one serves as both) and MPY_CROSS=path.
"""

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

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / "build/runtime/bin"
LOG = ROOT / "build/runtime/build.log"
MANIFEST = ROOT / "tools/micropython/manifest.py"
NAMES = ("micropython", "micropython-noffi", "mpy-cross")
PACKAGES = "gcc libc6-dev libffi-dev make pkgconf dpkg-dev xz-utils python3".split()
# The +ds source lacks mbedtls and berkeley-db. Warnings of a compiler newer than the source are
# no reason to stop (its own flags hold -Werror).
FLAGS = ["VARIANT=standard", "MICROPY_PY_SSL=0", "MICROPY_PY_BTREE=0", "CFLAGS_EXTRA=-Wno-error"]
VARIANTS = {"micropython": "MICROPY_PY_FFI=1", "micropython-noffi": "MICROPY_PY_FFI=0"}
# Debian releases without the package borrow the source of the first one that has it.
TOO_OLD = ("bullseye", "bookworm")
FIRST_SUITE = "trixie"
ALIASES = ("stable", "oldstable", "oldoldstable", "testing", "unstable", "sid")
OLDEST = (1, 20)

FEATURES = """
import sys
def has(name, what=None):
    try:
        module = __import__(name)
    except ImportError:
        return False
    return what is None or hasattr(module, what)
mpy = getattr(sys.implementation, "_mpy", 0)
print(".".join(str(n) for n in sys.implementation.version[:3]), "%d.%d" % (mpy & 255, mpy >> 8 & 3))
names = "ffi asyncio deflate ssl btree termios _thread hashlib hashlib.sha512 cryptolib".split()
have = [has(*name.split(".")) for name in names]
print(" ".join(name for name, yes in zip(names, have) if yes))
print(" ".join(name for name, yes in zip(names, have) if not yes))
"""


def say(text):
    print("runtime:", text, flush=True)


def fail(text):
    sys.exit("runtime: " + text)


def os_release():
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    return {key: value.strip("\"'") for key, _, value in (line.partition("=") for line in lines)}


def suites(release):
    """(names under which the host's apt knows its own release, suite of the source)."""
    own = release.get("VERSION_CODENAME", "")
    return {own, *ALIASES} - {""}, FIRST_SUITE if own in TOO_OLD else None


def source_stanzas(text, names, suite):
    """From a deb822 .sources file: the same archives, for source packages, `suite` if given."""
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.startswith("#")]
        fields = re.findall(r"(?m)^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)", "\n".join(lines))
        found = {key.lower(): value for key, value in fields}
        own = [name for name in found.get("suites", "").split() if name in names]
        if found.get("enabled", "yes").strip().lower() in ("no", "false", "0") or not own:
            continue
        if "main" not in found.get("components", "").split():
            continue
        found.update(types="deb-src", suites=suite or own[0])
        yield "\n".join(f"{key.title()}: {value}" for key, value in found.items()) + "\n"


def source_lines(text, names, suite):
    """The same from a one-line .list file; options such as [signed-by=...] stay."""
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        match = re.match(r"(?:deb|deb-src)\s+(\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)", line)
        if not match or match[2].startswith("cdrom:") or match[3] not in names:
            continue
        if "main" in match[4].split():
            yield f"deb-src {match[1] or ''}{match[2]} {suite or match[3]} {match[4]}\n"


def write_sources(apt, into, names, suite):
    """Derives sources files from the host's own in the folder `apt`; how many entries."""
    count = 0
    for file in sorted([apt / "sources.list", *(apt / "sources.list.d").glob("*")]):
        if file.suffix not in (".list", ".sources") or not file.is_file():
            continue
        read = source_stanzas if file.suffix == ".sources" else source_lines
        entries = list(dict.fromkeys(read(file.read_text(), names, suite)))
        if entries:
            (into / file.name).write_text("\n".join(entries))
            count += len(entries)
    return count


def run(command, **more):
    """Runs a command into the log; on failure shows the end of it and stops."""
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "V")}
    environment = {k: v for k, v in environment.items() if not k.startswith("PYTHON")}
    with LOG.open("ab") as log:
        log.write(f"\n$ {' '.join(map(str, command))}\n".encode())
        log.flush()
        status = subprocess.call(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, **more
        )
    if status:
        tail = LOG.read_text(errors="replace").splitlines()[-20:]
        print("\n".join(tail), file=sys.stderr)
        fail(f"{command[0]} failed ({status}); the whole log: {LOG}")


def fetch(work):
    """Downloads and unpacks the source. apt checks the archive's signature and the digests."""
    release = os_release()
    names, suite = suites(release)
    state = work / "apt"
    for folder in ("parts", "lists/partial", "cache/archives/partial", "source"):
        (state / folder).mkdir(parents=True)
    if not write_sources(Path("/etc/apt"), state / "parts", names, suite):
        fail("no Debian archive in apt's configuration; set MICROPYTHON=path to your own runtime")
    say(f"fetching Debian's source package ({suite or release.get('VERSION_CODENAME')})")
    apt = [
        "apt-get",
        "-q",
        "-oDir::Etc::sourcelist=/dev/null",
        f"-oDir::Etc::sourceparts={state}/parts",
        f"-oDir::State::Lists={state}/lists",
        f"-oDir::Cache={state}/cache",
        "-oAPT::Default-Release=",
        "-oAPT::Get::AllowUnauthenticated=false",
        "-oAcquire::AllowInsecureRepositories=false",
        "-oAcquire::Languages=none",
        "-oAcquire::Retries=3",
    ]
    run([*apt, "update"])
    run([*apt, "source", "--download-only", "micropython"], cwd=state / "source")
    description = next((state / "source").glob("*.dsc"))
    # apt has verified the digest of the .dsc; its maintainer's key is not among the host's keys.
    run(["dpkg-source", "--no-check", "-x", description, work / "source"])
    return re.search(r"(?m)^Version: (\S+)", description.read_text())[1]


def build(target):
    """Builds everything in a temporary folder and renames it to `target`."""
    if not shutil.which("apt-get"):
        fail("no apt-get here; set MICROPYTHON=path to a MicroPython 1.20 or later of your own")
    packages = [str(ROOT / "tools/packages.sh"), *PACKAGES]
    if subprocess.call(packages):
        sys.exit(1)
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=target.parent) as folder:
        work = Path(folder)
        # apt drops root to fetch, and has to reach the folder.
        with tempfile.TemporaryDirectory(prefix="swdist-") as fetched:
            os.chmod(fetched, 0o755)
            version = fetch(Path(fetched))
            shutil.move(Path(fetched, "source"), work / "source")
        out = work / "out"
        (out / "bin").mkdir(parents=True)
        make = ["make", f"-j{os.cpu_count() or 1}", "-C"]
        say("building mpy-cross")
        run([*make, work / "source/mpy-cross", "CFLAGS_EXTRA=-Wno-error"])
        shutil.copy2(work / "source/mpy-cross/build/mpy-cross", out / "bin")
        for name, ffi in VARIANTS.items():
            say(f"building {name} {version} ({ffi})")
            port = work / "source/ports/unix"
            here = [f"BUILD=build-{name}", f"FROZEN_MANIFEST={MANIFEST}"]
            run([*make, port, *FLAGS, ffi, *here])
            shutil.copy2(port / f"build-{name}/micropython", out / "bin" / name)
        (out / "version").write_text(version + "\n")
        try:
            out.rename(target)
        except OSError:
            if not target.is_dir():  # else another build was faster, and as good
                raise


def recipe():
    """Names a build: what it is made of, and for which system."""
    release = os_release()
    parts = [FLAGS, VARIANTS, MANIFEST.read_text(), suites(release)[1], platform.machine()]
    parts += [release.get("ID"), release.get("VERSION_ID"), release.get("VERSION_CODENAME")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def features(program):
    """(version, .mpy version, what it has, what it lacks), or None if it does not run."""
    try:
        done = subprocess.run(
            [program, "-c", FEATURES], capture_output=True, text=True, timeout=20, cwd=ROOT
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.splitlines()
    return (*lines[0].split(), *lines[1:3]) if done.returncode == 0 and len(lines) == 3 else None


def own_programs():
    """The programs that the environment names, as paths; checked."""
    program = shutil.which(os.environ["MICROPYTHON"])
    if not program:
        fail(f"MICROPYTHON={os.environ['MICROPYTHON']}: no such program")
    noffi = os.environ.get("MICROPYTHON_NOFFI") or program
    cross = os.environ.get("MPY_CROSS") or shutil.which("mpy-cross")
    return [program, noffi, cross]


def link(programs):
    BIN.mkdir(parents=True, exist_ok=True)
    for name, program in zip(NAMES, programs):
        temporary = BIN / f".{name}.{os.getpid()}"
        if not program:
            (BIN / name).unlink(missing_ok=True)
        else:
            temporary.symlink_to(Path(program).absolute())
            temporary.rename(BIN / name)


def main():
    if sys.argv[1:] == ["--packages"]:  # what a build needs, for tools/setup.sh
        print("" if os.environ.get("MICROPYTHON") else " ".join(PACKAGES))
        return
    if os.environ.get("MICROPYTHON"):
        programs = own_programs()
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        target = cache / "swdist" / f"runtime-{recipe()}"
        programs = [target / "bin" / name for name in NAMES]
        if target.exists() and not all(features(program) for program in programs[:2]):
            say(f"{target} does not run here any more: building it anew")
            shutil.rmtree(target)
        if not target.exists():
            build(target)
    link(programs)
    for name in NAMES[:2]:
        found = features(BIN / name)
        if not found:
            fail(f"{BIN / name} does not run as MicroPython")
        version, mpy, have, lack = found
        if tuple(int(n) for n in version.split(".")[:2]) < OLDEST:
            fail(f"MicroPython {version} is too old: 1.20 or later is needed")
        say(f"{name} {version}, .mpy {mpy}, with {have}; without {lack}")
    if not programs[2]:
        say("no mpy-cross: `make size` needs one (MPY_CROSS=path)")


if __name__ == "__main__":
    main()
