"""Sockets on this host: the link's and the transfers' over its own addresses."""

import os
import socket
import struct

import pytest

from swdist import ifaces, net, unixsock


def link_local():
    """(interface, address) of this host with a usable link-local address, or None."""
    for line in ifaces.lines("/proc/net/if_inet6"):
        f = line.split()
        if len(f) == 6 and f[0].startswith("fe8") and not int(f[4], 16) & 0x48:
            return f[5], bytes.fromhex(f[0])
    return None


@pytest.fixture
def neighbour():
    found = link_local()
    if found is None:
        pytest.skip("no link-local address here")
    return found[0], found[1] + struct.pack("!I", ifaces.ifindex(found[0]))


def receive(sock):
    assert net.wait([sock], 2000) == [sock]
    return sock.recv()


def free_port():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.bind(("::", 0))
        return s.getsockname()[1]


def test_a_transfer_over_link_local_addresses(neighbour):
    name, peer = neighbour
    port = free_port()
    serving = net.server([name], port)
    client = net.udp(peer)
    assert client.recv() is None
    assert client.send(peer, port, memoryview(b"hello"))
    data, source, source_port = receive(serving[0])
    assert (data, source) == (b"hello", peer)
    answer = net.udp(source)
    assert answer.send(source, source_port, b"you")
    assert receive(client)[:2] == (b"you", peer)
    with pytest.raises(ValueError, match="another daemon"):
        net.server([name], port)
    for s in [*serving, client, answer]:
        s.close()
    assert client.send(peer, port, b"closed") is False
    assert client.recv() is None


def test_the_link_joins_its_group_and_drops_foreign_sources(neighbour):
    name, peer = neighbour
    port = free_port()
    link = net.Link([name], port)
    group = net.GROUP.hex()
    assert any(group in line and name in line for line in ifaces.lines("/proc/net/igmp6"))
    assert link.broadcast(b"x") == 1
    link.refresh()
    assert len(link.sockets) == 1
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.sendto(b"not link-local", ("::1", port))
    assert link.send(peer, port, b"unicast")
    data, source, source_port = receive(link.sockets[0])
    assert (data, source, source_port) == (b"unicast", peer, port)
    assert link.recv(link.sockets[0]) is None
    link.close()
    other = net.Link(["no-such-if"], port)
    assert other.broadcast(b"x") == 0
    assert not any(net.GROUP.hex() in line for line in ifaces.lines("/proc/net/igmp6"))
    other.close()


def test_raw_addresses_of_micropython_are_what_the_kernel_takes(monkeypatch):
    monkeypatch.setattr(net, "MICROPYTHON", True)
    monkeypatch.setattr(unixsock, "MICROPYTHON", True)
    address = bytes(range(16))
    raw = net._address6(address, 27182, 7)
    assert len(raw) == 28
    assert net._from6(raw) == (address, 27182, 7)
    raw = net._address4(b"\xc0\x00\x02\x01", 27182)
    assert len(raw) == 16
    assert net._from4(raw) == (b"\xc0\x00\x02\x01", 27182)
    assert unixsock._address_unix("/x") == struct.pack("@H", 1) + b"/x\0"


def test_ipv4_sources_are_placed_by_the_routes(monkeypatch):
    route = [
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT",
        "m0 00000000 010200C0 0003 0 0 0 00000000 0 0 0",
        "m0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0",
        "x0 0000000A 00000000 0001 0 0 0 000000FF 0 0 0",
        "",
    ]
    trie = [
        "  |-- 192.0.2.2",
        "     /32 host LOCAL",
        "  |-- 192.0.2.255",
        "     /32 link BROADCAST",
    ]
    files = {"/proc/net/route": route, "/proc/net/fib_trie": trie}
    files["/sys/class/net/m0/ifindex"] = ["5", ""]
    monkeypatch.setattr(ifaces, "lines", lambda path: files.get(path, []))
    table = ifaces.Interfaces(["m0"])
    assert table.index == {"m0": 5}
    assert table.own == [b"\xc0\x00\x02\x02"]
    assert table.index_of(b"\xc0\x00\x02\x09", None) == 5
    assert table.index_of(b"\xc0\x00\x02\x09", "m0") == 5
    assert table.index_of(b"\xc0\x00\x03\x09", None) == 0
    assert table.index_of(b"\x0a\x00\x00\x01", None) == 0
    assert net.ipv4_of("m0") and net.ipv4_of("x0") and not net.ipv4_of("y0")


def test_a_link_without_ipv6_uses_broadcast(monkeypatch):
    monkeypatch.setattr(net, "has_link_local", lambda name: False)
    names = [n for n in os.listdir("/sys/class/net") if net.ipv4_of(n)]
    if not names:
        pytest.skip("no interface with IPv4 here")
    link = net.Link(names[:1], free_port())
    four = [s for s in link.sockets if s.name is not None]
    assert [s.name for s in four] == names[:1]
    assert link.broadcast(b"x") == 1
    assert four[0].recv() is None  # our own broadcast is dropped
    monkeypatch.setattr(net, "ipv4_of", lambda name: False)
    link.refresh()
    assert four[0] not in link.sockets
    link.close()


def test_unix_sockets(tmp_path):
    a = unixsock.unix_socket(str(tmp_path / "a"))
    b = unixsock.unix_socket(str(tmp_path / "b"))
    assert a.recv() is None
    assert b.send_to(str(tmp_path / "a"), b"one")
    assert receive(a) == b"one"
    assert not b.send_to(str(tmp_path / "none"), b"one")
    sender = unixsock.unix_sender(str(tmp_path / "a"))
    assert sender.send(b"two")
    assert receive(a) == b"two"
    a.close()
    assert not sender.send(b"lost")
    a = unixsock.unix_socket(str(tmp_path / "a"))
    assert sender.send(b"three")
    assert receive(a) == b"three"
    for s in (a, b, sender):
        s.close()
    with pytest.raises(ValueError, match="can't be made"):
        unixsock.unix_socket(str(tmp_path / "none" / "a"))


def test_a_poller_knows_descriptors_and_survives_their_reuse(tmp_path):
    reading, writing = os.pipe()
    poller = net.Poller()
    poller.register(reading)
    assert poller.wait(0) == []
    os.write(writing, b"x")
    assert poller.wait(0) == [reading]
    poller.unregister(reading)
    os.close(reading)
    os.close(writing)
    old = unixsock.unix_socket(str(tmp_path / "a"))
    poller.register(old)
    old.close()
    new = unixsock.unix_socket(str(tmp_path / "b"))
    assert new.fd == old.fd
    poller.register(new)
    poller.unregister(old)
    assert new.send_to(str(tmp_path / "b"), b"x")
    assert poller.wait(1000) == [new]
    new.close()
