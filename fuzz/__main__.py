"""`python -m fuzz NAME... [--seconds N]` fuzzes parsers one after the other; without a NAME, all.

What it finds goes to build/fuzz/NAME; `--minimise` makes the least corpus that reaches as much of
that and fuzz/corpus/NAME. What crashes is kept as build/fuzz/crashes/NAME-*: put it into
fuzz/corpus/NAME, where the tests replay it, and mend the parser.
"""

import argparse
import importlib.util
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # where libFuzzer runs: no path needs quotes
CORPUS = ROOT / "fuzz/corpus"
WORK = ROOT / "build/fuzz"
CRASHES = WORK / "crashes"
MAX_BYTES = 4096
MAX_INPUT_S = 10


def run(name, arguments):
    """In this process, and never comes back: libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["swdist"]):
        from fuzz.targets import TARGETS
    # For a merge libFuzzer starts itself again, in a shell: it takes the first word for itself.
    own = f"{shlex.quote(sys.executable)} -m fuzz --libfuzzer {name}"
    atheris.Setup([own, *arguments], TARGETS[name])
    atheris.Fuzz()


def libfuzzer(name, arguments, **more):
    """Exit status. In a process of its own: there no module is loaded before it is instrumented."""
    words = [str(a.relative_to(ROOT)) if isinstance(a, Path) else a for a in arguments]
    own = [sys.executable, "-m", "fuzz", "--libfuzzer", name, *words]
    return subprocess.run(own, cwd=ROOT, **more).returncode


def fuzz(name, seconds):
    print(f"== {name}", flush=True)
    new = WORK / name
    new.mkdir(parents=True, exist_ok=True)
    CRASHES.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", f"-timeout={MAX_INPUT_S}"]
    limits += [f"-artifact_prefix={CRASHES.relative_to(ROOT)}/{name}-", "-print_final_stats=1"]
    return libfuzzer(name, [*limits, new, corpus(name)])


def corpus(name):
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def minimise(name):
    """libFuzzer's merge into an empty directory, smallest inputs first. Crash inputs stay."""
    least = WORK / (name + ".least")
    shutil.rmtree(least, ignore_errors=True)
    least.mkdir(parents=True)
    (WORK / name).mkdir(exist_ok=True)
    arguments = ["-merge=1", f"-max_len={MAX_BYTES}", least, corpus(name), WORK / name]
    if libfuzzer(name, arguments, stderr=subprocess.DEVNULL):
        sys.exit(f"{name}: a merge has failed; does the corpus hold what crashes?")
    for path in corpus(name).iterdir():
        if not path.name.startswith("crash"):
            path.unlink()
    for path in least.iterdir():
        path.rename(corpus(name) / path.name[:12])
    shutil.rmtree(least)
    sizes = [path.stat().st_size for path in corpus(name).iterdir()]
    print(f"{name}: {len(sizes)} inputs, {sum(sizes)} bytes")


def main():
    if sys.argv[1:2] == ["--libfuzzer"]:
        run(sys.argv[2], sys.argv[3:])
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("name", nargs="*", help=" ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each (default: 60)")
    parser.add_argument("--minimise", action="store_true", help="the corpora, instead of fuzzing")
    chosen = parser.parse_args()
    unknown = set(chosen.name) - set(TARGETS)
    if unknown:
        parser.error(f"no such parser: {' '.join(sorted(unknown))}; there are: {' '.join(TARGETS)}")
    if importlib.util.find_spec("atheris") is None:
        sys.exit(
            "fuzz: atheris is not installed: there is none for Python"
            f" {platform.python_version()} on {platform.machine()}. Use 3.11 to 3.13 on x86-64:"
            " make fuzz PYTHON=python3.13"
        )
    names = chosen.name or list(TARGETS)
    if chosen.minimise:
        for name in names:
            minimise(name)
        return
    failed = [name for name in names if fuzz(name, chosen.seconds)]
    if failed:
        sys.exit(f"crashes, kept in {CRASHES.relative_to(ROOT)}: {' '.join(failed)}")


if __name__ == "__main__":
    main()
