"""What a person reads of a node: nothing old, nothing misread, whatever the status files hold."""

import json
from struct import pack

from wired import FS, Folder

from swdist import tool
from swdist.commands import asked, metrics, page, words
from swdist.machines.census import ROW_FORM, stamp_of
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
         "total": 4, "held": 3, "percent": 75, "complete": False, "offered": True,
         "start_s": 1795489300, "end_s": 0},
    ],
    "next": {"id": RID, "in_s": 99}, "board": "b",
    "relaying": [{"id": "33" * 32, "percent": 50}], "fetching": [],
    "tx_datagrams": 1, "tx_bytes": 2, "rx_datagrams": 3, "rx_bytes": 4,
}  # fmt: skip
SWITCH = {
    "active": {"id": RID, "version": "1.1.0", "revision": 0, "experimental": False},
    "confirmed": RID, "failed": [], "why": [], "prepared": [], "hold": False, "synced": True,
    "flash": None, "counter_us": 0, "swdist": "0.0.1",
}  # fmt: skip
COMMANDS = ("clock", "releases", "status", "metrics", "page")


class Conf:
    path = "/nowhere"
    reference = "auto"

    def __init__(self, path):
        self.run = self.state = self.store = path


def write(path, net, switch):
    for side, status in (("net", net), ("switch", switch)):
        if status is not None:
            if side == "switch" and status.get("counter_us") == 0:
                status = fresh(status)
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
        self.kept = metrics.process
        metrics.process = lambda fs, conf, daemon: "self"

    def __exit__(self, *_):
        metrics.process = self.kept


def lines(path):
    with Running():
        return metrics.exposition(tool.read(FS, Conf(path), "metrics")).split("\n")


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
                     "swdist_clock_error_seconds 0.001500", "swdist_switches 0",
                     'swdist_node_info{board="b",swdist="0.0.1"} 1',
                     'swdist_release_held_ratio{id="%s",version="1.1.0",revision="0"} 0.75' % RID,
                     'swdist_next_switch_seconds{id="%s"} 1795489299' % RID):  # fmt: skip
            assert line in text, line
        assert [x for x in text if x.startswith('swdist_uptime_seconds{side="net"} ')]


def test_why_a_release_failed_is_told_to_people_and_to_machines():
    with Folder() as path:
        switch = dict(SWITCH)
        switch["active"] = dict(SWITCH["active"])
        switch["active"]["id"] = "00" * 32
        switch["failed"], switch["why"] = [RID, "44" * 32], ['health: olsrd "\\" down', ""]
        write(path, fresh(), switch)
        told = tool.read(FS, Conf(path), "releases")["releases"][0]
        assert told["state"] == "failed here" and told["why"] == 'health: olsrd "\\" down'
        text = lines(path)
        line = 'release_info{id="%s",version="1.1.0",revision="0",state="failed here",why="%s"} 1'
        assert "swdist_" + line % (RID, 'health: olsrd \\"\\\\\\" down') in text, text
        assert "swdist_releases_failed 1" in text
        # Of what failed and is held no more there is no other figure.
        assert not [x for x in text if "44" * 32 in x]


def test_of_a_process_that_says_nothing_any_more_no_figure_is_told():
    with Folder() as path:
        old = dict(NET)
        old["counter_us"] = now_us() - (asked.OLD_S + 2) * 1000000
        write(path, old, SWITCH)
        for command in ("clock", "releases"):
            assert "swdist-netd has said nothing for" in refused(path, command)
        text = lines(path)
        assert 'swdist_up{side="net"} 0' in text and 'swdist_up{side="switch"} 1' in text
        assert not [x for x in text if x.startswith("swdist_neighbours")]
        assert not [x for x in text if x.startswith("swdist_releases ")]
        # Nor of one that is not there.
        write(path, fresh(), SWITCH)
        text = metrics.exposition(tool.read(FS, Conf(path), "metrics")).split("\n")
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
    net["releases"][0].update(
        {"id": "55" * 32, "fits": False, "kind": None, "payload": None, "total": 0, "held": 0}
    )
    with Folder() as path:
        write(path, net, SWITCH)
        assert "swdist_releases_incomplete 0" in lines(path)
        told = tool.read(FS, Conf(path), "releases")
        assert told["releases"][0]["state"] == "not for this board"
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


def test_each_state_has_its_word():
    """In the order in which they count: what is withdrawn has not failed, whatever else it is."""
    switch = dict(SWITCH)
    switch["active"] = {"id": "00" * 32, "version": "1.0.0", "revision": 0, "experimental": False}
    r = dict(NET["releases"][0])
    r["complete"] = True
    image = {"flash": [RID, 95000000]}
    for said, side, word, more in (
        ({}, {}, words.READY, None),
        ({}, {"hold": True}, words.HELD, None),
        ({}, image, words.WINDOW, "flashes in 1 min 35 s"),
        ({"complete": False}, {}, words.FETCHING, "75 %"),
        ({"complete": False, "offered": False}, {}, words.NOBODY, "75 %"),
        ({"no_room": "needs 9 KB"}, {}, words.NO_ROOM, "needs 9 KB"),
        ({"experimental": True, "end_s": 5}, {}, words.ENDED, None),
        ({"invited": False}, {}, words.OTHERS, None),
        ({"fits": False}, {}, words.BOARD, None),
        ({"fits": False, "version": "0.0.2"}, {}, words.RUNS, "keys in force"),
        ({}, {"failed": [RID], "why": ["health"]}, words.FAILED, "health"),
        ({"withdrawn": True}, {"failed": [RID], "why": ["health"]}, words.WITHDRAWN, None),
        ({}, {"active": SWITCH["active"]}, words.RUNS, None),
        ({}, {"active": SWITCH["active"], "confirmed": "00" * 32}, words.TRIAL, None),
    ):
        row, other = dict(r), dict(switch)
        row.update(said)
        other.update(side)
        assert words.state(row, [row], other, 1795489200, True) == (word, more), words.STATES[word]
    assert words.state(r, [r], switch, 1795489200, False)[0] == words.CLOCK
    later = dict(r)
    later["revision"] = 1
    assert words.state(r, [r, later], switch, 1, True) == (words.SUPERSEDED, "by 1.1.0-r1")


def test_status_says_what_is_wrong():
    with Folder() as path:
        assert len(tool.read(FS, Conf(path), "status")["trouble"]) == 2
        net = fresh()
        net["neighbours"] = []
        net["synced"] = False
        net["releases"] = [dict(net["releases"][0])]
        net["releases"][0]["no_room"] = "needs 9 KB"
        switch = dict(SWITCH)
        switch["active"] = {"id": "00" * 32, "version": "1.0.0", "revision": 0,
                            "experimental": False}  # fmt: skip
        write(path, net, switch)
        found = tool.read(FS, Conf(path), "status")
        assert [t.split()[0] for t in found["trouble"]] == ["no", "the", "1.1.0-r0:"]
        assert found["next"]["version"] == "1.1.0" and found["next"]["percent"] == 75
        tool.show_status(found)


def with_old_ones():
    """[releases], the switch side's word: 1.5.0 runs and 1.6.0 comes; the rest is over, but for
    1.7.0 that failed and nothing has taken the place of."""
    found = []
    for n in range(8):
        found.append(dict(NET["releases"][0]))
        found[n].update({"id": "%02d" % n * 32, "version": "1.%d.0" % n, "complete": True})
    found[1]["withdrawn"] = True
    found[2]["experimental"], found[2]["end_s"] = True, 1
    switch = dict(SWITCH)
    switch["active"] = {"id": "05" * 32, "version": "1.5.0", "revision": 0, "experimental": False}
    switch["confirmed"] = "05" * 32
    switch["failed"], switch["why"] = ["03" * 32, "07" * 32], ["long ago", "olsrd is down"]
    return found, switch


def test_what_is_over_goes_from_lists_for_people_and_from_metrics_and_json_is_whole():
    net = fresh()
    net["releases"], switch = with_old_ones()
    with Folder() as path:
        write(path, net, switch)
        found = tool.read(FS, Conf(path), "status")
        assert [r["past"] for r in found["releases"]] == [True] * 5 + [False] * 3
        assert [r["version"] for r in page.shown(found["releases"], 9, 2)] == [
            "1.3.0", "1.4.0", "1.5.0", "1.6.0", "1.7.0"
        ]  # fmt: skip
        assert [t for t in found["trouble"] if "failed" in t] == [
            "1.7.0-r0: failed here: olsrd is down"
        ]
        tool.show_status(found)
        text = lines(path)
    told = [x for x in text if x.startswith("swdist_release_info{")]
    assert len(told) == 3 and "swdist_releases 8" in text and "swdist_releases_failed 1" in text
    assert len([x for x in text if x.startswith("swdist_release_held_ratio{")]) == 3


def test_what_runs_is_shown_however_many_are_higher():
    rows = [{"state": "runs here", "past": False}]
    rows += [{"state": "ready", "past": False, "n": n} for n in range(9)]
    assert page.shown(rows, 3, 2) == [rows[0], rows[8], rows[9]]
    rows = [{"state": "ended", "past": True, "n": n} for n in range(9)] + rows[:2]
    assert page.shown(rows, 8, 2) == rows[7:]


def test_silent_ones_are_silent_since_the_last_of_them_was_heard():
    found = []
    now_s = NET["mesh_us"] // 1000000
    for n, age_s in enumerate((0, 90000, 50000)):
        head = (1, n, stamp_of(now_s - age_s), 1, 100, 3, 2, 0, 1, 0, 0, 0)
        found.append(pack(ROW_FORM, *head) + b"n b")
    with Folder() as path:
        write(path, fresh(), SWITCH)
        FS.write_atomic(path + "/mesh", found[0])
        assert tool.read(FS, Conf(path), "mesh")["silent_since"] is None
        FS.write_atomic(path + "/mesh", b"".join(found))
        told = tool.read(FS, Conf(path), "mesh")
        tool.show_mesh(told)
    assert told["silent"] == 2 and told["silent_since"][:14] == "2026-11-23T13:"


def test_spans_are_said_in_two_units():
    said = [words.span(s) for s in (0, 59, 3600, 90061, 86400 * 3 + 5)]
    assert said == ["0 s", "59 s", "1 h", "1 d 1 h", "3 d"]
