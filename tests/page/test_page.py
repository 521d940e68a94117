"""The page of a node's web server, as Chromium shows it: to people, on a phone, in the dark,
without scripts, to a screen reader; and whatever strangers put into it."""

import json
import os
import time
import urllib.request

import pytest
from browser import DESKTOP, PHONE
from documents import IMG, SCRIPT, fullest
from played import PICTURES, READY

from lab.web import WWW
from swdist.commands.page import EVENTS, FINE, RELEASES, ROWS
from swdist.machines.neighbours import MAX_NEIGHBOURS

BUDGET_BYTES = 24000
FILES_BYTES = sum((WWW / name).stat().st_size for name in ("swdist/index.html", "cgi-bin/swdist"))
# The least ratio of contrast (WCAG 2.2, 1.4.3) of all text that is shown, and where.
CONTRAST = """(() => {
  const parts = c => c.match(/[0-9.]+/g).map(Number);
  const light = c => parts(c).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const paper = light(getComputedStyle(document.body).backgroundColor);
  let least = [99, ""];
  for (const e of document.querySelectorAll("body *")) {
    if (!e.checkVisibility()) continue;
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const style = getComputedStyle(e), ink = light(e.closest("svg") ? style.fill : style.color);
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < least[0]) least = [ratio, e.outerHTML.slice(0, 80)];
  }
  return least;
})()"""


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.slow
def test_it_can_be_read(said, browser, size, dark):
    browser.open(said.web.url + "/swdist/", size, dark, ready=READY)
    name = f"{'phone' if size == PHONE else 'desktop'}-{'dark' if dark else 'light'}"
    browser.picture(PICTURES / f"{name}.png")
    browser.run("document.querySelector('details').open = true")
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (int(paper[4:].partition(",")[0]) < 128) == dark
    assert browser.run("document.documentElement.scrollWidth") <= size[0]
    least, where = browser.run(CONTRAST)
    assert least >= 4.5, where
    assert browser.said == []


@pytest.mark.slow
def test_what_strangers_write_stays_text(said, browser):
    said.document["name"] = IMG
    said.document["neighbours"][0].update({"address": SCRIPT, "runs": IMG})
    said.document["neighbours"][1].update({"name": SCRIPT})
    said.say(said.document)
    browser.open(said.web.url + "/swdist/", ready=READY)
    browser.run("document.querySelector('details').open = true")
    text = browser.text()
    assert text.count(SCRIPT) >= 3 and text.count(IMG) >= 3
    assert browser.run("$('picture').textContent").count(SCRIPT) == 2
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.querySelectorAll('script').length") == 1
    assert browser.said == []


@pytest.mark.slow
def test_mesh_is_summed_up_and_listed_with_those_first_that_are_not_ready(said, browser):
    browser.open(said.web.url + "/swdist/", ready=READY)
    mesh = browser.run("$('mesh').innerText")
    assert mesh.startswith("302 nodes heard of; 1.4.0-r0: ") and "1 silent since " in mesh
    for count in ("293 ready", "3 fetching", "4 no room", "1 failed here"):
        assert count in mesh, mesh
    browser.run("document.querySelector('details').open = true")
    assert "60 of them" in browser.run("$('m').innerText")
    rows = browser.run("[...document.querySelectorAll('#rows tr')].map(r => r.cells[3].innerText)")
    assert len(rows) == 60 and "ready" not in rows[:8] and set(rows[8:]) == {"ready"}


@pytest.mark.slow
def test_neighbours_go_by_name_where_the_mesh_tells_it(said, browser):
    browser.open(said.web.url + "/swdist/", ready=READY)
    address = said.document["neighbours"][1]["address"]
    assert browser.run("$('neighbours').rows[1].cells[0].innerText") == "roof-1\n" + address
    assert browser.run("$('neighbours').rows[0].cells[0].innerText").startswith("fe80::")
    drawn = browser.run("[...document.querySelectorAll('#picture text')].map(t => t.textContent)")
    assert drawn[0] == "…4400%3 1.4.0-r0" and drawn[1] == "roof-1 1.3.0-r0"


@pytest.mark.slow
def test_screen_reader_hears_tables_the_picture_and_what_is_wrong(said, browser):
    browser.open(said.web.url + "/swdist/", ready=READY)
    browser.run("document.querySelector('details').open = true")
    spoken = browser.spoken()
    tables = [name for role, name in spoken if role == "table"]
    assert tables == ["Releases", "Neighbours", "60 of them, those that are not ready first"]
    assert browser.run("[...document.querySelectorAll('th')].every(h => h.scope)")
    rows = "[...document.querySelectorAll('tbody tr')]"
    assert browser.run(f"{rows}.every(r => r.cells[0].scope === 'row')")
    (image,) = [name for role, name in spoken if role in ("img", "image")]
    assert image == ("16 neighbours: 4 with something newer, 4 with something older, "
                     "2 sending to this node, 1 fetching from it")  # fmt: skip
    assert ("status", "") in spoken and ("list", "What is wrong") in spoken
    assert "1.4.0-r0 held: 57 percent" in [name for _, name in spoken]
    headings = browser.run("[...document.querySelectorAll('h1, h2')].map(h => h.tagName).join('')")
    assert headings == "H1" + "H2" * 4
    assert browser.run("document.documentElement.lang") == "en"


@pytest.mark.slow
def test_without_scripts_the_essentials_are_there(said, browser):
    browser.open(said.web.url + "/swdist/", PHONE, scripts=False)
    browser.picture(PICTURES / "phone-without-scripts.png")
    assert said.web.url + "/cgi-bin/swdist?text" in browser.asked
    assert "Asking" not in browser.text() and "the essentials" in browser.text()
    browser.open(said.web.url + "/cgi-bin/swdist?text")
    assert browser.text().strip() == "this is a <board>; neighbours: 16"


@pytest.mark.slow
def test_silence_of_the_node_and_of_one_side_is_said(said, browser):
    said.say({"board": "b", "trouble": ["swdist-switchd has said nothing for 130 s"], "name": "",
              "neighbours": [], "mesh": {}, "events": []})  # fmt: skip
    browser.open(said.web.url + "/swdist/", ready="$('wrong').innerText")
    assert "has said nothing for 130 s" in browser.text() and "undefined" not in browser.text()
    browser.run("got -= 90000; tick()")
    assert browser.run("$('age').innerText").startswith("No answer for 1 min 3")
    said.web.close()
    browser.run("got = 0; ask()")
    browser.wait("$('state').innerText.startsWith('The node does not answer: ')")


def fetch(said, query=""):
    with urllib.request.urlopen(f"{said.web.url}/cgi-bin/swdist{query}", timeout=10) as answer:
        return answer.headers, answer.read()


def test_error_of_the_node_is_json_whatever_it_says(said):
    (said.folder / "swdist").write_text(
        "#!/bin/sh\necho 'half of {\"a'\nprintf 'it\\tsays \"\\\\\\n ü<b>' >&2\nexit 1\n"
    )
    headers, body = fetch(said)
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    (why,) = json.loads(body)["trouble"]
    assert why.split() == "half of { a it says <b>".split()


def test_document_is_made_once_in_five_seconds_also_when_the_clock_goes_back(said):
    script = said.folder / "swdist"
    count = said.folder / "count"
    script.write_text(f"#!/bin/sh\necho x >>{count}\necho '{{}}'\n")
    for _ in range(3):
        assert fetch(said)[1] == b"{}\n"
    assert count.read_text() == "x\n"
    fetch(said, "?text")
    assert count.read_text() == "x\nx\n"
    made = said.folder / "made.page"
    os.utime(made, (time.time() + 9999,) * 2)
    fetch(said)
    assert count.read_text() == "x\nx\nx\n"


def test_all_of_it_is_small_at_its_bounds_too(tmp_path):
    document = fullest(tmp_path)
    assert len(document["releases"]) == RELEASES and len(document["events"]) == EVENTS
    assert len(document["neighbours"]) == MAX_NEIGHBOURS
    rows = document["mesh"]["rows"]
    assert 25 <= len(rows) < ROWS and not [r for r in rows if r["state"] in FINE]
    text = json.dumps(document)
    for part in document:
        print(f"{part}: {len(json.dumps(document[part])):,}")
    print(f"page: {FILES_BYTES:,} bytes of files, {len(text):,} of JSON at all bounds: {len(rows)}")
    assert FILES_BYTES + len(text) <= BUDGET_BYTES


def test_all_of_it_is_small(said):
    document = len(json.dumps(said.document))
    print(
        f"page: {FILES_BYTES:,} bytes of files, {document:,} of JSON with 16 neighbours, 302 nodes"
    )
    assert FILES_BYTES + document <= BUDGET_BYTES
