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
