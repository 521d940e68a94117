"""What the neighbours say, as status, watch and seed show it."""

import io
import re
from struct import pack

import pytest

from swdist.commands import words
from swdist.formats import datagram
from swdist.machines.census import FORM, NO_TEXT, Census
from swdist_host import times, watch
from swdist_host.mesh import (
    MAX_NEIGHBOURS,
    MAX_PAYLOADS,
    MAX_RELEASES,
    SETTLED_US,
    SILENT_US,
    Mesh,
)

NETWORK, OTHER = b"networkA", b"networkB"
OURS = 7
RID, RID2 = bytes(32), bytes([1]) * 32
ONE, TWO = (RID, (1, 1, 0), 0, 0), (RID2, (1, 2, 0), 0, 0)
PID, PID2 = bytes([1]) * 32, bytes([2]) * 32
COMPLETE, WANTED, STARVED = datagram.COMPLETE, datagram.WANTED, datagram.STARVED
S = 1_000_000
DAY = 86400
AT_S = 1795489200


def peer(n=1):
    return b"\xfe\x80" + bytes(13) + bytes([n]) + (9999).to_bytes(4, "big")


def writer(nonce=1, network=NETWORK):
    return datagram.Writer(network, nonce, lambda n: 0)


def beacon(counter, offset=0, nonce=1, network=NETWORK, state=0, echo=None, pending=None):
    w = writer(nonce, network)
    w.beacon(counter, offset, 0, 0, (1, 2, 3), 4, state, 27183, 5)
    if echo:
        w.echo(*echo)
    if pending:
        w.pending(*pending)
    return bytes(w.buf[: w.n])


def announce(releases, payloads=(), count=None, nonce=1):
    w = writer(nonce)
    w.announce(b"digest..", len(releases) if count is None else count, 27183)
    for rid, version, revision, flags in releases:
        assert w.release(rid, version, revision, flags)
    for pid, flags, pieces, held in payloads:
        assert w.payload(pid, flags, pieces, held)
    return bytes(w.buf[: w.n])


@pytest.fixture
def mesh():
    return Mesh(NETWORK, OURS)


def hear(mesh, data, now=0, who=1):
    return mesh.receive(peer(who), data, len(data), now)


def test_version_state_and_pending_release_come_from_the_beacon(mesh):
    row = hear(mesh, beacon(0, state=datagram.SYNCED, pending=((2, 0, 0), 1, 90, 40)), 10 * S)
    facts = row.facts(40 * S, 0)
    assert facts["version"] == "1.2.3" and facts["revision"] == 4 and facts["synced"]
    assert facts["pending"] == {"version": "2.0.0", "revision": 1, "seconds": 60, "percent": 40}
    assert hear(mesh, beacon(0), 50 * S).facts(50 * S, 0)["pending"] is None


def test_clock_offset_is_two_way_once_our_beacon_was_echoed(mesh):
    # Its counter is 5 s ahead of ours, its mesh time 100 s of its counter; 2 ms there, 4 ms back.
    wall_us = 1000 * S  # our clock less our counter
    row = hear(mesh, beacon(15 * S, offset=1095 * S), 10 * S + 4000)
    assert row.clock(wall_us) == (100 * S - 4000, None), "one way: ahead by at least so much"
    echo = (OURS, 5 * S + 2000, 16 * S)
    row = hear(mesh, beacon(15 * S, offset=1095 * S, echo=echo), 10 * S + 4000)
    assert row.clock(wall_us) == (100 * S - 1000, 3000), "within half the round trip"


def test_clock_offset_is_taken_from_the_fastest_of_the_last_beacons(mesh):
    for delay in (9000, 2000, 50_000):
        row = hear(mesh, beacon(15 * S, offset=0), 10 * S + delay)
    assert row.clock(0) == (5 * S - 2000, None)


def test_echo_for_somebody_else_says_nothing_of_our_round_trip(mesh):
    row = hear(mesh, beacon(15 * S, echo=(OURS + 1, 5 * S, 16 * S)), 10 * S)
    assert row.clock(0)[1] is None


def test_restarted_neighbour_begins_from_nothing(mesh):
    hear(mesh, announce([ONE], [(PID, COMPLETE, 4, 4)]))
    assert mesh.holders(RID, [PID]) == 1
    row = hear(mesh, beacon(0, nonce=2))
    assert mesh.holders(RID, [PID]) == 0 and len(mesh.rows()) == 1
    assert row.releases == {} and row.payloads == {}


def test_release_counts_as_held_only_when_a_payload_is_complete(mesh):
    hear(mesh, announce([ONE], [(PID, WANTED, 300, 299)]))
    assert mesh.holders(RID, [PID]) == 0
    assert mesh.rows()[0].payloads[PID].percent == 99
    hear(mesh, announce([ONE], [(PID, WANTED, 300, 300)]), 99 * S)
    assert mesh.holders(RID, [PID]) == 0
    assert mesh.rows()[0].payloads[PID].percent == 99, "all pieces, and not said to be complete"
    hear(mesh, announce([ONE], [(PID, COMPLETE, 300, 300)]), 99 * S)
    assert mesh.holders(RID, [PID]) == 1 and mesh.rows()[0].payloads[PID].percent == 100


def test_one_of_two_payloads_is_enough_unless_the_other_is_wanted_too(mesh):
    """A node of one board; it may relay what is for the other."""
    pids = [PID, PID2]
    hear(mesh, announce([ONE], [(PID, COMPLETE, 4, 4)]))
    assert mesh.holders(RID, pids) == 1
    hear(mesh, announce([ONE], [(PID, COMPLETE, 4, 4), (PID2, WANTED | STARVED, 0, 0)]))
    assert mesh.holders(RID, pids) == 0
    hear(mesh, announce([ONE], [(PID2, WANTED, 4, 3)]), 99 * S)
    assert mesh.holders(RID, pids) == 0
    hear(mesh, announce([ONE], [(PID, COMPLETE, 4, 4), (PID2, 0, 4, 3)]))
    assert mesh.holders(RID, pids) == 1


def test_neighbour_that_no_payload_is_for_has_all_once_it_could_have_said_otherwise(mesh):
    hear(mesh, announce([ONE]))
    assert mesh.holders(RID, [PID]) == 0, "the rest of its announcement may come yet"
    hear(mesh, announce([ONE]), SETTLED_US - 1)
    assert mesh.holders(RID, [PID]) == 0
    hear(mesh, announce([ONE]), SETTLED_US)
    assert mesh.holders(RID, [PID]) == 1
    hear(mesh, announce([ONE], [(PID, WANTED, 0, 0)]), SETTLED_US + 1)
    assert mesh.holders(RID, [PID]) == 0, "it has another board, or is to relay"


def test_payload_without_its_release_is_nothing_and_a_withdrawal_needs_none(mesh):
    hear(mesh, announce([], [(PID, COMPLETE, 4, 4)]))
    assert mesh.holders(RID, [PID]) == 0
    hear(mesh, announce([(RID, (1, 1, 0), 1, datagram.WITHDRAWN)]))
    assert mesh.holders(RID, []) == 1


def test_progress_of_a_payload_in_percent(mesh):
    payloads = [(PID, WANTED, 0, 0), (PID2, WANTED | STARVED, 3, 1)]
    row = hear(mesh, announce([ONE], payloads))
    assert [p.percent for p in row.payloads.values()] == [0, 33]
    facts = row.facts(0, 0)["payloads"]
    assert facts[1] == {
        "id": PID2.hex(), "held": 1, "pieces": 3, "percent": 33,
        "complete": False, "wanted": True, "starved": True,
    }  # fmt: skip
    assert watch.progress(row, {PID: "1 (slot)"}) == "1 (slot) 0 %; 02020202 33 %, nobody has it"


def test_what_is_announced_no_more_is_gone(mesh):
    hear(mesh, announce([ONE, TWO], [(PID, 0, 4, 1), (PID2, 0, 4, 1)]))
    row = hear(mesh, announce([TWO], [(PID2, 0, 4, 1)]))
    assert list(row.releases) == [RID2] and list(row.payloads) == [PID2]


def test_announcement_in_parts_is_put_together_and_a_later_revision_replaces(mesh):
    hear(mesh, announce([ONE], count=2))
    row = hear(mesh, announce([TWO], [(PID, 0, 4, 1)], count=2))
    row = hear(mesh, announce([], [(PID2, 0, 4, 1)], count=2))
    assert list(row.releases) == [RID, RID2] and list(row.payloads) == [PID, PID2]
    later = bytes([9]) * 32
    row = hear(mesh, announce([(later, (1, 1, 0), 1, datagram.WITHDRAWN)], count=2))
    assert list(row.releases) == [later, RID2]


def test_numbers_of_what_one_neighbour_holds_are_bounded(mesh):
    for n in range(MAX_PAYLOADS + 10):
        row = hear(mesh, announce([], [(n.to_bytes(32, "big"), 0, 4, 1)], count=9))
    for n in range(MAX_RELEASES + 10):
        row = hear(mesh, announce([(n.to_bytes(32, "big"), (1, n, 0), 0, 0)], count=999))
    assert len(row.payloads) == MAX_PAYLOADS and len(row.releases) == MAX_RELEASES


def test_other_networks_are_ignored_unless_all_are_asked_for(mesh):
    assert hear(mesh, beacon(0, network=OTHER)) is None and not mesh.rows()
    everything = Mesh(None, OURS)
    hear(everything, beacon(0, network=OTHER))
    hear(everything, beacon(0))
    assert [r.network for r in everything.rows()] == [NETWORK, OTHER]


def test_own_datagrams_queries_and_rubbish_are_nobody(mesh):
    data = beacon(0)
    query = writer()
    query.query()
    for bad in [beacon(0, nonce=OURS), bytes(query.buf[: query.n]), b"", b"swd", b"x" * 1200]:
        assert hear(mesh, bad) is None
    for n in range(len(data)):
        assert hear(mesh, data[:n]) is None, n
    assert not mesh.rows()


def test_number_of_neighbours_is_bounded(mesh):
    for n in range(MAX_NEIGHBOURS + 10):
        data = beacon(0)
        address = b"\xfe\x80" + bytes(12) + n.to_bytes(2, "big") + bytes(4)
        mesh.receive(address, data, len(data), 0)
    assert len(mesh.rows()) == MAX_NEIGHBOURS


def test_silent_neighbour_is_forgotten(mesh):
    hear(mesh, beacon(0), 0)
    assert not mesh.forget(SILENT_US)
    assert [r.address for r in mesh.forget(SILENT_US + 1)] == ["fe80::1%9999"]
    assert not mesh.rows()


def test_neighbours_are_asked_one_at_a_time_the_least_known_first(mesh):
    for who in (1, 2):
        hear(mesh, beacon(0), 1 * S, who)
    asked = [mesh.to_ask(2 * S + i, 10 * S) for i in range(3)]
    assert {r.address for r in asked[:2]} == {"fe80::1%9999", "fe80::2%9999"} and asked[2] is None
    hear(mesh, announce([]), 9 * S, who=1)
    assert mesh.to_ask(13 * S, 10 * S).address == "fe80::2%9999", "1 has just announced"
    assert mesh.to_ask(13 * S, 10 * S) is None


def test_what_people_read(mesh):
    row = hear(mesh, beacon(0, state=datagram.SYNCED | datagram.ACTIVE_EXPERIMENTAL), 0)
    assert watch.runs(row) == "1.2.3-r4 experimental"
    assert watch.holds(row, 0) == watch.progress(row, {}) == "-"
    assert watch.clock(row, 0).startswith("at least")
    assert [times.span(s) for s in (5, 65, 3660, 90000, 731 * DAY, 12084 * DAY)] == [
        "5 s", "1 min 05 s", "1 h 01 min", "1 d 1 h", "731 d 0 h", "33 y 31 d"
    ]  # fmt: skip


def test_flags_are_read_as_the_words_that_nodes_use(mesh):
    row = hear(mesh, beacon(0, state=datagram.HELD | datagram.FAILED))
    assert watch.runs(row) == "1.2.3-r4, held by its owner, one failed here"
    assert row.facts(0, 0)["on_hold"]
    assert watch.clock(row, 0).endswith(", clock not synchronised")
    failed = (RID, (1, 1, 0), 2, datagram.EXPERIMENTAL | datagram.FAILED_HERE)
    row = hear(mesh, announce([failed, (RID2, (1, 2, 0), 0, datagram.WITHDRAWN)]))
    assert watch.holds(row, 0) == "1.1.0-r2 failed here; 1.2.0 withdrawn"


def test_word_of_a_neighbour_for_the_newest_release_is_shown_with_its_percentage(mesh):
    told = {"word": words.NO_ROOM, "percent": 0, "release": 0x01010101}
    hear(mesh, census([(5, b"roof-12 tplink,wr841")], 5, **told), 60 * S)
    row = hear(mesh, announce([ONE, TWO]), 60 * S)
    assert watch.holds(row, 60 * S) == "1.1.0; 1.2.0 no room"
    facts = row.facts(70 * S, 0)
    assert {k: facts[k] for k in ("name", "board", "state", "percent", "told_s_ago")} == {
        "name": "roof-12", "board": "tplink,wr841", "state": "no room", "percent": 0,
        "told_s_ago": 10,
    }  # fmt: skip
    assert "1.2.0 no room" in watch.line(row, {}, 60 * S)
    assert watch.line(row, {}, 60 * S).startswith("roof-12 " + row.address + " runs ")
    assert "1.2.0 no room" in drawn(mesh, 80) and "1.2.0 no room" in drawn(mesh, 140)
    hear(mesh, announce([ONE]), 60 * S)
    assert watch.holds(row, 60 * S) == "1.1.0; 01010101 no room", "its manifest has yet to come"
    assert watch.holds(row, 600 * S).endswith(" no room, told 9 min 00 s ago")


def test_of_a_neighbour_that_tells_no_word_there_is_none(mesh):
    facts = hear(mesh, beacon(0)).facts(0, 0)
    assert [facts[k] for k in ("name", "board", "state", "percent", "told_s_ago")] == [None] * 5
    row = hear(mesh, census([(5, b"roof-12 b")], 5))
    assert watch.holds(row, 0) == "-", "a word about no release"


def test_how_far_it_is_now_counts_more_than_how_far_it_was_when_it_told(mesh):
    told = {"word": words.FETCHING, "percent": 3, "release": 0x01010101}
    row = hear(mesh, census([(5, b"n b")], 5, **told))
    hear(mesh, announce([TWO]))
    assert watch.holds(row, 0) == "1.2.0 fetching 3 %"
    hear(mesh, announce([TWO], [(PID, WANTED, 4, 2)]))
    assert watch.holds(row, 0) == "1.2.0 fetching 50 %" and row.facts(0, 0)["percent"] == 50
    hear(mesh, announce([(RID2, (1, 2, 0), 0, datagram.WITHDRAWN)]))
    assert watch.holds(row, 0) == "1.2.0 withdrawn"


def test_word_also_comes_by_way_of_others_and_the_latest_counts(mesh):
    about = {"release": 0x01010101}
    hear(mesh, census([(5, b"five b5")], 6, at_s=AT_S - 128, **about), who=6)
    row = hear(mesh, census([], 5))
    assert row.facts(0, 0)["state"] == "ready" and row.name == "five"
    hear(mesh, census([(5, b"")], 6, word=words.FAILED, brief=True, **about), who=6)
    row = hear(mesh, census([(5, b"")], 5, at_s=AT_S - 64, brief=True, **about))
    assert row.facts(0, 0)["state"] == "failed here" and row.name == "five"


class Source:
    """What the live view asks a Listener for."""

    names = {}

    def __init__(self, mesh):
        self.mesh = mesh

    def now(self):
        return 0

    def wall_us(self):
        return 0


def census(rows, me, word=words.READY, percent=100, release=0, at_s=AT_S, brief=False, nonce=1):
    """A beacon's TLV of [(id, name)], said by `me`. brief: without the names."""
    w = writer(nonce)
    w.beacon(0, AT_S * S, 0, 0, (1, 2, 3), 4, 0, 69, 0)
    told = b""
    for node, name in rows:
        table = Census(2, (node >> 16, node & 0xFFFF))
        table.tell(at_s, word, percent, release, (1, 0, 0), 0, 5, name)
        row = bytearray(table.table(at_s, 99))
        if brief:
            row[FORM] = NO_TEXT
        told += row
    head = pack("!BHHHI", datagram.TLV_CENSUS, 8 + len(told), len(rows), 0, me)
    return bytes(w.buf[: w.n]) + head + told


def drawn(mesh, width, **environment):
    from rich.console import Console

    screen = Console(
        width=width, file=io.StringIO(), force_terminal=True, highlight=False, _environ=environment
    )
    screen.print(watch.screen(Source(mesh), screen))
    return screen.file.getvalue()


def test_neighbours_have_the_names_that_they_tell(mesh):
    row = hear(mesh, census([(0x00010002, b"roof-12 board")], 0x00010002))
    assert row.name == "roof-12"
    assert "roof-12 " + row.address in drawn(mesh, 140)
    assert re.search(f"^roof-12 .*\n{row.address} ", drawn(mesh, 80), re.M)


def test_words_by_way_of_others_are_bounded_and_neighbours_speak_for_themselves(mesh, monkeypatch):
    monkeypatch.setattr("swdist_host.mesh.MAX_TOLD", 2)
    for i in range(1, 6):
        row = hear(mesh, census([(i, b"n%d b" % i)], i))
    assert len(mesh._told) == 2 and row.name == "n5"


@pytest.mark.parametrize("width", [80, 140])
def test_a_live_view_never_cuts_an_interface_s_name(mesh, width):
    for i in range(1, 4):
        eui = b"\xfe\x80" + bytes(6) + bytes.fromhex("021122fffe334450") + pack("!I", 123456 + i)
        for data in (
            beacon(0, nonce=i, pending=((2, 0, 0), 1, 90, 40)),
            announce([(RID, (1, 1, 0), 2, 0)], [(PID, WANTED | STARVED, 9, 3)], nonce=i),
            census([(i, b"a-dozen-long board")], i, release=int.from_bytes(RID[:4]), nonce=i),
        ):
            mesh.receive(eui, data, len(data), 0)
    text = drawn(mesh, width)
    for row in mesh.rows():
        assert row.address in text
    assert max(len(line) for line in re.sub("\x1b\\[[0-9;]*m", "", text).split("\n")) <= width
    assert "3 neighbours" in text and "1.1.0-r2     known to 3 of 3" in text


def test_no_color_means_no_bold_either(mesh, monkeypatch):
    hear(mesh, beacon(0))
    assert "\x1b[1m" in drawn(mesh, 80)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in drawn(mesh, 80, NO_COLOR="1")
