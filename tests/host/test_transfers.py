"""The sockets of transfers, plain and as the host tool has them, over loopback."""

import select
import socket

import drive
import peers
import pytest

from swdist.shell import net, platform, ports
from swdist_host import transfers

PLAIN = ports.Port, ports.Poller
FAST = transfers.Port, transfers.Poller
BLOCK = 1432


class Machine:
    """Sends what it is told to, once for each datagram that comes."""

    next_at = None  # ends the turn

    def __init__(self):
        self.came = []
        self.sends = []

    def receive(self, slot, peer, port, buf, n, now):
        self.came.append((port, bytes(buf[:n])))
        for data in self.sends:
            self.port.send(peer, port, bytearray(data), len(data))


class Client(socket.socket):
    """Of one upload; takes what comes for it."""

    def __init__(self):
        super().__init__(socket.AF_INET, socket.SOCK_DGRAM)
        self.bind((peers.HOST, 0))
        self.settimeout(5)
        self.number = self.getsockname()[1]

    def take(self, count):
        return [self.recv(4096) for _ in range(count)]

    def none(self):
        return not select.select([self], [], [], 0.05)[0]


@pytest.fixture(params=(PLAIN, FAST), ids=("plain", "fast"))
def upload(request, monkeypatch):
    port, poller = request.param
    monkeypatch.setattr(ports, "Port", port)
    monkeypatch.setattr(ports, "Poller", poller)
    monkeypatch.setattr(net, "udp", drive.any_interface)
    machine = Machine()
    machine.poller = poller()
    machine.port = port(machine.poller, 3)
    machine.port.hearer = machine
    yield machine
    machine.port.close()


PEER = drive.peer_of(peers.HOST)


def begin(upload, client):
    """Where the client is to send what it has to say."""
    upload.port.send(PEER, client.number, b"hello", 5)
    data, source = client.recvfrom(99)
    assert data == b"hello"
    return source


def turn(upload):
    clock = platform.Clock()
    upload.poller.one_turn(clock.counter_us, clock.counter_us() + 300000)


def answer(upload, client, where, sends):
    upload.sends = sends
    client.sendto(b"\0\4\0\0", where)
    turn(upload)
    return client.take(len(sends))


def blocks(count, last):
    return [bytes([i]) * BLOCK for i in range(count - 1)] + [b"x" * last]


@pytest.mark.parametrize("count", (1, 2, 16, 32, 33, 64))
def test_windows_arrive_as_they_were_sent(upload, count):
    with Client() as client:
        where = begin(upload, client)
        for last in (BLOCK, BLOCK, 100, 4, BLOCK):
            sends = blocks(count, last)
            assert answer(upload, client, where, sends) == sends
        assert client.none()
        assert upload.poller.tx_datagrams == 1 + 5 * count
        assert upload.poller.rx_datagrams == 5


class Download(Machine):
    length, mark = 0, 1
    left = False

    def receive(self, peer, port, buf, n, now):
        self.came.append(port)
        self.port.send(peer, port, bytearray(b"ack"), 3)

    def gone(self):
        self.left = True


def test_download_hears_that_its_server_has_closed_the_port(upload):
    port = ports.Port(upload.poller)
    machine = port.hearer = Download()
    machine.port = port
    with Client() as server, Client() as slot:
        port.send(PEER, server.number, bytearray(b"request"), 7)
        where = server.recvfrom(99)[1]
        slot.sendto(b"block", where)
        turn(upload)
        assert machine.came == [slot.number] and slot.recv(9) == b"ack"
        slot.close()
        port.send(PEER, machine.came[0], bytearray(b"ack"), 3)
        turn(upload)
    port.close()
    assert machine.left


def test_silence_after_a_window_sends_nothing(upload):
    with Client() as client:
        where = begin(upload, client)
        for _ in range(2):
            answer(upload, client, where, blocks(5, 9))
        assert answer(upload, client, where, []) == [] and client.none()
        assert answer(upload, client, where, blocks(5, 9)) == blocks(5, 9)


def test_a_window_of_unlike_sizes_arrives_too(upload):
    with Client() as client:
        where = begin(upload, client)
        for sizes in ((7, 7), (7, 9, 9, 4, 9), (9, 7, 9, 9), (4, 516, 516, 20)):
            sends = [b"%d" % i * n for i, n in enumerate(sizes)]
            assert answer(upload, client, where, sends) == sends


def test_where_the_kernel_cannot_cut_they_go_one_by_one(upload):
    with Client() as client:
        where = begin(upload, client)
        for _ in range(3):
            answer(upload, client, where, blocks(16, 5))
        if isinstance(upload.port, transfers.Port):
            assert upload.port._cut == BLOCK
            upload.port._cut = 0

            class Old:
                def setsockopt(self, *_):
                    raise OSError("Protocol not available")

            upload.port.socket.raw, raw = Old(), upload.port.socket.raw
            upload.port.socket.send = lambda peer, port, data: raw.send(data)
            assert answer(upload, client, where, blocks(16, 5)) == blocks(16, 5)
            assert upload.port._cut == -1
            upload.port.socket.raw = raw
        assert answer(upload, client, where, blocks(16, 5)) == blocks(16, 5)


def test_only_the_peer_is_heard_once_its_port_is_known(upload):
    with Client() as client, Client() as stranger:
        where = begin(upload, client)
        stranger.sendto(b"evil", where)
        client.sendto(b"good", where)
        turn(upload)
        assert upload.came == [(client.number, b"good")]


def test_what_came_before_the_port_was_known_is_dropped(upload):
    """A download learns the port from the first answer; the kernel filters from then on only."""
    upload.port._slot = None
    with Client() as known, Client() as server, Client() as stranger:
        upload.receive = lambda peer, port, buf, n, now: upload.came.append(bytes(buf[:n]))
        where = begin(upload, known)
        stranger.sendto(b"early", where)
        upload.port.send(PEER, server.number, b"ack", 3)
        stranger.sendto(b"late", where)
        server.sendto(b"data", where)
        turn(upload)
        assert upload.came == [b"data"] and server.take(1) == [b"ack"]


def test_a_closed_port_of_the_peer_loses_nothing_that_is_sent_later(upload):
    client = Client()
    number = client.number
    where = begin(upload, client)
    client.close()
    upload.port.send(PEER, number, b"lost", 4)  # the kernel learns of it, and will say so once
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind((peers.HOST, number))
        again.settimeout(5)
        upload.port.send(PEER, number, b"here", 4)
        assert again.recv(99) == b"here"
        again.sendto(b"back", where)
        turn(upload)
        assert upload.came == [(number, b"back")]


def test_each_transfer_has_its_own_socket(upload):
    with Client() as client, Client() as other:
        first = begin(upload, client)
        assert begin(upload, other) != first
        client.sendto(b"late", first)
        other.sendto(b"good", ("127.0.0.1", upload.port.socket.raw.getsockname()[1]))
        turn(upload)
        assert upload.came == [(other.number, b"good")]


class Steps:
    """A counter that goes on by 100 us each time it is asked."""

    def __init__(self):
        self.us = 0

    def __call__(self):
        self.us += 100
        return self.us


class Polls:
    """Counts how often all sockets were asked."""

    def __init__(self, poller):
        self._poll = poller.plain._poll
        poller.plain._poll = self
        self.count = 0

    def poll(self, timeout_ms):
        self.count += 1
        return self._poll.poll(timeout_ms)

    def __getattr__(self, name):
        return getattr(self._poll, name)


def lock_step(upload, client, where, count):
    """The client acknowledges each block at once, `count` times in all."""
    hear = upload.receive
    upload.sends = [b"block"]
    upload.next_at = 1 << 40

    def receive(*args):
        hear(*args)
        client.take(1)
        if len(upload.came) < count:
            client.sendto(b"ack", where)
        else:
            upload.next_at = None

    upload.receive = receive
    client.sendto(b"ack", where)
    upload.poller.one_turn(Steps(), 1 << 39)
    assert len(upload.came) == count and client.none()


def test_a_lone_transfer_waits_where_it_is_for_a_millisecond(upload):
    polls = Polls(upload.poller)
    with Client() as client:
        where = begin(upload, client)
        lock_step(upload, client, where, 45)
    # One answer takes 100 us by that counter, so that ten are given before all are asked again.
    assert polls.count == (5 if isinstance(upload.port, transfers.Port) else 45)


def test_of_two_transfers_none_makes_the_other_wait(upload):
    polls = Polls(upload.poller)
    with Client() as client, Client() as other:
        second = ports.Port(upload.poller, 4)
        second.hearer = upload
        second.send(PEER, other.number, b"hello", 5)
        lock_step(upload, client, begin(upload, client), 45)
        second.close()
    assert polls.count == 45


def test_a_silent_neighbour_keeps_nobody_waiting(upload):
    with Client() as client, Client() as other:
        upload.sends = [b"block"]
        upload.next_at = 1 << 60
        listener = drive.Sockets(0)
        upload.poller.register(listener)
        client.sendto(b"ack", begin(upload, client))
        other.sendto(b"request", ("127.0.0.1", listener.raw.getsockname()[1]))
        clock = platform.Clock()
        assert upload.poller.one_turn(clock.counter_us, clock.counter_us() + 300000) == [listener]
        upload.poller.unregister(listener)
        listener.close()


def test_a_kernel_that_knows_no_such_timeouts_waits_for_all(upload, monkeypatch):
    monkeypatch.setattr(transfers, "_STAY", b"?")
    with Client() as client:
        where = begin(upload, client)
        lock_step(upload, client, where, 45)
