"""What nodes tell of themselves: carried on by all, bounded, and of no weight (section 3.6)."""

from swdist.commands import rollcall, words
from swdist.formats.datagram import MAX_BYTES, TLV_CENSUS
from swdist.machines import census
from swdist.machines.census import AGAIN, FORGET, RECENT, STAMP_S, Census

NOW_S = 1795489200
HEAD = 3 + census.HEAD_BYTES


class Random:
    """A generator of MicroPython's smallest builds, too, which have no module random."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % n


class Beacon:
    def __init__(self, n=200):
        self.buf = bytearray(MAX_BYTES)
        self.n = n


def tell(c, word=words.READY, at_s=NOW_S, percent=100, text=b"roof b", error_ms=7):
    c.tell(at_s, word, percent, 0x11223344, (1, 4, 0), 2, error_ms, text)


def pass_on(one, *others, at_s=NOW_S):
    """A beacon of `one` to the others: how many bytes of census it had."""
    w = Beacon()
    one.say(w, at_s)
    if w.n > 200:
        assert w.buf[200] == TLV_CENSUS
        size = w.buf[201] << 8 | w.buf[202]
        assert size == w.n - 203
        for other in others:
            other.take(w.buf, 203, size, at_s)
    return w.n - 200


def known(c, at_s=NOW_S):
    return {r["node"]: r for r in rollcall.read(c.table(at_s, 65536), at_s)}


def chain(n):
    return [Census(n * 4 // 3 + 2, (i + 1, i)) for i in range(n)]


def test_a_row_says_all_that_was_told():
    a = Census(9, (1, 2))
    tell(a)
    assert known(a) == {
        "00010002": {
            "node": "00010002", "name": "roof", "board": "b", "version": "1.4.0", "revision": 2,
            "release": "11223344", "state": "ready", "percent": 100, "error_ms": 8, "age_s": 0,
        }
    }  # fmt: skip


def test_each_learns_of_all_and_then_nothing_more_is_sent():
    nodes = chain(12)
    for c in nodes:
        tell(c)
    for _ in range(40):
        for i, c in enumerate(nodes):
            pass_on(c, *nodes[max(i - 1, 0) : i], *nodes[i + 1 : i + 2])
    assert [len(known(c)) for c in nodes] == [12] * 12
    quiet = NOW_S + (RECENT + 1) * STAMP_S
    assert [pass_on(c, at_s=quiet) for c in nodes] == [HEAD] * 12
    tell(nodes[0], words.FAILED, NOW_S + STAMP_S)
    for _ in range(14):
        for i, c in enumerate(nodes):
            pass_on(c, *nodes[max(i - 1, 0) : i], *nodes[i + 1 : i + 2], at_s=NOW_S + STAMP_S)
    said = [known(c, NOW_S + STAMP_S)["00010000"]["state"] for c in nodes]
    assert said == ["failed here"] * 12


def test_progress_and_the_clock_s_error_alone_are_no_news():
    a, b = chain(2)
    tell(a, words.FETCHING, percent=1)
    pass_on(a, b)
    pass_on(a, b)
    later = NOW_S + (RECENT + 1) * STAMP_S
    tell(a, words.FETCHING, later, percent=50)
    assert pass_on(a, b, at_s=later) == HEAD
    later = NOW_S + (AGAIN + 1) * STAMP_S
    tell(a, words.FETCHING, later, percent=50)
    assert pass_on(a, b, at_s=later) > HEAD and known(b, later)["00010000"]["percent"] == 50


def test_what_was_lost_is_made_good():
    a, b, c = chain(3)
    tell(a)
    for _ in range(3):
        pass_on(a)  # nobody hears it
    tell(b)
    pass_on(b, a)
    assert pass_on(a, b) > HEAD and len(known(b)) == 2
    pass_on(c, a)
    assert len(known(c)) == 0  # c was never told anything by its own


def test_future_and_old_words_do_not_count():
    a, b = chain(2)
    tell(a, at_s=NOW_S + 4 * STAMP_S)
    pass_on(a, b)
    assert known(b) == {}
    a = Census(9, (1, 0))
    tell(a)
    pass_on(a, b)
    late = NOW_S + (FORGET + 1) * STAMP_S
    assert len(known(b)) == 1 and known(b, late) == {} and pass_on(b, at_s=late) == HEAD


def test_a_text_that_is_known_is_not_sent_again():
    a, b, c = chain(3)
    tell(a)
    full = pass_on(a, b)
    pass_on(b, c)
    pass_on(b, c)
    tell(a, words.FAILED, NOW_S + STAMP_S)
    assert pass_on(a, b, at_s=NOW_S + STAMP_S) == full - len("roof b")
    pass_on(b, c, at_s=NOW_S + STAMP_S)
    row = known(c, NOW_S + STAMP_S)["00010000"]
    assert (row["state"], row["name"], row["board"]) == ("failed here", "roof", "b")


def test_rows_that_are_alike_are_short():
    nodes = chain(9)
    for c in nodes:
        tell(c)
        pass_on(c, nodes[0])
    pass_on(nodes[0], nodes[1])
    for c in nodes:
        tell(c, words.FAILED, NOW_S + STAMP_S)
        pass_on(c, nodes[0], at_s=NOW_S + STAMP_S)
    said = pass_on(nodes[0], nodes[1], at_s=NOW_S + STAMP_S)
    assert said == HEAD + census.ROW_BYTES + 8 * census.SHORT_BYTES
    rows = known(nodes[1], NOW_S + STAMP_S)
    assert [rows["%04x%04x" % c.node]["state"] for c in nodes] == ["failed here"] * 9
    assert [r["version"] for r in rows.values()] == ["1.4.0"] * 9


def test_short_rows_have_their_own_text_and_error():
    nodes = chain(5)
    for i, c in enumerate(nodes):
        tell(c, text=b"roof-%d b" % i, error_ms=(0, 1, 80, 1016, 1017)[i])
        pass_on(c, nodes[0])
    said = pass_on(nodes[0], nodes[1])
    assert said == HEAD + census.ROW_BYTES + 4 * census.SHORT_BYTES + 5 * len("roof-0 b")
    rows = known(nodes[1]).values()
    assert sorted(r["name"] for r in rows) == ["roof-%d" % i for i in range(5)]
    assert [r["error_ms"] for r in sorted(rows, key=lambda r: r["node"])] == [0, 4, 80, 1016, None]


def test_who_knows_a_little_less_gets_all_that_there_is_room_for():
    nodes = chain(64)
    for c in nodes:
        tell(c)
        pass_on(c, nodes[0])
    quiet = NOW_S + (RECENT + 1) * STAMP_S
    for _ in range(9):
        pass_on(nodes[0], at_s=quiet)
    beacon = Beacon()
    beacon.buf[201:203] = bytes((0, 62))  # how many it knows, of 64
    nodes[0].take(beacon.buf, 201, 8, quiet)
    assert pass_on(nodes[0], at_s=quiet) == HEAD + 2 * (census.SHORT_BYTES + 6) + 12
    beacon.buf[202] = 61
    nodes[0].take(beacon.buf, 201, 8, quiet)
    assert pass_on(nodes[0], at_s=quiet) > 900


def test_who_has_missed_words_of_nodes_it_knows_gets_them_in_one_beacon():
    nodes = chain(12)
    a, b = nodes[:2]
    for c in nodes:
        tell(c)
        pass_on(c, a, b)
    for _ in range(9):
        pass_on(a, b)
        pass_on(b, a)
    assert pass_on(a, b) == HEAD  # they know the same, however new it is
    later = NOW_S + STAMP_S
    for c in nodes[2:]:
        tell(c, words.FAILED, later)
        pass_on(c, a, at_s=later)
    for _ in range(3):
        pass_on(a, at_s=later)  # which nobody hears
    pass_on(b, a, at_s=later)
    assert pass_on(a, b, at_s=later) == HEAD + census.ROW_BYTES + 11 * census.SHORT_BYTES
    assert [r["state"] for r in known(b, later).values()].count("failed here") == 10


def test_a_text_that_was_never_heard_comes_later():
    a, b = chain(2)
    tell(a)
    for _ in range(3):
        pass_on(a)
    tell(a, words.FAILED, NOW_S + STAMP_S)
    pass_on(a, b, at_s=NOW_S + STAMP_S)
    assert known(b, NOW_S + STAMP_S)["00010000"]["name"] == ""
    pass_on(b, at_s=NOW_S + STAMP_S)
    assert b.known == 0  # by name, so that others say it whole
    for _ in range(3):
        pass_on(b, a, at_s=NOW_S + STAMP_S)
        pass_on(a, b, at_s=NOW_S + STAMP_S)
    assert known(b, NOW_S + STAMP_S)["00010000"]["name"] == "roof"


def test_who_lies_about_another_is_answered_by_it():
    for days in range(0, 49, 6):  # stamps come round in 48.5 days
        at = NOW_S + days * 86400
        a, b, liar = Census(9, (1, 0)), Census(9, (2, 0)), Census(9, (1, 0))
        tell(a, at_s=at)
        pass_on(a, b, at_s=at)
        later = at + STAMP_S
        tell(liar, words.FAILED, later, text=b"a liar")
        pass_on(liar, a, b, at_s=later)
        (row,) = known(b, later).values()
        assert (row["state"], row["name"]) == ("failed here", "a")
        later += STAMP_S
        tell(a, at_s=later)
        pass_on(a, b, at_s=later)
        (row,) = known(b, later).values()
        assert (row["state"], row["name"]) == ("ready", "roof")


def test_invented_nodes_push_nobody_out():
    a = Census(40, (1, 0))
    tell(a)
    honest = [Census(9, (i, 7)) for i in range(5, 20)]
    for c in honest:
        tell(c)
        pass_on(c, a)
    random = Random(1)
    for _ in range(500):
        c = Census(9, (random.below(65535) + 1, random.below(65536)))
        tell(c, words.FAILED)
        pass_on(c, a)
    rows = known(a)
    assert len(rows) == 40 and a.refused > 400
    assert [1 for c in honest if "%04x%04x" % c.node in rows] == [1] * len(honest)


def test_garbage_neither_raises_nor_is_believed_too_far():
    random = Random(2)
    for n in range(4, 400):
        a = Census(20, (1, 0))
        data = bytearray(random.below(256) for _ in range(MAX_BYTES))
        a.take(data, 16, n, NOW_S)
        tell(a)
        w = Beacon(MAX_BYTES - n)
        a.say(w, NOW_S)
        assert w.n <= MAX_BYTES
        rollcall.read(bytes(data[:n]), NOW_S)
        rollcall.summary(rollcall.read(a.table(NOW_S, 500), NOW_S), [])


def test_summary_counts_by_word():
    rows = []
    for i in range(6):
        c = Census(9, (i + 1, 0))
        tell(c, words.READY if i < 4 else words.NO_ROOM)
        rows += rollcall.read(c.table(NOW_S, 999), NOW_S)
    rows[0]["age_s"] = rollcall.SILENT_S
    rid = "11223344" + "00" * 28
    found = rollcall.summary(rows, ["55" * 32, rid])
    assert found == {
        "nodes": 6, "silent": 1, "release": rid, "words": {"ready": 3, "no room": 2},
        "clock_error_ms": 8,
    }  # fmt: skip
