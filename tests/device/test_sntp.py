"""SNTP, as a client on the link sees it."""

import struct

from swdist import sntp


class Clock:
    synced = True
    error_us = 1500

    def mesh_us(self, now):
        return 1700000000000000 + now


REQUEST = bytes([0x23, 0, 7, 0]) + bytes(36) + b"client's"


def ask(clock, request, rx_us=250000, now=500000):
    server = sntp.Server(clock)
    if server.request(request, len(request), rx_us, now):
        return server.buf
    return None


def test_a_client_gets_the_mesh_s_time_and_its_error():
    buf = ask(Clock(), REQUEST)
    assert len(buf) == 48 and buf[0] == 0x24 and buf[1] == 10 and buf[2] == 7
    assert struct.unpack_from("!II", buf, 4) == (0, 1500 * 65536 // 1000000 + 1)
    seconds = 1700000000 + 2208988800
    assert struct.unpack_from("!II", buf, 16) == (seconds, 0)
    assert buf[24:32] == b"client's"
    assert struct.unpack_from("!IIII", buf, 32) == (seconds, 1 << 30, seconds, 1 << 31)


def test_an_old_client_gets_its_own_version_and_trailing_bytes_change_nothing():
    assert ask(Clock(), b"\x0b" + REQUEST[1:])[0] == 0x0C
    assert ask(Clock(), REQUEST + bytes(20)) == ask(Clock(), REQUEST)


def test_what_no_client_sends_is_not_answered():
    for length in range(48):
        assert ask(Clock(), REQUEST[:length]) is None
    answered = [b for b in range(256) if ask(Clock(), bytes([b]) + REQUEST[1:]) is not None]
    assert answered == [b for b in range(256) if b & 7 == 3 and 1 <= b >> 3 & 7 <= 4]


def test_without_a_time_that_is_said_and_not_broadcast():
    for synced, error in ((False, 1500), (True, 0xFFFFFFFF), (False, 0xFFFFFFFF)):
        clock = Clock()
        clock.synced = synced
        clock.error_us = error
        buf = ask(clock, REQUEST)
        assert buf[0] == 0xE4 and buf[1] == 16 and buf[16:24] == bytes(8)
        assert not sntp.Server(clock).broadcast(0)


def test_times_after_2036_go_on_in_the_next_era():
    clock = Clock()
    clock.mesh_us = lambda now: 2085978496000000 + now  # 2036-02-07T06:28:16Z
    assert struct.unpack_from("!II", ask(clock, REQUEST, 0, 0), 32) == (0, 0)


def test_a_broadcast_says_when_it_was_sent_and_nothing_of_the_last_client():
    server = sntp.Server(Clock())
    assert server.request(REQUEST, 48, 0, 0) and server.broadcast(500000)
    assert server.buf[0] == 0x25 and server.buf[2] == 6
    assert server.buf[24:40] == bytes(16)
    assert struct.unpack_from("!II", server.buf, 40) == (1700000000 + 2208988800, 1 << 31)


class Led:
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def reference(self, us, error_us, now):
        self.told.append((us, error_us, now))


SECOND = 1000000
START = 1700000000 * SECOND
A, B = b"a" * 20, b"b" * 20


def broadcast(us, first=0x25, stratum=2, delay=0, dispersion=0, refid=b"\x7f\x7f\x01\x01"):
    """What a server sends when it is `us`, which is rounded up: no more than a microsecond."""
    seconds, rest = divmod(us, SECOND)
    buf = bytearray(48)
    buf[0], buf[1], buf[2], buf[3] = first, stratum, 6, 236
    struct.pack_into("!II4s", buf, 4, delay, dispersion, refid)
    fraction = ((rest << 32) + SECOND - 1) // SECOND
    struct.pack_into("!II", buf, 40, seconds + 2208988800 & 0xFFFFFFFF, fraction)
    return bytes(buf)


def hear(listener, source, at, late=0, ahead=START, **fields):
    data = broadcast(at + ahead, **fields)
    listener.hear(data, len(data), source, at + late)


def listening():
    clock = Led()
    return clock, sntp.Listener(clock)


def test_a_broadcast_is_read_in_both_eras():
    assert sntp.told(broadcast(START + 250000), 48) == (START + 250000, 1)
    assert sntp.told(broadcast(START + 250000, 0x1D, 1), 48) == (START + 250000, 1)
    assert sntp.told(broadcast(START) + bytes(20), 68) == (START, 1)  # a key's digest
    rollover = 2085978496 * SECOND  # 2036-02-07T06:28:16Z
    for us in (rollover - 1, rollover + 1, rollover + 86400 * SECOND):
        assert sntp.told(broadcast(us), 48) == (us, 1)
    assert sntp.told(broadcast(START, delay=0x4000, dispersion=0x2000), 48) == (START, 250001)


def test_what_is_no_broadcast_of_a_true_server_is_none():
    good = broadcast(START)
    for length in range(48):
        assert sntp.told(good[:length], length) is None
        assert sntp.told(good, length) is None  # so much was read into a longer buffer
    taken = [b for b in range(256) if sntp.told(bytes([b]) + good[1:], 48) is not None]
    assert taken == [b for b in range(192) if b & 7 == 5 and b >> 3 & 7 in (3, 4)]
    taken = [b for b in range(256) if sntp.told(good[:1] + bytes([b]) + good[2:], 48) is not None]
    assert taken == list(range(1, 11))
    assert sntp.told(broadcast(START, stratum=10, refid=b"MESH"), 48) is None  # another node's
    assert sntp.told(broadcast(START, dispersion=0xFFFF), 48) is not None
    for field in ("delay", "dispersion"):
        for value in (0x20000, 0x80000000, 0xFFFFFFFF):
            assert sntp.told(broadcast(START, **{field: value}), 48) is None
    assert sntp.told(good[:40] + bytes(8), 48) is None  # it doesn't know
    assert sntp.told(broadcast(-SECOND), 48) is None  # before 1970
    assert sntp.told(broadcast(4102444800 * SECOND), 48) is None  # what a clock takes for none


def test_nothing_raises_whatever_comes():
    clock, listener = listening()
    for i in range(48):
        for b in (0, 1, 0x7F, 0x80, 0xFF):
            data = bytearray(broadcast(START))
            data[i] = b
            listener.hear(data, 48, A, i * SECOND)
    listener.hear(b"", 0, A, 0)


def test_three_that_agree_are_a_reference_and_the_least_delayed_counts():
    clock, listener = listening()
    for i, late in enumerate((9000, 2000)):
        hear(listener, A, i * SECOND, late)
    assert not clock.told
    hear(listener, A, 2 * SECOND, 5000, dispersion=0x1000)
    at = 2 * SECOND + 5000
    assert clock.told == [(START + at - 2000, 62501 + 50000 + 7000, at)]
    # Of the last eight: the one that came 2 ms late is the first to be forgotten but one.
    for i in range(3, 9):
        hear(listener, A, i * SECOND, 30000)
    assert clock.told[-1][0] == START + 8 * SECOND + 28000
    hear(listener, A, 9 * SECOND, 30000)
    assert clock.told[-1][:2] == (START + 9 * SECOND + 25000, 1 + 50000 + 25000)


def test_the_truth_is_within_the_bound_for_any_delay_up_to_what_is_allowed_and_any_drift():
    for ppm in (-200, -20, 0, 20, 200):
        clock, listener = listening()
        for i in range(1, 40):
            true = i * 16 * SECOND
            counter = true + true * ppm // SECOND
            delay = (1000, 50000, 7000, 400000)[i * 7 % 4]
            data = broadcast(START + true)
            listener.hear(data, 48, A, counter + delay)
            for us, error_us, _ in clock.told[-1:]:
                assert abs(us - (START + true + delay)) <= error_us


def test_one_source_is_kept_until_it_is_silent():
    clock, listener = listening()
    for i in range(3):
        hear(listener, A, i * SECOND)
        hear(listener, B, i * SECOND, ahead=0)
    assert len(clock.told) == 1 and clock.told[0][0] == START + 2 * SECOND
    last = 2 * SECOND
    for i in range(4):
        hear(listener, B, last + 96 * SECOND + i, ahead=0)
    assert clock.told[1:] == [(last + 96 * SECOND + 3, 50001, last + 96 * SECOND + 3)]
    hear(listener, A, last + 96 * SECOND + 4)
    assert len(clock.told) == 2
    # And what the same one said before it was silent is not mixed with what it says then.
    hear(listener, B, last + 193 * SECOND, ahead=0)
    assert len(clock.told) == 2


def test_what_differs_by_more_than_a_second_is_followed_only_if_it_goes_on():
    for jump in (-3600 * SECOND, -1500000, 1500000, 3600 * SECOND):
        clock, listener = listening()
        for i in range(4):
            hear(listener, A, i * SECOND)
        for i in range(4, 6):
            hear(listener, A, i * SECOND, ahead=START + jump)
        assert len(clock.told) == 2
        hear(listener, A, 6 * SECOND)  # no step
        assert clock.told[-1][0] == START + 6 * SECOND
        for i in range(7, 11):
            hear(listener, A, i * SECOND, ahead=START + jump)
        assert len(clock.told) == 3
        hear(listener, A, 11 * SECOND, ahead=START + jump)
        assert clock.told[3:] == [(START + jump + 11 * SECOND, 50001, 11 * SECOND)]


class Conf:
    interfaces = ("lo",)

    def __init__(self, sntp, reference):
        self.sntp = sntp
        self.reference = reference


class Raw:
    """Takes options, and datagrams to be sent."""

    def __init__(self):
        self.options = []
        self.sent = []
        self.raw = self

    def setsockopt(self, *words):
        self.options.append(words)

    def takes(self, peer):
        return True

    def send(self, peer, port, data):
        self.sent.append(peer)


def made(how, reference):
    """An Sntp with a socket that is none: port 123 is for root."""
    socket = Raw()
    socket.six = socket
    real = sntp.link.Server
    sntp.link.Server = lambda names, port: socket
    try:
        return sntp.Sntp(Conf(how, reference), Raw()), socket
    finally:
        sntp.link.Server = real


def test_only_who_is_told_to_listen_does_and_who_only_listens_answers_nobody():
    for how, reference in (("off", "broadcast"), ("serve", "off"), ("serve", "broadcast")):
        part, socket = made(how, reference)
        part._counter.counter_us = lambda: 5
        clock = Led()
        clock.synced, clock.error_us, clock.mesh_us = True, 9, lambda now: now
        part.start(clock)
        for i in range(3):
            part.take(socket, broadcast(START + i * SECOND), A, 123, i * SECOND)
        part.take(socket, REQUEST, B, 123, 5)
        assert len(clock.told) == (reference == "broadcast"), (how, reference)
        assert socket.sent == ([] if how == "off" else [B])
        next_at = part.tick(0)
        assert next_at == (5 * SECOND if reference == "broadcast" else 64 * SECOND)
        joined = [words for words in socket.options if words[1] == 20]
        assert len(joined) == (reference == "broadcast")
        assert part.tick(1) >= next_at and len([w for w in socket.options if w[1] == 20]) == len(
            joined
        )
        for _, _, group in joined:
            assert group[:16] == sntp.GROUP and group[16:] == struct.pack("@I", 1)
