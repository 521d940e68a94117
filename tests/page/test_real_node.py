"""The page of a real node, through all that a release does there."""

import time

import pytest
from played import PICTURES, READY

UP_S, SPREAD_S = 40, 60


def shows(mesh, browser, words, seconds, **more):
    """Opens the page until all of that is in its text."""
    end = time.monotonic() + seconds
    while True:
        browser.open(mesh.web.url + "/swdist/", ready=f"{READY} || $('wrong').innerText", **more)
        text = browser.text()
        if all(word in text for word in words):
            return text
        assert time.monotonic() < end, text
        time.sleep(0.05)  # a megabyte takes half a second where nothing else runs


@pytest.mark.slow
def test_real_node_through_spreading_switch_and_the_way_back(mesh, browser):
    text = shows(mesh, browser, ["Runs 1.0.0-r0", "agreed with the neighbours"], UP_S)
    assert "Nothing yet." in text and "127." in text and "heard of" in text
    browser.open(mesh.web.url + "/cgi-bin/swdist?text", ready="document.body.innerText")
    assert browser.text().count(": running (") == 2, browser.text()
    mesh.hand_in("1.1.0", 1_000_000, in_s=40)
    held = 0
    while held == 0:  # it may have been looked at before the first piece
        shows(mesh, browser, ["fetching", "sends to here"], SPREAD_S)
        assert browser.run("document.querySelectorAll('.flow').length") == 1
        held = browser.run("document.querySelector('progress').value")
    assert held < 100
    countdown = browser.run("$('next').textContent")
    assert countdown.startswith("1.1.0-r0 in ") and countdown.endswith("% here")
    browser.wait(f"$('next').textContent !== {countdown!r}")  # it counts, without the node
    browser.picture(PICTURES / "real-fetching.png")
    shows(mesh, browser, ["ready", "1.1.0-r0 in"], SPREAD_S)
    came = "switched from 1.0.0-r0 to 1.1.0-r0: its start came"
    shows(mesh, browser, ["runs here", came], SPREAD_S)
    mesh.hand_in("1.2.0", 5000, in_s=6, does="echo olsrd does not start >&2; exit 1")
    failed = "failed here: activate: olsrd does not start", "the one before had failed"
    shows(mesh, browser, [*failed, "Runs 1.1.0-r0"], SPREAD_S)
    assert "1.2.0-r0: failed here" in browser.run("$('wrong').innerText")
    browser.picture(PICTURES / "real-failed.png")
    assert {url.partition("/cgi")[0] for url in browser.asked} <= {
        mesh.web.url, mesh.web.url + "/swdist/", mesh.web.url + "/favicon.ico"}  # fmt: skip
    # Nothing old is shown of a node that ends.
    for side in ("net", "switch"):
        (mesh.node.run / f"{side}.json").unlink()
    mesh.node.stop()
    text = shows(mesh, browser, ["is swdist running?"], 20)
    assert "1.1.0" not in text
