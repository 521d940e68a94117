"""Hostile and careless servers of our client, over real sockets: what is kept is whole and from
the server that was asked, and a failure leaves nothing."""

import json
import subprocess
from types import SimpleNamespace

import peers
import pytest
from wire import ACK, DATA, ERROR, RRQ, Peer, oack, packet

pytestmark = pytest.mark.slow
GOOD = bytes(i % 253 for i in range(2000))  # four blocks of 512


@pytest.fixture(params=peers.INTERPRETERS)
def client(request, tmp_path):
    """A client that has just asked; `server` answers from a port of its own."""
    path = tmp_path / "got"
    with Peer() as known, Peer() as server:
        where = ("get", peers.HOST, known.getsockname()[1], "name", path, 1428, 16)
        words, environment = peers.drive(request.param, *where)
        process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE)
        try:
            asked = known.take()
            assert asked[0] == RRQ
            address = asked[3]

            def say(data):
                server.sendto(data, address)

            yield SimpleNamespace(
                process=process, path=path, address=address, server=server, say=say
            )
        finally:
            process.kill()
            process.communicate()


def block(n, size=512):
    return packet(DATA, n, GOOD[(n - 1) * size : n * size])


def failed(client):
    """Why; and nothing is left."""
    out = client.process.communicate(timeout=2 * peers.LIMIT_S)[0]  # for silence it waits 10 s
    assert client.process.returncode == 1 and not client.path.exists()
    return json.loads(out)["reason"]


def finish(client, first=1):
    """Gives what is missing as it is acknowledged."""
    for n in range(first, 5):
        client.say(block(n))
        while client.server.take()[:2] != (ACK, n):
            pass
    out = client.process.communicate(timeout=peers.LIMIT_S)[0]
    assert client.process.returncode == 0
    assert client.path.read_bytes() == GOOD
    return json.loads(out)


def test_data_from_a_foreign_port_or_address_is_not_taken(client):
    with Peer() as port, Peer("127.0.0.2") as host:
        for n in (1, 2):
            host.sendto(packet(DATA, n, b"evil" * 128), client.address)
        client.say(block(1))
        assert client.server.take()[:2] == (ACK, 1)
        for n in (1, 2, 3):
            for stranger in (port, host):
                stranger.sendto(packet(DATA, n, b"evil" * 128), client.address)
        port.sendto(packet(DATA, 2, b"cut short"), client.address)
        port.sendto(packet(ERROR, 1, b"gone\0"), client.address)
        port.sendto(oack(blksize=8), client.address)
        # Two came before the server's port was known; the others the kernel keeps away.
        assert finish(client, 2)["rejects"] >= 2
        assert port.take(0) is None and host.take(0) is None


@pytest.mark.parametrize(
    "options",
    (
        {"blksize": 1429}, {"blksize": 65464}, {"blksize": 65536}, {"blksize": 7}, {"blksize": 0},
        {"windowsize": 17}, {"windowsize": 65535}, {"windowsize": 0}, {"blksize": -1},
        {"tsize": 1 << 29}, {"timeout": 1}, {"multicast": 1}, {"blksize": "1428x"},
    ),
    ids=lambda options: "-".join(f"{k}={v}" for k, v in options.items()),
)  # fmt: skip
def test_option_that_was_not_asked_for_ends_it(client, options):
    client.say(oack(**options))
    assert "option" in (reason := failed(client)) or "too large" in reason
    assert client.server.take()[:2] == (ERROR, 8)


def test_block_larger_than_agreed_ends_it(client):
    client.say(oack(blksize=512))
    assert client.server.take()[:2] == (ACK, 0)
    client.say(packet(DATA, 1, bytes(513)))
    assert "larger" in failed(client)


def test_an_error_leaves_nothing(client):
    client.say(packet(ERROR, 1, b"no such file \x1b[2J\0"))
    reason = failed(client)
    assert "error 1 no such file" in reason and "\x1b" not in reason


def test_an_error_in_the_middle_leaves_nothing(client):
    client.say(block(1))
    assert client.server.take()[:2] == (ACK, 1)
    client.say(packet(ERROR, 0, b"stopped\0"))
    assert "refused" in failed(client)


def test_a_server_that_falls_silent_leaves_nothing(client):
    client.say(block(1))
    assert failed(client) == "stalled"


def test_endless_data_ends_at_the_limit(client):
    client.say(oack(blksize=1428, windowsize=16))
    n = 0
    while (got := client.server.take())[0] == ACK:
        if got[1] == n % 65536:
            for _ in range(16):
                n += 1
                client.say(packet(DATA, n % 65536, bytes(1428)))
        assert n < 16 + (9 << 20) // 1428 + 16
    assert got[0] == ERROR
    assert failed(client) == "file too large"


def test_sorcerers_apprentice(client):
    """Each copy of a block brings one ACK at most: the receiver must repeat a lost one, and it is
    the sender that must not follow it (RFC 1123, section 4.2.3.1)."""
    acks = 0
    for n in range(1, 301):
        data = packet(DATA, n, bytes(512 if n < 300 else 0))
        client.say(data)
        client.say(data)
        while True:
            got = client.server.take()
            acks += 1
            if got[:2] == (ACK, n):
                break
    client.process.communicate(timeout=peers.LIMIT_S)
    assert client.process.returncode == 0 and client.path.read_bytes() == bytes(299 * 512)
    while client.server.take(0):
        acks += 1
    assert acks <= 600
