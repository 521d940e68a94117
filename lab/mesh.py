"""make mesh: a mesh of real nodes that stays up, until Ctrl-C: see lab/scenes/playground.py."""

import argparse
import os
import signal
import sys
from types import SimpleNamespace

from lab import demo, scenes
from lab.namespaces import net
from lab.namespaces.stage import ROOT

SCENES = scenes.of("mesh")
# What leads into the world of which process 1 is the only child of PARENT.
DOOR = ROOT / "build/enter"
TEXT = """#!/bin/sh
# Made by `make mesh`: enter NAME [COMMAND...]
inside=$(cat /proc/PARENT/task/PARENT/children) || exit
exec nsenter --target ${inside} --all --preserve-credentials FOLDER/enter "$@"
"""


def open_door(parent):
    DOOR.parent.mkdir(exist_ok=True)
    DOOR.write_text(TEXT.replace("PARENT", str(parent)).replace("FOLDER", str(demo.FOLDER)))
    DOOR.chmod(0o755)


def arguments():
    parser = argparse.ArgumentParser(prog="make mesh", description=__doc__)
    parser.add_argument("--nodes", type=int, default=7, help="how many nodes")
    parser.add_argument("--micropython", default=os.environ.get("MICROPYTHON"))
    found = parser.parse_args()
    if not demo.NODES_MIN <= found.nodes <= demo.NODES_MAX:
        parser.error(f"--nodes must be {demo.NODES_MIN} to {demo.NODES_MAX}")
    return found


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.environ.get(net.INSIDE):
        door = net.obey_leash()
        more = {"scene": "playground", "seed": 1, "json": False, "keep": False}
        options = SimpleNamespace(**vars(args), **more)
        return demo.show(SCENES["playground"], options, demo.FOLDER, False, door)
    if DOOR.exists():
        print(f"{DOOR} is there: is another mesh up? If not, remove it", file=sys.stderr)
        return 2
    try:
        status = net.enter("lab.mesh", sys.argv[1:], open_door)
    except KeyboardInterrupt:
        return 0  # as it should end
    finally:
        DOOR.unlink(missing_ok=True)
    if status is None:
        print("a mesh that stays up takes network namespaces: run it as root", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
