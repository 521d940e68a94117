"""The view of luci-app-swdist in Chromium, on a stand-in of what it asks of LuCI (luci.html). What
ubus answers is recorded from a real rpcd (rpcd.json; see tests/openwrt/test_rpcd.py)."""

import ast
import json
import re
from pathlib import Path

import pytest
from documents import IMG, SCRIPT
from played import PICTURES, ROOT

from swdist.wiring import config

HERE = Path(__file__).parent
FILES = ROOT / "files"
ACL = json.loads((FILES / "usr/share/rpcd/acl.d/luci-app-swdist.json").read_text())
MENU = json.loads((FILES / "usr/share/luci/menu.d/luci-app-swdist.json").read_text())
RECORDED = json.loads((HERE / "rpcd.json").read_text())
CONFIG = (ROOT / "src/swdist/wiring/config.py").read_text()


@pytest.fixture
def view(said, browser):
    """view(answer): the view as it shows that answer of `ubus call swdist page`."""

    def shown(answer):
        (said.web.www / "swdist.page").write_text(json.dumps(answer))
        (said.web.www / "luci.html").write_bytes((HERE / "luci.html").read_bytes())
        browser.open(said.web.url + "/luci.html", ready="noted.done")
        assert browser.said == [] and browser.run("noted.unknown") == []
        return browser.text()

    shown.file = said.web.www / "swdist.page"
    return shown


@pytest.mark.slow
def test_what_a_real_rpcd_answers_is_shown(view, browser):
    text = view(RECORDED)
    assert "clock not synchronised" in text
    (row,), (near,) = RECORDED["mesh"]["rows"], RECORDED["neighbours"]
    assert f"{row['name']}; {row['board']}; mesh time" in text and near["address"] in text
    assert "1 node heard of; 1.2.0-r0: 1 clock not synchronised" in text and "100 %" in text
    assert "Runs 1.1.0-r0; 1.2.0-r0 in 35" in text
    for line in RECORDED["trouble"]:
        assert line in text


@pytest.mark.slow
def test_crowd_is_shown_and_what_strangers_write_stays_text(view, said, browser):
    text = view(said.document)
    browser.picture(PICTURES / "luci.png")
    assert "Runs 1.3.0-r0; 1.4.0-r0 in 93784s" in text and "fetching 57 %" in text
    assert f"no room: {IMG}" in text and f"failed here: {SCRIPT}" in text and SCRIPT in text
    assert (
        "sends to here" in text
        and "fetches from here" in text
        and "(older)" in text
        and "(newer)" in text
        and "302 nodes heard of; 1.4.0-r0: " in text
        and "1 silent since " in text
    )
    assert f"{said.document['board']}; mesh time " in text and "clock error 35 ms" in text
    for row in said.document["mesh"]["rows"][:5]:
        assert row["name"] in text and row["state"] in text and f"{row['age_s']}s ago" in text
    assert "the one before had failed" in text
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.querySelectorAll('th:not([scope])').length") == 0


@pytest.mark.slow
def test_it_asks_again_and_says_what_is_wrong(view, said, browser):
    view(RECORDED)
    assert browser.run("noted.polled[0][1]") == 10
    view.file.write_text(json.dumps({"trouble": ["net.json says nothing: is swdist running?"]}))
    browser.run("noted.polled[0][0]()")
    assert "is swdist running?" in browser.text() and "Runs" not in browser.text()
    view.file.unlink()
    browser.run("noted.polled[0][0]()")
    assert "The node does not answer: RPC call failed" in browser.text()


@pytest.mark.slow
def test_it_may_call_what_it_calls_and_nothing_else(view, browser):
    view(RECORDED)
    calls = {tuple(call) for call in browser.run("noted.calls")}
    (group,) = ACL
    ubus = ACL[group]["read"]["ubus"]
    assert calls == {(name, method) for name, methods in ubus.items() for method in methods}
    config = browser.run("noted.config")
    assert ACL[group]["read"] == {"ubus": ubus, "uci": [config]}
    assert ACL[group]["write"] == {"uci": [config]}
    (entry,) = MENU.values()
    assert entry["depends"] == {"acl": [group], "uci": {config: True}}
    path = entry["action"]["path"]
    assert (FILES / f"www/luci-static/resources/view/{path}.js").exists()


def known(table):
    return ast.literal_eval(re.search(rf"^{table} = (\{{.*?^\}})", CONFIG, re.M | re.S)[1])


@pytest.mark.slow
def test_settings_are_those_of_the_configuration_with_its_bounds(view, browser):
    view(RECORDED)
    assert browser.run("noted.section") == ["NamedSection", "node", "swdist"]
    assert "config swdist 'node'" in (FILES / "etc/config/swdist").read_text()
    options = browser.run("JSON.parse(JSON.stringify(noted.options))")
    numbers, words = known("_NUMBERS"), known("_WORDS")
    assert set(numbers) <= set(options) and set(words) - set(options) == {"log"}
    for name, (usual, lowest, highest) in numbers.items():
        o = options.pop(name)
        if o["kind"] == "Value":
            assert (o["placeholder"], o["datatype"]) == (usual, f"range({lowest},{highest})")
        else:
            assert o["kind"] == "Flag" and (usual, lowest, highest) == (0, 0, 1)
    for name in words.keys() & options.keys():
        o = options.pop(name)
        assert {word for word, _ in o["words"]} == set(words[name])
        assert o["kind"] == "ListValue" and o["default"] == words[name][0]
    assert {name: o["kind"] for name, o in options.items()} == {
        "interface": "DynamicList", "group": "DynamicList", "board": "Value", "rendezvous": "Value",
    }  # fmt: skip


TYPED = {
    "interface": ("br-mesh", "mesh0.7", "a" * 15, "a" * 16, "br mesh", "..", "br/mesh", "brücke"),
    "rendezvous": ("rescue0", ".", "a" * 16, "wlan0:1"),
    "group": ("testers", "a" * 32, "a" * 33, "Testers", "a b"),
    "board": ("tplink,wr841", "ä" * 64, "a" * 64, "a" * 65, "two words"),
    "beacon_ms": ("0", "1", "199", "200", "1000", "60000", "60001", "00", "0200", "1e3"),
    "tftp_port": ("1023", "1024", "65535", "65536", "2e3", "0x7000", "2000.5", "-1"),
}


@pytest.mark.slow
def test_it_lets_save_what_the_daemons_take_and_nothing_else(view, browser):
    view(RECORDED)
    for name, values in TYPED.items():
        for value in values:
            given = [value] if name in ("interface", "group") else value
            wrong = config._take(config.Config(), name, given, None)
            may = browser.run(f"noted.takes({json.dumps(name)}, {json.dumps(value)})")
            assert may == (wrong is None), (name, value, wrong)
