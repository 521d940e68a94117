"""Settings as LuCI writes them: by rpcd's calls, with a session that has the package's ACL and nothing else."""

import json

import pytest

from openwrt.node import Node
from openwrt.router import wait_for
from openwrt.test_rpcd import LOGIN

ROLE = "luci-app-swdist"


@pytest.fixture
def node(made, tmp_path):
    with Node(made, tmp_path, "utils") as node:
        node.up()
        login = LOGIN % ("owner", ROLE) + f"\tlist write '{ROLE}'\n"
        node.run("cat >/etc/config/rpcd", data=login.encode())
        node.install(*node.made.luci())
        node.run("sleep 1; ubus -t 5 wait_for session")
        words = json.dumps({"username": "owner", "password": ""})
        node.session = node.json(f"ubus call session login '{words}'")["ubus_rpc_session"]
        yield node


def uci(node, method, **words):
    """What rpcd's uci says to the session: (exit status of ubus, text)."""
    words["ubus_rpc_session"] = node.session
    return node.call(f"ubus call uci {method} '{json.dumps(words)}'")


def save_and_apply(node, **values):
    """As LuCI's button does: set, apply with a way back, and confirm."""
    assert uci(node, "set", config="swdist", section="node", values=values)[0] == 0
    assert uci(node, "apply", rollback=True, timeout=30)[0] == 0
    assert uci(node, "confirm")[0] == 0


def test_what_is_saved_is_obeyed_by_new_daemons(node):
    before = set(node.daemons().values())
    save_and_apply(node, hold="1", group=["testers", "roofs"], boot_horizon_s="600")
    wait_for(lambda: len(now := set(node.daemons().values())) == 2 and not now & before, "others")
    node.up()
    assert node.switch()["hold"] is True and node.json("swdist page")["hold"] is True
    text = node.run("cat /etc/config/swdist")
    assert "list group 'roofs'" in text and "option boot_horizon_s '600'" in text
    assert node.call("swdist check")[0] == 0
    save_and_apply(node, hold="0")
    node.wait("swdist page | grep -q '\"hold\": *false'", 30)


def test_session_sets_nothing_else(node):
    said = uci(node, "set", config="network", section="mesh", values={"proto": "none"})
    assert "Permission denied" in said[1]
    assert node.run("uci get network.mesh.proto") == "static"
