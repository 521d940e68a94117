"""make demo: a mesh of real nodes takes a signed release, switches in the same second, runs an
experiment and ends it, while a malicious neighbour tries its best; or another scene of lab/scenes.
Everything that the summary says is read from the nodes' own records."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from lab import scenes, web
from lab.namespaces import net
from lab.namespaces.stage import ROOT, Stage
from lab.stage import Failed

SCENES = scenes.of("demo")
NODES_MIN, NODES_MAX = 4, 60
HEAP = "1M"  # as files/etc/init.d/swdist starts the daemons on a router
FOLDER_MOST = 80  # bytes of its name: a socket's has 107 (unix(7))
FOLDER = Path("/run/lab")  # in RAM, in the lab's private world: it goes with it


def arguments():
    parser = argparse.ArgumentParser(
        prog="make demo", description=__doc__, epilog=scenes.about(SCENES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "--nodes", type=int, default=12, help=f"how many nodes, {NODES_MIN} to {NODES_MAX}"
    )
    parser.add_argument("--seed", type=int, default=1, help="for clocks, drifts and payloads")
    parser.add_argument(
        "--json", action="store_true", help="the summary as JSON on stdout, all else on stderr"
    )
    parser.add_argument("--scene", default="mesh", choices=SCENES, help="what is played, see below")
    parser.add_argument("--kills", type=int, default=20, help="of the scene `kills`")
    parser.add_argument(
        "--loopback", action="store_true",
        help="without network namespaces: each node on a loopback address of its own",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="keep the nodes' files and logs")
    parser.add_argument("--micropython", default=os.environ.get("MICROPYTHON"))
    found = parser.parse_args()
    if not NODES_MIN <= found.nodes <= NODES_MAX:
        parser.error(f"--nodes must be {NODES_MIN} to {NODES_MAX}")
    return found


def show(scene, args, folder, loopback, door):
    """All of it in this process; the exit status. door: a socket for who wants to see a page."""
    python = args.micropython or str(ROOT / "build/runtime/bin/micropython")
    file = sys.stderr if args.json else sys.stdout
    keep = True
    stage = None
    try:
        program = [python, "-X", f"heapsize={HEAP}"]
        stage = Stage(scene, args, folder, program, file, loopback)
        try:
            with stage.report:
                stage.show_page(door)
                scene.play(stage)
                stage.end(getattr(scene, "TRAFFIC", True))
        except Failed as e:
            stage.expect(str(e), False)
        finish(stage, args.json)
        keep = args.keep or not stage.holds()
    except (KeyboardInterrupt, SystemExit):
        keep = False
        print("stopped; nothing is left behind", file=file)
        return 130
    finally:
        if stage is not None:
            stage.close()
        if keep and folder.is_dir():
            kept = tempfile.mkdtemp(prefix="swdist-demo-")
            shutil.copytree(folder, kept, symlinks=True, dirs_exist_ok=True, ignore=_sockets)
            print(f"the nodes' files and logs are kept in {kept}", file=file, flush=True)
    return 0 if stage.holds() else 1


def _sockets(folder, names):
    return [n for n in names if (Path(folder) / n).is_socket()]


def finish(stage, as_json):
    summary = stage.summary()
    if as_json:
        print(json.dumps(summary, indent=1), flush=True)
    stage.report.plain("\nSummary")
    for key, value in summary.items():
        if key != "results":
            stage.report.plain(f"  {key:<22} {value}")
    end = "all is well" if stage.holds() else "FAILED"
    stage.report.plain(f"\n{stage.held()} of {len(stage.results)} promises held: {end}")


def main():
    args = arguments()
    scene = SCENES[args.scene]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if os.environ.get(net.INSIDE):
        return show(scene, args, FOLDER, False, net.obey_leash())
    status = None
    if not args.loopback:
        try:
            status = net.enter("lab.demo", sys.argv[1:])
        except KeyboardInterrupt:
            return 130
        if status is None:
            print(net.NOT_ALLOWED, file=sys.stderr, end="")
    if status is None and not getattr(scene, "LOOPBACK", True):
        print(f"the scene {args.scene} takes network namespaces", file=sys.stderr)
        return 2
    if status is None:
        with tempfile.TemporaryDirectory(prefix="swdist-lab-") as folder:
            if len(folder) > FOLDER_MOST:
                print(f"{folder} is too long a name for sockets in it: set TMPDIR", file=sys.stderr)
                return 2
            status = show(scene, args, Path(folder), True, web.listen())
    return status


if __name__ == "__main__":
    sys.exit(main())
