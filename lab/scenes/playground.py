"""Nodes of two boards and a laptop that stay up, to try things on; and what to type next."""

import shlex
import shutil

from lab.namespaces import acts, net
from lab.namespaces.stage import LAPTOP, ROOT

DOOR = "mesh"
ALPHA, BETA = "alpha", "beta"
# Runs within the lab's world: a command on a node or the laptop, in its folder; else a shell there.
ENTER = """#!/bin/sh
name=${1:?"whose? one of NAMES"}
shift
cd "FOLDER/$name" || exit
PATH="FOLDER/$name/bin:VENV:$PATH"
PS1="$name\\$ "
export PATH PS1
[ $# -gt 0 ] || set -- sh -i
exec ip netns exec "$name" NAMED "$name" "$@"
"""
# What a release brings, and how a node shows that it runs it.
HOOK = '#!/bin/sh\ncat "$1/hello" >>"$1/../../said"\n'
TREES = {"tree": "hello from 1.1.0", "tree2": "hello from 1.2.0"}
NEXT = """
In another terminal, here and as the same user:

  build/enter n1                           a shell on a node, which has logged to netd.log
  build/enter n1 swdist status
  build/enter n1 swdist releases
  build/enter laptop                       a shell on the laptop beside n0; there:

    swdist status --interface wlan0 --wait 5
    swdist release build -o 1.1.0.swd --ca ca --version 1.1.0 --start +15s --payload tree/
    swdist release sign 1.1.0.swd --key alice.sec --yes
    swdist seed 1.1.0.swd --ca ca --interface wlan0 --until-covered 1

tree/ is what the nodes will have: change it. FIRST are of the board alpha, SECOND of
beta: --payload tree@alpha is for the former alone. TESTERS are in the group testers.
docs/operations.md, "First, on your desk", goes on from here: an experiment on some nodes, a release
that is postponed, one that is withdrawn. Ctrl-C here ends it all, and leaves nothing.
"""
IN_GROUP = dict.fromkeys((1, 2), ("\tlist group 'testers'",))


def cast(stage):
    stage.grid({i: (ALPHA, BETA)[i % 2] for i in range(stage.count)}, IN_GROUP)


def play(stage):
    for node in stage.nodes:
        node.make_launcher()
    prepare(stage)
    acts.power_up(stage)
    stage.report.plain(what_next(stage))
    while True:
        stage.wait("anything new", float("inf"), lambda: None, show=lambda: shown(stage))


def prepare(stage):
    """The laptop has what it takes to make a release, and everybody a door."""
    home = stage.laptop.folder
    shutil.copytree(stage.ca, home / "ca")
    for name in ("alice.sec", "alice.pub"):
        shutil.copy(stage.folder / name, home)
    for name, hello in TREES.items():
        (home / name / "hooks").mkdir(parents=True)
        (home / name / "hello").write_text(hello + "\n")
        (home / name / "hooks/activate").write_text(HOOK)
        (home / name / "hooks/activate").chmod(0o755)
    names = " ".join([LAPTOP, *(n.name for n in stage.nodes)])
    words = {"FOLDER": stage.folder, "VENV": ROOT / ".venv/bin", "NAMES": names}
    words["NAMED"] = shlex.join(net.NAMED)
    text = ENTER
    for word, value in words.items():
        text = text.replace(word, str(value))
    (stage.folder / "enter").write_text(text)
    (stage.folder / "enter").chmod(0o755)


def what_next(stage):
    text = NEXT
    for word, mine in (
        ("FIRST", lambda n: n.board == ALPHA),
        ("SECOND", lambda n: n.board == BETA),
        ("TESTERS", lambda n: n.more),
    ):
        text = text.replace(word, " ".join(n.name for n in stage.nodes if mine(n)))
    return text


def shown(stage):
    """What each runs, and how much it has of what is newer."""
    found = []
    for node in stage.nodes:
        coming = [r for r in node.net().get("releases", []) if r["version"] != node.active()]
        held = "".join(f" (+{r['version']} {r['percent']} %)" for r in coming)
        found.append(f"{node.name} {node.active() or '-'}{held}")
    return ", ".join(found)
