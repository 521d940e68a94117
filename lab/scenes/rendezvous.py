"""Two groups of nodes that don't hear each other meet on their fallback link, in its window.

The groups are on a bridge each, as on two channels; the fallback link is a third one, on which no
interface is up but by the operator's hook."""

import time
from pathlib import Path

from lab.namespaces import net
from lab.namespaces.stage import LAPTOP
from swdist_host import release

DOOR = "demo"
LOOPBACK = False  # interfaces go up and down
TRAFFIC = False  # it is not a usual mesh
HOOK = Path("/usr/lib/swdist/hooks/rendezvous.d/10-link")
SCRIPT = 'ip link set "$2" "$1"\n'
EVERY_S, WINDOW_S = 120, 30  # instead of six hours and five minutes
APART_S = 8  # the clocks of the two groups
START_S = 900  # later than this scene: no window begins shortly before a switch


def cast(stage):
    names = [f"n{i}" for i in range(stage.count)]
    half = stage.count // 2
    for name in (*names, LAPTOP):
        stage.world.add(name)
    stage.world.link(LAPTOP, "n0", ipv4=False)
    for group in (names[:half], names[half:]):
        stage.world.segment(group)
    stage.world.segment(names)
    # For the picture: each group around a gateway that knows the time, and those by the fallback.
    stage.links = [(0, i) for i in range(1, half)] + [(0, half)]
    stage.links += [(half, i) for i in range(half + 1, stage.count)]
    stage.fallback = {}
    for i, name in enumerate(names):
        stage.fallback[name] = interface = stage.world.interfaces[name].pop()
        net.run("ip", "-n", name, "link", "set", interface, "down")
        more = [f"\toption rendezvous '{interface}'", f"\toption rendezvous_every_s '{EVERY_S}'"]
        wrong = {0: (0, 20), half: (-APART_S, -20)}.get(i) or stage.wrong_clock(i)
        stage.nodes.append(stage.node(name, stage.python, *wrong, None, more))
    stage.groups = stage.nodes[:half], stage.nodes[half:]
    own_hooks()


def own_hooks():
    """The operator's, in the place where the daemons look; of this world only."""
    over = Path("/run/hooks")
    for sub in ("upper", "work"):
        (over / sub).mkdir(parents=True)
    layers = f"lowerdir=/usr/lib,upperdir={over}/upper,workdir={over}/work"
    net.run("mount", "-t", "overlay", "overlay", "-o", layers, "/usr/lib")
    HOOK.parent.mkdir(parents=True)
    HOOK.write_text(SCRIPT)


def play(stage):
    here, there = stage.groups
    for node in stage.nodes:
        node.start()
    stage.say(f"two groups of {len(here)} and {len(there)} nodes, that can't hear each other; "
              f"their clocks are {APART_S} s apart")  # fmt: skip
    stage.wait("its clock agrees with its group's", 120, agrees, stage.nodes)
    stage.wait("no window is open", EVERY_S, lambda: WINDOW_S + 10 < into_s() < WINDOW_S + 30)
    path = stage.release("1.1.0", int(time.time()) + START_S)
    rid = stage.seed(path)
    stage.say(f"a laptop beside n0 seeds 1.1.0 ({rid[:8]})")
    has = taken(path)
    stage.wait("has all of 1.1.0", 60, has, here, lambda: stage.show_coverage("1.1.0"))
    know = [n.name for n in there if n.on_flash(rid)]
    stage.expect("the other group knows nothing of it", not know, " ".join(know))
    up = [n.name for n in stage.nodes if is_up(stage, n)]
    stage.expect("no fallback link is up", not up, " ".join(up))
    stage.wait("a window begins", EVERY_S, lambda: into_s() < WINDOW_S)
    began = time.monotonic()
    stage.say(f"a window begins: {WINDOW_S} s")
    stage.wait("has all of 1.1.0", WINDOW_S + APART_S, has, there,
               lambda: stage.show_coverage("1.1.0"))  # fmt: skip
    took_s = time.monotonic() - began
    stage.expect("the other group has all of it within one window", took_s < WINDOW_S + APART_S,
                 f"after {took_s:.0f} s")  # fmt: skip
    stage.wait("its fallback link is down again", 60, lambda n: not is_up(stage, n), stage.nodes)
    words = {n.name: [line.split()[-1] for line in n.log("switchd").splitlines()
                      if "rendezvous on" in line] for n in stage.nodes}  # fmt: skip
    odd = [name for name, w in words.items() if not w or w != ["up", "down"] * (len(w) // 2)]
    stage.expect("each node's hook was told up and down by turns", not odd, " ".join(odd))
    wrong = [n.name for n in stage.nodes if "No such device" in n.log() + n.log("switchd")]
    stage.expect("and no node complains that the link was away", not wrong, " ".join(wrong))


def into_s():
    """Seconds since the last window of the first group began."""
    return time.time() % EVERY_S


def agrees(node):
    status = node.net()
    return status.get("synced") and abs(status["mesh_us"] / 1e6 - time.time()) < APART_S + 3


def is_up(stage, node):
    shown = net.run("ip", "-n", node.name, "link", "show", stage.fallback[node.name])
    return "UP" in shown.partition("<")[2].partition(">")[0].split(",")


def taken(path):
    swd = release.load(path)
    pid, size = swd.parsed.payloads[0].pid.hex(), swd.parsed.payloads[0].stored
    return lambda node: node.on_flash(swd.rid.hex()) and node.holds(pid, size)
