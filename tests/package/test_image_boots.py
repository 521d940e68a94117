"""An image on a router with real daemons, from the signed release to what the next boot makes of
it; sysupgrade.sh stands for sysupgrade and procd."""

import os
import socket
import sys
import time

import pytest
from packing import ROOT
from test_boots import POWER_CUT
from test_kind_image import GOOD

from swdist.formats import ipc

sys.path.insert(0, str(ROOT / "tools"))
import ipk_const

BOARD = "linksys,wrt54gs"
WAIT_S = 2  # of swdist.storage.install, which waits a minute
STATE = "etc/swdist/state"
MINUTE = f"_WAIT_US = const({60 * 10**6})"


@pytest.fixture
def images(field, packages, tmp_path):
    """The field, whose router has sysupgrade and takes images."""
    router = field.router
    router.install(packages["swdist-install"])
    modules = router.root / "usr/lib/micropython/swdist"
    (modules / "install.mpy").unlink()
    source = ipk_const.device()["install"]
    assert MINUTE in source
    source = source.replace(MINUTE, f"_WAIT_US = const({WAIT_S * 10**6})")
    (modules / "install.py").write_text(source)
    sysupgrade = router.root / "bin/sysupgrade"
    text = (ROOT / "tests/package/sysupgrade.sh").read_text()
    sysupgrade.write_text(text.replace("SYSUPGRADE_S:-15", "SYSUPGRADE_S:-2"))
    sysupgrade.chmod(0o755)
    router.run(f"sed -i s/\\'test\\'/{BOARD}/ /etc/config/swdist")
    with open(router.root / "etc/config/swdist", "a") as config:
        config.write(f"\toption images_kb '4096'\n\toption state '/{STATE}'\n")
    field.home = STATE
    router.run("swdist restart")
    up(field)
    (tmp_path / "image").write_bytes(GOOD)
    field.offer = lambda: field.hand_in(
        "2.0.0", "--image", f"{tmp_path}/image@{BOARD}", "--window", "0s"
    )
    return field


def up(field):
    """It runs, and has found the time."""
    field.wait(lambda: field.status("switch"), "it is up")
    # What neighbours' clocks would tell the network side, and that the switch side.
    counter_us = time.monotonic_ns() // 1000
    told = ipc.pack_time(counter_us, time.time_ns() // 1000 - counter_us, 1000, True, 1)
    run = os.open(field.router.root / "var/run", os.O_RDONLY)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
        to.sendto(told, f"/proc/self/fd/{run}/swdist.sock")
    os.close(run)
    field.wait(lambda: field.status("switch")["synced"], "the time")


def boot(field, *kept):
    """The power goes and comes; where the flash was written, with what was kept of it."""
    router = field.router
    router.run(POWER_CUT, check=False)
    if kept:
        router.run(f"cd /{STATE} && rm -rf * && cd /tmp/backup && cp {' '.join(kept)} /{STATE}")
    router.run("swdist boot")
    up(field)


def begun(field, tries):
    text = field.state("flashing").split()
    return len(text) == 4 and text[2] == "." * tries


@pytest.mark.soak
def test_upgrade_that_succeeds_is_seen_by_the_next_boot_alone(images):
    router = images.router
    rid = images.offer()
    images.wait(lambda: (router.root / "tmp/rebooted").exists(), "the image is read")
    assert (router.root / "tmp/flashed").read_bytes() == GOOD
    assert router.run("cat /tmp/called").count("image\n") == 1
    assert images.state("failed") == "" and begun(images, 1)
    (router.root / "usr/lib/swdist/version").write_text("2.0.0\n")
    boot(images, "flashing", "lot")
    assert images.state("failed") == "" and images.state("flashing") == ""
    images.wait(lambda: images.status("switch")["active"]["version"] == "2.0.0", "the new image")
    assert images.status("switch")["failed"] == []
    # The same, but what has come is of another version.
    (router.root / "usr/lib/swdist/version").write_text("1.9.0\n")
    (router.root / STATE / "flashing").write_text(f"{rid} 2.0.0 . 0123456789abcdef\n")
    boot(images)
    why = "flashed, and the image here says it is 1.9.0"
    images.wait(lambda: images.status("switch")["why"] == [why], "the verdict")
    assert images.state("flashing") == ""


@pytest.mark.soak
def test_router_whose_upgrade_never_happens_ends_with_a_reason_and_stays_up(images):
    router = images.router
    (router.root / "tmp/never").write_text("")
    rid = images.offer()
    for tries in (1, 2, 3):
        images.wait(lambda n=tries: begun(images, n), f"try {tries}")
        images.wait(lambda: "sysupgrade has begun" in router.run("swdist log"), "no verdict")
        assert images.state("failed") == "" and images.status("switch")["failed"] == []
        boot(images)
    why = "sysupgrade has begun 3 times, and it is still the old image that runs"
    images.wait(lambda: images.state("failed") == f"{rid} {why}\n", "the verdict")
    images.wait(lambda: images.status("switch")["why"] == [why], "its status")
    assert images.state("flashing") == ""
    boot(images)
    time.sleep(5 * WAIT_S)  # a try would have come by then
    assert router.run("wc -l </tmp/called").strip() == "3"
    assert images.status("switch")["active"]["version"] == "1.0.0"
