"""Client and server machines against each other over a wire that loses, repeats and reorders,
and against hostile peers. Virtual time; buffers are overwritten after each receive."""

import gc
import sys

from made import file_of

from swdist.formats import tftp
from swdist.machines import tftpget, tftpserve, upload
from swdist.machines.tftpget import BUSY, DONE, FAILED, REFUSED

A = b"a" * 20
B = b"b" * 20
MICROPYTHON = sys.implementation.name == "micropython"
SERVER = 27183
NAME = b"1/x/0"
PAYLOAD = bytes([(i * 7 + (i >> 8)) & 0xFF for i in range(16384)])


class Wire:
    """One client at A, one server at B. Both see copies that are spoilt after use."""

    def __init__(self, data=PAYLOAD, loss=0, twice=0, shuffle=0, window=None, seed=1):
        self.seed = seed
        self.now = 5000000
        self.loss, self.twice, self.shuffle = loss, twice, shuffle
        self.packets = []  # (time, order, to_server, source port, destination port, bytes)
        self.count = 0
        self.to_server_bytes = self.to_client_bytes = self.to_client = 0
        self.files = {NAME: data}
        self.get = tftpget.Get(self.from_client, 65536)
        self.serve = tftpserve.Serve(self.from_server, self.open, 4)

    def rand(self, n):
        self.seed = (self.seed * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.seed >> 8) % n

    def open(self, name):
        return file_of(self.files[name]) if name in self.files else None

    def put(self, to_server, source, port, data):
        for _ in range(1 + (self.rand(100) < self.twice)):
            if self.rand(100) >= self.loss:
                delay = 2000 + (20000 if self.rand(100) < self.shuffle else 0)
                self.count += 1
                item = (self.now + delay, self.count, to_server, source, port, data)
                self.packets.append(item)

    def from_client(self, peer, port, buf, n):
        assert peer == B
        self.to_server_bytes += n
        self.put(True, 4000, port, bytes(buf[:n]))

    def from_server(self, slot, peer, port, buf, n):
        assert peer == A and port == 4000
        self.to_client += 1
        self.to_client_bytes += n
        self.put(False, 50000 + slot, port, bytes(buf[:n]))

    def start(self, name=NAME, limit=65536):
        self.get.start(B, SERVER, name, limit, self.now)
        return self

    def step(self):
        """The next thing that happens. False when nothing will."""
        times = [t for t in (self.get.next_at, self.serve.next_at) if t is not None]
        times += [p[0] for p in self.packets]
        if not times:
            return False
        self.now = max(self.now, min(times))
        due = sorted([p for p in self.packets if p[0] <= self.now])
        for p in due:
            self.packets.remove(p)
            self.deliver(p[2], p[3], p[4], p[5])
        self.get.tick(self.now)
        self.serve.tick(self.now)
        return True

    def deliver(self, to_server, source, port, data):
        buf = bytearray(data)
        if not to_server:
            self.get.receive(B, source, buf, len(buf), self.now)
        elif port == SERVER:
            self.serve.request(A, source, buf, len(buf), self.now)
        else:
            self.serve.receive(port - 50000, A, source, buf, len(buf), self.now)
        for i in range(len(buf)):
            buf[i] = 0xA5

    def run(self, seconds=120):
        end = self.now + seconds * 1000000
        while self.now < end and self.step():
            pass
        return self

    def result(self):
        assert self.get.state == DONE, self.get.reason
        return bytes(self.get.view[: self.get.length])


def test_files_of_all_sizes_arrive_whole():
    for size in (0, 1, 511, 512, 1427, 1428, 1429, 16384, 22848, 65536):
        data = (PAYLOAD * 5)[:size]
        assert Wire(data).start().run().result() == data


def test_transfer_survives_loss_repetition_and_reordering():
    for loss, twice, shuffle in ((1, 0, 0), (10, 5, 5), (20, 0, 20), (30, 20, 10)):
        for seed in range(1, 6):
            wire = Wire(loss=loss, twice=twice, shuffle=shuffle, seed=seed * 77777).start().run()
            assert wire.result() == PAYLOAD
            assert all([wire.serve.idle(i) for i in range(4)])


def test_lost_blocks_cost_little_more_than_themselves():
    for loss, most in ((0, 101), (5, 120), (10, 140), (20, 190)):  # percent of the file's size
        sent = size = 0
        for seed in range(1, 11):
            wire = Wire((PAYLOAD * 4)[:65536], loss=loss, seed=seed * 4242).start().run()
            assert wire.get.length == 65536
            sent += wire.to_client_bytes
            size += 65536
        assert sent * 100 < size * most, (loss, sent, size)


def test_lost_acknowledgements_cost_two_blocks_each_and_not_a_window():
    wire = Wire(PAYLOAD * 4)
    wire.get.start(B, SERVER, NAME, 65536, wire.now)
    deaf_until = None
    while wire.step():
        if wire.get.length >= 40000 and deaf_until is None:
            deaf_until = wire.now + 250000
        if deaf_until is not None and wire.now < deaf_until:
            wire.packets = [p for p in wire.packets if not p[2]]
    assert wire.result() == PAYLOAD * 4
    assert 47 < wire.to_client <= 47 + 14, wire.to_client  # the OACK, and all blocks once


def test_blocks_behind_a_gap_are_kept_only_where_the_server_agrees():
    for option, block in ((b"", b"\x02"), (b"keep\x001\x00", b"\x04"), (b"keep\x002\x00", b"\x02")):
        wire = Wire().start()
        sent = []

        def note(peer, port, buf, n, sent=sent):
            sent.append(bytes(buf[:n]))

        wire.get._send = note
        oack = b"\x00\x06blksize\x00512\x00windowsize\x0016\x00" + option
        wire.get.receive(B, 50000, oack, len(oack), wire.now + 1000)
        for number in (1, 3, 4, 2):
            data = bytes([0, 3, 0, number]) + bytes([number]) * 512
            wire.get.receive(B, 50000, data, len(data), wire.now + 1000)
        assert wire.get.length == block[0] * 512, option
        got = bytes(wire.get.view[: wire.get.length])
        assert got == b"".join([bytes([i + 1]) * 512 for i in range(block[0])])
        assert sent[1] == b"\x00\x04\x00\x01"  # the gap was said at once


def test_silent_server_is_given_up():
    wire = Wire(loss=100).start().run()
    assert wire.get.state == FAILED and wire.get.reason == "stalled"
    assert wire.get.next_at is None


def test_missing_file_is_said_at_once():
    wire = Wire().start(b"1/x/1").run(1)
    assert wire.get.state == REFUSED and "error 1" in wire.get.reason


def test_file_over_the_limit_is_refused_before_its_data():
    wire = Wire().start(limit=1000).run()
    assert wire.get.state == FAILED and wire.get.reason == "file too large"
    assert wire.get.length == 0


def test_vanished_client_frees_the_slot_with_few_bytes():
    wire = Wire()
    wire.get.start(B, SERVER, NAME, 65536, wire.now)
    wire.get.stop()
    asked = wire.to_server_bytes
    wire.run()
    assert wire.serve.idle(0) and wire.to_client_bytes <= 3 * asked


def test_no_request_is_answered_by_more_than_three_times_its_bytes():
    request = b"\x00\x01" + NAME + b"\x00octet\x00blksize\x001428\x00windowsize\x0064\x00"
    wire = Wire()
    wire.deliver(True, 4000, SERVER, request)
    wire.packets.clear()
    wire.run()
    assert wire.to_client_bytes <= 3 * len(request)


def test_plain_requests_that_nobody_answers_cost_one_block_a_second_in_all():
    """And else three bytes for one: whoever asks again, from many addresses and ports."""
    wire = Wire(data=PAYLOAD * 4)
    got = [0]
    serve = tftpserve.Serve(lambda *a: got.append(a[4]), wire.open, 6)
    request = b"\x00\x01" + NAME + b"\x00octet\x00"
    asked = seconds = 0
    now = wire.now
    for step in range(2000):
        now += 5000
        serve.tick(now)
        for i in range(3):
            asked += len(request)
            peer = bytes([(step * 3 + i) % 40]) * 20
            serve.request(peer, 3000 + step % 3, request, len(request), now)
    seconds = (now - wire.now) // 1000000 + 1
    assert 516 * 5 < sum(got) <= 3 * asked + 516 * seconds
    blocks = [n for n in got if n == 516]
    # What is beyond the three bytes for one: never two in a second.
    assert len(blocks) <= seconds + 3 * asked // 516


def test_plain_client_is_answered_at_once_and_again_when_it_asks_again():
    wire = Wire()
    sent = []
    serve = tftpserve.Serve(lambda *a: sent.append(a[1]), wire.open, 6)
    request = b"\x00\x01" + NAME + b"\x00octet\x00"
    serve.request(A, 3000, request, len(request), wire.now)
    assert sent == [A]
    serve.request(B, 3000, request, len(request), wire.now)
    assert sent == [A]  # the block a second is spent ...
    serve.request(B, 3000, request, len(request), wire.now + tftpserve.OWED_US)
    assert sent == [A, B]  # ... and is there again when a stock client asks again
    now = wire.now + tftpserve.OWED_US
    while len(sent) == 2:
        now += 100000
        serve.request(A, 3000, request, len(request), now)
    assert sent == [A, B, A]
    assert now - wire.now < tftpserve.OWED_US + 2100000


def test_plain_client_that_answers_is_never_kept_waiting():
    """A chunk after the other, as a stock client would fetch a release; and nobody can make use of
    its good name: each block for nothing takes an acknowledgement."""
    wire = Wire(data=b"x" * 600)
    sent = []
    serve = tftpserve.Serve(lambda *a: sent.append(a[:2]), wire.open, 6)
    request = b"\x00\x01" + NAME + b"\x00octet\x00"
    now = wire.now
    for i in range(20):
        now += 2000
        serve.request(A, 3000 + i, request, len(request), now)
        slot = sent[-1][0]
        assert len(sent) == 2 * i + 1
        for block in (1, 2):
            serve.receive(slot, A, 3000 + i, bytes([0, 4, 0, block]), 4, now)
        assert len(sent) == 2 * i + 2 and serve.idle(slot)
    sent.clear()
    for i in range(4):
        serve.request(A, 4000 + i, request, len(request), now + 1)
    assert [s for s in sent if s[0] >= 0] == [(slot, A)]


def test_acknowledgement_of_nothing_is_stale():
    """ACK 65535 is what came before block 0: there is no such block."""
    wire = Wire(data=PAYLOAD * 3)
    sent = []
    serve = tftpserve.Serve(lambda *a: sent.append(a[4]), wire.open, 4)
    request = b"\x00\x01" + NAME + b"\x00octet\x00blksize\x008\x00windowsize\x004\x00"
    serve.request(A, 3000, request, len(request), wire.now)
    assert len(sent) == 1
    now = wire.now + 200000
    assert serve.receive(0, A, 3000, b"\x00\x04\xff\xff", 4, now) == tftp.REJECT_STALE
    assert len(sent) == 1 and not serve.idle(0) and len(serve.peers()) == 1


def test_stock_client_without_options_gets_blocks_of_512():
    wire = Wire()
    wire.deliver(True, 4000, SERVER, b"\x00\x01" + NAME + b"\x00OCTET\x00")
    got = b""
    for block in range(1, 34):
        at, _, to_server, source, port, data = wire.packets.pop()
        assert not wire.packets and data[:4] == bytes([0, 3, 0, block])
        got += data[4:]
        wire.now = at
        wire.deliver(True, 4000, source, bytes([0, 4, 0, block]))
    assert got == PAYLOAD and wire.serve.idle(0)


def test_write_requests_are_refused():
    wire = Wire()
    wire.deliver(True, 4000, SERVER, b"\x00\x02" + NAME + b"\x00octet\x00")
    assert wire.packets[0][5][:4] == b"\x00\x05\x00\x02" and wire.serve.idle(0)


def test_repeated_acknowledgements_multiply_nothing():
    wire = Wire(data=PAYLOAD * 3, twice=100).start().run()
    assert wire.result() == PAYLOAD * 3
    assert wire.to_client < 3 * (len(PAYLOAD) * 3 // 1428 + 2)


def running(wire):
    """Until the transfer has begun."""
    while wire.get.length == 0:
        assert wire.step()
    return wire


def test_strangers_are_not_heard():
    wire = running(Wire().start())
    data = bytearray(b"\x00\x03\x00\x02" + b"evil" * 357)
    for peer, port in ((B, 51234), (A, 50000)):
        assert wire.get.receive(peer, port, data, len(data), wire.now) == tftp.REJECT_STRANGER
    assert wire.run().result() == PAYLOAD


def answer(packet, limit=65536):
    """A client that got this as its first answer."""
    wire = Wire().start(limit=limit)
    wire.get.receive(B, 50000, bytearray(packet), len(packet), wire.now + 1000)
    return wire.get


def test_options_that_were_not_asked_for_are_refused():
    for options in (
        b"blksize\x001429\x00",
        b"blksize\x007\x00",
        b"blksize\x00-1\x00",
        b"windowsize\x0017\x00",
        b"windowsize\x000\x00",
        b"timeout\x001\x00",
        b"multicast\x001\x00",
        b"tsize\x0065537\x00",
        b"blksize\x00",
        b"blksize\x00512\x00blksize\x00512\x00",
        b"blksize\x00512",
    ):
        get = answer(b"\x00\x06" + options)
        assert get.state == FAILED, options


def test_block_larger_than_agreed_is_refused():
    get = answer(b"\x00\x06blksize\x00512\x00")
    data = b"\x00\x03\x00\x01" + bytes(513)
    get.receive(B, 50000, data, len(data), 5100000)
    assert get.state == FAILED


def test_endless_data_ends_at_the_limit():
    get = answer(b"\x00\x03\x00\x01" + bytes(512), limit=1000)
    data = b"\x00\x03\x00\x02" + bytes(512)
    get.receive(B, 50000, data, len(data), 5100000)
    assert get.state == FAILED and get.length <= 1000


def test_trickling_server_is_given_up():
    wire = Wire().start()
    now = wire.now
    for block in range(1, 200):
        now += 9000000
        data = bytes([0, 3, 0, block]) + bytes(512)
        wire.get.receive(B, 50000, data, len(data), now)
        wire.get.tick(now)
        if wire.get.state == FAILED:
            break
    assert wire.get.state == FAILED and block < 10


def test_one_neighbour_cannot_hold_all_slots():
    wire = Wire()
    request = b"\x00\x01" + NAME + b"\x00octet\x00blksize\x001428\x00"
    sent = []
    serve = tftpserve.Serve(lambda *a: sent.append(a[1]), wire.open, 4)
    for port in range(100):
        serve.request(A, 3000 + port, request, len(request), wire.now)
    assert [serve.idle(i) for i in range(4)].count(False) == 2
    sent.clear()
    serve.request(B, 3000, request, len(request), wire.now)
    assert sent == [B] and not serve.idle(2)


def test_half_open_requests_give_their_slots_away():
    wire = Wire()
    request = b"\x00\x01" + NAME + b"\x00octet\x00blksize\x001428\x00"
    sent = []
    serve = tftpserve.Serve(lambda *a: sent.append(a[:2]), wire.open, 4)
    for i in range(4):
        serve.request(bytes([i]) * 20, 3000, request, len(request), wire.now)
    sent.clear()
    serve.request(B, 3000, request, len(request), wire.now + tftpserve.HALF_OPEN_US)
    assert sent == [(-1, B)]  # told that all are busy
    serve.request(B, 3000, request, len(request), wire.now + tftpserve.HALF_OPEN_US + 1)
    assert sent == [(-1, B), (0, B)]


def test_few_transfers_go_well_at_once_and_slow_ones_bar_nobody():
    wire = Wire()
    request = b"\x00\x01" + NAME + b"\x00octet\x00blksize\x00512\x00"
    sent = []
    serve = tftpserve.Serve(lambda *a: sent.append(a[:2]), wire.open, 6)
    for i in range(tftpserve.BRISK):
        serve.request(bytes([i]) * 20, 3000, request, len(request), wire.now)
        serve.receive(i, bytes([i]) * 20, 3000, b"\x00\x04\x00\x00", 4, wire.now)
    sent.clear()
    serve.request(B, 3000, request, len(request), wire.now)
    assert sent == [(-1, B)]  # busy, though three slots are free
    now = wire.now + upload.LONG_US + 1
    for i in range(3):  # each trickles on, and three more come
        serve.receive(i, bytes([i]) * 20, 3000, b"\x00\x04\x00\x01", 4, now)
        serve.request(bytes([9 + i]) * 20, 3000, request, len(request), now)
    assert [serve.idle(i) for i in range(6)] == [False] * 6
    sent.clear()
    serve.request(B, 3000, request, len(request), now)
    assert sent == [(0, B)]  # that of the oldest


def test_transfer_that_only_seems_to_have_ended_is_left_in_peace():
    """A lost block is asked for no sooner than a lost last ACK would be missed."""
    wire = Wire()
    request = b"\x00\x01" + NAME + b"\x00octet\x00blksize\x001428\x00windowsize\x0064\x00"
    serve = tftpserve.Serve(lambda *a: None, wire.open, 6)
    now = wire.now
    for i in range(2):
        serve.request(A, 3000 + i, request, len(request), now)
        serve.receive(i, A, 3000 + i, b"\x00\x04\x00\x00", 4, now)
    now += 90000  # all has been sent, and no ACK has come
    serve.request(A, 3002, request, len(request), now)
    assert [serve.idle(i) for i in range(6)].count(False) == 3
    assert serve.receive(0, A, 3000, b"\x00\x04\x00\x01", 4, now) == 0
    serve.request(A, 3003, request, len(request), now)
    assert [serve.idle(i) for i in range(6)].count(False) == 3


def test_of_transfers_that_seem_to_have_ended_the_one_silent_for_longest_makes_room():
    """The last acknowledgement of one was lost; the other's peer is asking for a lost block yet."""
    wire = Wire(data=b"x" * 4000)
    tail = b"\x00octet\x00blksize\x001428\x00windowsize\x008\x00"
    request = b"\x00\x01" + NAME + tail
    for gone in (0, 1):
        serve = tftpserve.Serve(lambda *a: None, wire.open, 4)
        for i in range(2):
            serve.request(A, 3000 + i, request, len(request), wire.now)
            serve.receive(i, A, 3000 + i, b"\x00\x04\x00\x00", 4, wire.now + 1000)
        serve.receive(1 - gone, A, 3001 - gone, b"\x00\x04\x00\x01", 4, wire.now + 9000)
        for port in (3002, 3003):  # one has room beside them, the next one needs it
            serve.request(A, port, request, len(request), wire.now + 15000)
        ack = b"\x00\x04\x00\x02"
        now = wire.now + 16000
        assert serve.receive(1 - gone, A, 3001 - gone, ack, 4, now) == 0
        assert serve.receive(gone, A, 3000 + gone, ack, 4, now) == tftp.REJECT_STRANGER


def test_refusal_comes_from_the_well_known_port_and_takes_no_slot():
    wire = Wire()
    tail = b"\x00octet\x00blksize\x001428\x00"
    sent = []
    serve = tftpserve.Serve(lambda *a: sent.append(a[:2]), wire.open, 4)
    request = b"\x00\x01" + NAME + tail
    for i in range(4):
        serve.request(bytes([i]) * 20, 3000, request, len(request), wire.now)
    sent.clear()
    for bad in (b"\x00\x01" + b"1/x/9" + tail, b"\x00\x02" + NAME + tail):
        serve.request(B, 3000, bad, len(bad), wire.now + 1500000)
    assert sent == [(-1, B)] * 2
    assert serve.receive(0, bytes(20), 3000, b"\x00\x04\x00\x00", 4, wire.now + 1500001) == 0


def test_client_that_begins_again_from_its_old_port_is_served_anew():
    wire = running(Wire(data=PAYLOAD * 3).start())
    while wire.get.length < 20000:
        assert wire.step()
    wire.packets.clear()
    request = b"\x00\x01" + NAME + b"\x00octet\x00blksize\x001428\x00"
    wire.deliver(True, 4000, SERVER, request)  # in time it could be a copy of the first request
    assert [p[5][1] for p in wire.packets] == []
    wire.now += 600000
    wire.serve.tick(wire.now)
    wire.packets.clear()
    wire.deliver(True, 4000, SERVER, request)
    assert [p[5][1] for p in wire.packets] == [tftp.OACK]


def test_no_packet_makes_the_machines_raise():
    packets = (
        b"\x00\x01" + NAME + b"\x00octet\x00blksize\x001428\x00windowsize\x0016\x00tsize\x000\x00",
        b"\x00\x03\x00\x01" + bytes(64),
        b"\x00\x04\x00\x01",
        b"\x00\x05\x00\x01gone\x00",
        b"\x00\x06blksize\x001428\x00tsize\x00100\x00",
    )
    for packet in packets:
        cases = [packet[:n] for n in range(len(packet))]
        for bit in range(len(packet) * 8):
            changed = bytearray(packet)
            changed[bit // 8] ^= 1 << bit % 8
            cases.append(bytes(changed))
        for case in cases:
            wire = Wire(data=b"x" * 600).start()
            wire.get.receive(B, 50000, case, len(case), wire.now)
            wire.serve.request(A, 4000, case, len(case), wire.now)
            for slot in range(4):
                wire.serve.receive(slot, A, 4000, case, len(case), wire.now)


class Pipe:
    """One transfer after the other, where nothing but the machines allocates: packets wait in
    buffers made before, one queue each way."""

    def __init__(self):
        self.data = bytearray(65536)
        self.view = memoryview(self.data)
        self.size = len(self.data)
        self.queues = [Queue(), Queue()]  # to the server, to the client
        self.get = tftpget.Get(self.from_client, self.size)
        self.serve = tftpserve.Serve(self.from_server, self.open, 4)
        self.blocks = self.now = self.most = 0

    def open(self, name):
        return self

    def read_into(self, offset, view):
        for i in range(len(view)):
            view[i] = self.data[offset + i]
        return len(view)

    def close(self):
        pass

    def from_client(self, peer, port, buf, n):
        self.queues[0].put(port, buf, n)

    def from_server(self, slot, peer, port, buf, n):
        self.queues[1].put(50000 + slot, buf, n)

    def one(self, name):
        """Moves the file once. What one packet made a machine allocate: `asked` is the request
        or its OACK, `most` the worst of all others."""
        self.get.start(B, SERVER, name, self.size, self.now)
        while self.get.state == tftpget.RUNNING:
            self.now += 1000
            queue = self.queues[0]
            while queue.count:
                buf, n, port = queue.take()
                before = allocated()
                if port == SERVER:
                    self.serve.request(A, 4000, buf, n, self.now)
                    self.asked = allocated() - before
                else:
                    self.serve.receive(port - 50000, A, 4000, buf, n, self.now)
                    self.most = max(self.most, allocated() - before)
            queue = self.queues[1]
            while queue.count:
                buf, n, port = queue.take()
                data = buf[1] == tftp.DATA
                self.blocks += data
                before = allocated()
                self.get.receive(B, port, buf, n, self.now)
                if data:
                    self.most = max(self.most, allocated() - before)
                else:
                    self.asked = max(self.asked, allocated() - before)
        assert self.get.state == DONE and self.get.length == self.size, self.get.reason
        queue = self.queues[0]
        while queue.count:  # the last ACK
            buf, n, port = queue.take()
            self.serve.receive(port - 50000, A, 4000, buf, n, self.now)


class Queue:
    def __init__(self):
        self.bufs = [bytearray(1500) for _ in range(tftpget.ASK_WINDOW + 1)]
        self.sizes = [0] * len(self.bufs)
        self.ports = [0] * len(self.bufs)
        self.first = self.count = 0

    def put(self, port, buf, n):
        i = (self.first + self.count) % len(self.bufs)
        self.count += 1
        for k in range(n):
            self.bufs[i][k] = buf[k]
        self.sizes[i], self.ports[i] = n, port

    def take(self):
        i = self.first
        self.first = (i + 1) % len(self.bufs)
        self.count -= 1
        return self.bufs[i], self.sizes[i], self.ports[i]


def allocated():
    """Bytes on MicroPython; on CPython the count of blocks."""
    return gc.mem_alloc() if MICROPYTHON else sys.getallocatedblocks()


def asking(blksize, window, run):
    before = tftpget.ASK_BLKSIZE, tftpget.ASK_WINDOW
    tftpget.ASK_BLKSIZE, tftpget.ASK_WINDOW = blksize, window
    try:
        run()
    finally:
        tftpget.ASK_BLKSIZE, tftpget.ASK_WINDOW = before


def test_ten_thousand_blocks_leave_nothing_on_the_heap():
    pipe = Pipe()
    pipe.one(NAME)  # what is kept from one transfer to the next is there now

    def run():
        gc.collect()
        before = allocated()
        pipe.blocks = 0
        while pipe.blocks < 10000:
            pipe.one(NAME)
        gc.collect()
        # 10,000 blocks would leave as many objects. CPython's own caches move by a few. Where words
        # have 32 bits the few times that a machine keeps become objects as they grow, and what lies
        # on MicroPython's stack and looks like a pointer keeps one or two.
        allowed = 256 if MICROPYTHON else 50
        assert allocated() - before <= allowed, (before, allocated())

    asking(64, 16, run)  # small blocks: the machines' work is the same, the test's is less


def test_no_packet_makes_a_machine_allocate_more_than_a_datagram():
    limit = tftp.PACKET_BYTES if MICROPYTHON else 50  # CPython tells of objects that stay
    pipe = Pipe()
    for window in (1, 16):
        pipe.most = 0
        gc.collect()
        gc.disable()  # so that all that is allocated can be seen
        try:
            asking(tftp.MAX_BLKSIZE, window, lambda: pipe.one(NAME))
        finally:
            gc.enable()
        # The sum for one packet: so no single allocation is larger.
        assert (pipe.most > 0 or not MICROPYTHON) and pipe.most <= limit, (window, pipe.most)
        # The options fall into some twenty words, once for each transfer.
        assert pipe.asked <= 2 * limit, pipe.asked


def test_plain_client_whose_first_acknowledgement_is_late_gets_block_2():
    """Ours has asked for an answer again by then, and may send nothing more for nothing."""
    for late_us in (400000, 3000000, 5500000):
        wire = Wire(data=PAYLOAD[:600])
        request = b"\x00\x01" + NAME + b"\x00octet\x00"
        sent = []
        serve = tftpserve.Serve(lambda *a, sent=sent: sent.append(bytes(a[3][:4])), wire.open, 4)
        serve.request(A, 3000, request, len(request), wire.now)
        now = wire.now
        while now < wire.now + late_us:
            now += 10000
            serve.tick(now)
        assert serve.receive(0, A, 3000, b"\x00\x04\x00\x01", 4, now) == 0, late_us
        assert sent == [b"\x00\x03\x00\x01", b"\x00\x03\x00\x02"]


def test_stock_client_that_asks_again_after_5_s_is_still_served():
    """atftp asks again after 5 s each, tftp-hpa after 1, 3 and 7 s: with two such silences in a
    row the transfer goes on, and costs no more than a few blocks meanwhile."""
    wire = Wire(data=PAYLOAD[:2000])
    request = b"\x00\x01" + NAME + b"\x00octet\x00"
    sent = []
    serve = tftpserve.Serve(lambda *a: sent.append(bytes(a[3][:4])), wire.open, 4)
    serve.request(A, 3000, request, len(request), wire.now)
    now = wire.now + 2000
    serve.receive(0, A, 3000, b"\x00\x04\x00\x01", 4, now)
    sent.clear()
    end = now + 10500000
    while now < end:
        now += 10000
        serve.tick(now)
    assert set(sent) == {b"\x00\x03\x00\x02"} and len(sent) <= 20
    assert serve.receive(0, A, 3000, b"\x00\x04\x00\x02", 4, now) == 0
    assert sent[-1] == b"\x00\x03\x00\x03"
    while not serve.idle(0):
        now += 100000
        serve.tick(now)
    assert now - end < 40000000


def test_our_client_outlasts_a_stock_server_that_sends_again_after_7_s():
    """tftpd-hpa sends a block again after 1, 3 and 7 s, and hears no repeated acknowledgement."""
    wire = Wire()
    oack = b"\x00\x06blksize\x00512\x00"
    wire.get.start(B, SERVER, NAME, 65536, wire.now)
    wire.get.receive(B, 50000, oack, len(oack), wire.now + 2000)
    block = b"\x00\x03\x00\x01" + PAYLOAD[:512]
    wire.get.receive(B, 50000, block, len(block), wire.now + 4000)
    now = wire.now + 4000
    while now < wire.now + 7004000:
        now += 10000
        wire.get.tick(now)
    block = b"\x00\x03\x00\x02" + PAYLOAD[512:600]
    assert wire.get.receive(B, 50000, block, len(block), now) == 0
    assert wire.get.state == DONE, wire.get.reason


def test_requests_that_are_not_taken_are_told_why():
    wire = Wire()
    sent = []
    serve = tftpserve.Serve(lambda *a: sent.append((a[0], bytes(a[3][: a[4]]))), wire.open, 4)
    name = b"\x00\x01" + NAME
    for tail, code, word in (
        (b"\x00netascii\x00", 4, b"octet"),
        (b"\x00octet\x00blksize\x00512\x00blksize\x00512\x00", 8, b"twice"),
        (b"\x00octet\x00blksize\x00512\x00\x00\x00", 8, b"option"),
        (b"\x00octet\x00blksize\x00", 8, b"option"),
    ):
        request = name + tail
        sent.clear()
        assert serve.request(A, 3000, request, len(request), wire.now) == tftp.REJECT_MALFORMED
        assert len(sent) == 1, tail
        slot, error = sent[0]
        assert slot == -1 and error[:4] == bytes([0, 5, 0, code]) and word in error, (tail, error)
        assert len(error) <= tftpserve.AMPLIFY * len(request)
        assert serve.idle(0)
    sent.clear()
    for noise in (
        b"",
        b"\x00",
        b"\x00\x01",
        b"\x00\x03\x00\x01x",
        b"hello",
        name,
        name + b"\x00octet",
    ):
        serve.request(A, 3000, noise, len(noise), wire.now)
    assert not sent


def test_slots_that_are_asked_for_again_without_progress_bar_nobody():
    """Two addresses take all slots, and ask for something else each time before theirs is old."""
    wire = Wire()
    wire.files = {b"1/x/%d" % i: PAYLOAD for i in range(10)}
    request = b"\x00\x01" + b"1/x/%d" + b"\x00octet\x00blksize\x00512\x00"
    sent = []
    serve = tftpserve.Serve(lambda *a: sent.append(a[:2]), wire.open, 4)
    now = wire.now
    got = None
    peers = (b"1" * 20, b"2" * 20)
    for step in range(100):
        now += 100000
        serve.tick(now)
        for peer in peers:
            for port in (3000, 3001):
                data = request % (step % 10)
                serve.request(peer, port, data, len(data), now)
                slot = sent[-1][0]
                if slot >= 0 and step % 2:  # acknowledged, and then never again
                    serve.receive(slot, peer, port, b"\x00\x04\x00\x00", 4, now)
        sent.clear()
        data = request % 1
        serve.request(A, 4000, data, len(data), now)
        if sent and sent[-1] == (sent[-1][0], A) and sent[-1][0] >= 0:
            got = step
            break
    assert got is not None and got <= 10, got


def test_small_blocks_come_one_at_a_time():
    """A window of 64 blocks of 8 bytes would cost more than fifty times the file's bytes."""
    wire = Wire()
    for blksize, window in ((8, 1), (511, 1), (512, 64), (1428, 64)):
        sent = []
        serve = tftpserve.Serve(
            lambda *a, sent=sent: sent.append(bytes(a[3][: a[4]])), wire.open, 4
        )
        request = (
            b"\x00\x01" + NAME + b"\x00octet\x00blksize\x00%d\x00windowsize\x0064\x00" % blksize
        )
        serve.request(A, 3000, request, len(request), wire.now)
        assert sent[0].endswith(b"windowsize\x00%d\x00" % window), sent


def test_where_large_frames_are_swallowed_smaller_blocks_are_asked_for():
    """A tunnel or VLAN with a wrong MTU: requests and acknowledgements pass, blocks do not."""
    wire = Wire(PAYLOAD * 4)
    put = wire.put
    wire.put = lambda to_server, source, port, data: (
        put(to_server, source, port, data) if len(data) <= 1000 else None
    )
    began = wire.now
    wire.start().run()
    assert wire.result() == PAYLOAD * 4 and wire.get.small_blocks
    assert wire.get.progress_at - began < 3000000
    assert wire.to_client_bytes < 3 * 65536
    # Known beforehand, as of this neighbour, it costs nothing.
    sent = wire.to_client_bytes
    wire.start().run()
    assert wire.result() == PAYLOAD * 4 and wire.to_client_bytes - sent < 65536 * 11 // 10


def test_a_lossy_link_is_not_taken_for_one_that_swallows_large_frames():
    small = 0
    for seed in range(6):
        wire = Wire((PAYLOAD * 4)[:65536], loss=20, seed=seed * 999).start().run()
        small += wire.get.small_blocks
    assert small == 0


def test_where_only_the_first_block_is_lost_no_smaller_ones_are_asked_for():
    """What came behind it shows that large frames pass; and if smaller ones are asked for all the
    same, nothing of the larger ones may be left in their midst."""
    wire = Wire((PAYLOAD * 4)[:65536])
    put = wire.put
    lost = []

    def first_is_lost(to_server, source, port, data):
        if not to_server and data[:4] == b"\x00\x03\x00\x01" and len(lost) < 7:
            lost.append(data)
        else:
            put(to_server, source, port, data)

    wire.put = first_is_lost
    wire.start().run()
    assert wire.result() == wire.files[NAME] and not wire.get.small_blocks and len(lost) == 7


def test_peer_whose_slot_was_given_away_is_told_so():
    wire = running(Wire(data=PAYLOAD * 3).start())
    sent = []
    wire.serve._send = lambda slot, peer, port, buf, n: sent.append((slot, port, bytes(buf[:n])))
    ack = b"\x00\x04\x00\x0c"
    assert wire.serve.receive(0, A, 4001, ack, 4, wire.now) == tftp.REJECT_STRANGER
    assert sent == [(0, 4001, b"\x00\x05\x00\x00" + tftp.BUSY + b"\x00")]
    for packet in (b"\x00\x05\x00\x00\x00", b"\x00\x03\x00\x01x"):  # nobody answers an ERROR
        wire.serve.receive(0, A, 4001, packet, len(packet), wire.now)
    assert len(sent) == 1


class Fading:
    """A file that can be read up to an offset, and not beyond."""

    size = 5000

    def __init__(self, upto):
        self.upto = upto
        self.open = 1

    def read_into(self, offset, view):
        return len(view) if offset + len(view) <= self.upto else 0

    def close(self):
        self.open -= 1


def test_what_is_gone_from_the_disk_ends_the_upload_and_no_other_bytes_are_sent():
    request = b"\x00\x01" + NAME + b"\x00octet\x00"
    gone = b"\x00\x05\x00\x00gone\x00"
    sent = []
    file = Fading(0)
    serve = tftpserve.Serve(lambda *a: sent.append(bytes(a[3][: a[4]])), lambda name: file, 1)
    for upto in (0, 512):
        sent.clear()
        file.upto, file.open = upto, 1
        assert serve.request(A, 3000, request, len(request), 1000000 + upto * 10000) == 0
        if upto:
            assert sent.pop()[:4] == b"\x00\x03\x00\x01"
            serve.receive(0, A, 3000, b"\x00\x04\x00\x01", 4, 1001000 + upto * 10000)
        assert sent == [gone]
        assert serve.idle(0) and serve.next_at is None and file.open == 0


def test_server_wakes_for_the_first_of_its_uploads_whatever_the_others_do():
    request = b"\x00\x01" + NAME + b"\x00octet\x00blksize\x00512\x00"
    serve = tftpserve.Serve(lambda *a: None, lambda name: Fading(5000), 3)
    for i in range(3):
        now = 1000000 + i * 10000
        serve.request(bytes([i]) * 20, 3000, request, len(request), now)
    first = serve.next_at
    assert first == 1000000 + tftp.RTO_FIRST_US
    for i in range(2):  # it answers fast, so its next block is missed soon
        now += 2000
        serve.receive(2, b"\2" * 20, 3000, bytes([0, 4, 0, i]), 4, now)
    assert now < serve.next_at < first
    serve.receive(2, b"\2" * 20, 3000, b"\x00\x05\x00\x00\x00", 5, now)
    assert serve.next_at == first


def asked_for(options, size=5000):
    """(a server, what it has sent) after a request with these options, whose OACK has come."""
    request = b"\x00\x01" + NAME + b"\x00octet\x00" + options
    sent = []
    serve = tftpserve.Serve(
        lambda *a: sent.append(bytes(a[3][: a[4]])), lambda name: Fading(size), 1
    )
    serve.request(A, 3000, request, len(request), 1000000)
    serve.receive(0, A, 3000, b"\x00\x04\x00\x00", 4, 1002000)
    return serve, sent


def freed_after_us(serve, now):
    began = now
    while not serve.idle(0):
        now = serve.next_at
        serve.tick(now)
    return now - began


def test_slot_of_a_client_that_is_gone_is_soon_free_but_a_stock_clients_is_kept():
    for options, acks, low, high in (
        (b"keep\x001\x00blksize\x001000\x00", 1, 3, 8),  # ours asks in time
        (b"keep\x001\x00blksize\x001000\x00", 5, 1, 3),  # and has mostly got the last window
        (b"blksize\x001000\x00", 1, 30, 40),
    ):
        serve, _ = asked_for(options)
        now = 1002000
        for block in range(1, acks + 1):
            now += 2000
            serve.receive(0, A, 3000, bytes([0, 4, 0, block]), 4, now)
        assert low * 1000000 < freed_after_us(serve, now) < high * 1000000, (options, acks)


def test_acknowledgement_said_twice_in_lock_step_is_never_followed():
    serve, sent = asked_for(b"blksize\x001000\x00")
    serve.receive(0, A, 3000, b"\x00\x04\x00\x01", 4, 1004000)
    count = len(sent)
    again = serve.receive(0, A, 3000, b"\x00\x04\x00\x01", 4, 1100000)
    assert again == tftp.REJECT_STALE and len(sent) == count


def test_busy_and_refused_are_told_apart_from_failed_whatever_the_text():
    for error, text, state in ((0, b"busy", BUSY), (0, b"stop", REFUSED), (1, b"busy", REFUSED)):
        get = tftpget.Get(lambda *a: None, 1000)
        get.start(B, SERVER, NAME, 1000, 1000000)
        packet = bytes([0, 5, 0, error]) + text + b"\0"
        get.receive(B, SERVER, packet, len(packet), 1001000)
        assert get.state == state, text
    get.start(B, SERVER, NAME, 1000, 1000000)
    get.give_up()
    assert get.state == FAILED
