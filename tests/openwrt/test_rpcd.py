"""`ubus call swdist status`: from the installation on, and whatever lies where the status should be."""

import json
import time
from pathlib import Path

import pytest

from openwrt.node import Node
from openwrt.router import wait_for

ROOT = Path(__file__).resolve().parents[2]
CALL = "ubus -t 5 call swdist status"
RECORD = ROOT / "build/page/rpcd.json"
BY_NAME = ("names", "words")  # whose keys are releases, and words for how they stand
PAGE = "ubus -t 20 call swdist page"
# Without a password of root's, as an OpenWrt comes.
LOGIN = """
config login
	option username '%s'
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


def test_page_comes_through_rpcd_as_the_command_says_it(node):
    said = node.json(PAGE)
    assert said["name"] == node.run("uname -n") and said["active"]["version"] == "1.0.0"
    typed = node.json("swdist page")
    for changing in ("mesh_time", "mesh", "error_us", "synced", "trouble"):
        said.pop(changing), typed.pop(changing)
    assert said == typed
    node.run("/etc/init.d/swdist stop")
    assert "is swdist running?" in node.json(PAGE)["trouble"][0]


def test_page_of_a_node_amid_a_release_has_the_form_of_the_recorded_one(made, mesh, tmp_path):
    """The view of luci-app-swdist is tested with such an answer, tests/page/rpcd.json: to record another, copy
    build/page/rpcd.json."""
    tree = made.folder / "tree"
    tree.mkdir(exist_ok=True)
    (tree / "file").write_text("tree")
    one = mesh.add(tmp_path, "utils")
    mesh.add(tmp_path)
    for version, start in (("1.1.0", "now"), ("1.2.0", "+1h")):
        one.put(made.release(version, "--payload", tree, start=start), "/tmp/r.swd")
        one.run("swdist inject /tmp/r.swd")
        one.runs("1.1.0")

    def whole():
        said = one.json(PAGE)
        RECORD.write_text(json.dumps(said, indent=1) + "\n")
        return said["next"] and said["neighbours"] and said["mesh"]["rows"] and said

    RECORD.parent.mkdir(parents=True, exist_ok=True)
    said = wait_for(whole, "a row, a neighbour and what comes next", 90)
    assert form(said) == form(json.loads((ROOT / "tests/page/rpcd.json").read_text()))


def form(said):
    """Its keys; of lists, each form of what has keys in them."""
    if isinstance(said, dict):
        return {key: form(value) for key, value in said.items() if key not in BY_NAME}
    if isinstance(said, list):
        return sorted({json.dumps(form(v), sort_keys=True) for v in said if isinstance(v, dict)})
    return None


def test_view_may_ask_what_it_asks_and_set_what_it_sets(node):
    """The ACL of luci-app-swdist, by rpcd's own word: it reads it when the package comes."""
    node.run("cat >/etc/config/rpcd", data=(LOGIN % ("viewer", "luci-app-swdist")).encode())
    node.install(*node.made.luci())
    node.run("sleep 1; ubus -t 5 wait_for session")
    login = json.dumps({"username": "viewer", "password": ""})
    session = node.json(f"ubus call session login '{login}'")["ubus_rpc_session"]

    def may(scope, what, function):
        ask = {"ubus_rpc_session": session, "scope": scope, "object": what, "function": function}
        return node.json(f"ubus call session access '{json.dumps(ask)}'")["access"]

    assert may("ubus", "swdist", "page") and may("uci", "swdist", "read")
    assert not may("ubus", "swdist", "status") and not may("uci", "network", "read")
    assert not may("uci", "swdist", "write")  # that takes `list write` as well


@pytest.mark.parametrize(("role", "may"), [("swdist-utils", True), ("unauthenticated", False)])
def test_a_login_may_read_it_by_its_role_alone(node, role, may):
    """What uhttpd and LuCI ask rpcd before they pass a call on."""
    node.run("cat >/etc/config/rpcd", data=(LOGIN % ("viewer", role)).encode())
    node.run("/etc/init.d/rpcd restart; sleep 1; ubus -t 5 wait_for session")
    login = json.dumps({"username": "viewer", "password": ""})
    session = node.json(f"ubus call session login '{login}'")
    ask = {"ubus_rpc_session": session["ubus_rpc_session"], "scope": "ubus", "object": "swdist"}
    for function, answer in (("status", may), ("other", False)):
        said = node.json(f"ubus call session access '{json.dumps({**ask, 'function': function})}'")
        assert said == {"access": answer}
    assert ("swdist-utils" in session["acls"]["access-group"]) == may
    login = json.dumps({"username": "stranger", "password": ""})
    assert "denied" in node.call(f"ubus call session login '{login}'")[1]
