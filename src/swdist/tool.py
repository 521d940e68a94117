"""What a person or a script asks a node: swdist clock, releases, inject, metrics.

Reads what the two processes say of themselves in RUN.
"""

import json
import sys
import time

from swdist import VERSION
from swdist.commands import metrics, page, rollcall, words
from swdist.commands.asked import Refused, absolute, process, said
from swdist.commands.texts import ms, peer_text, utc
from swdist.crypto import ucryptolib
from swdist.formats.bits import to_hex
from swdist.machines.clock import UNKNOWN
from swdist.machines.readings import STEP_US
from swdist.shell import native, platform
from swdist.storage import inject
from swdist.trust import verify
from swdist.wiring import config

USAGE = """usage: swdist COMMAND [--json] [FILE]

  status          this node in a few lines: what runs, what comes next, what is wrong
  status --mesh   what all nodes tell of themselves, as far as it has come here
  clock           the mesh time, how exact it is, and what the neighbours say
  releases        what this node holds, runs, and has seen fail
  inject FILE     put a release (NAME.swd, made by `swdist release` on a laptop) into the mesh here
  metrics [FILE]  the same for Prometheus, on a line of the crontab:
                  * * * * * swdist metrics /var/prometheus/swdist.prom
  log, check, start, stop, restart, reload: of the two processes
"""
TAKEN_S = 120  # for the network side to start again, and to check all that it holds


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
        "no_reference": None if net["reference"] else why_none(net, conf),
        "steps": net["steps"],
        "neighbours": rows,
    }


def why_none(net, conf):
    why = "option reference is off"
    if conf.reference == "broadcast":
        why = "no NTP server's broadcasts are heard"
    elif conf.reference == "auto":
        why = net.get("no_reference") or "it has yet to be asked"
    return "none: " + why


def show_clock(f):
    print("mesh time   %s" % f["mesh_time"])
    state = "agreed with the neighbours" if f["synced"] else "NOT agreed with anybody yet"
    print("state       %s; %d steps since start" % (state, f["steps"]))
    error = "unknown" if f["error_us"] is None else "at most " + ms(f["error_us"])
    print("error       %s, towards the neighbours" % error)
    print("reference   %s" % (f["no_reference"] or "followed"))
    print("system      %s ahead of the mesh" % ms(f["system_ahead_us"]))
    for n in f["neighbours"]:
        verdict = "  DISAGREES" if n["disagrees"] else "" if n["synced"] else "  not synced"
        row = n["peer"], ms(n["ahead_us"]), ms(n["round_trip_us"])
        print("neighbour   %s  ahead %s  round trip %s%s" % (row + (verdict,)))


# --- releases


def releases(fs, conf):
    net, switch = said(fs, conf, "net"), said(fs, conf, "switch")
    now_s = net["mesh_us"] // 1000000
    found = []
    for r in net["releases"]:
        row = dict(r)
        word, more = words.state(r, net["releases"], switch, now_s, net["synced"])
        row["state"] = words.STATES[word]
        row["why"] = more
        row["past"] = words.past(word, r, net["releases"], switch["active"])
        row["start"] = utc(r["start_s"])
        row["end"] = utc(r["end_s"]) if r["end_s"] else None
        found.append(row)
    return {
        "active": switch["active"],
        "hold": switch["hold"],
        "releases": found,
        "relaying": net["relaying"],
        "next": coming(net),
    }


def coming(net):
    """What runs next, {"id", "version", "revision", "in_s", "at", "percent"}, or None."""
    pending = net["next"]
    if not pending:
        return None
    found = {"version": "image", "revision": 0, "percent": 100}  # back to what the image holds
    for r in net["releases"]:
        if r["id"] == pending["id"]:
            found = {k: r[k] for k in found}
    found.update(pending)
    found["at"] = utc(net["mesh_us"] // 1000000 + pending["in_s"])
    return found


def told(row):
    """A release's state as a line has it: "fetching 57 %", "failed here: olsrd is not running"."""
    if not row["why"]:
        return row["state"]
    return row["state"] + (" " if row["why"][0].isdigit() else ": ") + row["why"]


def show_releases(f):
    a = f["active"]
    hold = ", on hold: it switches to nothing newer" if f["hold"] else ""
    print("runs %s (%s)%s" % (words.name(a), a["id"][:8], hold))
    show_next(f["next"])
    for r in f["releases"]:
        when = "%s to %s" % (r["start"], r["end"]) if r["end"] else "from %s" % r["start"]
        row = r["id"][:8], words.name(r), r["kind"] or "-", when, told(r)
        print("%s  %s  %s  %s  %s" % row)
    for p in f["relaying"]:
        print("payload %s  for neighbours, %d %%" % (p["id"][:8], p["percent"]))


def show_next(n):
    if n:
        here = "" if n["percent"] == 100 else ", %d %% here" % n["percent"]
        when = "in %s (%s)" % (words.span(n["in_s"]), n["at"]) if n["in_s"] else "as soon as it can"
        print("next %s %s%s" % (words.name(n), when, here))


# --- status


def status(fs, conf):
    """This node in short; of a side that says nothing, why not, and nothing old."""
    found = {"board": None, "trouble": []}
    for side in ("net", "switch"):
        try:
            found[side] = said(fs, conf, side)
        except Refused as e:
            found[side] = None
            found["trouble"].append(str(e))
    net, switch = found.pop("net"), found.pop("switch")
    if net:
        found["board"] = net["board"]
        found["synced"] = net["synced"]
        found["error_us"] = None if net["error_us"] == UNKNOWN else net["error_us"]
        found["mesh_time"] = utc(net["mesh_us"] // 1000000)
        found["neighbours"] = len(net["neighbours"])
        if not net["neighbours"]:
            found["trouble"].append("no neighbour is heard; see swdist log, option interface")
        if not net["synced"]:
            found["trouble"].append("the clock is not synchronised; see swdist clock")
    if net and switch:
        found.update(releases(fs, conf))
        for r in found["releases"]:
            bad = r["state"] in (words.STATES[words.FAILED], words.STATES[words.NO_ROOM])
            if bad and not r["past"]:
                found["trouble"].append("%s: %s" % (words.name(r), told(r)))
    return found


def mesh(fs, conf):
    """What all nodes tell of themselves, as far as it has come here."""
    found = roll(fs, conf)
    found["rows"].sort(key=lambda r: (r["name"], r["node"]))
    return found


def roll(fs, conf):
    net = said(fs, conf, "net")
    data = fs.read(conf.run + "/mesh", rollcall.MAX_BYTES) or b""
    rows = rollcall.read(data, net["mesh_us"] // 1000000)
    found = rollcall.summary(rows, [r["id"] for r in net["releases"]])
    found["names"] = {r["id"]: words.name(r) for r in net["releases"]}
    found["rows"] = rows
    ages = [r["age_s"] for r in rows if r["age_s"] >= rollcall.SILENT_S]
    found["silent_since"] = utc(net["mesh_us"] // 1000000 - min(ages)) if ages else None
    return found


def show_mesh(f):
    counts = ", ".join(["%d %s" % (n, word) for word, n in sorted(f["words"].items())])
    about = f["names"].get(f["release"])
    nodes = "1 node" if f["nodes"] == 1 else "%d nodes" % f["nodes"]
    print("%s heard of; %s: %s" % (nodes, about or "no release", counts or "nobody"))
    if f["clock_error_ms"] is not None:
        print("clock error at most %d ms, as they say" % f["clock_error_ms"])
    if f["silent"]:
        print("%d silent since %s" % (f["silent"], f["silent_since"]))
    for r in f["rows"]:
        about = [n for rid, n in f["names"].items() if rid.startswith(r["release"])]
        age = words.span(r["age_s"]) + " ago"
        row = r["name"] or r["node"], r["board"], words.name(r), about[0] if about else "?"
        print("%-12s  %-12s  runs %-10s  %-10s  " % row
              + "%s, %d %%, %s" % (r["state"], r["percent"], age))  # fmt: skip


def show_status(f):
    if f["board"]:
        error = "" if f["error_us"] is None else ", within " + ms(f["error_us"])
        agreed = "synchronised" if f["synced"] else "NOT synchronised"
        print("this is %s; neighbours: %d" % (f["board"], f["neighbours"]))
        print("time %s, %s%s" % (f["mesh_time"], agreed, error))
    if "releases" in f:
        few = dict(f, releases=page.shown(f["releases"]))
        show_releases(few)
        more = len(f["releases"]) - len(few["releases"])
        if more:
            print("and %d more: swdist releases" % more)
    for line in f["trouble"]:
        print("! " + line)


# --- inject


def is_root():
    with open("/proc/self/status") as f:
        return "Uid:\t0\t" in f.read(4096)


def put(fs, conf, path):
    """Verified here, taken over by the network side, which starts again for it."""
    trust = verify.load_ca(fs, conf.ca)
    ids = platform.user_ids(conf.user) if conf.user else None
    with open(absolute(path), "rb") as f:
        # What is written is then the network side's; and root would follow its links.
        if ids is not None and not platform.drop_privileges(ids) and ids[0] and is_root():
            how = "start-stop-daemon -S -c %s -x /usr/bin/swdist -- inject" % conf.user
            raise Refused("this runtime can't give up root; %s %s" % (how, absolute(path)))
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


def for_page(fs, conf):
    return page.document(fs, conf, said(fs, conf, "net"), status(fs, conf), roll(fs, conf))


def show_json(found):
    print(json.dumps(found))


def show_metrics(rows):
    sys.stdout.write(metrics.exposition(rows))


ASKED = {
    "clock": (clock, show_clock),
    "releases": (releases, show_releases),
    "status": (status, show_status),
    "mesh": (mesh, show_mesh),
    "metrics": (metrics.rows, show_metrics),
    "page": (for_page, show_json),  # for files/www/cgi-bin/swdist
}


def read(fs, conf, command):
    try:
        return ASKED[command][0](fs, conf)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise Refused("what swdist says of itself is not what these commands of version %s read: is"
                      " one of them newer? see swdist status" % VERSION)  # fmt: skip


def main(argv):
    fs = platform.Fs()
    as_json = "--json" in argv
    typed = [w for w in argv if w != "--json"]
    path = config.DEFAULT_FILE
    if len(typed) > 1 and typed[0] == "--config":
        path = typed[1]
        typed = typed[2:]
    if typed == ["status", "--mesh"]:
        typed = ["mesh"]
    command = typed[0] if typed else ""
    if "--help" in typed or command == "help":
        sys.stdout.write(USAGE)
        return 0
    lengths = {"inject": (2,), "metrics": (1, 2)}.get(command, (1,))
    if len(typed) not in lengths or not (command in ASKED or command == "inject"):
        sys.stderr.write(USAGE)
        return 2
    conf = config.load(["--config", path], "swdist", fs)
    try:
        if command == "inject":
            found = {"injected": put(fs, conf, typed[1]).name()}
        else:
            found = read(fs, conf, command)
        if command == "metrics" and len(typed) > 1:
            path = absolute(typed[1])
            fs.mkdirs(path.rpartition("/")[0])
            fs.write_atomic(path, metrics.exposition(found).encode())
            return 0
    except (Refused, ValueError, OSError) as e:
        if command == "page":  # whose reader has no other place for it
            found = {"trouble": [str(e)]}
        else:
            sys.stderr.write("swdist %s: %s\n" % (command, e))
            return 1
    try:
        if as_json:
            print(json.dumps(found))
        elif command == "inject":
            print("held by the network side: %s" % found["injected"])
        else:
            ASKED[command][1](found)
    except OSError:
        pass  # who reads it has seen enough, as `head` has
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
