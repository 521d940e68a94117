"""The document of the page: what it holds is bounded, and nothing old or half written is in it."""

import json
from struct import pack

from test_tool import FS, NET, PEER, RID, SWITCH, Conf, fresh, write
from wired import Folder

from swdist import tool
from swdist.commands import page, rollcall, words
from swdist.machines.census import ROW_FORM, stamp_of

NOW_S = NET["mesh_us"] // 1000000
SWITCHED = {"at_us": NET["mesh_us"], "from": "1.0.0-r0", "to": "1.1.0-r0", "reason": "start"}


def document(path, more=None, side=SWITCH, switches=b"", roll=b""):
    net = fresh()
    net.update(more or {})
    write(path, net, side)
    FS.write_atomic(path + "/switches", switches)
    FS.write_atomic(path + "/mesh", roll)
    return tool.read(FS, Conf(path), "page")


def line(**more):
    record = dict(SWITCHED)
    record.update(more)
    return json.dumps(record).encode() + b"\n"


def told(i, word, text):
    """A row of RUN/mesh."""
    head = (i, i, stamp_of(NOW_S), word, 100, len(text), 2, int(RID[:8], 16), 1, 0, 0, 0)
    return pack(ROW_FORM, *head) + text


def test_neighbours_are_ahead_behind_or_give():
    rows = []
    for version, revision in (("1.1.0", 0), ("1.10.0", 0), ("1.1.0", 1), ("1.0.9", 7)):
        row = dict(NET["neighbours"][0])
        row.update({"version": version, "revision": revision, "heard_ms_ago": 2999})
        rows.append(row)
    rows[1]["peer"] = PEER[:-1] + "4"
    with Folder() as path:
        gives = [{"file": "1/x/index", "from": rows[1]["peer"]}]
        net = {"neighbours": rows, "fetching": gives, "serving": [rows[1]["peer"], "ff"]}
        found = document(path, net)["neighbours"]
    assert [n["ahead"] for n in found] == [0, 1, 1, -1]
    assert [n["gives"] for n in found] == [n["takes"] for n in found] == [0, 1, 0, 0]
    assert found[1] == {
        "address": "fe80::211:22ff:fe33:4455%4", "runs": "1.10.0-r0", "ahead": 1, "synced": True,
        "heard_s_ago": 2, "gives": 1, "takes": 1,
        "name": None,
    }  # fmt: skip


def test_neighbours_have_the_names_that_the_mesh_tells():
    rows = [dict(NET["neighbours"][0]) for _ in range(4)]
    for row, node in zip(rows, ("00070007", "00080008", "00090009", None)):
        row["node"] = node
    roll = told(7, words.READY, b"roof-7 b") + told(8, words.READY, b"<i>\xff b")
    with Folder() as path:
        found = document(path, {"neighbours": rows}, roll=roll)["neighbours"]
    assert [n["name"] for n in found] == ["roof-7", "<i>?", None, None]


def test_releases_say_what_is_shown_and_no_more():
    with Folder() as path:
        found = document(path)
    assert found["next"]["in_s"] == 99 and found["active"]["version"] == "1.1.0"
    (release,) = found["releases"]
    assert release == {
        "version": "1.1.0", "revision": 0, "experimental": False, "state": "runs here",
        "why": None, "percent": 75, "complete": False, "start": "2026-11-24T03:01:40Z",
        "end": None,
    }  # fmt: skip


def test_latest_switches_are_told_in_words_and_half_lines_are_not():
    lines = [line(reason=why) for why in ("start", "late", "end", "rollback", "withdrawn", "new")]
    with Folder() as path:
        found = document(path, switches=b"".join(lines) + line()[:-9])["events"]
        assert [e["what"].split(": ")[1] for e in found] == [
            "new", "the one before was withdrawn", "the one before had failed",
            "the experiment was over", "it came after its start", "its start came",
        ]  # fmt: skip
        assert found[0]["at"] == "2026-11-24T03:00:00Z"
        assert found[0]["what"].startswith("switched from 1.0.0-r0 to 1.1.0-r0: ")
        many = document(path, switches=line() * 200)["events"]
        assert len(many) == page.EVENTS
        for odd in (b"[]\n", b"{}\n", b"\xff\xfe\n", b"5\n", line(at_us="x"), line()[:40] + b"\n"):
            assert len(document(path, switches=odd + line())["events"]) == 1, odd


def test_mesh_rows_are_bounded_and_those_that_are_not_ready_come_first():
    fine = words.READY, words.RUNS
    roll = b"".join([told(i, fine[i % 2], b"a%d b" % i) for i in range(page.ROWS + 9)])
    roll += told(999, words.NO_ROOM, b"z<b>\xff\x00 board") + told(0x1234, words.FAILED, b"")
    with Folder() as path:
        found = document(path, roll=roll)["mesh"]
    assert found["nodes"] == page.ROWS + 11 and len(found["rows"]) == page.ROWS
    assert found["words"] == {"ready": 35, "runs here": 34, "no room": 1, "failed here": 1}
    assert [r["name"] for r in found["rows"][:3]] == ["12341234", "z<b>??", "a0"]
    assert found["rows"][1] == {
        "name": "z<b>??", "board": "board", "runs": "1.0.0-r0", "state": "no room", "percent": 100,
        "age_s": found["rows"][1]["age_s"],
    }  # fmt: skip


def test_document_is_bounded_in_bytes_whatever_strangers_write_into_the_mesh():
    for char, most in ((b"x", page.ROWS), (b"\\", page.ROWS - 1)):
        text = char * 12 + b" " + char * 11
        roll = b"".join([told(i, words.NO_ROOM, text) for i in range(99)])
        rows = [dict(NET["neighbours"][0]) for _ in range(16)]
        with Folder() as path:
            found = document(path, {"neighbours": rows}, switches=line() * 99, roll=roll)
        assert 30 < len(found["mesh"]["rows"]) <= most and found["mesh"]["nodes"] == 99
        assert len(json.dumps(found)) <= page.BYTES


def test_of_many_releases_the_highest_are_shown():
    with Folder() as path:
        rows = []
        for n in range(64):
            rows.append(dict(NET["releases"][0]))
            rows[n]["version"] = "1.%d.0" % n
        found = document(path, {"releases": rows})["releases"]
        shown = ["1.%d.0" % n for n in range(64 - page.RELEASES, 64)]
        assert [r["version"] for r in found] == shown


def test_of_a_side_that_is_silent_nothing_old_is_shown():
    with Folder() as path:
        old = dict(SWITCH)
        old["counter_us"] = -999999999999
        found = document(path, side=old)
        assert "releases" not in found and "swdist-switchd has said nothing" in found["trouble"][0]
        FS.write_atomic(path + "/net.json", b"")
        try:
            tool.read(FS, Conf(path), "page")
        except tool.Refused as e:
            assert "is swdist running?" in str(e)
        else:
            raise AssertionError("a page without a network side")


def test_node_is_called_by_its_host_name():
    with open("/proc/sys/kernel/hostname") as f:
        name = f.read().strip()
    assert name and rollcall.hostname() == name.encode()
    with Folder() as path:
        assert document(path)["name"] == name
    assert rollcall.plain(b"a\x7f\x80<z\n") == "a??<z?"
