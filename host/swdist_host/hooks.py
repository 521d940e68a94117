"""The scripts in a slot, before nodes run them: what sh would stumble over."""

import subprocess

from swdist.formats.manifest import UNPACKED
from swdist_host import ustar

NAMES = ("hooks/activate", "hooks/health")
_TIMEOUT_S = 10


def complaints(kind, data):
    """What is wrong with the scripts of a payload, in sentences."""
    if kind not in UNPACKED:
        return []
    found = []
    for name, script in ustar.contents(data).items():
        name = name.removeprefix("./")
        if not name.startswith("hooks/"):
            continue
        if b"\r\n" in script:
            found.append(f"{name}: its lines end in CR LF, and sh takes the CR for part of a word")
        elif name in NAMES and (why := _refusal(script)):
            found.append(f"{name}: sh does not understand it: {why}")
    return found


def _refusal(script):
    """The first line of what this host's sh says to it, which runs nothing of it; or None."""
    try:
        done = subprocess.run(
            ("sh", "-n"), input=script, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        return None  # a laptop without sh: the routers have one
    except subprocess.TimeoutExpired:
        return f"not within {_TIMEOUT_S} s"
    if not done.returncode:
        return None
    return done.stderr.decode("utf-8", "replace").strip().partition("\n")[0][:200] or "no reason"
