"""Two nodes and a stock NTP client, each in a network namespace: run by tests/ntp/test_sntp.py
in a world of its own (lab/net.py). Arguments: a folder, chronyd, chronyc, the nodes' interpreter.

Prints one JSON object. The nodes' clocks are AHEAD_S ahead of the host's, so that following the
mesh can't be mistaken for following the host.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from lab import net
from lab.node import Node
from swdist_host import ca, keys

AHEAD_S = 37
LIMIT_S = 30


def wait_for(what, ready):
    end = time.monotonic() + LIMIT_S
    while not ready():
        if time.monotonic() > end:
            raise SystemExit(f"not within {LIMIT_S} s: {what}")
        time.sleep(0.05)


def ahead_us(node):
    """By how much the node's mesh time is ahead of this host's clock."""
    status = node.net()
    return status["mesh_us"] - status["counter_us"] - (time.time_ns() - time.monotonic_ns()) // 1000


def within(name, *words, **more):
    return subprocess.run(
        ["ip", "netns", "exec", name, *map(str, words)], capture_output=True, text=True, **more
    )


def asked_once(chronyd, server):
    """(exit status, microseconds that the server is ahead or None, what it said)."""
    words = ["-Q", "-t", "8", f"server {server} iburst"]
    done = within(
        "client",
        chronyd,
        *words,
        "user root",
        "port 0",
        "cmdport 0",
        "pidfile /run/chronyd-once.pid",
    )
    said = done.stdout + done.stderr
    wrong = re.search(r"System clock wrong by (-?[0-9.]+) seconds", said)
    return done.returncode, None if wrong is None else round(float(wrong[1]) * 1e6), said


def followed(folder, chronyd, chronyc, server):
    """Microseconds that the server is ahead, by the estimate of a chronyd -x that follows it."""
    Path("/run/chrony").mkdir(mode=0o700)
    asking = "/run/chrony/asking"
    (folder / "chrony.conf").write_text(
        f"server {server} iburst minpoll -2 maxpoll -2\nport 0\ncmdport 0\n"
        f"bindcmdaddress {asking}\npidfile /run/chronyd.pid\nuser root\n"
    )
    words = ["ip", "netns", "exec", "client", chronyd, "-x", "-d", "-f", folder / "chrony.conf"]
    with open(folder / "chronyd.log", "w") as log:
        child = subprocess.Popen(words, stdout=log, stderr=log)
    found = []

    def selected():
        said = within("client", chronyc, "-h", asking, "-c", "sources").stdout.split(",")
        # mode, state, name, stratum, poll, reach, ...
        if len(said) < 6 or said[1] != "*" or said[5] != "377":
            return False
        # The same of the system's clock: id, name, stratum, time, its offset, ...
        said = within("client", chronyc, "-h", asking, "-c", "tracking").stdout.split(",")
        found[:] = [int(said[2]) - 1, round(float(said[4]) * 1e6), said]
        return True

    try:
        wait_for("chronyd -x selects the node", selected)
    finally:
        child.terminate()
        child.wait()
    return found


def main(folder, chronyd, chronyc, *python):
    folder = Path(folder)
    ca.create(folder / "ca", "time", [keys.generate().public], 1)
    world = net.World(0)
    for name in ("a", "b", "client"):
        world.add(name)
    world.link("a", "b", ipv4=False)
    world.link("a", "client", ipv4=True)
    a, b = [Node(n, folder / n, world, folder / "ca", list(python), AHEAD_S) for n in "ab"]
    config = a.folder / "config"
    config.write_text(config.read_text() + "\toption sntp 'broadcast'\n")
    server = "10.0.1.1"
    a.start(("netd",))
    wait_for("a is up", a.net)
    found = {"alone": asked_once(chronyd, server)}
    b.start(("netd",))
    wait_for("the nodes agree", lambda: a.net().get("error_us", 0xFFFFFFFF) < 0xFFFFFFFF)
    found["once"] = asked_once(chronyd, server)
    found["once_mesh"] = ahead_us(a)
    found["followed"] = followed(folder, chronyd, chronyc, server)
    found["followed_mesh"] = ahead_us(a)
    found["dead"] = a.dead()
    a.stop()
    b.stop()
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
