"""What sysupgrade keeps, and what comes back."""

import pytest

from openwrt.node import Node

STATE = "/etc/swdist"
KEPT = (
    "/etc/config/swdist",
    "/etc/swdist/ca/network",
    "/etc/swdist/ca/hand-made",
    "/usr/lib/swdist/hooks/confirm.d/10-mine",
    f"{STATE}/state/lot",
    f"{STATE}/store/time",
    f"{STATE}/store/releases/abc/manifest",
)
LOST = (f"{STATE}/store/payloads/x/chunks", "/usr/lib/micropython/swdist/netd.mpy")


@pytest.fixture
def kept(made, tmp_path):
    with Node(made, tmp_path) as node:
        node.up()
        for path in KEPT + LOST:
            node.run(f"mkdir -p $(dirname {path}); [ -e {path} ] || echo mine >{path}")
        yield node


def test_list_has_ours_and_no_payload(kept):
    listed = kept.run("sysupgrade -l").splitlines()
    assert set(KEPT) <= set(listed)
    assert not set(LOST) & set(listed)


def test_backup_brings_them_back(kept):
    kept.run("/etc/init.d/swdist stop; sysupgrade -b /tmp/b.tgz")
    kept.run("rm -rf /etc/swdist /usr/lib/swdist/hooks; sysupgrade -r /tmp/b.tgz")
    for path in KEPT:
        kept.run(f"[ -s {path} ]")
