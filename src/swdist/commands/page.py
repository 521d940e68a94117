"""The one document that the page on a node's web server shows (files/www/swdist/index.html)."""

import json

from swdist.commands import rollcall, words
from swdist.commands.asked import MAX_BYTES
from swdist.commands.texts import peer_text, utc

EVENTS = 12  # the last ones
ROWS = 60  # of what all nodes tell: those first that neither are ready nor run it
RELEASES = 8  # the highest: page and document together stay under 24 KB
FINE = words.STATES[words.READY], words.STATES[words.RUNS]
RELEASE = (
    "id", "version", "revision", "experimental", "state", "why", "percent", "complete", "start",
    "end",
)  # fmt: skip
WHY = {
    "start": "its start came",
    "late": "it came after its start",
    "end": "the experiment was over",
    "rollback": "the one before had failed",
    "withdrawn": "the one before was withdrawn",
}


def document(fs, conf, net, status, mesh):
    """net: what the network side says of itself; status, mesh: those of the commands."""
    found = dict(status)
    found["name"] = rollcall.plain(rollcall.hostname())
    found["neighbours"] = [neighbour(net, n) for n in net["neighbours"]]
    if "releases" in found:
        found["releases"] = [{k: r[k] for k in RELEASE} for r in found["releases"][-RELEASES:]]
    # First what is shown, and then its order: routers sort a thousand for seconds.
    rows = []
    for fine in (False, True):
        these = [r for r in mesh["rows"] if (r["state"] in FINE) == fine]
        rows += sorted(these[: ROWS - len(rows)], key=lambda r: r["name"])
    found["mesh"] = dict(mesh)
    found["mesh"]["rows"] = [of_mesh(r) for r in rows]
    found["events"] = events(fs, conf)
    return found


def of_mesh(r):
    found = {k: r[k] for k in ("board", "state", "percent", "age_s")}
    found["name"] = r["name"] or r["node"]
    found["runs"] = words.name(r)
    return found


def neighbour(net, n):
    gives = [f["file"] for f in net["fetching"] if f["from"] == n["peer"]]
    mine, its = words.version_order(net), words.version_order(n)
    return {
        "address": peer_text(n["peer"]),
        "runs": words.name(n),
        "ahead": (its > mine) - (its < mine),
        "synced": n["synced"],
        "heard_s_ago": n["heard_ms_ago"] // 1000,
        "gives": len(gives),
    }


def events(fs, conf):
    """The last switches, the newest first, in plain words: {"at", "what"}."""
    found = []
    for line in (fs.read(conf.state + "/switches", MAX_BYTES) or b"")[-4096:].split(b"\n"):
        try:
            e = json.loads(str(line, "utf-8"))
            why = WHY.get(e["reason"], e["reason"])
            what = "switched from %s to %s: %s" % (e["from"], e["to"], why)
            found.insert(0, {"at": utc(e["at_us"] // 1000000), "what": what})
        except (ValueError, KeyError, TypeError):
            pass  # the first one is cut, and the power may have been while one was written
    return found[:EVENTS]
