"""The page's document, as the web server of a router would run its script."""

import json

import pytest

from openwrt.node import Node

SCRIPT = "env -i PATH=$PATH QUERY_STRING=%s /www/cgi-bin/swdist"


@pytest.fixture
def node(made, tmp_path):
    with Node(made, tmp_path, "utils", "page") as node:
        node.up()
        yield node


def answer(node, query=""):
    head, _, body = node.run(SCRIPT % query).replace("\r", "").partition("\n\n")
    return head.splitlines()[0], body


def test_script_answers_anew_after_five_seconds_and_takes_nothing_from_who_asks(node):
    kind, body = answer(node)
    said = json.loads(body)
    assert kind == "Content-Type: application/json; charset=utf-8"
    assert said["active"]["version"] == "1.0.0" and said["name"] == node.run("uname -n")
    node.run("/etc/init.d/swdist stop")
    assert answer(node)[1] == body
    node.run("sleep 5")
    assert "is swdist running?" in json.loads(answer(node)[1])["trouble"][0]
    kind, body = answer(node, "text")
    assert kind == "Content-Type: text/plain; charset=utf-8" and "not running" in body
    assert json.loads(answer(node, "'text;id'")[1])["trouble"]
    node.remove("swdist-page")
    node.run("! ls /www/swdist/index.html /www/cgi-bin/swdist 2>/dev/null")
