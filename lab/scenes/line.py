"""Four routers, from the packages to an experiment and back: a release comes while the power of one
is cut in mid-write, and a new router comes late."""

import json
import time

from lab.emulated.stage import INSTALLED, STATE, STORE, Setting, ms

DOOR = "lab"
SETTING = Setting()
FLASH_BUDGET_KIB = 1024


def play(stage):
    first, second, third, late = stage.routers
    early = [first, second, third]
    before = {router: stage.install(router) for router in early}
    stage.flash(first, INSTALLED)
    stage.synced(early)
    stage.memory(first, before[first], INSTALLED)

    stage.say("a release, from the host at one end; then power off in mid-write")
    since = time.monotonic()
    whole = stage.inject("1.1.0", stage.setting.start_s)
    size = cut_in_mid_write(second)
    stage.expect("r2 was cut while it wrote", 0 < size < whole, f"{size} of {whole} bytes")
    stage.say(f"r2 is off, the release begins in {stage.start - time.monotonic():.0f} s")
    time.sleep(3)
    second.start()
    stage.counters.pop(second)  # it begins anew
    stage.say(f"r2 is up again after {second.up():.1f} s")
    stage.until("r1, r2, r3 have it unpacked", 200, lambda: all(map(slots, early)))
    left = stage.start - time.monotonic()
    stage.expect("before it begins", left > 0, f"{left:.0f} s to go")
    stage.switched(early, "1.1.0", since, left + 60)
    stage.unseed()

    stage.say("a fourth router, new, behind the third; nobody seeds any more")
    since = time.monotonic()
    stage.install(late)
    stage.switched([late], "1.1.0", since, 300)

    stage.say("an experiment with what has changed since, and back")
    stage.flash(first, "after one release")
    since = time.monotonic()
    stage.inject("1.2.0", 75, 120)
    stage.switched(stage.routers, "1.2.0", since, 140)
    used = stage.flash(first, "after two releases")
    stage.expect("two releases within 1 MiB of jffs2", used <= FLASH_BUDGET_KIB, f"{used} KiB")
    stage.switched(stage.routers, "1.1.0", time.monotonic(), 120)
    for router in stage.routers:
        net = json.loads(router.run("cat /var/run/swdist/net.json"))
        ahead = [n["ahead_us"] for n in net["neighbours"] if n["ahead_us"] is not None]
        seen = ", ".join(ms(a / 1e6) for a in ahead)
        stage.figure(f"{router.name} sees its neighbours' clocks ahead by", seen)
    stage.memory(first, before[first], "at the end")
    for router in stage.routers:
        log = router.run("logread | grep -e swdist- -e ' lab: ' | grep -v daemon.info || true")
        log = log.rpartition("lab: configured")[2].strip()
        stage.expect(f"{router.name} has nothing to complain of", not log, log)
    stage.page(first, before[first])


def slots(router):
    """How many releases are unpacked."""
    return int(router.run(f"ls {STATE}/slots | grep -vc '[.]' || true"))


def cut_in_mid_write(router):
    """Cuts the power as soon as a part of a payload is on flash; how many bytes that was."""
    written = f"find {STORE} -name payload -exec cat {{}} + | wc -c"
    end = time.monotonic() + 120
    while (size := int(router.run(written))) == 0 and time.monotonic() < end:
        time.sleep(0.1)
    router.kill()
    return size
