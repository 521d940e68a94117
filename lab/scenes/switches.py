"""How far apart the nodes are in 20 switches, seconds apart: by turns a stable release and two
experiments with their ends. More starts than 12 no node makes at once."""

import time

from lab.namespaces import acts

DOOR = "demo"
SWITCHES, GAP_S, SWITCHES_LIMIT_MS = 20, 5, 20
SEED_S = 40  # to offer all of them, one after the other
# What a release's hook does: it notes by the host's clock when it does it.
BEGAN = 'date +%s%N >> "$1/../../began"'


def play(stage):
    acts.boot(stage)
    stage.late.start()
    judge_switches(stage, switches(stage))


def switches(stage):
    first_s = int(time.time()) + stage.lead_s + SEED_S
    began = time.monotonic()
    plan = []
    for i in range(SWITCHES):
        at_s = first_s + i * GAP_S
        if i % 5 in (2, 4):
            plan.append((plan[-2][0], "end", at_s))
            continue
        version = f"1.{i + 1}.0"
        plan.append((version, "start", at_s))
        end_s = at_s + GAP_S if i % 5 else None
        stage.seed(stage.release(version, at_s, end_s, size=5000, does=BEGAN))
        stage.wait(
            f"has {version} from the laptop",
            20,
            lambda n, v=version: n.release(v).get("complete"),
            stage.nodes[:1],
        )
    stage.laptop.stop()
    versions = [v for v, reason, _ in plan if reason == "start"]
    stage.say(f"a laptop beside n0 has seeded {len(versions)} releases, and goes")
    stage.wait("has all of them", first_s - time.time(),
              lambda n: all(n.release(v).get("complete") for v in versions),
              stage.nodes)  # fmt: skip
    stage.expect(f"all {stage.count} nodes have all {len(versions)} before the first starts",
                True, f"{time.monotonic() - began:.1f} s after it was offered")  # fmt: skip
    stage.wait(f"has switched {SWITCHES} times", plan[-1][2] + 15 - time.time(),
              lambda n: len(n.switches()) >= SWITCHES, stage.nodes)  # fmt: skip
    time.sleep(1)  # the last hooks
    return plan


def judge_switches(stage, plan):
    """By the host's clock. Two things add up: how far the nodes' mesh times are apart, and how
    unequally late their processes come to do it."""
    records = [n.switches() for n in stage.nodes]
    others = [
        n.name for n, found in zip(stage.nodes, records)
        if [(r["to"], r["reason"]) for r in found] != [(f"{v}-r0", why) for v, why, _ in plan]
    ]  # fmt: skip
    stage.expect(f"each node switched {len(plan)} times as planned, and to nothing else",
                not others, " ".join(others))  # fmt: skip
    if others:
        return
    hooks = [n.hooks_began() for n in stage.nodes]
    parts = []
    for i, (version, why, at_s) in enumerate(plan):
        raws = [found[i]["raw_us"] for found in records]
        late = [found[i]["at_us"] - at_s * 1e6 for found in records]
        clocks = [raw - by for raw, by in zip(raws, late)]  # where each one's second began
        parts.append(
            [(max(x) - min(x)) / 1000 for x in (raws, clocks, late)]
            + [(max(h[i] for h in hooks) - min(h[i] for h in hooks)) / 1000]
        )
        spread, apart, waking, hook = parts[-1]
        stage.say(
            f"     {i + 1:2}. {version} ({why}): spread {spread:.1f} ms (mesh times "
            f"{apart:.1f}, waking {waking:.1f}; hooks begin within {hook:.1f})"
        )
    stage.spreads_ms += [p[0] for p in parts]
    spread, apart, waking, hook = (max(p) for p in zip(*parts))
    stage.expect(
        f"{stage.count} nodes switched together, {len(plan)} times",
        spread <= SWITCHES_LIMIT_MS,
        f"spread at most {spread:.1f} ms (mesh times at most {apart:.1f}, waking {waking:.1f}; "
        f"hooks begin within {hook:.1f})",
    )
