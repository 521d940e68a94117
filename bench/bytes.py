"""How many bytes a release takes: this build beside the one before, commit 0606b29, and casync.

    python bench/bytes.py [--own-flash [--mhz N]] [--json] [--folder DIR] [PAIR...]

whole     what a node sends for that has nothing: index, pages and chunks
update    the same for a node that holds the pair's older half: without what it has already
index     what of the update is index and pages

Manifest and signatures are left out everywhere. The pairs, each of an older and a newer half:

own       src/swdist in this repository, one and five commits later; and packed by mpy-cross
packages  trees out of PyPI's wheels, pinned by version and digest: shell scripts, Python, web files
image     squashfs with programs for x86-64 and all these trees, of which one small one is changed

casync cuts the same payloads at 8 KiB on average (--chunk-size=8192), and packs by the one of its
compressions that has the smallest updates in all: its index (.caibx), and the chunks that the older
half's store has not.

--own-flash: a router that runs an image has no payload of it any more, but its flash. What of the
next image it could take from there, if it had kept the first one's index; hashed chunk by chunk, at
94 M instructions a MiB, 0.35 of them in a cycle.

Needs casync and mksquashfs (squashfs-tools), and `make runtime` for mpy-cross.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from swdist_host import pack, payload

ROOT = Path(__file__).resolve().parent.parent
BEFORE = "0606b29"
MPY_CROSS = ROOT / "build/runtime/bin/mpy-cross"
PYTHON = "3.11"  # of the wheels, whatever runs this
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
WHEELS = {
    "cryptography==42.0.8": "9c0c1716c8447ee7dbf08d6db2e5c41c688544c61074b54fc4564196f55c25a7",
    "diskimage-builder==3.17.0": "2c6e6764fe60fa66b114f74f073d1d0b0bf445be5a48c1cfea6778bb49f3f094",
    "diskimage-builder==3.29.0": "1bf7c7eb84c9dbc2c10bbf667416dfef4c5ec2b93194e5b27bddd01dd9f62345",
    "diskimage-builder==3.30.0": "f9ea2011510af08833fb3c7f80921280be79c2f078d21613fd78635ef90c1066",
    "diskimage-builder==3.31.0": "98bea1fab8435029320f57254fea100968b657626762decca298a633d7b4951a",
    "dnspython==2.4.0": "46b4052a55b56beea3a3bdd7b30295c292bd6827dd442348bc116f2d35b17f0a",
    "dnspython==2.4.2": "57c6fbaaeaaf39c891292012060beb141791735dbb4004798328fc2c467402d8",
    "openwisp-controller==1.0.2": (
        "512bfed33f7ccd3a73e3ed1315dfc576ed8dbb792e03ad4767ce7fa2372763a9"
    ),
    "openwisp-controller==1.0.3": (
        "5dfaeb3176328e3cc41d34ac2274e19c28923ddb40cba34292ad5f97251847b2"
    ),
    "pillow==10.3.0": "1b87bd9d81d179bd8ab871603bd80d8645729939f90b71e62914e816a76fc6bd",
    "tornado==6.4.1": "613bf4ddf5c7a95509218b149b555621497a6cc0d46ac341b30bd9ec19eac7f3",
}
COMMITS = ("c199737", "c5c40f1", "4002f15")  # of which each changed src/swdist
PAIRS = {  # name: halves, and what it is
    "own-1": ("c5c40f1", "4002f15", "our modules, one commit"),
    "own-5": ("c199737", "4002f15", "our modules, five commits"),
    "own-mpy": ("c199737.mpy", "4002f15.mpy", "the same, packed"),
    "shell-1": ("diskimage-builder==3.30.0", "diskimage-builder==3.31.0", "one point release"),
    "shell-2": ("diskimage-builder==3.29.0", "diskimage-builder==3.31.0", "two point releases"),
    "shell-years": ("diskimage-builder==3.17.0", "diskimage-builder==3.31.0", "two years"),
    "web-1": ("openwisp-controller==1.0.2", "openwisp-controller==1.0.3", "one point release"),
    "python-2": ("dnspython==2.4.0", "dnspython==2.4.2", "two point releases"),
    "image-own": ("image", "image-own", "our modules, five commits"),
    "image-python": ("image", "image-python", "dnspython, two point releases"),
}
_IMAGE = ("cryptography==42.0.8", "pillow==10.3.0", "tornado==6.4.1")
_IMAGE += ("diskimage-builder==3.31.0", "openwisp-controller==1.0.3")
IMAGES = {  # name: packages and commit in it
    "image": ((*_IMAGE, "dnspython==2.4.0"), "c199737"),
    "image-own": ((*_IMAGE, "dnspython==2.4.0"), "4002f15"),
    "image-python": ((*_IMAGE, "dnspython==2.4.2"), "c199737"),
}
SQUASHFS = "-noappend -nopad -all-root -all-time 0 -mkfs-time 0 -comp xz -b 256K -quiet"
COMPRESSIONS = ("gzip", "xz", "zstd")
SMALL = 0.25  # a small update sends less of the whole than this
INSTRUCTIONS_MIB = 94e6
INSTRUCTIONS_CYCLE = 0.35
MIB = 1048576

# Run with that build's own code: [whole, update, index] of each [older, newer].
_BEFORE = """
import json, sys
from pathlib import Path
from swdist_host import payload, release

def made(path):
    path = Path(path)
    data, kind = (payload.from_dir(path), "slot") if path.is_dir() else (path.read_bytes(), "image")
    boards = ("a",) if kind == "image" else ()
    swd = release.build(bytes(8), "1.0.0", 0, data=data, kind=kind, boards=boards)
    size = swd.parsed.chunk_size
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    digests = [swd.index[i : i + 32] for i in range(0, len(swd.index), 32)]
    return swd.index, [(d, len(c)) for d, c in zip(digests, chunks, strict=True)]

out = []
for older, newer in json.load(sys.stdin):
    held = set(made(older)[1])
    index, chunks = made(newer)
    sizes = [sum(n for _, n in chunks), sum(n for d, n in chunks if (d, n) not in held)]
    out.append([len(index) + sizes[0], len(index) + sizes[1], len(index)])
json.dump([release.__file__, out], sys.stdout)
"""


@dataclass(frozen=True)
class Bytes:
    whole: int
    update: int
    index: int


def fail(text):
    sys.exit("bytes: " + text)


def run(*command, **keywords):
    """What it prints, or the end: with its last line."""
    done = subprocess.run([str(part) for part in command], capture_output=True, **keywords)
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        fail(f"{Path(command[0]).name}: {said[-1] if said else f'status {done.returncode}'}")
    return done.stdout


def check_there():
    lacking = [
        package
        for program, package in (("casync", "casync"), ("mksquashfs", "squashfs-tools"))
        if not shutil.which(program)
    ]
    if lacking:
        fail(f"install {' and '.join(lacking)}, as root: apt-get install {' '.join(lacking)}")
    if not MPY_CROSS.exists():
        fail(f"{MPY_CROSS} is missing: `make runtime` builds it")
    for commit in (BEFORE, *COMMITS):
        there = ["git", "-C", ROOT, "cat-file", "-e", f"{commit}^{{commit}}"]
        if subprocess.run(there, capture_output=True).returncode:
            fail(f"this clone lacks commit {commit}: git fetch --unshallow")


# --- what the pairs are made of


class Corpus:
    """Makes each half on first use, under `folder`; wheels are kept in `wheels`."""

    def __init__(self, folder, wheels):
        self.folder = folder
        self._wheels = wheels

    def path(self, name):
        """A directory, or an image's file."""
        path = self.folder / name
        if not path.exists():
            if name in IMAGES:
                self._image(path, *IMAGES[name])
            elif name in WHEELS:
                self._package(path, name)
            elif name.endswith(".mpy"):
                self._compiled(path, self.path(name.removesuffix(".mpy")))
            else:
                checkout(path, f"{name}:src/swdist")
        return path

    def _package(self, path, name):
        with zipfile.ZipFile(self._wheel(name)) as archive:
            for info in archive.infolist():
                # What pip writes down about a package is nothing that a router would be sent.
                if info.is_dir() or info.filename.split("/")[0].endswith(".dist-info"):
                    continue
                archive.extract(info, path)
                (path / info.filename).chmod(0o755 if info.external_attr >> 16 & 0o100 else 0o644)

    def _wheel(self, name):
        wheels = self._wheels
        wheels.mkdir(parents=True, exist_ok=True)
        stem = name.replace("-", "_").replace("==", "-")
        for wheel in wheels.glob(f"{stem}-*.whl"):
            if hashlib.sha256(wheel.read_bytes()).hexdigest() == WHEELS[name]:
                return wheel
            wheel.unlink()
        wanted = wheels / "wanted.txt"
        wanted.write_text(f"{name} --hash=sha256:{WHEELS[name]}\n")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q"]
        pip += ["--no-deps", "--only-binary", ":all:", "--python-version", PYTHON]
        pip += ["--implementation", "cp", "-d", wheels, "-r", wanted]
        for platform in PLATFORMS:
            pip += ["--platform", platform]
        run(*pip)
        return next(wheels.glob(f"{stem}-*.whl"))

    def _compiled(self, path, source):
        path.mkdir()
        for module in sorted(source.glob("*.py")):
            name = f"swdist/{module.name}"
            run(MPY_CROSS, "-O3", "-s", name, "-o", path / f"{module.stem}.mpy", module)

    def _image(self, path, packages, commit):
        with tempfile.TemporaryDirectory(dir=self.folder) as tree:
            python = Path(tree, "usr/lib/python3/site-packages")
            for package in packages:
                shutil.copytree(self.path(package), python, dirs_exist_ok=True)
            shutil.copytree(self.path(commit), Path(tree, "usr/lib/micropython/swdist"))
            run("mksquashfs", tree, path, *SQUASHFS.split())


def checkout(path, *trees):
    path.mkdir()
    run("tar", "-x", "-C", path, input=run("git", "-C", ROOT, "archive", *trees))


# --- what three builds make of them


def before(corpus, pairs):
    """[Bytes] of that commit's build, by its own code."""
    code = corpus.folder / BEFORE
    checkout(code, BEFORE, "host/swdist_host", "src/swdist")
    path = os.pathsep.join([str(code / "host"), str(code / "src")])
    asked = json.dumps([[str(corpus.path(a)), str(corpus.path(b))] for a, b in pairs])
    said = run(
        sys.executable, "-c", _BEFORE, input=asked.encode(), env={**os.environ, "PYTHONPATH": path}
    )
    where, figures = json.loads(said)
    if not where.startswith(str(code)):
        fail(f"{where} was run in place of commit {BEFORE}'s")
    return [Bytes(*figure) for figure in figures]


class Ours:
    """This build's packing, once for each half."""

    def __init__(self):
        self._packed = {}
        self.data = {}  # {path: the payload, inflated}

    def packed(self, path):
        if path not in self._packed:
            self.data[path] = payload.from_dir(path) if path.is_dir() else path.read_bytes()
            self._packed[path] = pack.pack(self.data[path], deflate=path.is_dir())
        return self._packed[path]

    def bytes(self, older, newer):
        """Bytes, with each piece that the older one has not got."""
        held = set(self.packed(older).pieces)
        new = self.packed(newer)
        lacking = [n for n, piece in enumerate(new.pieces) if piece not in held]
        index = len(new.index) + sum(len(new.pieces[n]) for n in lacking if n < new.pages)
        chunks = sum(len(new.pieces[n]) for n in lacking if n >= new.pages)
        return Bytes(len(new.index) + sum(map(len, new.pieces)), index + chunks, index)


class Casync:
    def __init__(self, corpus, ours):
        self._corpus = corpus
        self._ours = ours
        self._made = {}

    def _make(self, path, compression):
        """(bytes of the index, {chunk's name: bytes})"""
        if (path, compression) not in self._made:
            with tempfile.TemporaryDirectory(dir=self._corpus.folder) as folder:
                blob = Path(folder, "payload")
                blob.write_bytes(self._ours.data[path])
                index = Path(folder, "payload.caibx")
                options = ["--chunk-size=8192", f"--compression={compression}"]
                run("casync", "make", f"--store={folder}/store", *options, index, blob)
                chunks = {p.name: p.stat().st_size for p in Path(folder, "store").glob("*/*")}
                self._made[path, compression] = index.stat().st_size, chunks
        return self._made[path, compression]

    def bytes(self, older, newer, compression):
        held = self._make(older, compression)[1]
        index, chunks = self._make(newer, compression)
        lacking = sum(size for name, size in chunks.items() if name not in held)
        return Bytes(index + sum(chunks.values()), index + lacking, index)


def measure(corpus, names):
    """([row of each pair], casync's compression)"""
    ours = Ours()
    casync = Casync(corpus, ours)
    halves = [PAIRS[name][:2] for name in names]
    rows = []
    for name, was in zip(names, before(corpus, halves), strict=True):
        paths = [corpus.path(half) for half in PAIRS[name][:2]]
        row = {"pair": name, "what": PAIRS[name][2], "before": was, "ours": ours.bytes(*paths)}
        row["size"] = len(ours.data[paths[1]])
        row["image"] = not paths[1].is_dir()
        row["casync"] = {c: casync.bytes(*paths, c) for c in COMPRESSIONS}
        if row["image"]:
            row["flash"] = own_flash(*(ours.packed(path) for path in paths))
        rows.append(row)
    best = min(COMPRESSIONS, key=lambda c: sum(row["casync"][c].update for row in rows))
    for row in rows:
        row["casync"] = row["casync"][best]
    return rows, best


def own_flash(older, newer):
    """What a router that runs the older image need not be sent of the newer."""
    held = set(older.pieces[older.pages :])
    taken = [piece for piece in newer.pieces[newer.pages :] if piece in held]
    kept = len(older.index) + sum(map(len, older.pieces[: older.pages]))
    return {"taken": sum(map(len, taken)), "chunks": len(taken), "kept": kept}


# --- what is printed


def aims(rows):
    """[(text, reached, limit)]: met where reached <= limit."""
    trees = [row for row in rows if not row["image"]]
    images = [row for row in rows if row["image"]]
    small = [row["ours"] for row in trees if row["ours"].update < SMALL * row["ours"].whole]

    def share(what, of):
        return sum(getattr(row["ours"], what) for row in trees) / sum(
            getattr(row[of], what) for row in trees
        )

    return [
        (f"updates, of {BEFORE}'s", share("update", "before"), 1 / 20),
        ("updates, of casync's", share("update", "casync"), 0.75),
        (f"wholes, of {BEFORE}'s", share("whole", "before"), 0.22),
        ("wholes, of casync's", share("whole", "casync"), 1.05),
        ("index in a small update, at most", max(b.index / b.update for b in small), 0.2),
        (
            f"an image's update, of {BEFORE}'s, at most",
            max(row["ours"].update / row["before"].update for row in images),
            1 / 8,
        ),
    ]


def print_rows(rows, compression):
    print(f"bytes; casync's compression: {compression}; in brackets, what of {BEFORE}'s we send\n")
    print(" " * 58 + f"{'whole':^36}{'update':^46}")
    three = f"{BEFORE:>10}{'casync':>9}{'ours':>9}"
    print(f"{'pair':13}{'':31}{'inflated':>10}{three}        {three}{'':8}{'index':>7}")
    for row in rows:
        cells = f"{row['pair']:13}{row['what']:31}{row['size']:10}"
        for what in ("whole", "update"):
            was, casync, ours = (getattr(row[of], what) for of in ("before", "casync", "ours"))
            part = f"({ours / was:.2f})" if what == "whole" else f"(1/{was / ours:.0f})"
            cells += f"{was:10}{casync:9}{ours:9} {part:7}"
        print(cells + f"{row['ours'].index:7}")


def print_aims(found):
    print("\nsums over all but the images         reached      aim")
    for text, reached, limit in found:
        inverse = f"(1/{1 / reached:.1f})"
        verdict = "met" if reached <= limit else "missed"
        print(f"{text:36}{reached:7.3f} {inverse:9}{limit:6.3f}  {verdict}")


def print_flash(rows, mhz):
    print("\nimage from one's own flash: bytes\n")
    print("pair             image  on the air   from flash (chunks)  index kept  hashing it, s")
    for row in rows:
        flash = row["flash"]
        print(
            f"{row['pair']:12}{row['size']:10}{row['ours'].whole - flash['taken']:12}"
            f"{flash['taken']:13} ({flash['chunks']:6}){flash['kept']:12}"
            f"{hash_s(flash['taken'], mhz):15.1f}"
        )
    print(f"estimated at {mhz} MHz; 8 MiB take {hash_s(8 * MIB, mhz):.1f} s")


def hash_s(size, mhz):
    return size / MIB * INSTRUCTIONS_MIB / (INSTRUCTIONS_CYCLE * mhz * 1e6)


def as_json(rows, compression, found, mhz):
    for row in rows:
        for build in ("before", "casync", "ours"):
            row[build] = vars(row[build])
        if "flash" in row:
            row["flash"]["hash_s"] = round(hash_s(row["flash"]["taken"], mhz), 1)
    keys = ("aim", "reached", "limit")
    facts = {"before": BEFORE, "casync_compression": compression, "pairs": rows}
    facts["aims"] = [dict(zip(keys, aim, strict=True), met=aim[1] <= aim[2]) for aim in found]
    print(json.dumps(facts, indent=1))


def megahertz(text):
    value = int(text)
    if not 1 <= value <= 10000:
        raise argparse.ArgumentTypeError(f"{value} MHz is not 1 to 10000")
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", nargs="*", metavar="PAIR", help=f"all if none: {', '.join(PAIRS)}")
    parser.add_argument("--own-flash", action="store_true")
    parser.add_argument("--mhz", type=megahertz, default=200, help="of the router, for --own-flash")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/bytes", help="for the wheels")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = [name for name in options.pairs if name not in PAIRS]
    if unknown:
        parser.error(f"no pair {unknown[0]!r}; there are {', '.join(PAIRS)}")
    check_there()
    names = [name for name in PAIRS if not options.pairs or name in options.pairs]
    with tempfile.TemporaryDirectory(prefix="swdist-bytes-") as folder:
        rows, compression = measure(Corpus(Path(folder), options.folder), names)
    found = [] if options.pairs else aims(rows)
    if options.json:
        as_json(rows, compression, found, options.mhz)
        return
    print_rows(rows, compression)
    if found:
        print_aims(found)
    if options.own_flash:
        print_flash([row for row in rows if row["image"]], options.mhz)


if __name__ == "__main__":
    main()
