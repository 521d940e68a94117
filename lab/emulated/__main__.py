"""make lab: emulated routers like the WRT54GS, from packages to releases; a scene of lab/scenes.

As root only: the host's seed is a neighbour on a TAP device. Exit status 0: all held.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.bytes import checkout
from lab import scenes
from lab.emulated import image
from lab.emulated.stage import Stage
from lab.stage import Failed

SCENES = scenes.of("lab")


def run(options):
    """Plays a scene; did all hold?"""
    scene = SCENES[options.scene]
    folder = Path(tempfile.mkdtemp(prefix="swdist-lab-"))
    try:
        stage = Stage(folder, scene.SETTING, options.loss, options.tree)
        try:
            scene.play(stage)
        except (Failed, RuntimeError) as error:
            stage.expect("the scene to its end", False, str(error))
        finally:
            stage.complaints()
            stage.end()
        if options.figures:
            options.figures.write_text(json.dumps(stage.used))
        return stage.holds()
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def compare(options):
    """The same scene with this tree and with another revision; did all hold?"""
    held = True
    with tempfile.TemporaryDirectory(prefix="swdist-lab-old-") as folder:
        old = Path(folder, "tree")
        checkout(old, options.old)
        (old / "build").mkdir()
        (old / "build/runtime").symlink_to(image.ROOT / "build/runtime")
        sides = []
        for tree in (image.ROOT, old):
            figures = Path(folder, "figures.json")
            words = ["--scene", options.scene, "--loss", options.loss, "--tree", tree]
            words += ["--figures", figures, *(["--keep"] if options.keep else [])]
            command = [sys.executable, "-m", "lab.emulated", *map(str, words)]
            held = subprocess.call(command, cwd=image.ROOT) == 0 and held
            if not figures.exists():
                return False
            sides.append(json.loads(figures.read_text()))
            figures.unlink()
    width = max(map(len, sides[0]))
    print(f"\n{'KiB':<{width}} {'this':>6} {options.old:>8}  ratio")
    for what, ours in sides[0].items():
        if theirs := sides[1].get(what):
            print(f"{what:<{width}} {ours:>6} {theirs:>8}  {ours / theirs:.2f}")
    return held


def share(text):
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError("from 0 to below 1, such as 0.05")
    return value


def main():
    parser = argparse.ArgumentParser(
        prog="make lab", description=__doc__, epilog=scenes.about(SCENES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--scene", choices=SCENES, default="line")
    parser.add_argument("--loss", type=share, default=0.05, help="of all frames, 0 to 1")
    parser.add_argument("--keep", action="store_true", help="leave the folder with all logs")
    parser.add_argument("--old", metavar="REVISION", help="of git, to compare with")
    parser.add_argument("--tree", type=Path, default=image.ROOT, help="whose swdist is tried")
    parser.add_argument("--figures", type=Path, metavar="FILE", help="also as JSON")
    options = parser.parse_args()
    try:
        image.check_there()
        held = compare(options) if options.old else run(options)
    except RuntimeError as error:
        sys.exit(f"lab: {error}")
    sys.exit(not held)


if __name__ == "__main__":
    main()
