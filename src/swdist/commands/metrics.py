"""A node's figures for Prometheus, in its text format."""

import json

from swdist.commands import rollcall, words
from swdist.commands.asked import MAX_BYTES, Refused, process, said, uptime_s
from swdist.machines.clock import UNKNOWN


def rows(fs, conf):
    """[(name, type, help, labels, value)]. Of a side that says nothing there is only that it is not
    up: no figure outlives it."""
    found = []
    told = {}
    for side in ("net", "switch"):
        pid = process(fs, conf, side + "d")
        label = '{side="%s"}' % side
        try:
            status = said(fs, conf, side) if pid else None
            uptime = uptime_s(pid) if pid else 0
        except (Refused, OSError):
            status = None
        found.append(("up", "gauge", "Does this side run, and say so?", label, int(bool(status))))
        if status:
            what = "Seconds since the process was started."
            found.append(("uptime_seconds", "gauge", what, label, uptime))
            found += of_net(status) if side == "net" else of_switch(fs, conf, status)
            told[side] = status
    if len(told) == 2:
        found += of_releases(told["net"], told["switch"])
    if "net" in told:
        found += of_mesh(fs, conf, told["net"])
    return found


def of_net(net):
    rows = [
        ("clock_synced", "gauge", "Do the neighbours agree on the time?", "", int(net["synced"])),
        ("clock_steps_total", "counter", "Steps of the mesh time.", "", net["steps"]),
        ("mesh_time_seconds", "gauge", "The mesh time when this was said.", "",
         seconds(net["mesh_us"])),
        ("neighbours", "gauge", "Neighbours that are heard.", "", len(net["neighbours"])),
        ("releases", "gauge", "Releases held.", "", len(net["releases"])),
        ("releases_incomplete", "gauge", "Of these: for this node, and not whole.", "",
         len([r for r in net["releases"] if r["fits"] and not r["complete"]])),
        ("payloads_relayed", "gauge", "Payloads held for neighbours alone.", "",
         len(net["relaying"])),
    ]  # fmt: skip
    if net["error_us"] != UNKNOWN:
        what = "Bound of the clock's error towards the neighbours."
        rows.append(("clock_error_seconds", "gauge", what, "", seconds(net["error_us"])))
    for name in ("tx_datagrams", "tx_bytes", "rx_datagrams", "rx_bytes"):
        rows.append((name + "_total", "counter", "Since the network side started.", "", net[name]))
    return rows


def of_switch(fs, conf, switch):
    active = switch["active"]
    name = ("version", active["version"]), ("revision", str(active["revision"]))
    info = labels(("id", active["id"]), *name)
    rows = [
        ("active_release_info", "gauge", "The release that runs here.", info, 1),
        ("experimental", "gauge", "Is it experimental?", "", int(active["experimental"])),
    ]
    # The log keeps the latest hundreds only: no counters, then.
    log = fs.read(conf.state + "/switches", MAX_BYTES) or b""
    rows.append(("switches", "gauge", "Switches in this node's log.", "", log.count(b'"reason"')))
    what = "Of these: because a release had failed."
    rows.append(("rollbacks", "gauge", what, "", log.count(b'"rollback"')))
    tail = log[-1024:].split(b"\n")[-3:]
    whole = [line for line in tail if line[-1:] == b"}"]  # the power may have been cut
    if whole:
        at = seconds(json.loads(str(whole[-1], "utf-8"))["at_us"])
        rows.append(("last_switch_seconds", "gauge", "Mesh time of the last one.", "", at))
    return rows


def of_releases(net, switch):
    """Of what is held and may come or go wrong: nothing else is a figure any more."""
    found = [
        ("node_info", "gauge", "This node.",
         labels(("board", net["board"]), ("swdist", net["swdist"])), 1),
    ]  # fmt: skip
    now_s = net["mesh_us"] // 1000000
    failed = 0
    for r in net["releases"]:
        word, more = words.state(r, net["releases"], switch, now_s, net["synced"])
        if words.past(word, r, net["releases"], switch["active"]):
            continue
        failed += word == words.FAILED
        mine = ("id", r["id"]), ("version", r["version"]), ("revision", str(r["revision"]))
        what = "What stands between a release and this node; and why it failed here."
        why = more if word == words.FAILED else None
        said = mine + (("state", words.STATES[word]), ("why", why or ""))
        found.append(("release_info", "gauge", what, labels(*said), 1))
        if r["fits"] and r["invited"]:
            what = "How much of it is here, 0 to 1."
            share = "%.2f" % (1 if r["complete"] else r["percent"] / 100)
            found.append(("release_held_ratio", "gauge", what, labels(*mine), share))
    what = "Releases that failed here, and nothing better runs."
    found.append(("releases_failed", "gauge", what, "", failed))
    if net["next"]:
        what = "Mesh time at which another release runs here, as things stand."
        rid = labels(("id", net["next"]["id"]))
        found.append(("next_switch_seconds", "gauge", what, rid, now_s + net["next"]["in_s"]))
    return found


def of_mesh(fs, conf, net):
    """What all nodes tell of themselves: liars can blur it."""
    data = fs.read(conf.run + "/mesh", rollcall.MAX_BYTES) or b""
    rows = rollcall.read(data, net["mesh_us"] // 1000000)
    f = rollcall.summary(rows, [r["id"] for r in net["releases"]])
    what = "Nodes by how the newest release stands there, by their own word."
    counts = f["words"]
    counts["silent"] = f["silent"]
    return [
        ("mesh_nodes", "gauge", what, labels(("state", word)), counts[word])
        for word in sorted(counts)
    ]


def labels(*pairs):
    """{name="text"} as Prometheus escapes it."""
    return "{%s}" % ",".join(['%s="%s"' % (n, escaped(t)) for n, t in pairs])


def escaped(text):
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def seconds(us):
    return "%d.%06d" % (us // 1000000, us % 1000000)


def exposition(rows):
    """Prometheus's text format: all of a name together, under one heading."""
    text = ""
    done = []
    for name, kind, what, _, _ in rows:
        if name not in done:
            done.append(name)
            text += "# HELP swdist_%s %s\n# TYPE swdist_%s %s\n" % (name, what, name, kind)
            for row in rows:
                if row[0] == name:
                    text += "swdist_%s%s %s\n" % (name, row[3], row[4])
    return text
