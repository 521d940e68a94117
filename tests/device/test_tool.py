"""What a person reads of a node: nothing old, nothing misread, whatever the status files hold."""

import json

from wired import FS, Folder

from swdist import tool
from swdist.shell import platform

RID = "11" * 32
PEER = "fe80000000000000021122fffe33445500000003"
NET = {
    "version": "1.1.0", "revision": 0, "synced": True, "mesh_us": 1795489200123456, "counter_us": 0,
    "error_us": 1500, "reference": False, "steps": 2, "swdist": "0.0.1",
    "neighbours": [
        {"peer": PEER, "version": "1.1.0", "revision": 0, "synced": True, "heard_ms_ago": 10,
         "faults": 0, "ahead_us": -1500, "round_trip_us": 2000},
    ],
    "releases": [
        {"id": RID, "version": "1.1.0", "revision": 0, "experimental": False, "withdrawn": False,
         "fits": True, "invited": True, "payload": "22" * 32, "kind": "slot", "no_room": None,
         "total": 4, "held": 3, "percent": 75, "complete": False},
    ],
    "relaying": [{"id": "33" * 32, "percent": 50}],
    "tx_datagrams": 1, "tx_bytes": 2, "rx_datagrams": 3, "rx_bytes": 4,
}  # fmt: skip
SWITCH = {
    "active": {"id": RID, "version": "1.1.0", "revision": 0, "experimental": False},
    "confirmed": RID, "failed": [], "why": [], "prepared": [], "hold": False, "synced": True,
    "swdist": "0.0.1",
}  # fmt: skip
COMMANDS = ("clock", "releases", "metrics")


class Conf:
    path = "/nowhere"

    def __init__(self, path):
        self.run = self.state = self.store = path


def write(path, net, switch):
    for side, status in (("net", net), ("switch", switch)):
        if status is not None:
            FS.write_atomic("%s/%s.json" % (path, side), json.dumps(status).encode())


def now_us():
    return platform.Clock().counter_us()


def fresh(status=NET):
    copy = dict(status)
    if "counter_us" in copy:
        copy["counter_us"] = now_us()
    return copy


def refused(path, command):
    try:
        tool.read(FS, Conf(path), command)
    except tool.Refused as e:
        return str(e)
    return None


class Running:
    """As if both processes ran: this one's number stands for theirs."""

    def __enter__(self):
        self.kept = tool.process
        tool.process = lambda fs, conf, daemon: "self"

    def __exit__(self, *_):
        tool.process = self.kept


def lines(path):
    with Running():
        return tool.exposition(tool.read(FS, Conf(path), "metrics")).split("\n")


def test_what_is_said_is_told():
    with Folder() as path:
        write(path, fresh(), SWITCH)
        conf = Conf(path)
        told = tool.read(FS, conf, "clock")
        assert told["neighbours"][0]["ahead_us"] == -1500 and not told["neighbours"][0]["disagrees"]
        assert tool.read(FS, conf, "releases")["releases"][0]["held"] == 3
        tool.show_releases(tool.read(FS, conf, "releases"))
        text = lines(path)
        for line in ("swdist_releases_incomplete 1", "swdist_payloads_relayed 1",
                     'swdist_up{side="net"} 1', 'swdist_up{side="switch"} 1', "swdist_neighbours 1",
                     "swdist_clock_error_seconds 0.001500", "swdist_switches 0"):  # fmt: skip
            assert line in text, line
        assert [x for x in text if x.startswith('swdist_uptime_seconds{side="net"} ')]


def test_why_a_release_failed_is_told_to_people_and_to_machines():
    with Folder() as path:
        switch = dict(SWITCH)
        switch["failed"], switch["why"] = [RID, "44" * 32], ['health: olsrd "\\" down', ""]
        write(path, fresh(), switch)
        told = tool.read(FS, Conf(path), "releases")["releases"][0]["failed"]
        assert told == 'health: olsrd "\\" down'
        text = lines(path)
        for line in ('{id="%s",why="health: olsrd \\"\\\\\\" down"} 1' % RID,
                     '{id="%s",why=""} 1' % ("44" * 32)):  # fmt: skip
            assert "swdist_failed_release_info" + line in text, (line, text)
        assert "swdist_releases_failed 2" in text


def test_of_a_process_that_says_nothing_any_more_no_figure_is_told():
    with Folder() as path:
        old = dict(NET)
        old["counter_us"] = now_us() - (tool.OLD_S + 2) * 1000000
        write(path, old, SWITCH)
        for command in ("clock", "releases"):
            assert "swdist-netd has said nothing for" in refused(path, command)
        text = lines(path)
        assert 'swdist_up{side="net"} 0' in text and 'swdist_up{side="switch"} 1' in text
        assert not [x for x in text if x.startswith(("swdist_neighbours", "swdist_releases "))]
        # Nor of one that is not there.
        write(path, fresh(), SWITCH)
        text = tool.exposition(tool.read(FS, Conf(path), "metrics")).split("\n")
        assert 'swdist_up{side="net"} 0' in text and "swdist_neighbours 1" not in text


def test_no_status_is_said_in_a_line():
    with Folder() as path:
        for command in ("clock", "releases"):
            assert "is swdist running?" in refused(path, command)
        for half in (b"", b"{", b'{"half": ', json.dumps(NET).encode()[:-20]):
            FS.write_atomic(path + "/net.json", half)
            assert refused(path, "clock"), half


def test_status_of_another_version_ends_in_a_line_and_in_no_traceback():
    misread = 0
    with Folder() as path, Running():
        for side, status in (("net", fresh()), ("switch", SWITCH)):
            for key in status:
                for value in (None, "x", [], {}, 7, "gone"):
                    other = dict(status)
                    other[key] = value
                    if value == "gone":
                        del other[key]
                    write(path, *((other, SWITCH) if side == "net" else (fresh(), other)))
                    for command in COMMANDS:
                        try:
                            tool.read(FS, Conf(path), command)
                        except tool.Refused as e:
                            misread += "these commands of version" in str(e)
        for status in ([], 5, None, "text"):
            FS.write_atomic(path + "/net.json", json.dumps(status).encode())
            assert "these commands of version" in refused(path, "clock")
    assert misread > 20


def test_switches_are_counted_also_where_the_last_line_is_half_a_one():
    record = {"at_us": 1795489200123456, "counter_us": 1, "error_us": 5, "synced": True,
              "from": "1.0.0-r0", "to": "1.1.0-r0", "id": RID, "reason": "start"}  # fmt: skip
    back = dict(record)
    back["reason"] = "rollback"
    back["at_us"] += 3000000
    with Folder() as path:
        write(path, fresh(), SWITCH)
        FS.write_atomic(
            path + "/switches",
            b"\n".join([json.dumps(r).encode() for r in (record, back, record)])[:-30],
        )
        text = lines(path)
        assert "swdist_rollbacks 1" in text
        assert "swdist_last_switch_seconds 1795489203.123456" in text


def test_release_that_is_not_for_this_node_is_not_counted_as_incomplete_nor_as_scheduled():
    net = fresh()
    net["releases"] = [dict(NET["releases"][0])]
    net["releases"][0].update({"fits": False, "kind": None, "payload": None, "total": 0, "held": 0})
    with Folder() as path:
        write(path, net, SWITCH)
        assert "swdist_releases_incomplete 0" in lines(path)
        told = tool.read(FS, Conf(path), "releases")
        assert not told["releases"][0]["scheduled"]
        tool.show_releases(told)


def test_text_is_prometheus_s():
    """Each name once, with its heading before it and all its figures behind."""
    with Folder() as path:
        write(path, fresh(), SWITCH)
        name = None
        seen = []
        for line in lines(path)[:-1]:
            if line.startswith("# HELP "):
                name = line.split()[2]
                assert name not in seen
                seen.append(name)
            elif line.startswith("# TYPE "):
                assert line.split()[2] == name
                assert (line.split()[3] == "counter") == (name[-6:] == "_total")
            else:
                assert line.split("{")[0].split()[0] == name
                float(line.split()[-1])
