"""What happens in several scenes of the nodes in network namespaces."""

import signal
import time

from lab.namespaces.stage import LOSS_PERCENT

TOGETHER_LIMIT_MS = 100


def power_up(stage):
    stage.say(
        f"{stage.count} nodes, up to {max(stage.hops.values())} hops, {LOSS_PERCENT} % loss in "
        f"each direction of a link, {stage.world.links}"
    )
    stage.say("clocks up to 11 h behind, but for the gateway n0; drifts of up to 100 ppm")
    for node in stage.nodes:
        node.start()

    def agrees(node):
        status = node.net()
        return status.get("synced") and abs(status["mesh_us"] - time.time() * 1e6) < 3e6

    stage.wait("its clock agrees with the gateway's", 60, agrees, stage.nodes)
    stage.expect("all clocks agree", True, f"after {stage.report.seconds():.0f} s")


def boot(stage):
    power_up(stage)
    stage.late.stop(signal.SIGKILL)
    stage.say(f"{stage.late.name}: power cut. It will miss what comes now")


def spread(stage, nodes, version, start_s):
    """Waits until they have all of it, and then until they run it."""
    nodes = stage.takers(nodes)
    began = time.monotonic()
    left_s = start_s - time.time()
    stage.wait(
        f"has all of {version}",
        left_s + 30,
        lambda n: n.release(version).get("complete"),
        nodes,
        lambda: stage.show_coverage(version),
    )
    took_s = time.monotonic() - began
    stage.coverage_s[version] = round(took_s, 1)
    stage.expect(f"all {len(nodes)} nodes have all of {version} before it starts",
                took_s < left_s, f"{took_s:.1f} s after it was offered")  # fmt: skip
    left_s = max(start_s - time.time(), 0)
    stage.wait(f"runs {version}", left_s + 15, lambda n: n.active() == version, nodes)
    together(stage, nodes, version, "start", start_s)


def stable(stage):
    start_s = int(time.time()) + stage.lead_s
    path = stage.release("1.1.0", start_s, boards=stage.boards)
    rid = stage.seed(path)
    stage.say(f"a laptop beside n0 seeds 1.1.0 ({rid[:8]}), to start in {stage.lead_s} s")
    spread(stage, stage.early, "1.1.0", start_s)
    return path


def together(stage, nodes, version, reason, at_s, revision=0):
    """One switch each, for that reason; how far apart, and how far from the second itself."""
    skew_us = time.time() * 1e6 - time.monotonic() * 1e6
    instants = []
    claimed_ms = 0
    for node in nodes:
        found = [
            r for r in node.switches()
            if r["to"] == f"{version}-r{revision}" and r["reason"] == reason
        ]  # fmt: skip
        if len(found) != 1:
            stage.expect(f"{node.name} switched to {version} once ({reason})", False,
                        f"{len(found)} records of it")  # fmt: skip
            return
        instants.append(found[0]["raw_us"])
        claimed_ms = max(claimed_ms, found[0]["error_us"] / 1000)
    spread_ms = (max(instants) - min(instants)) / 1000
    off_ms = max(abs(i + skew_us - at_s * 1e6) for i in instants) / 1000
    stage.spreads_ms.append(spread_ms)
    stage.expect(
        f"{len(nodes)} nodes switched to {version} together ({reason})",
        spread_ms <= TOGETHER_LIMIT_MS,
        f"spread {spread_ms:.1f} ms, at most {off_ms:.1f} ms from the second "
        f"(their own bound: {claimed_ms:.1f} ms)",
    )


def latecomer(stage, version="1.1.0"):
    stage.late.offset_s = 86400 - time.time()
    stage.late.start()
    stage.say(f"{stage.late.name} has power again; its clock says {time.ctime(86400)}")
    began = time.monotonic()
    stage.wait(f"runs {version}", 45, lambda n: n.active() == version, [stage.late])
    reasons = [r["reason"] for r in stage.late.switches()]
    stage.expect(f"{stage.late.name}, which was off, catches up", set(reasons) == {"late"},
                f"after {time.monotonic() - began:.1f} s")  # fmt: skip
