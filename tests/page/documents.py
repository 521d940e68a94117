"""What the commands make of a node amid a large mesh, of which a stranger tells lies."""

import json
from struct import pack
from types import SimpleNamespace

from swdist import VERSION, tool
from swdist.commands import words
from swdist.commands.rollcall import SILENT_S
from swdist.crypto.ucryptolib import sha256
from swdist.formats.bits import to_hex
from swdist.machines.census import ROW_FORM, TEXT_BYTES, stamp_of
from swdist.shell import platform
from swdist.storage.slots import MAX_REASON

NOW_S = 1796042000  # 2026-11-30 12:33:20 UTC
SCRIPT = "<script>alert(1)</script>"
IMG = "<img/src=x/onerror=alert(1)>"
RIDS = [to_hex(sha256(b"release %d" % i)) for i in range(4)]
BOARDS = "tplink,wr841", "linksys,wrt54gs", "cudy,wr1200", "ubnt,nanostation"


def release(i, version, **more):
    found = {
        "id": RIDS[i], "version": version, "revision": 0, "experimental": False, "withdrawn": False,
        "fits": True, "invited": True, "payload": "22" * 32, "kind": "slot", "no_room": None,
        "total": 64, "held": 64, "percent": 100, "complete": True, "offered": True,
        "start_s": NOW_S - 86400 * (4 - i), "end_s": 0,
    }  # fmt: skip
    found.update(more)
    return found


def neighbours():
    for i in range(16):
        version = ("1.4.0", "1.3.0", "1.3.0", "1.2.0")[i % 4]
        mac = "0211%02xfffe33%02x%02x" % (i, 0x44 + i, 17 * i)
        yield {
            "peer": "fe80000000000000" + mac + "%08x" % (3 + i % 2), "version": version,
            "node": "%04x%04x" % (i, 7 * i) if i % 3 else None,
            "revision": 0, "synced": i != 5, "heard_ms_ago": 1500 * i, "faults": 0,
            "ahead_us": 0, "round_trip_us": 2000,
        }  # fmt: skip


def row(i, word, percent, version, text, age_s=60, about=RIDS[2]):
    stamp = stamp_of(NOW_S - age_s)
    release = int(about[:8], 16)
    rest = 10 + i % 10, release, *version, 0
    return pack(ROW_FORM, i, 7 * i, stamp, word, percent, len(text), *rest) + text.encode()


def roll():
    told = []
    for i in range(300):
        word = (words.READY, words.READY, words.FETCHING, words.NO_ROOM)[i % 4 if i < 12 else 0]
        percent = 57 if word == words.FETCHING else 100
        text = "roof-%d %s" % (i, BOARDS[i % 4])
        told.append(row(i, word, percent, (1, 3, 0), text, SILENT_S + 9999 if i == 39 else 10 * i))
    told.append(row(98, words.FAILED, 100, (1, 3, 0), SCRIPT + " " + SCRIPT))
    told.append(row(99, words.NO_ROOM, 0, (1, 3, 0), IMG + " &amp;"))
    return b"".join(told)


def fullest(folder):
    """As `crowded`, where all that is bounded has come to its bound, but for what failed: half."""
    net, switch, _, _ = told()
    net["releases"] = []
    for i in range(64):
        bad = i % 2 and {"no_room": "needs 12345 KB, quota_kb has 12345"} or {}
        here = release(0, "%d.%d.%d" % (101 + i, 100, 100), revision=100, experimental=True, **bad)
        here.update({"id": to_hex(sha256(b"%d" % i)), "end_s": NOW_S + 999, "percent": 57})
        net["releases"].append(here)
    switch["failed"] = [r["id"] for r in net["releases"][::2]]
    switch["why"] = ["w" * MAX_REASON] * 32
    switch["active"] = {"id": "ab" * 32, "version": "100.100.100", "revision": 100,
                        "experimental": True}  # fmt: skip
    net["fetching"] = [{"file": "x", "from": n["peer"]} for n in net["neighbours"]]
    net["serving"] = [n["peer"] for n in net["neighbours"]]
    about = net["releases"][-1]["id"]
    rows = b""
    for i in range(300):
        text = ("%012d " % i + "b" * 24)[:TEXT_BYTES]
        rows += row(i, i % len(words.STATES), 100, (100, 100, 100), text, 9999, about)
    for i, n in enumerate(net["neighbours"]):
        n["node"] = "%04x%04x" % (i, 7 * i)
    why = "the one before was withdrawn"
    switches = [{"at_us": 0, "from": "100.100.100-r100", "to": "100.100.101-r100", "reason": why}]
    return made(folder, net, switch, rows, switches * 99)


def crowded(folder, command="page"):
    """What the device's own code makes of the files that are laid in `folder`."""
    return made(folder, *told(), command)


def told():
    """What the two sides say of themselves, the rows of RUN/mesh, and the switches."""
    counter_us = platform.Clock().counter_us()
    net = {
        "version": "1.3.0", "revision": 0, "synced": True, "mesh_us": NOW_S * 1000000,
        "counter_us": counter_us, "error_us": 34776, "neighbours": list(neighbours()),
        "releases": [
            release(1, "1.3.0"),
            release(0, "1.3.1"),
            release(2, "1.4.0", percent=57, held=36, complete=False, start_s=NOW_S + 93784),
            release(3, "1.5.0", experimental=True, end_s=NOW_S + 999999, no_room=IMG),
        ],
        "fetching": [], "relaying": [], "next": {"id": RIDS[2], "in_s": 93784}, "board": IMG,
        "steps": 1, "swdist": VERSION, "tx_datagrams": 1, "tx_bytes": 2, "rx_datagrams": 3,
        "rx_bytes": 4,
    }  # fmt: skip
    net["fetching"] = [
        {"file": "x", "from": net["neighbours"][i]["peer"]} for i in (0, 4)
    ]  # fmt: skip
    net["serving"] = [net["neighbours"][1]["peer"]]
    switch = {
        "active": {"id": RIDS[1], "version": "1.3.0", "revision": 0, "experimental": False},
        "confirmed": RIDS[1], "failed": [RIDS[0]], "why": [SCRIPT], "prepared": [], "hold": False,
        "synced": True, "flash": None, "counter_us": counter_us,
    }  # fmt: skip
    switches = [
        {
            "at_us": (NOW_S - 86400 + i) * 1000000,
            "from": "1.2.0-r0",
            "to": "1.3.0-r0",
            "reason": why,
        }
        for i, why in enumerate(("start", "rollback", SCRIPT))
    ]
    return net, switch, roll(), switches


def made(folder, net, switch, rows, switches, command="page"):
    files = {
        "net.json": json.dumps(net).encode(),
        "switch.json": json.dumps(switch).encode(),
        "mesh": rows,
        "switches": b"".join(json.dumps(s).encode() + b"\n" for s in switches),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    conf = SimpleNamespace(path="", run=str(folder), state=str(folder), reference="off")
    return tool.read(platform.Fs(), conf, command)
