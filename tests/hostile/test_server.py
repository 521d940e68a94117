"""Hostile and careless clients of our server, which gives from a real store over real sockets."""

import struct
import time

import peers
import pytest
from wire import (
    ACK,
    DATA,
    ERROR,
    OACK,
    WRQ,
    Peer,
    bytes_until,
    options_of,
    packet,
    request,
)

pytestmark = pytest.mark.slow
SECRET = b"nobody outside may read this"
PAYLOAD = bytes(i * 7 % 251 for i in range(4096))  # chunk 0 of the payload in test_store.py
RETRIES_S = 2.5  # a slot sends again after 0.25, 0.75, 1.75 ... s


@pytest.fixture(params=peers.INTERPRETERS)
def server(request, tmp_path):
    """Its address, the name of its one payload's folder, and the folder of payloads."""
    (tmp_path / "secret").write_bytes(SECRET)
    store = tmp_path / "store"
    store.mkdir()
    port = peers.free_port()
    words, environment = peers.drive(request.param)
    words[-1] = str(peers.ROOT / "tests/hostile/serve_store.py")
    with peers.running([*words, str(port), str(store)], environment):
        (payload,) = (store / "payloads").iterdir()
        yield (peers.HOST, port), payload.name.encode(), store / "payloads"


def ask(server, name, op=1, source=peers.HOST, **options):
    """A peer that has sent a request."""
    peer = Peer(source)
    peer.sendto(request(name, op, **options), server[0])
    return peer


def answer(server, peer, name, **options):
    """Asks again while the server says that it is busy, or is tired of saying so."""
    for _ in range(50):
        got = peer.take(0.1)
        if got is not None and got[2] != b"busy\0":
            return got
        peer.sendto(request(name, **options), server[0])
    raise AssertionError("no answer")


def chunk(server, n=0):
    return b"1/%s/%d" % (server[1], n + 1)  # piece 0 is the page


def refused(server, name, **more):
    with ask(server, name, **more) as peer:
        op, code, rest, source = peer.take()
    assert (op, source) == (ERROR, server[0]) and SECRET not in rest, name
    return code


@pytest.mark.parametrize(
    "shape",
    (
        "{0}/../../secret", "{0}/../secret", "../secret", "1/../secret", "1/{0}/../../secret",
        "1/{0}/../{0}/manifest", "1/{0}/./manifest", "1//manifest", "/etc/passwd", "{1}/secret",
        "{1}/store/{0}/manifest", "1/{0}/payload", "1/{0}/manifest/", "..\\secret", "~/secret",
        "1/%2e%2e/secret",
    ),
)  # fmt: skip
def test_no_name_leads_out_of_the_store(server, shape):
    name = shape.format(server[1].decode(), server[2].parent).encode()
    if len(name) > 128:  # too long for a name at all: not worth an answer
        with ask(server, name) as peer:
            assert peer.take(0.3) is None
    else:
        assert refused(server, name) == 1


def test_symbolic_links_lead_nowhere(server):
    store, rid = server[2], server[1].decode()
    (store / "1").symlink_to(store.parent)
    (store / ("ab" * 32)).symlink_to(store / rid)
    for name in ("secret", "9", "x"):
        (store / rid / name).symlink_to(store.parent / "secret")
        assert refused(server, f"1/{rid}/{name}".encode()) == 1
    for name in ("1/secret", "1/1/secret", f"1/{'ab' * 32}/manifest"):
        assert refused(server, name.encode()) == 1


def test_nobody_writes(server):
    before = sorted(server[2].rglob("*"))
    assert refused(server, chunk(server), op=WRQ) == 2
    assert sorted(server[2].rglob("*")) == before


@pytest.mark.parametrize("option", ("blksize", "windowsize", "timeout", "tsize", "keep"))
def test_absurd_values_are_cut_down_or_not_acknowledged(server, option):
    lowest, highest = {
        "blksize": (8, 1428), "windowsize": (1, 64), "timeout": (1, 255), "keep": (1, 1),
        "tsize": (4096, 4096),
    }[option]  # fmt: skip
    for value in ("-1", "0", "7", "1e3", "65464", "65465", "65535", "65536", "9" * 30, ""):
        with ask(server, chunk(server), **{option: value}) as peer:
            op, number, rest, source = answer(server, peer, chunk(server), **{option: value})
            if op == OACK:
                for name, granted in options_of(op, number, rest).items():
                    assert name == option.encode() and lowest <= granted <= highest, value
                peer.sendto(packet(ACK, 0), source)
                blocks = 0
                while (got := peer.take(0.1)) and got[1] > blocks:
                    assert got[0] == DATA and len(got[2]) <= 1428, value
                    blocks = got[1]
                assert 1 <= blocks <= 64
            else:
                assert (op, number, len(rest)) == (DATA, 1, 512), value
            peer.sendto(packet(ERROR, 0, b"\0"), source)


def test_strangers_neither_move_a_transfer_nor_end_it(server):
    with (
        ask(server, chunk(server)) as peer,
        Peer() as other_port,
        Peer("127.0.0.2") as other_host,
    ):
        got = b""
        while len(got) % 512 == 0:
            op, number, rest, source = peer.take()
            assert op == DATA
            if number * 512 - 512 == len(got):  # else once more, by the timer
                got += rest
            for stranger in (other_port, other_host):
                stranger.sendto(packet(ACK, number), source)
                stranger.sendto(packet(ERROR, 0, b"stop\0"), source)
            peer.sendto(packet(ACK, number), source)
            if number == 8:
                got += peer.take()[2]  # the empty last block of 4,096 bytes
                break
        assert got == PAYLOAD
        assert other_port.take(0) is None and other_host.take(0) is None


def test_sorcerers_apprentice(server):
    """An ACK that comes twice does not send a block twice (RFC 1123, section 4.2.3.1)."""
    with ask(server, chunk(server), blksize=8) as peer:
        op, _, _, source = peer.take()
        assert op == OACK
        peer.sendto(packet(ACK, 0), source)
        packets = high = 0
        while high < 513:
            op, number, _, _ = peer.take()
            assert op == DATA
            packets += 1
            high = max(high, number)
            for _ in range(2):
                peer.sendto(packet(ACK, number), source)
        assert packets < 513 * 1.1  # some may come again by the timer on a busy machine


@pytest.mark.parametrize("addresses", (1, 200))
def test_half_open_requests_do_not_starve_a_new_client(server, addresses):
    crowd = []
    try:
        for i in range(200):
            source = f"127.0.1.{1 + i % addresses}"
            crowd.append(ask(server, chunk(server), source=source, blksize=1428))
        began = time.monotonic()
        with ask(server, chunk(server), blksize=1428) as peer:
            assert answer(server, peer, chunk(server), blksize=1428)[0] == OACK
        # From one address they hold its share only; from many, for HALF_OPEN_US (0.25 s) at most.
        assert time.monotonic() - began < 1
    finally:
        for peer in crowd:
            peer.close()


def test_at_most_three_bytes_for_one_until_the_peer_has_answered(server):
    """But a request without options is owed one block (RFC 1350): once a second, whoever asks."""
    names = [
        request(chunk(server), blksize=1428, windowsize=64, tsize=0),
        request(chunk(server), blksize=8),
        request(chunk(server), blksize=512, timeout=1),
        request(b"1/x/0", blksize=1428),
        request(b"x", WRQ),
        b"\0\1x\0",
        b"\0",
        packet(ACK, 0),
        request(chunk(server)),
        request(chunk(server)),
        request(chunk(server)),
    ]
    asked = []
    try:
        for i, text in enumerate(names):
            asked.append(Peer(f"127.0.2.{1 + i}"))
            asked[-1].sendto(text, server[0])
        got = bytes_until(time.monotonic() + RETRIES_S, asked)
        for peer, text in zip(asked[:-3], names):
            assert got[peer] <= 3 * len(text), text
        assert got[asked[0]] > 0 and [got[peer] for peer in asked[-3:]] == [4 + 512, 0, 0]
    finally:
        for peer in asked:
            peer.close()


def test_noise_is_not_answered_and_harms_nothing(server):
    with Peer() as peer:
        for op in range(256):
            for rest in (b"", b"\0", b"\xff" * 600, b"x\0octet", b"x\0", b"\0octet\0"):
                peer.sendto(struct.pack("!H", op) + rest, server[0])
        assert peer.take(0.2) is None
    with ask(server, chunk(server), source="127.0.0.3") as peer:
        assert peer.take()[:2] == (DATA, 1)
