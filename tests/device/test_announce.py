"""Trickle, and what an announcement says (RFC 6206; docs/protocol.md, sections 3.4 and 7)."""

from struct import unpack_from

from swdist.formats import datagram
from swdist.machines import announce
from swdist.storage.payloads import Held
from swdist.trust import choose

NETWORK = b"networkX"


class Store:
    def __init__(self, count):
        self.releases = []
        self.held = {}
        for i in range(count):
            r = choose.factory((1, i, 0))
            r.rid = bytes([i] * 32)
            self.releases.append(r)
            h = self.held[bytes([100 + i] * 32)] = Held(bytes(0), "", False)
            h.total, h.held = 64, i + 1
        self.failed = ()
        self.catalogue = self.payloads = self.room = self

    def shown(self):
        return self.releases

    def digest(self):
        return b"digest00"


class Bench:
    """One announcer in virtual time; what it sends is kept as copies."""

    def __init__(self, count=1):
        self.now = 1000000
        self.sent = []
        self.seed = 1
        self.writer = datagram.Writer(NETWORK, 7, lambda n: n - 1)
        self.announce = announce.Announce(self.rand)
        self.store = Store(count)
        self.wants = {}
        self.announce.start(self.now)

    def rand(self, n):
        self.seed = (self.seed * 1103515245 + 12345) & 0x7FFFFFFF
        return self.seed % n

    def send(self, buf, n):
        assert datagram.kind(buf, n, NETWORK) == datagram.ANNOUNCE
        self.sent.append((self.now, bytes(buf[:n])))

    def say(self):
        return announce.say(self.send, self.writer, self.store, 27183, self.wants)

    def run(self, seconds, heard=0):
        """heard: consistent announcements that neighbours make in each interval."""
        end = self.now + seconds * 1000000
        while self.announce.next_at <= end:
            self.now = max(self.now, self.announce.next_at)
            before = self.announce.next_at
            for _ in range(heard):
                self.announce.consistent()
            self.announce.tick(self.now, self.say)
            assert self.announce.next_at >= before
        self.now = end


def quiet(count=1):
    """One that has had nothing new to say for an hour."""
    b = Bench(count)
    b.run(3600)
    b.sent.clear()
    return b


def test_news_is_announced_within_a_quarter_of_a_second():
    b = Bench()
    b.run(1)
    assert b.sent[0][0] <= 1250000
    b.run(3600)
    b.sent.clear()
    b.announce.inconsistent(b.now)
    at = b.now
    b.run(1)
    assert b.sent[0][0] - at <= 250000


def test_progress_is_told_at_once_but_not_more_often_than_useful():
    b = quiet()
    at = b.now
    for _ in range(100):  # a chunk each 10 ms
        b.announce.news(b.now, False)
        b.run(0)
        b.now += 10000
    assert b.sent[0][0] == at
    gaps = [y[0] - x[0] for x, y in zip(b.sent, b.sent[1:])]
    assert min(gaps) >= announce.NEWS_GAP_US
    assert max(gaps) <= announce.NEWS_GAP_US + 10000


def test_a_new_release_is_told_three_times_whatever_others_say():
    b = quiet()
    at = b.now
    b.announce.news(at, True)
    b.run(10, heard=2)
    assert [t - at for t, _ in b.sent] == [0, 50000, 100000]
    b = quiet()
    b.announce.news(at, True)
    b.run(0.25)
    assert [t - at for t, _ in b.sent] == [0, 50000, 100000, 150000]


def test_chunks_that_come_meanwhile_neither_add_to_it_nor_end_it():
    b = quiet()
    at = b.now
    b.announce.news(at, True)
    for _ in range(4):
        b.run(0.03, heard=2)
        b.announce.news(b.now, False)
    b.run(10, heard=2)
    assert [t - at for t, _ in b.sent] == [0, 30000, 60000]


def test_quiet_mesh_becomes_ever_more_silent():
    b = Bench()
    b.run(3600)
    assert 8 <= len(b.sent) <= 20
    b.sent.clear()
    b.run(36000)
    assert 20 <= len(b.sent) <= 72  # Imax is 1,024 s


def test_who_hears_the_same_from_two_neighbours_stays_silent():
    b = Bench()
    b.run(3600, heard=2)
    assert b.sent == []
    b = Bench()
    b.run(3600, heard=1)
    assert b.sent != []


def test_queries_are_answered_at_most_once_a_second():
    b = quiet()
    for _ in range(100):
        b.announce.query(b.now)
        b.run(0)
        b.now += 10000
    b.run(1)
    assert 1 <= len(b.sent) <= 6


def test_who_asks_is_answered_whatever_others_said_before_and_by_some_whatever_they_say():
    """Else two announcements in others' names in each interval keep all news from him."""
    for afterwards, least, most in ((0, 40, 40), (100, 4, 18)):
        answers = 0
        b = quiet()
        for _ in range(40):
            b.run(3600)
            b.announce.query(b.now)
            b.run(3)
            b.sent.clear()
            for _ in range(2):
                b.announce.consistent()
            b.announce.query(b.now)
            for _ in range(afterwards):
                b.announce.consistent()
            b.run(0.25)
            answers += len(b.sent)
        assert least <= answers <= most, (afterwards, answers)


def told(b):
    """({release id: flags}, {payload id: (flags, total, held)}) of the first burst."""
    releases, payloads = {}, {}
    first = b.sent[0][0]
    for at, data in b.sent:
        if at != first:
            break
        head = unpack_from(datagram.ANNOUNCE_FORM, data, 16)
        assert head == (7, b"digest00", len(b.store.releases), 27183)
        tlv = datagram.first_tlv(data)
        while tlv < len(data):
            if data[tlv] == datagram.TLV_RELEASE:
                f = unpack_from(datagram.RELEASE_FORM, data, tlv + 3)
                releases[f[0]] = f[5]
            elif data[tlv] == datagram.TLV_PAYLOAD:
                f = unpack_from(datagram.PAYLOAD_FORM, data, tlv + 3)
                payloads[f[0]] = (f[1], f[3], f[4])
            tlv = datagram.next_tlv(data, tlv)
    return releases, payloads


def test_all_releases_and_payloads_are_told_in_as_many_datagrams_as_they_need():
    b = Bench(64)
    b.run(1)
    releases, payloads = told(b)
    assert sorted(releases) == [bytes([i] * 32) for i in range(64)]
    assert len(payloads) == 64 and payloads[bytes([103] * 32)] == (0, 64, 4)
    assert payloads[bytes([163] * 32)] == (datagram.COMPLETE, 64, 64)
    assert len([1 for at, _ in b.sent if at == b.sent[0][0]]) == 5


def test_what_is_wanted_is_told_also_where_nothing_of_it_is_held():
    b = Bench(2)
    pid = bytes([100] * 32)
    b.wants = {pid: datagram.WANTED, bytes(32): datagram.WANTED | datagram.STARVED}
    b.run(1)
    _, payloads = told(b)
    assert payloads[pid] == (datagram.WANTED, 64, 1) and payloads[bytes([101] * 32)] == (0, 64, 2)
    assert payloads[bytes(32)] == (datagram.WANTED | datagram.STARVED, 0, 0)


def test_kind_of_a_release_and_its_failure_are_told():
    b = Bench(3)
    b.store.releases[0].manifest.experimental = True
    b.store.releases[1].manifest.withdrawn = True
    b.store.failed = [bytes([2] * 32)]
    b.run(1)
    releases, _ = told(b)
    assert [releases[bytes([i] * 32)] for i in range(3)] == [2, 4, 8]


def test_queries_for_ever_are_answered_ever_more_rarely_until_there_is_news():
    """A query has 24 bytes, and an answer may have a hundred times as many."""
    for count, most in ((64, 30), (20, 65), (1, 125)):
        b = quiet(count)
        for _ in range(1200):
            b.announce.query(b.now)
            b.run(0)
            b.now += 100000
        b.run(1)
        bursts = len({at for at, _ in b.sent})
        assert bursts <= most, bursts
    assert bursts > 80  # who starts now hears of a small set soon
    b.announce.news(b.now, True)
    b.run(1)
    b.now += 1500000
    b.sent.clear()
    b.announce.query(b.now)
    b.run(1)
    assert b.sent
