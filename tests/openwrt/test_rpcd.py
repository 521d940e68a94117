"""`ubus call swdist status`: from the installation on, and whatever lies where the status should be."""

import json
import time

import pytest

from openwrt.node import Node

CALL = "ubus -t 5 call swdist status"
LOGIN = """
config login
	option username 'viewer'
	option password '$p$root'
	list read '%s'
"""


@pytest.fixture
def node(made, tmp_path):
    with Node(made, tmp_path, "utils") as node:
        node.up()
        yield node


def test_answers_at_once_after_installation_and_is_gone_after_removal(node):
    said = node.json(CALL)
    assert said["net"]["version"] == said["switch"]["active"]["version"] == "1.0.0"
    node.remove("swdist-utils")
    node.wait(f"! {CALL}", 10)
    node.run("/etc/init.d/swdist status")


def test_answers_null_when_nothing_runs(node):
    node.run("/etc/init.d/swdist stop")
    assert node.json(CALL) == {"net": None, "switch": None}


@pytest.mark.parametrize(
    "trap", ["mkfifo $f", "mkdir $f", "ln -s /dev/zero $f", "ln -s /etc/shadow $f"]
)
def test_what_the_network_side_leaves_there_neither_blocks_nor_leads_root_away(node, trap):
    node.run("/etc/init.d/swdist stop")
    node.run("f=/var/run/swdist/net.json; " + trap)
    began = time.monotonic()
    assert node.json(CALL)["net"] is None
    node.call("swdist status")
    assert time.monotonic() - began < 4
    assert not node.call("ls /var/run/swdist-*.[0-9]*")[1].startswith("/")


def test_acl_lets_those_read_it_who_may(node):
    node.run(
        "touch /etc/config/rpcd; cat >>/etc/config/rpcd", data=(LOGIN % "swdist-utils").encode()
    )
    node.run(
        "printf 'root:%s:0:0:99999:7:::\\n' >/tmp/shadow; /etc/init.d/rpcd restart; sleep 1; ubus -t 5 wait_for session"
    )
    acl = json.loads(node.run("cat /usr/share/rpcd/acl.d/swdist-utils.json"))
    assert acl["swdist-utils"]["read"]["ubus"] == {"swdist": ["status"]}
    session = node.json("ubus call session create")["ubus_rpc_session"]
    ask = '{"ubus_rpc_session":"%s","scope":"ubus","object":"swdist","function":"status"}' % session
    assert node.json(f"ubus call session access '{ask}'") == {"access": False}
    grant = '{"ubus_rpc_session":"%s","scope":"ubus","objects":[["swdist","status"]]}' % session
    node.run(f"ubus call session grant '{grant}'")
    assert node.json(f"ubus call session access '{ask}'") == {"access": True}
