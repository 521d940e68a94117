"""Does the simulator notice? Eight deliberate bugs, each put into a copy of the device modules.

    python bench/mutations.py [--limit SECONDS] [NAME...]

The swarm runs on each copy, seed by seed, until a rule is violated. Exit status 1 if a bug was not
noticed within the limit, or the unchanged code violates anything with the same seeds.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST_SEED = 1
CONTROL_SEEDS = 12  # at least so many are run on the unchanged code

# name: (module, what is there, what is put in its place)
MUTATIONS = {
    "unsigned": ("trust/verify.py", "if len(good) < threshold:", "if False:"),
    "no-end": (
        "trust/choose.py",
        "(m.experimental and not (synced and now_s < m.end_s))",
        "(m.experimental and not synced)",
    ),
    "no-digest": (
        "storage/payloads.py",
        "if sha256(piece)[:DIGEST_BYTES] != entries[at : at + DIGEST_BYTES]:\n                why",
        "if False:\n                why",
    ),
    "any-board": ("trust/choose.py", "p.boards is None or self.board in p.boards", "True"),
    "all-invited": ("trust/choose.py", "if not m.groups and not m.share:", "if True:"),
    "lost-rename": (
        "storage/slots.py",
        'path = self._state + "/" + name\n        try:',
        'path = self._state + "/" + name + ".new"\n        try:',
    ),
    "old-keys": ("trust/verify.py", "elif m.rid in self._keep:", "else:"),
    "one-clock": (
        "machines/clock.py",
        "a = _window(aheads, need)",
        "a = aheads[-1] if aheads else None",
    ),
}
RUN = """
import itertools, json, sys, time
import swdist
assert swdist.__file__.startswith(sys.argv[1]), swdist.__file__
from swdist_host.sim import swarm
if __name__ == "__main__":
    first, count, limit_s = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    seeds = range(first, first + count) if count else itertools.count(first)
    last, found = first, None
    for v in swarm.local(seeds, None, time.monotonic() + limit_s):
        last = max(last, v.seed)
        if not v.ok:
            found = v
            break
    text = found.text.splitlines()[0] if found else ""
    print(json.dumps({"seed": last, "rule": found.rule if found else None, "text": text}))
"""


def mutated(name):
    """(module, its text with the bug in it). SystemExit if the place is not there any more."""
    module, old, new = MUTATIONS[name]
    text = (ROOT / "src/swdist" / module).read_text()
    if text.count(old) != 1:
        raise SystemExit(f"{module} has changed: {old!r} is there {text.count(old)} times")
    return module, text.replace(old, new)


def run(device, count, limit_s):
    """(what the swarm found, as its JSON line; wall-clock seconds)."""
    started = time.monotonic()
    script = device / "run.py"  # a file: the processes of the swarm have to find it
    script.write_text(RUN)
    environment = {**os.environ, "PYTHONPATH": f"{device}:{ROOT / 'host'}"}
    done = subprocess.run(
        [sys.executable, str(script), str(device), str(FIRST_SEED), str(count), str(limit_s)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout), time.monotonic() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=300)
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    for name in options.names:
        if name not in MUTATIONS:
            parser.error(f"no mutation {name}; there are: {', '.join(MUTATIONS)}")
    missed = 0
    highest = CONTROL_SEEDS
    with tempfile.TemporaryDirectory(prefix="swdist-mutations-") as scratch:
        for name in options.names or MUTATIONS:
            module, text = mutated(name)
            device = Path(scratch) / name
            shutil.copytree(ROOT / "src/swdist", device / "swdist")
            (device / "swdist" / module).write_text(text)
            found, spent_s = run(device, 0, options.limit)
            if found["rule"] is None:
                missed += 1
                print(
                    f"{name:12} MISSED after {spent_s:.0f} s, seeds {FIRST_SEED}..{found['seed']}"
                )
            else:
                highest = max(highest, found["seed"] - FIRST_SEED + 1)
                print(f"{name:12} caught after {spent_s:.0f} s: {found['text']}")
            sys.stdout.flush()
        device = Path(scratch) / "unchanged"
        shutil.copytree(ROOT / "src/swdist", device / "swdist")
        found, spent_s = run(device, highest, 1e9)
        if found["rule"] is None:
            print(f"unchanged    holds with the same {highest} seeds, {spent_s:.0f} s")
        else:
            missed += 1
            print(f"unchanged    {found['text']}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
