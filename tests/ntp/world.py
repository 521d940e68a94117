"""Two nodes and a stock NTP client, and two lone nodes with a stock server that broadcasts, over
IPv4 and over IPv6, each in a network namespace: run by tests/ntp/test_sntp.py in a world of its own
(lab/namespaces/net.py). Arguments: a folder, chronyd, chronyc, the nodes' interpreter.

Prints one JSON object. The nodes' clocks are AHEAD_S ahead of the host's, so that following the
mesh can't be mistaken for following the host, nor a server for a clock that was right before.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from lab.namespaces import net
from lab.namespaces.node import Node
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


def as_root(chronyc):
    """The words for it: from chrony 4.8 on it drops to a user that may not be there."""
    said = subprocess.run([chronyc, "-u", "root", "-v"], capture_output=True)
    return [chronyc, "-u", "root"] if said.returncode == 0 else [chronyc]


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
        said = within("client", *as_root(chronyc), "-h", asking, "-c", "sources").stdout.split(",")
        # mode, state, name, stratum, poll, reach, ...
        if len(said) < 6 or said[1] != "*" or said[5] != "377":
            return False
        # The same of the system's clock: id, name, stratum, time, its offset, ...
        said = within("client", *as_root(chronyc), "-h", asking, "-c", "tracking").stdout.split(",")
        found[:] = [int(said[2]) - 1, round(float(said[4]) * 1e6), said]
        return True

    try:
        wait_for("chronyd -x selects the node", selected)
    finally:
        child.terminate()
        child.wait()
    return found


class Led:
    """A node that takes the broadcasts of a chronyd, which has the host's time."""

    def __init__(self, name, ipv4, address, world, folder, chronyd, python):
        self.server = f"{name}-server"
        for space in (name, self.server):
            world.add(space)
        world.link(name, self.server, ipv4=ipv4)
        self.node = Node(name, folder / name, world, folder / "ca", python, AHEAD_S)
        config = self.node.folder / "config"
        config.write_text(config.read_text() + "\toption reference 'broadcast'\n")
        conf = folder / f"{self.server}.conf"
        conf.write_text(
            f"local stratum 8\nbroadcast 1 {address}\ncmdport 0\nbindcmdaddress /\n"
            f"pidfile /run/{self.server}.pid\nuser root\n"
        )
        self.words = ["ip", "netns", "exec", self.server, chronyd, "-x", "-d", "-f", conf]
        self.log = folder / f"{self.server}.log"

    def start(self):
        self.node.start(("netd",))
        wait_for(f"{self.node.name} is up", self.node.net)
        self.before = self.said()
        with open(self.log, "w") as log:
            self.child = subprocess.Popen(self.words, stdout=log, stderr=log)

    def stop(self):
        """What the node said before it heard the server, and when it had followed it."""
        try:
            wait_for(f"{self.node.name} is led", lambda: self.said()[1] < 1000000)
            return self.before, self.said(), self.node.dead()
        finally:
            self.child.terminate()
            self.child.wait()
            self.node.stop()

    def said(self):
        status = self.node.net()
        return [ahead_us(self.node), status["error_us"], status["reference"], status["synced"]]


def main(folder, chronyd, chronyc, *python):
    folder = Path(folder)
    ca.create(folder / "ca", "time", [keys.generate().public], 1)
    world = net.World(0)
    for name in ("a", "b", "client"):
        world.add(name)
    world.link("a", "b", ipv4=False)
    world.link("a", "client", ipv4=True)
    four = Led("four", True, "10.0.2.255", world, folder, chronyd, list(python))
    six = Led("six", False, "ff02::101", world, folder, chronyd, list(python))
    a, b = [Node(n, folder / n, world, folder / "ca", list(python), AHEAD_S) for n in "ab"]
    config = a.folder / "config"
    config.write_text(config.read_text() + "\toption sntp 'broadcast'\n")
    server = "10.0.1.1"
    a.start(("netd",))
    wait_for("a is up", a.net)
    for led in (four, six):
        led.start()
    found = {"four": four.stop(), "six": six.stop()}
    found["alone"] = asked_once(chronyd, server)
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
