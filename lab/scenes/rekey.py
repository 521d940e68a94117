"""The CA's keys change twice while one node sleeps; then a thief signs with the first."""

import shutil
import time

from lab.namespaces import acts
from lab.namespaces.stage import FORGER, REPLAYER, TAMPERER
from swdist_host import ca, keys, release

DOOR = "demo"


def play(stage):
    acts.boot(stage)
    acts.stable(stage)
    rekey(stage)


def rekey(stage):
    stolen = stage.key
    laptop = ca.load(shutil.copytree(stage.ca, stage.folder / "laptop-ca"))
    stage.laptop_ca = laptop.path
    kept = [release.load(stage.folder / "1.1.0.swd").rid]
    for n in (1, 2):
        key = keys.generate()
        swd = release.build_keys(laptop.trust, [key.public], 1, kept)
        swd = release.sign(release.sign(swd, stage.key), key)
        release.save(swd, stage.folder / f"0.0.{n}.swd")
        laptop.adopt(swd)
        stage.key = key
        rid = stage.seed(stage.folder / f"0.0.{n}.swd")
        stage.say(f"the laptop seeds 0.0.{n} ({rid[:8]}), a new key in the place of the last")
        began = time.monotonic()
        stage.wait(f"has 0.0.{n}", 30, lambda x, n=n: x.release(f"0.0.{n}").get("complete"),
                  stage.early)  # fmt: skip
        stage.expect(f"all {len(stage.early)} nodes have the key set 0.0.{n}", True,
                    f"{time.monotonic() - began:.1f} s after it was offered")  # fmt: skip
    thieve(stage, stolen, laptop.trust)
    start_s = int(time.time()) + stage.lead_s
    rid = stage.seed(stage.release("1.2.0", start_s))
    stage.say(f"the laptop seeds 1.2.0 ({rid[:8]}), signed by the newest key alone")
    acts.spread(stage, stage.early, "1.2.0", start_s)
    stage.laptop.stop()
    stage.laptop.processes = []
    stage.say("the laptop goes")
    acts.latecomer(stage, "1.2.0")
    held = [stage.late.release(v).get("complete") for v in ("0.0.1", "0.0.2")]
    blamed = [line for line in stage.late.log().splitlines() if ": refused " in line]
    stage.expect(f"{stage.late.name} went through both changes, and blames nobody",
                all(held) and not blamed, " ".join(blamed[:1]))  # fmt: skip
    stage.wait("has all of 1.1.0", 20, lambda n: n.release("1.1.0").get("complete"), stage.nodes)
    stage.expect("1.1.0, which only the first key has signed, is kept by all", True)
    ran = {n.name: [r["to"] for r in n.switches()] for n in stage.early}
    others = [name for name, found in ran.items() if found != ["1.1.0-r0", "1.2.0-r0"]]
    stage.expect("no node switched to anything else", not others, " ".join(others))


def thieve(stage, stolen, trust):
    """Who has stolen the first key signs what he can think of: a release, and key sets."""
    past_s = int(time.time()) - 3600
    founding = ca.load(stage.ca).trust
    lies = [stage.release("6.6.6", past_s, key=stolen, size=5000)]
    for name, after in (("first", founding), ("next", trust)):
        his = keys.generate()
        swd = release.build_keys(after, [his.public], 1)
        lies.append(stage.folder / f"thief-{name}.swd")
        release.save(release.sign(release.sign(swd, stolen), his), lies[-1])
    stage.say("a thief has the first key. Three strangers offer what it has signed: 6.6.6, another")
    stage.say("0.0.1, and a 0.0.3")
    for name, lie in zip((FORGER, TAMPERER, REPLAYER), lies):
        stage.hostile(name, [lie])
    rids = {release.load(lie).rid.hex(): lie.stem for lie in lies}
    first, fork, following = rids

    def refused(rid):
        lines = stage.refusals("signatures: 0 of the 1 needed")
        return any(rid[:8] in line for line in lines)

    for rid in (first, following):
        stage.wait(f"{rids[rid]} is refused", 30, lambda r=rid: refused(r))
    forger, liar, _ = stage.others[-3:]
    stage.wait("the other 0.0.1 is offered", 30, lambda: liar.net().get("tx_datagrams", 0) > 20)
    stage.expect("the other 0.0.1, of a version that all have, is not even asked for",
                f"asked for 1/{first}" in forger.log()
                and f"asked for 1/{fork}" not in liar.log())  # fmt: skip
    stored = [f"{n.name} {name}" for n in stage.nodes for rid, name in rids.items()
              if n.on_flash(rid)]  # fmt: skip
    stage.expect("what the stolen key alone has signed is refused, and on no node's flash",
                not stored, " ".join(stored))  # fmt: skip
