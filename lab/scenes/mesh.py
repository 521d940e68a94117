"""A release for two boards of three, an experiment and its end, while three strangers try their
best."""

import os
import time

from lab.namespaces import acts
from lab.namespaces.stage import FORGER, REPLAYER, TAMPERER
from swdist_host import keys, release

DOOR = "demo"
# By turns, and one in their midst that no release is for.
ALPHA, BETA, GAMMA = "alpha", "beta", "gamma"
RELAY_S = 15  # more for a release to spread, where nodes fetch for others what is not for them
EXPERIMENT_S = 12


def cast(stage):
    count = stage.count
    late = count * 2 // 3
    # Who is behind the one that is off gets it from the other side.
    boards = {i: (ALPHA, BETA)[(i + (i > late and i % 2 == late % 2)) % 2] for i in range(count)}
    boards[max(count // 3, 1)] = GAMMA
    stage.boards = (ALPHA, BETA)
    stage.lead_s += RELAY_S
    stage.grid(boards)


def play(stage):
    acts.boot(stage)
    judge_boards(stage, acts.stable(stage))
    acts.latecomer(stage)
    forged_rid = experiment(stage)
    judge_attack(stage, forged_rid)


def judge_boards(stage, path):
    """Each node has the payload of its board; the one that has none has relayed."""
    sizes = {p.boards[0]: (p.pid.hex(), p.stored) for p in release.load(path).parsed.payloads}
    wrong = [n.name for n in stage.takers(stage.early) if not n.holds(*sizes[n.board])]
    found = [f"{sum(n.board == b for n in stage.early)} of {b}" for b in sizes]
    stage.expect("each node has the payload of its own board", not wrong, ", ".join(found))
    other = next(n for n in stage.nodes if n.board == GAMMA)
    said = other.release("1.1.0")
    stage.expect(
        f"{other.name}, of {GAMMA}, says that 1.1.0 is not for it, and runs on",
        said and not said["fits"] and other.active() == "1.0.0" and not other.switches(),
    )
    relayed = [board for board, held in sizes.items() if other.holds(*held)]
    stage.expect(f"{other.name} has fetched for others what they could not get elsewhere",
                relayed, f"the payload of {' and '.join(relayed)}")  # fmt: skip


def experiment(stage):
    lead_s = stage.lead_s + 3
    start_s = int(time.time()) + lead_s
    end_s = start_s + EXPERIMENT_S
    path = stage.release("1.2.0", start_s, end_s, boards=stage.boards)
    forged_rid = attack(stage, path)
    rid = stage.seed(path)
    stage.say(f"the laptop seeds the experimental 1.2.0 ({rid[:8]}), to run for {EXPERIMENT_S} s")
    acts.spread(stage, stage.nodes, "1.2.0", start_s)
    stage.wait("is back on 1.1.0", 30, lambda n: n.active() == "1.1.0", stage.takers())
    acts.together(stage, stage.takers(), "1.1.0", "end", end_s)
    return forged_rid


def attack(stage, true_path):
    past_s = int(time.time()) - 3600
    liar = keys.SecretKey(stage.key.key_id, os.urandom(32))
    forged = stage.release("6.6.6", past_s, key=liar, size=5000)
    replayed = stage.release("1.0.5", past_s, size=5000, signed_at_s=past_s, boards=stage.boards)
    stage.say("three strangers come. One offers 6.6.6, signed by a key that poses as the CA's;")
    stage.say("one 1.2.0 with a changed byte in each chunk; one the true, but old 1.0.5")
    # One lie each: a neighbour caught lying is not asked again for a while, and a second lie
    # from the same one would never be tried.
    stage.hostile(FORGER, [forged])
    stage.hostile(TAMPERER, ["--tamper", true_path])
    stage.hostile(REPLAYER, [replayed])
    # That nothing came of it is worth something only if it was tried: each lie is seen to
    # arrive, before a true copy of 1.2.0 can be had elsewhere.
    stage.wait("a forged signature is refused", 20, lambda: stage.refusals("signature"))
    stage.wait("a changed chunk is refused", 20, lambda: stage.refusals("digest"))
    stage.wait("the replayed 1.0.5 has come to a node", 20, lambda: holders_of_replay(stage))
    return release.load(forged).rid.hex()


def holders_of_replay(stage):
    return [n.name for n in stage.nodes if n.release("1.0.5")]


def judge_attack(stage, forged_rid):
    forged = stage.refusals("signature")
    tampered = stage.refusals("digest")
    for line in forged[:1] + tampered[:1]:
        stage.say(f"     {line.partition(': ')[2]}")
    stage.expect("the forged release was refused", forged, f"{len(forged)} times")
    stage.expect("the changed chunk was refused", tampered, f"{len(tampered)} times")
    stored = [n.name for n in stage.nodes if n.on_flash(forged_rid)]
    stage.expect("nobody has anything of the forged release on flash", not stored,
                " ".join(stored))  # fmt: skip
    holders = holders_of_replay(stage)
    ran = {n.name: [r["to"] for r in n.switches()] for n in stage.nodes}
    downgraded = [name for name, found in ran.items() if "1.0.5-r0" in found]
    stage.expect("the replayed 1.0.5 was taken for what it is, and never ran",
                holders and not downgraded, f"held by {len(holders)} nodes")  # fmt: skip
    story = ["1.1.0-r0", "1.2.0-r0", "1.1.0-r0"]
    others = [n.name for n in stage.takers() if ran[n.name] != story]
    stage.expect("each node switched to 1.1.0, 1.2.0 and back, and to nothing else",
                not others, " ".join(others))  # fmt: skip
    others = [n.name for n in stage.takers() if n.hook_runs() != ["1.1.0", "1.2.0", "1.1.0"]]
    stage.expect("each release's own hook says the same", not others, " ".join(others))
