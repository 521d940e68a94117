"""The one document that the page on a node's web server shows (files/www/swdist/index.html)."""

import json

from swdist.commands import rollcall, words
from swdist.commands.asked import MAX_BYTES
from swdist.commands.texts import peer_text, utc

EVENTS = 12  # the last ones
BYTES = 12800  # page and document together stay under 24 KB
ROWS = 60  # at most of what all nodes tell: those first that neither are ready nor run it
TROUBLE = 6
RELEASES = 8
PAST = 2  # of these: such as come no more
FINE = words.STATES[words.READY], words.STATES[words.RUNS]
HERE = words.STATES[words.TRIAL], words.STATES[words.RUNS]
RELEASE = (
    "version", "revision", "experimental", "state", "why", "percent", "complete", "start", "end",
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
    near = [n.get("node") for n in net["neighbours"]]
    names = {r["node"]: r["name"] for r in mesh["rows"] if r["node"] in near}
    found["neighbours"] = [neighbour(net, n, names) for n in net["neighbours"]]
    if "releases" in found:
        found["releases"] = [{k: r[k] for k in RELEASE} for r in shown(found["releases"])]
    found["trouble"] = found["trouble"][:TROUBLE]
    found["events"] = events(fs, conf)
    about = mesh["release"]
    found["mesh"] = dict(mesh)
    found["mesh"]["names"] = {about: mesh["names"][about]} if about else {}
    found["mesh"]["rows"] = ()
    found["mesh"]["rows"] = mesh_rows(mesh["rows"], BYTES - len(json.dumps(found)))
    return found


def mesh_rows(told, room):
    """As many as there is room for. First what is shown, and then its order: routers sort a
    thousand for seconds."""
    rows = []
    for fine in (False, True):
        these = []
        for r in told:
            if (r["state"] in FINE) == fine:
                row = of_mesh(r)
                room -= len(json.dumps(row)) + 2
                if room < 0 or len(rows) + len(these) == ROWS:
                    break
                these.append(row)
        rows += sorted(these, key=lambda r: r["name"])
    return rows


def shown(rows, most=RELEASES, past=PAST):
    """Of releases, in their order, the latest, few of those that come no more, and what runs."""
    over = [r for r in rows if r["past"]][-past:]
    found = [r for r in rows if not r["past"] or r in over][-most:]
    here = [r for r in rows if r["state"] in HERE][-1:]
    if here and here[0] not in found:
        found[0] = here[0]
    return found


def of_mesh(r):
    found = {k: r[k] for k in ("board", "state", "percent", "age_s")}
    found["name"] = r["name"] or r["node"]
    found["runs"] = words.name(r)
    return found


def neighbour(net, n, names):
    gives = [f["file"] for f in net["fetching"] if f["from"] == n["peer"]]
    mine, its = words.version_order(net), words.version_order(n)
    return {
        "name": names.get(n.get("node")) or None,
        "address": peer_text(n["peer"]),
        "runs": words.name(n),
        "ahead": (its > mine) - (its < mine),
        "synced": n["synced"],
        "heard_s_ago": n["heard_ms_ago"] // 1000,
        "gives": len(gives),
        "takes": net.get("serving", []).count(n["peer"]),
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
