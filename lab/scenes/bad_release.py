"""Three signed releases that do nobody any good: all nodes come back by themselves."""

import math
import time

from lab.namespaces import acts

DOOR = "demo"
BACK_LIMIT_S = 25  # confirm_s of the lab's nodes, and the last hook that was begun before it
# What a bad payload does when it becomes active. The lab's host has more memory than a router, and
# other things to do: the hook limits itself.
BAD = {
    "1.2.0": ("crashes at once", "kill -SEGV $$"),
    "1.3.0": ("hangs", "sleep 600"),
    "1.4.0": ("eats all memory", "ulimit -v 65536; x=xxxxxxxx; while :; do x=$x$x; done"),
}


def play(stage):
    acts.boot(stage)
    acts.stable(stage)
    acts.latecomer(stage)
    bad_releases(stage)


def bad_releases(stage):
    for version, (how, does) in BAD.items():
        start_s = int(time.time()) + stage.lead_s
        rid = stage.seed(stage.release(version, start_s, size=20_000, does=does))
        stage.say(f"the laptop seeds 1.1.0's successor {version} ({rid[:8]}), which {how}")
        stage.wait(
            f"{version} has failed",
            stage.lead_s + BACK_LIMIT_S + 15,
            lambda n, rid=rid: rid in n.switch().get("failed", []) and n.active() == "1.1.0",
            stage.nodes,
        )
        took_s = [back_after_s(n, version) for n in stage.nodes]
        stage.expect(
            f"all {len(took_s)} nodes are back on 1.1.0 after {version}, which {how}",
            max(took_s) <= BACK_LIMIT_S,
            f"within {max(took_s):.1f} s",
        )
    ran = [[r["to"] for r in n.switches()] for n in stage.nodes]
    story = ["1.1.0-r0"]
    for version in BAD:
        story += [f"{version}-r0", "1.1.0-r0"]
    stage.expect("none of them was tried twice", all(found == story for found in ran))


def back_after_s(node, version):
    """From its switch to that version until it left it again; infinite if it did not."""
    records = node.switches()
    for there, back in zip(records, records[1:]):
        if there["to"] == f"{version}-r0" and back["reason"] == "rollback":
            return (back["raw_us"] - there["raw_us"]) / 1e6
    return math.inf
