"""One attacker with any number of addresses does everything at once to a node that comes up beside
one honest neighbour, on a link of three."""

import shutil
import signal
import statistics
import sys
import time

from lab.namespaces import acts
from lab.namespaces.stage import LAPTOP, ROOT
from swdist_host import payload, release

DOOR = "demo"
LOOPBACK = False  # addresses are forged
ATTACKER = "attacker"
BYTES = 1_500_000
OLD = 15  # revisions that are superseded
TIMES = 3
LIMIT_S = 60
SLOWER, LATER_S = 2, 10  # at most
WARM_S = 10  # the attacker is there before the victim


def cast(stage):
    names = ["n0", "n1"]
    stage.links = [(0, 1)]
    for name in (*names, LAPTOP, ATTACKER):
        stage.world.add(name)
    stage.world.link(LAPTOP, "n0", ipv4=False)
    stage.world.segment([*names, ATTACKER])
    # Of a cold boot no time is promised beside a liar: the honest one has a reference.
    for i, more in enumerate((["\toption reference 'auto'"], ())):
        node = stage.node(names[i], stage.python, *stage.wrong_clock(i), more=more)
        stage.nodes.append(node)
    said = stage.nodes[0].run.with_name("run-ntp")
    said.write_text(f"{int(time.monotonic())} 2 0.001")  # as the hotplug script of ntpd does


def play(stage):
    honest, victim = stage.nodes
    true, old = releases(stage)
    acts.power_up(stage)
    victim.stop(signal.SIGKILL)
    stage.seed(true)
    has = release_taken(true)
    stage.wait("the honest one has it", 60, has, [honest])
    stage.laptop.stop()
    stage.say(f"n0 has a release of {BYTES:,} bytes; n1 comes up with nothing, {TIMES} times")
    quiet = [come_up(stage, victim, has) for _ in range(TIMES)]
    attacker = besiege(stage, true, old)
    stage.say(f"an attacker comes, and {WARM_S} s later n1 does, {TIMES} times")
    time.sleep(WARM_S)
    siege = [come_up(stage, victim, has) for _ in range(TIMES)]
    judge(stage, "has all of the release", [t[0] for t in quiet], [t[0] for t in siege])
    judge(stage, "agrees on the time", [t[1] for t in quiet], [t[1] for t in siege])
    attacker.stop()
    attacker.processes = []
    others = [n.name for n in stage.nodes if len(list((n.store / "releases").iterdir())) != 1]
    stage.expect("they hold that release and nothing else", not others, " ".join(others))


def releases(stage):
    """Files of the newest revision, and of those that it supersedes; all are signed."""
    start_s = int(time.time()) + 86400
    paths = []
    for revision in range(OLD + 1):
        size = BYTES if revision == OLD else 1000
        board = f"r{revision}"  # only so that each has a folder of its own
        source = release.Source(
            "slot", (), payload.from_dir(stage.tree("1.1.0", size, board=board))
        )
        swd = release.build(stage.network, "1.1.0", start_s, [source], revision=revision)
        paths.append(stage.folder / f"r{revision}.swd")
        release.save(release.sign(swd, stage.key), paths[-1])
    return paths[-1], paths[:-1]


def release_taken(path):
    swd = release.load(path)
    pid, size = swd.parsed.payloads[0].pid.hex(), swd.parsed.payloads[0].stored

    return lambda node: node.on_flash(swd.rid.hex()) and node.holds(pid, size)


def come_up(stage, node, has):
    """A node starts that knows nothing: seconds until it has the release, and until it has the
    time."""
    for folder in (node.store, node.state, node.run):
        shutil.rmtree(folder)
        folder.mkdir()
    node.start()
    began = time.monotonic()
    took = {}
    waits = {"release": has, "time": lambda n: n.net().get("synced") and right(n)}
    while len(took) < len(waits) and time.monotonic() < began + LIMIT_S:
        stage.check_alive("n1 comes up")
        for what, ready in waits.items():
            if what not in took and ready(node):
                took[what] = time.monotonic() - began
        time.sleep(0.05)
    node.stop(signal.SIGKILL)
    found = [took.get(what, float("inf")) for what in waits]
    stage.say(f"     it has the release after {found[0]:.1f} s, the time after {found[1]:.1f} s")
    return found


def right(node):
    """Is its time the gateway's?"""
    return abs(node.net()["mesh_us"] - time.time() * 1e6) < 3e6


def besiege(stage, true, old):
    attacker = stage.node(ATTACKER, [sys.executable])
    interface = stage.world.interfaces[ATTACKER][0]
    names = [stage.world.link_local(n.name, -1) for n in stage.nodes]
    words = [interface, stage.network.hex(), true, *old, "--", *names]
    attacker.start_other(ROOT, "lab.besieger", words)
    stage.others.append(attacker)
    return attacker


def judge(stage, what, quiet, siege):
    """By the median, for frames are lost by chance."""
    quiet_s, siege_s = statistics.median(quiet), statistics.median(siege)
    stage.expect(
        f"n1 {what} within {SLOWER} times as long as without, and {LATER_S} s more",
        siege_s <= SLOWER * quiet_s and siege_s <= quiet_s + LATER_S,
        f"{siege_s:.1f} s, without {quiet_s:.1f} s",
    )
