"""What a person or a script asks a node: swdist clock, releases, inject, metrics.

Reads what the two processes say of themselves in RUN, and the manifests in STORE. A package of its
own, swdist-utils: no router needs it to do its work.
"""

import json
import os
import sys
import time

from swdist import VERSION
from swdist.crypto import ucryptolib
from swdist.formats import manifest
from swdist.formats.bits import to_hex
from swdist.machines.clock import STEP_US, UNKNOWN
from swdist.shell import native, platform
from swdist.storage import inject
from swdist.texts import ms, peer_text, utc
from swdist.trust import verify
from swdist.wiring import config

USAGE = """usage: swdist COMMAND [--json] [FILE]

  clock           the mesh time, how exact it is, and what the neighbours say
  releases        what this node holds, runs, and has seen fail
  inject FILE     put a release (NAME.swd, made by `swdist release` on a laptop) into the mesh here
  metrics [FILE]  the same for Prometheus, on a line of the crontab:
                  * * * * * swdist metrics /var/prometheus/swdist.prom
  status, log, check, start, stop, restart, reload: of the two processes
"""
OLD_S = 120  # what was last said longer ago is of a process that hangs or is gone
TAKEN_S = 120  # for the network side to start again, and to check all that it holds
MAX_BYTES = 262144


class Refused(Exception):
    """One line that says what is wrong, and what to do."""


def said(fs, conf, side):
    """What a process last said of itself."""
    path = "%s/%s.json" % (conf.run, side)
    try:
        status = json.loads(str(fs.read(path, MAX_BYTES) or b"", "utf-8"))
    except ValueError:
        raise Refused("%s says nothing: is swdist running? see swdist status, swdist log" % path)
    if "counter_us" in status:
        age_s = (platform.Clock().counter_us() - status["counter_us"]) // 1000000
    else:  # the system's clock, which may be set just now: then this is wrong for some seconds
        age_s = int(time.time()) - os.stat(path)[8]
    if age_s > OLD_S:
        raise Refused("swdist-%sd has said nothing for %d s; see swdist log" % (side, age_s))
    return status


def process(fs, conf, daemon):
    """The number of netd or switchd of this configuration, or None."""
    for pid in fs.listdir("/proc"):
        words = cmdline(pid) if pid.isdigit() else ()
        if b"swdist." + daemon.encode() in words and conf.path.encode() in words:
            return pid
    return None


def absolute(path):
    """A path as typed: the launcher has gone to / since, where nobody else can put modules."""
    return path if path[:1] == "/" else (os.getenv("SWDIST_FROM") or "") + "/" + path


def cmdline(pid):
    """The words that a process was started with."""
    try:
        with open("/proc/%s/cmdline" % pid, "rb") as f:  # which says that its size is 0
            return f.read(4096).split(b"\0")
    except OSError:
        return ()


def uptime_s(pid):
    """Seconds since a process was started."""
    with open("/proc/%s/stat" % pid) as f:
        started = int(f.read(4096).rpartition(")")[2].split()[19])  # field 22, in 1/100 s
    with open("/proc/uptime") as f:
        return int(f.read(99).split(".")[0]) - started // 100


# --- clock


def clock(fs, conf):
    net = said(fs, conf, "net")
    now = platform.Clock()
    counter = now.counter_us()
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


def show_clock(f):
    print("mesh time   %s" % f["mesh_time"])
    state = "agreed with the neighbours" if f["synced"] else "NOT agreed with anybody yet"
    print("state       %s; %d steps since start" % (state, f["steps"]))
    error = "unknown" if f["error_us"] is None else "at most " + ms(f["error_us"])
    print("error       %s, towards the neighbours" % error)
    print("reference   %s" % ("followed" if f["reference"] else "none"))
    print("system      %s ahead of the mesh" % ms(f["system_ahead_us"]))
    for n in f["neighbours"]:
        verdict = "  DISAGREES" if n["disagrees"] else "" if n["synced"] else "  not synced"
        row = n["peer"], ms(n["ahead_us"]), ms(n["round_trip_us"])
        print("neighbour   %s  ahead %s  round trip %s%s" % (row + (verdict,)))


# --- releases


def releases(fs, conf):
    net, switch = said(fs, conf, "net"), said(fs, conf, "switch")
    why = dict(zip(switch["failed"], switch["why"]))
    now_s = net["mesh_us"] // 1000000
    found = []
    for r in net["releases"]:
        path = "%s/releases/%s/manifest" % (conf.store, r["id"])
        m, _ = manifest.parse(fs.read(path, manifest.MAX_BYTES) or b"")
        row = dict(r)
        row["start"] = m and utc(m.start_s)
        row["end"] = utc(m.end_s) if m and m.end_s else None
        row["failed"] = (why[r["id"]] or "yes") if r["id"] in why else None
        row["active"] = r["id"] == switch["active"]["id"]
        row["confirmed"] = r["id"] == switch["confirmed"]
        row["scheduled"] = bool(
            m and m.payloads and r["fits"] and r["invited"] and m.start_s > now_s
        )
        found.append(row)
    return {
        "active": switch["active"],
        "hold": switch["hold"],
        "releases": found,
        "relaying": net["relaying"],
    }


def show_releases(f):
    a = f["active"]
    hold = ", on hold: it switches to nothing newer" if f["hold"] else ""
    print("runs %s-r%d (%s)%s" % (a["version"], a["revision"], a["id"][:8], hold))
    for r in f["releases"]:
        states = [s for s in ("active", "confirmed", "scheduled", "withdrawn") if r[s]]
        if r["failed"]:
            states.append("FAILED here: " + r["failed"])
        if r["fits"] and not r["invited"]:
            states.append("for others than this node")
        if r["no_room"]:
            states.append("NOT held: " + r["no_room"])
        elif r["fits"] and not r["complete"]:
            states.append(
                "has %d of %d pieces" % (r["held"], r["total"]) if r["total"] else "has none"
            )
        elif not r["fits"] and not r["complete"]:
            states.append("not for this board")
        when = "%s to %s" % (r["start"], r["end"]) if r["end"] else "from %s" % r["start"]
        name = "%s-r%d" % (r["version"], r["revision"])
        print("%s  %s  %s  %s  %s" % (r["id"][:8], name, r["kind"] or "-", when, ", ".join(states)))
    for p in f["relaying"]:
        print("payload %s  for neighbours, %d %%" % (p["id"][:8], p["percent"]))


# --- metrics


def metrics(fs, conf):
    """[(name, type, help, labels, value)]. Of a side that says nothing there is only that it is not
    up: no figure outlives it."""
    rows = []
    for side in ("net", "switch"):
        pid = process(fs, conf, side + "d")
        label = '{side="%s"}' % side
        try:
            status = said(fs, conf, side) if pid else None
            uptime = uptime_s(pid) if pid else 0
        except (Refused, OSError):
            status = None
        rows.append(("up", "gauge", "Does this side run, and say so?", label, int(bool(status))))
        if status:
            what = "Seconds since the process was started."
            rows.append(("uptime_seconds", "gauge", what, label, uptime))
            rows += of_net(status) if side == "net" else of_switch(fs, conf, status)
    return rows


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
    labels = '{id="%s",version="%s",revision="%d"}' % (
        active["id"], active["version"], active["revision"],
    )  # fmt: skip
    rows = [
        ("active_release_info", "gauge", "The release that runs here.", labels, 1),
        ("experimental", "gauge", "Is it experimental?", "", int(active["experimental"])),
        ("releases_failed", "gauge", "Releases that failed here.", "", len(switch["failed"])),
    ]
    for rid, why in zip(switch["failed"], switch["why"]):
        labels = '{id="%s",why="%s"}' % (rid, why.replace("\\", "\\\\").replace('"', '\\"'))
        rows.append(("failed_release_info", "gauge", "One that failed here.", labels, 1))
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


def show_metrics(rows):
    sys.stdout.write(exposition(rows))


# --- inject


def put(fs, conf, path):
    """Verified here, taken over by the network side, which starts again for it."""
    trust = verify.load_ca(fs, conf.ca)
    ids = platform.user_ids(conf.user) if conf.user else None
    with open(absolute(path), "rb") as f:
        if ids is not None:
            platform.drop_privileges(ids)  # what is written is then the network side's
        ucryptolib.use(*native.find(fs, conf.run))
        release, why = inject.put(fs, conf.store, trust, f, conf.quota_kb * 1024)
    if why is not None:
        raise Refused("%s: %s" % (path, why))
    pid = process(fs, conf, "netd")
    if pid is None:
        raise Refused("verified, and in the store; but swdist-netd does not run: swdist start")
    platform.run(("kill", pid), 5)  # whoever started it starts it again
    sys.stderr.write("verified, and in the store; the network side starts again for it\n")
    await_taken(fs, conf, to_hex(release.rid))
    return release


def await_taken(fs, conf, rid):
    """Until the network side says that it holds the release, whole."""
    clock = platform.Clock()
    end = clock.counter_us() + TAKEN_S * 1000000
    while clock.counter_us() < end:
        try:
            for r in said(fs, conf, "net")["releases"]:
                if r["id"] == rid and (r["complete"] or not r["fits"]):
                    return
        except Refused:
            pass
        if not fs.is_dir("%s/releases/%s" % (conf.store, rid)):
            raise Refused("the network side has thrown it away: later ones fill the store, or one"
                          " withdraws it; see swdist releases, swdist log")  # fmt: skip
        time.sleep(1)
    raise Refused("it is in the store, but the network side has not taken it; see swdist log")


def read(fs, conf, command):
    try:
        return {"clock": clock, "releases": releases, "metrics": metrics}[command](fs, conf)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise Refused("what swdist says of itself is not what these commands of version %s read: is"
                      " one of them newer? see swdist status" % VERSION)  # fmt: skip


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
    wanted = {"clock": (1,), "releases": (1,), "inject": (2,), "metrics": (1, 2)}
    if len(words) not in wanted.get(command, ()):
        sys.stderr.write(USAGE)
        return 2
    conf = config.load(["--config", path], "swdist", fs)
    try:
        if command == "inject":
            found = {"injected": put(fs, conf, words[1]).name()}
        else:
            found = read(fs, conf, command)
        if command == "metrics" and len(words) > 1:
            path = absolute(words[1])
            fs.mkdirs(path.rpartition("/")[0])
            fs.write_atomic(path, exposition(found).encode())
            return 0
    except (Refused, ValueError, OSError) as e:
        sys.stderr.write("swdist %s: %s\n" % (command, e))
        return 1
    if as_json:
        print(json.dumps(found))
    elif command == "inject":
        print("held by the network side: %s" % found["injected"])
    else:
        {"clock": show_clock, "releases": show_releases, "metrics": show_metrics}[command](found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
