"""What the releases of a public package take of flash and memory; with --old what they take by
another revision of this repository, and ours over theirs."""

import time

from lab.emulated.stage import INSTALLED, STATE, Setting

DOOR = "lab"
# The point releases of a package of shell scripts, 1.8 MB, by names of bench/bytes.py.
SCRIPTS = {
    "1.1.0": "diskimage-builder==3.29.0",
    "1.2.0": "diskimage-builder==3.30.0",
    "1.3.0": "diskimage-builder==3.31.0",
}
SETTING = Setting(routers=2, data_kib=5120, quota_kib=8192, trees=SCRIPTS)


def play(stage):
    first = stage.routers[0]
    before = {router: stage.install(router) for router in stage.routers}
    stage.flash(first, INSTALLED)
    stage.synced(stage.routers)
    stage.memory(first, before[first], INSTALLED)
    for version, when in (("1.1.0", "after one release"), ("1.2.0", "after two releases")):
        take(stage, version)
        stage.until("it is confirmed", 300, lambda: all(map(confirmed, stage.routers)))
        stage.flash(first, when)
        stage.memory(first, before[first], when)
    take(stage, "1.3.0", 600)
    stage.flash(first, "while a third is tried")
    stage.memory(first, before[first], "while a third is tried")


def confirmed(router):
    """Does what runs stay, and has all else that was unpacked been removed?"""
    same = router.run(f"cmp -s {STATE}/active {STATE}/confirmed && echo same || true")
    return same and router.run(f"ls {STATE}/slots | wc -l") == "1"


def take(stage, version, end_s=None):
    """A release that begins when it is there, on all routers."""
    since = time.monotonic()
    before = stage.wires.bytes
    whole = stage.inject(version, 0, end_s)
    stage.say(f"release {version}, {whole} bytes")
    stage.until(
        f"all switch to {version}", 900,
        lambda: all(stage.said(r, version, since) for r in stage.routers),
    )  # fmt: skip
    sent = (stage.wires.bytes - before) // 1024
    stage.used[f"on both links for {version}"] = sent
    stage.figure(f"on both links for {version}", f"{sent} KiB")
    stage.unseed()
