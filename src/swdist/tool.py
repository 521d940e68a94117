"""What a person or a script asks a node: swdist clock, releases, inject, metrics.

Reads what the two processes say of themselves in RUN, and the manifests in STORE. A package of its
own, swdist-utils: no router needs it to do its work.
"""

import json
import os
import sys
import time

from swdist import config, inject, manifest, native, platform, ucryptolib, verify
from swdist.bits import from_hex
from swdist.clock import STEP_US, UNKNOWN

USAGE = """usage: swdist COMMAND [--json] [FILE]

  clock           the mesh time, how exact it is, and what the neighbours say
  releases        what this node holds, runs, and has seen fail
  inject FILE     put a release (NAME.swd, made by `swdist release` on a laptop) into the mesh here
  metrics         the same for Prometheus; put it where node_exporter's textfile collector looks:
                  swdist metrics > /var/prometheus/swdist.prom.tmp && mv ...
  status, log, check, start, stop, restart, reload: of the two processes
"""
OLD_S = 300  # what was last said longer ago is of a process that hangs or is gone
MAX_BYTES = 262144


class Refused(Exception):
    """One line that says what is wrong, and what to do."""


def said(fs, conf, side):
    """What a process last said of itself."""
    path = "%s/%s.json" % (conf.run, side)
    try:
        return json.loads(str(fs.read(path, MAX_BYTES) or b"", "utf-8"))
    except ValueError:
        raise Refused("%s says nothing: is swdist running? see swdist status, swdist log" % path)


def utc(s):
    return "%04d-%02d-%02dT%02d:%02d:%02dZ" % tuple(time.gmtime(s))[:6]


def ms(us):
    """For people: microseconds as milliseconds."""
    return "?" if us is None else "%s%d.%03d ms" % ("-" * (us < 0), abs(us) // 1000, abs(us) % 1000)


# --- clock


def clock(fs, conf):
    net = said(fs, conf, "net")
    now = platform.Clock()
    counter = now.counter_us()
    if counter - net["counter_us"] > OLD_S * 1000000:
        raise Refused("the network side has said nothing for minutes; see swdist log")
    mesh_us = net["mesh_us"] + counter - net["counter_us"]
    rows = []
    for n in net["neighbours"]:
        ahead = n["ahead_us"]
        apart = ahead is not None and not -STEP_US <= ahead <= STEP_US
        rows.append(
            {
                "peer": peer_text(n["peer"]),
                "synced": n["synced"],
                "ahead_us": ahead,
                "round_trip_us": n["round_trip_us"] if ahead is not None else None,
                "disagrees": apart,
            }
        )
    return {
        "mesh_us": mesh_us,
        "mesh_time": utc(mesh_us // 1000000),
        "system_ahead_us": now.wall_us() - mesh_us,
        "synced": net["synced"],
        "error_us": None if net["error_us"] == UNKNOWN else net["error_us"],
        "reference": net["reference"],
        "steps": net["steps"],
        "neighbours": rows,
    }


def peer_text(peer):
    """Address and interface index of a peer's 40 hex digits, as people write them."""
    raw = from_hex(peer, 20)
    index = int.from_bytes(raw[16:], "big")
    if raw[:12] == bytes(10) + b"\xff\xff":
        return "%d.%d.%d.%d%%%d" % (tuple(raw[12:16]) + (index,))
    groups = ["%x" % (raw[i] << 8 | raw[i + 1]) for i in range(0, 16, 2)]
    if groups[1:4] == ["0"] * 3:  # link-local ones have these
        return "%s::%s%%%d" % (groups[0], ":".join(groups[4:]), index)
    return "%s%%%d" % (":".join(groups), index)


def show_clock(f):
    print("mesh time   %s" % f["mesh_time"])
    state = "agreed with the neighbours" if f["synced"] else "NOT agreed with anybody yet"
    print("state       %s; %d steps since start" % (state, f["steps"]))
    error = "unknown" if f["error_us"] is None else "at most " + ms(f["error_us"])
    print("error       %s, towards the neighbours" % error)
    print("reference   %s" % ("the system clock" if f["reference"] else "none"))
    print("system      %s ahead of the mesh" % ms(f["system_ahead_us"]))
    for n in f["neighbours"]:
        verdict = "  DISAGREES" if n["disagrees"] else "" if n["synced"] else "  not synced"
        row = n["peer"], ms(n["ahead_us"]), ms(n["round_trip_us"])
        print("neighbour   %s  ahead %s  round trip %s%s" % (row + (verdict,)))


# --- releases


def releases(fs, conf):
    net, switch = said(fs, conf, "net"), said(fs, conf, "switch")
    why = {}
    for line in str(fs.read(conf.state + "/failed", 8192) or b"", "utf-8").split("\n"):
        why[line[:64]] = line[65:]
    now_s = net["mesh_us"] // 1000000
    found = []
    for r in net["releases"]:
        m, _ = manifest.parse(fs.read("%s/%s/manifest" % (conf.store, r["id"]), 4096) or b"")
        row = dict(r)
        row["start"] = m and utc(m.start_s)
        row["end"] = utc(m.end_s) if m and m.end_s else None
        row["payload"] = m and m.payload
        row["failed"] = why.get(r["id"], "yes") if r["id"] in switch["failed"] else None
        row["active"] = r["id"] == switch["active"]["id"]
        row["confirmed"] = r["id"] == switch["confirmed"]
        row["scheduled"] = bool(m and m.chunks and m.start_s > now_s)
        found.append(row)
    return {"active": switch["active"], "releases": found}


def show_releases(f):
    a = f["active"]
    print("runs %s-r%d (%s)" % (a["version"], a["revision"], a["id"][:8]))
    for r in f["releases"]:
        states = [s for s in ("active", "confirmed", "scheduled", "withdrawn") if r[s]]
        if r["failed"]:
            states.append("FAILED here: " + r["failed"])
        if not r["complete"]:
            states.append("has %d of %d chunks" % (r["held"], r["chunks"]))
        when = "%s to %s" % (r["start"], r["end"]) if r["end"] else "from %s" % r["start"]
        name = "%s-r%d" % (r["version"], r["revision"])
        print("%s  %s  %s  %s  %s" % (r["id"][:8], name, r["payload"], when, ", ".join(states)))


# --- metrics


def metrics(fs, conf):
    """[(name, type, help, labels, value)]."""
    net, switch = said(fs, conf, "net"), said(fs, conf, "switch")
    active = switch["active"]
    labels = '{id="%s",version="%s",revision="%d"}' % (
        active["id"], active["version"], active["revision"],
    )  # fmt: skip
    rows = [
        ("active_release_info", "gauge", "The release that runs here.", labels, 1),
        ("experimental", "gauge", "Is it experimental?", "", int(active["experimental"])),
        ("clock_synced", "gauge", "Do the neighbours agree on the time?", "", int(net["synced"])),
        ("clock_steps_total", "counter", "Steps of the mesh time.", "", net["steps"]),
        ("mesh_time_seconds", "gauge", "The mesh time when this was said.", "",
         "%d.%06d" % (net["mesh_us"] // 1000000, net["mesh_us"] % 1000000)),
        ("neighbours", "gauge", "Neighbours that are heard.", "", len(net["neighbours"])),
        ("releases", "gauge", "Releases held.", "", len(net["releases"])),
        ("releases_incomplete", "gauge", "Of these: payload not whole.", "",
         len([r for r in net["releases"] if not r["complete"]])),
        ("releases_failed", "gauge", "Releases that failed here.", "", len(switch["failed"])),
    ]  # fmt: skip
    if net["error_us"] != UNKNOWN:
        error = "%d.%06d" % (net["error_us"] // 1000000, net["error_us"] % 1000000)
        what = "Bound of the clock's error towards the neighbours."
        rows.append(("clock_error_seconds", "gauge", what, "", error))
    for name in ("tx_datagrams", "tx_bytes", "rx_datagrams", "rx_bytes"):
        rows.append((name + "_total", "counter", "Since the network side started.", "", net[name]))
    return rows


def show_metrics(rows):
    for name, kind, what, labels, value in rows:
        print("# HELP swdist_%s %s\n# TYPE swdist_%s %s" % (name, what, name, kind))
        print("swdist_%s%s %s" % (name, labels, value))


# --- inject


def put(fs, conf, path):
    """Verified here, taken over by the network side, which starts again for it."""
    trust = verify.load_ca(fs, conf.ca)
    ids = platform.user_ids(conf.user) if conf.user else None
    here = os.getenv("SWDIST_FROM") or ""
    with open(path if path[:1] == "/" else here + "/" + path, "rb") as f:
        if ids is not None:
            platform.drop_privileges(ids)  # what is written is then the network side's
        ucryptolib.use(*native.find(fs, conf.run))
        release, why = inject.put(fs, conf.store, trust, f, conf.quota_kb * 1024)
    if why is not None:
        raise Refused("%s: %s" % (path, why))
    for pid in fs.listdir("/proc"):
        words = cmdline(pid) if pid.isdigit() else ()
        if b"swdist.netd" in words and conf.path.encode() in words:
            platform.run(("kill", pid), 5)  # whoever started it starts it again
    return release


def cmdline(pid):
    """The words that a process was started with."""
    try:
        with open("/proc/%s/cmdline" % pid, "rb") as f:  # which says that its size is 0
            return f.read(4096).split(b"\0")
    except OSError:
        return ()


def main(argv):
    fs = platform.Fs()
    as_json = "--json" in argv
    words = [w for w in argv if w != "--json"]
    path = config.DEFAULT_FILE
    if len(words) > 1 and words[0] == "--config":
        path = words[1]
        words = words[2:]
    command = words[0] if words else ""
    if "--help" in words or command == "help":
        sys.stdout.write(USAGE)
        return 0
    wanted = 2 if command == "inject" else 1
    if command not in ("clock", "releases", "inject", "metrics") or len(words) != wanted:
        sys.stderr.write(USAGE)
        return 2
    conf = config.load(["--config", path], "swdist", fs)
    try:
        if command == "inject":
            found = {"injected": put(fs, conf, words[1]).name()}
        else:
            found = {"clock": clock, "releases": releases, "metrics": metrics}[command](fs, conf)
    except (Refused, ValueError, OSError) as e:
        sys.stderr.write("swdist %s: %s\n" % (command, e))
        return 1
    if as_json:
        print(json.dumps(found))
    elif command == "inject":
        print("verified, and given to the network side: %s" % found["injected"])
    else:
        {"clock": show_clock, "releases": show_releases, "metrics": show_metrics}[command](found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
