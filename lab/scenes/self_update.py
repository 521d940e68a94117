"""Releases with a swdist of their own: a good one, and one that does not even start."""

import time

from lab.namespaces import acts
from lab.namespaces.stage import ROOT

DOOR = "demo"
TRAFFIC = False  # the daemons of the end have just begun to count
LOOPBACK = False  # the launcher of a node knows no loopback
BACK_LIMIT_S = 60 + 25  # five starts of the launcher, and confirm_s of the lab's nodes


def play(stage):
    for node in stage.nodes:
        node.make_launcher()
    acts.boot(stage)
    acts.stable(stage)
    acts.latecomer(stage)
    self_update(stage)


def self_update(stage):
    started = start_of(stage, "1.2.0", "a swdist of its own", {"__init__": 'VERSION = "1.2.0"\n'})
    acts.spread(stage, stage.nodes, "1.2.0", started)
    stage.wait("runs its own swdist, confirmed", 40, lambda n: runs_code(stage, n, "1.2.0"),
              stage.nodes)  # fmt: skip
    stage.expect(f"all {stage.count} nodes run the swdist that 1.2.0 has brought", True)
    broken = {"__init__": 'VERSION = "1.3.0"\n', "switchd": "def main(:\n"}
    start_of(stage, "1.3.0", "a swdist that no Python can read", broken)
    stage.wait(
        "1.3.0 has failed, and 1.2.0's swdist runs again",
        stage.lead_s + BACK_LIMIT_S,
        lambda n: n.switch().get("failed") and runs_code(stage, n, "1.2.0"),
        stage.nodes,
    )
    reasons = {(n.state / "failed").read_text().split(None, 1)[1] for n in stage.nodes}
    stage.expect("all of them came back by their launchers", reasons == {
        "switchd ended 5 times\n"}, " ".join(reasons).strip())  # fmt: skip


def start_of(stage, version, what, modules):
    start_s = int(time.time()) + stage.lead_s
    device = ROOT / "src/swdist"
    code = {
        str(p.relative_to(device).with_suffix("")): p.read_text() for p in device.rglob("*.py")
    } | modules
    rid = stage.seed(stage.release(version, start_s, size=20_000, code=code))
    stage.say(f"the laptop seeds {version} ({rid[:8]}) with {what}")
    return start_s


def runs_code(stage, node, version):
    switch = node.switch()
    return (
        node.net().get("swdist") == switch.get("swdist") == version
        and node.active() == version
        and switch["confirmed"] == switch["active"]["id"]
    )
