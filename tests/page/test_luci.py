"""The view of luci-app-swdist in Chromium, on a stand-in of what it asks of LuCI (luci.html). What
ubus answers is recorded from a real rpcd (rpcd.json; see tests/openwrt/test_rpcd.py)."""

import ast
import json
import re
from pathlib import Path

import pytest
from documents import IMG, SCRIPT
from played import PICTURES, ROOT

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
    assert "Runs 1.0.0-r0" in text and "None is held" in text and "nodes heard of" in text
    for line in RECORDED["trouble"]:
        assert line in text


@pytest.mark.slow
def test_crowd_is_shown_and_what_strangers_write_stays_text(view, said, browser):
    text = view(said.document)
    browser.picture(PICTURES / "luci.png")
    assert "Runs 1.3.0-r0; 1.4.0-r0 in 93784s" in text and "fetching 57 %" in text
    assert f"no room: {IMG}" in text and f"failed here: {SCRIPT}" in text and SCRIPT in text
    assert (
        "sends to here" in text and "302 nodes heard of; 1.4.0-r0: " in text and "1 silent" in text
    )
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


@pytest.mark.slow
def test_settings_are_those_of_the_configuration_with_its_bounds(view, browser):
    view(RECORDED)
    assert browser.run("noted.section") == ["NamedSection", "node", "swdist"]
    assert "config swdist 'node'" in (FILES / "etc/config/swdist").read_text()
    options = browser.run(
        "Object.fromEntries(Object.entries(noted.options).map(([name, o]) => [name, o]))"
    )
    for table in ("_NUMBERS", "_WORDS"):
        known = ast.literal_eval(re.search(rf"^{table} = (\{{.*?^\}})", CONFIG, re.M | re.S)[1])
        for name, values in known.items():
            o = options.pop(name, None)
            if o is None:
                continue
            if o["kind"] == "Value":
                usual, lowest, highest = values
                assert (o["placeholder"], o["datatype"]) == (usual, f"range({lowest},{highest})")
            elif o["kind"] == "ListValue":
                assert {word for word, _ in o["words"]} == set(values) and o["default"] == values[0]
            else:
                assert o["kind"] == "Flag" and values == (0, 0, 1)
    assert {name: o["kind"] for name, o in options.items()} == {
        "interface": "DynamicList", "group": "DynamicList",
    }  # fmt: skip
