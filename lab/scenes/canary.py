"""An experiment for a group that becomes the release for all. All that the operator does is done by
the operator's own commands."""

import time

from lab.namespaces import acts
from lab.namespaces.node import HOLD
from swdist.trust.choose import draw

DOOR = "demo"
TESTERS = "testers"
EXPERIMENT_S = 12


def cast(stage):
    more = dict.fromkeys(range(0, stage.count, 2), (f"\tlist group '{TESTERS}'",))
    stage.grid(more={**more, 1: (HOLD,)})


def play(stage):
    acts.boot(stage)
    acts.stable(stage)
    acts.latecomer(stage)
    canary(stage)


def canary(stage):
    held = stage.nodes[1]
    testers = stage.nodes[::2]
    others = [n for n in stage.nodes if n not in testers and n is not held]
    # So large that the lots draw one of those that are not testers.
    draws = {n.name: draw((n.state / "lot").read_bytes(), (1, 2, 0)) for n in others}
    share = min(draws.values()) + 1
    drawn = [n for n in others if draws[n.name] < share]
    path = stage.folder / "1.2.0.swd"
    made = stage.build(
        path, "1.2.0", "--payload", stage.tree("1.2.0", 200_000), "--experimental",
        "--group", TESTERS, "--share", share,
        "--start", f"+{stage.lead_s}s", "--end", f"+{stage.lead_s + EXPERIMENT_S}s",
    )  # fmt: skip
    rid = stage.seed(path)
    stage.say(f"the laptop seeds 1.2.0 ({rid[:8]}), an experiment for the group {TESTERS}, and")
    stage.say(f"for {share} of 1000: {' '.join(n.name for n in drawn)}")
    audience = [n for n in stage.nodes if n in testers or n in drawn]
    stage.wait("has all of 1.2.0", stage.lead_s, lambda n: n.release("1.2.0").get("complete"),
              stage.nodes, lambda: stage.show_coverage("1.2.0"))  # fmt: skip
    stage.wait("runs 1.2.0", max(made.start_s - time.time(), 0) + 15,
              lambda n: n.active() == "1.2.0", audience)  # fmt: skip
    acts.together(stage, audience, "1.2.0", "start", made.start_s)
    ran = [n.name for n in stage.nodes if n not in audience and n.active() == "1.2.0"]
    stage.expect(f"nobody else runs it, though all {stage.count} hold it", not ran, " ".join(ran))
    stage.wait("is back on what it ran", 30, lambda n: n.active() == "1.1.0", audience)
    acts.together(stage, audience, "1.1.0", "end", made.end_s)
    before = {n.name: written(stage, n) for n in stage.nodes}
    stable = stage.folder / "1.2.0-r1.swd"
    made = stage.build(stable, "1.2.0", "--promote", path, "--start", f"+{stage.lead_s}s")
    rid = stage.seed(stable)
    stage.say(f"it was good: the laptop seeds 1.2.0-r1 ({rid[:8]}), the stable one, for all")
    runners = testers + others
    stage.wait("has 1.2.0-r1", stage.lead_s, lambda n: n.release("1.2.0").get("revision") == 1
              and n.release("1.2.0")["complete"], stage.nodes)  # fmt: skip
    stage.wait("runs 1.2.0-r1", max(made.start_s - time.time(), 0) + 15,
              lambda n: n.switch()["active"]["id"] == rid, runners)  # fmt: skip
    acts.together(stage, runners, "1.2.0", "start", made.start_s, 1)
    moved = [n.name for n in stage.nodes if written(stage, n) != before[n.name]]
    stage.expect("the promotion has moved not a byte of payload", not moved, " ".join(moved))
    said = held.switch()
    stage.expect(
        f"{held.name}, which its owner holds, has fetched both, and switched to neither",
        said["hold"] and not held.switches() and held.active() == "1.0.0"
        and held.release("1.2.0")["complete"],
    )  # fmt: skip


def written(stage, node):
    """When each file of its payloads was written: a piece that comes changes that."""
    files = (node.store / "payloads").rglob("*")
    return {str(f): (f.stat().st_ino, f.stat().st_mtime_ns) for f in files if f.is_file()}
