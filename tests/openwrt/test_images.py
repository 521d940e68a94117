"""Releases that are images, through the real sysupgrade, up to what it writes on a disk image."""

import pytest

from openwrt.router import BOARD, ROOT_SECTORS, SECTOR, disk, wait_for

OPTIONS = ("images_kb=16384",)
LIMIT_S = 300  # a minute's wait, up to a minute of window, and what sysupgrade takes
NEVER = "#!/bin/sh\n# stage2 copies what it needs by asking for libraries; where that fails nothing comes of it\nexit 1\n"


def second_partition(path):
    data = path.read_bytes()
    return data[ROOT_SECTORS[0] * SECTOR :][:8].rstrip(b"\0").decode()


@pytest.fixture
def flash(tmp_path):
    return disk(tmp_path / "flash.img", "old")


def image_release(made, path):
    return made.release("2.0.0", "--image", f"{path}@{BOARD}", "--window", "1m")


def test_image_is_written_and_what_keep_d_names_comes_back(made, mesh, tmp_path, flash):
    mesh.add(tmp_path)  # alone it knows no time
    node = mesh.add(tmp_path, "install", options=OPTIONS, disk=flash)
    node.run(
        "mkdir -p /usr/lib/swdist/hooks/confirm.d; echo true >/usr/lib/swdist/hooks/confirm.d/10; touch /etc/lost"
    )
    mesh.hand_in(image_release(made, disk(tmp_path / "new.img", "new")))
    wait_for(lambda: node.boots == 2, "the boot after the upgrade", LIMIT_S)
    node.wait_up(2)
    assert second_partition(flash) == "new"
    node.run(
        "[ -s /usr/lib/swdist/hooks/confirm.d/10 ] && [ -s /etc/swdist/state/flashing ] && [ ! -e /etc/lost ]"
    )


def no_image(node, path):
    path.write_bytes(bytes(i * i % 251 for i in range(30000)))


def described(text):
    """An image with such metadata, by the router's own tool."""

    def make(node, path):
        node.put(disk(path, "new"), "/tmp/image")
        node.run("cat >/tmp/about && fwtool -I /tmp/about /tmp/image", data=text.encode())
        path.write_bytes(node.get("/tmp/image"))
        node.run("rm /tmp/image /tmp/about")

    return make


ANOTHER = '{"supported_devices":["linksys,wrt54gs"]}'
TOO_NEW = '{"compat_version":"2.0","new_supported_devices":["%s"],"supported_devices":[]}' % BOARD


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (no_image, "Invalid image type"),
        (described(ANOTHER), f"Device {BOARD} not supported by this image; Supported devices"),
        (described(TOO_NEW), "supported, but this image is incompatible for sysupgrade"),
    ],
    ids=["no image", "for another board", "of another compat_version"],
)  # fmt: skip
def test_refusal_keeps_its_reason(made, mesh, tmp_path, flash, make, reason):
    mesh.add(tmp_path)  # alone it knows no time
    node = mesh.add(tmp_path, "install", options=OPTIONS, disk=flash)
    make(node, tmp_path / "bad.img")
    mesh.hand_in(image_release(made, tmp_path / "bad.img"))
    why = str(node.fails(LIMIT_S))
    assert "sysupgrade refuses it" in why and reason in why and "Image check" not in why
    assert node.boots == 1 and second_partition(flash) == "old"
    node.run("/etc/init.d/swdist status")


@pytest.mark.soak
def test_upgrade_that_never_happens_ends_failed_and_stays_up(made, mesh, tmp_path, flash):
    mesh.add(tmp_path)  # alone it knows no time
    node = mesh.add(tmp_path, "install", options=OPTIONS, disk=flash, files={"/usr/bin/ldd": NEVER})
    mesh.hand_in(image_release(made, disk(tmp_path / "new.img", "new")))
    for n in range(1, 4):
        wait_for(lambda: node.call("pidof ubusd")[0] != 0, f"upgrade {n} to begin", LIMIT_S)
        node.cut_power()
    node.up()
    assert "3 times" in str(node.fails(30))
    assert second_partition(flash) == "old" and node.boots == 4
