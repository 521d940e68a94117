"""The link's and the transfers' sockets over real links: run by tests/test_net.py in a network
namespace with the interfaces m0 (192.0.2.1/24) and m1, a veth pair."""

import contextlib
import os
import socket
import struct
import subprocess
import sys
import time

import pytest

from swdist import sntp
from swdist.shell import ifaces, link, net


def link_local():
    """(interface, address) of this host with a usable link-local address, or None."""
    for line in ifaces.lines("/proc/net/if_inet6"):
        f = line.split()
        if len(f) == 6 and f[0].startswith("fe8") and not int(f[4], 16) & 0x48:
            return f[5], bytes.fromhex(f[0])
    return None


@pytest.fixture
def neighbour():
    name, address = link_local()
    return name, address + struct.pack("!I", ifaces.ifindex(name))


def receive(sock):
    poller = net.Poller()
    poller.register(sock)
    assert poller.wait(2000) == [sock]
    return sock.recv()


def free_port():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.bind(("::", 0))
        return s.getsockname()[1]


def test_a_transfer_over_link_local_addresses(neighbour):
    name, peer = neighbour
    port = free_port()
    serving = link.Server([name], port)
    client = net.udp(peer)
    assert client.recv() is None
    assert client.send(peer, port, memoryview(b"hello"))
    data, source, source_port = receive(serving.sockets[0])
    assert (data, source) == (b"hello", peer)
    answer = net.udp(source)
    assert answer.send(source, source_port, b"you")
    assert receive(client)[:2] == (b"you", peer)
    with pytest.raises(ValueError, match="another daemon"):
        link.Server([name], port)
    for s in [serving, client, answer]:
        s.close()
    assert client.send(peer, port, b"closed") is False
    assert client.recv() is None


def test_of_several_link_local_addresses_one_is_its_own(neighbour):
    name, peer = neighbour
    assert ifaces.own_address(name) is None
    subprocess.run(["ip", "address", "add", "fe80::1/64", "dev", name, "nodad"], check=True)
    try:
        port = free_port()
        own = ifaces.own_address(name)
        assert own == peer[:16]
        ears = link.Link([name], port)
        with open(f"/sys/class/net/{name}/iflink") as f:
            other = int(f.read())
        far = link.socket6(port, True)
        far.setsockopt(41, 20, link.GROUP + struct.pack("@I", other))
        far = net.Udp(far, False, None, None, 0)
        assert ears.broadcast(b"said") == 1
        assert receive(far)[:2] == (b"said", own + struct.pack("!I", other))
        far.close()
        client = net.udp(own + peer[16:])
        assert client.send(own + peer[16:], port, b"asked")
        assert receive(ears.sockets[0])[1][:16] == own
        ears.close()
        client.close()
    finally:
        subprocess.run(["ip", "address", "del", "fe80::1/64", "dev", name], check=True)
    assert ifaces.own_address(name) is None


def test_the_link_joins_its_group_and_drops_foreign_sources(neighbour):
    name, peer = neighbour
    port = free_port()
    ears = link.Link([name], port)
    group = link.GROUP.hex()
    assert any(group in line and name in line for line in ifaces.lines("/proc/net/igmp6"))
    assert ears.broadcast(b"x") == 1
    ears.refresh()
    assert len(ears.sockets) == 1
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.sendto(b"not link-local", ("::1", port))
    assert ears.send(peer, port, b"unicast")
    data, source, source_port = receive(ears.sockets[0])
    assert (data, source, source_port) == (b"unicast", peer, port)
    assert ears.sockets[0].recv() is None
    ears.close()
    other = link.Link(["no-such-if"], port)
    assert other.broadcast(b"x") == 0
    assert not any(link.GROUP.hex() in line for line in ifaces.lines("/proc/net/igmp6"))
    other.close()


def test_a_link_without_ipv6_uses_broadcast(monkeypatch):
    monkeypatch.setattr(link, "has_link_local", lambda name: False)
    ears = link.Link(["m0"], free_port())
    four = [s for s in ears.sockets if s.name is not None]
    assert [s.name for s in four] == ["m0"]
    assert ears.broadcast(b"x") == 1
    assert four[0].recv() is None  # our own broadcast is dropped
    monkeypatch.setattr(link, "ipv4_of", lambda name: False)
    ears.refresh()
    assert four[0] not in ears.sockets
    ears.close()


def ip(words):
    subprocess.run(["ip", *words.split()], check=True)


def pair():
    """A veth pair l0, l1 whose addresses are good at once; the index of l0."""
    with open("/proc/sys/net/ipv6/conf/default/accept_dad", "w") as f:
        f.write("0")
    ip("link add l0 type veth peer name l1")
    for name in ("l0", "l1"):
        ip(f"link set {name} up")
    return ifaces.ifindex("l0")


def called(ears, port):
    """The peer of a neighbour's datagram to the group, by way of l1; None if it is not heard, as
    long as the kernel has not seen the carrier and given the addresses."""
    ears.refresh()
    if ears.broadcast(b"x") != 1:
        return None
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, ifaces.ifindex("l1"))
        try:
            s.sendto(b"hello", (socket.inet_ntop(socket.AF_INET6, link.GROUP), port))
        except OSError:
            return None
    poller = net.Poller()
    poller.register(ears.sockets[0])
    got = ears.sockets[0].recv() if poller.wait(100) else None
    return got and got[1]


def test_interface_that_comes_late_goes_and_comes_back_is_heard_again():
    """As a mesh interface does: bat0 is made anew by each restart of the network."""
    port = free_port()
    ears = link.Link(["l0"], port)
    assert ears.broadcast(b"x") == 0

    def heard():
        end = time.monotonic() + 10
        while (peer := called(ears, port)) is None:
            assert time.monotonic() < end, "not heard"
            time.sleep(0.01)
        return peer

    seen = []
    for _ in range(2):
        index = pair()
        peer = heard()
        assert int.from_bytes(peer[16:], "big") == index
        seen.append(peer)
        # Down and up, and another hardware address. Below 1,280 bytes there is no IPv6, and the
        # kernel forgets the group, though the socket does not. All that unseen, between two looks.
        ip("link set l0 down")
        ip(f"link set l0 address 02:00:00:00:00:{len(seen):02x}")
        ip("link set l0 mtu 1000")
        ip("link set l0 mtu 1500")
        ip("link set l0 up")
        assert heard() == peer
        ip("link del l0")
        ears.refresh()
        assert ears.broadcast(b"x") == 0
    assert seen[0][16:] != seen[1][16:]
    ears.close()


def test_a_group_is_joined_again_when_the_interface_or_its_ipv6_was_gone():
    table = ifaces.Interfaces(["l0"])
    sock = link.Server(["l0"], free_port())
    group = link.Group(sntp.GROUP)

    def members():
        return any(
            line.split()[1:4:2] == ["l0", "1"] and sntp.GROUP.hex() in line
            for line in ifaces.lines("/proc/net/igmp6")
        )

    def joined():
        table.refresh()
        group.keep(sock.six, "l0", table.index.get("l0"))
        return members()

    assert not joined()
    for _ in range(2):
        pair()
        assert joined()
        assert joined()  # and not twice
        ip("link set l0 mtu 1000")
        assert not joined()
        ip("link set l0 mtu 1500")
        assert not members() and joined()
        ip("link del l0")
        assert not joined()
    sock.close()


def test_an_interface_that_is_made_anew_each_time_leaves_no_membership_behind():
    """The kernel takes so many of a socket, and then no more: the node would be deaf."""
    ears = link.Link(["l0"], free_port())
    seen = []
    for _ in range(5):
        seen.append(pair())
        while ears.broadcast(b"x") != 1:
            time.sleep(0.001)
            ears.refresh()
        ip("link del l0")
        ears.refresh()
        assert ears.why is None and not ears.broadcast(b"x")
    left = link.Group(link.GROUP)
    assert [i for i in seen if left._set(ears.six, link._LEAVE_GROUP, i)] == []
    ears.close()


@contextlib.contextmanager
def neighbour_in_a_namespace(near, far, number):
    """An interface of ours, 10.9.0.`number`, behind which 10.9.0.9 is, with the words that run a
    command there. The same address is behind each."""
    with subprocess.Popen(["unshare", "--net", "sleep", "60"]) as process:
        there = ["nsenter", "--net", "--target", str(process.pid)]
        while os.readlink(f"/proc/{process.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            time.sleep(0.001)
        ip(f"link add {near} type veth peer name {far} netns {process.pid}")
        ip(f"addr add 10.9.0.{number}/24 dev {near}")
        ip(f"link set {near} up")
        for words in (f"addr add 10.9.0.9/24 dev {far}", f"link set {far} up"):
            subprocess.run([*there, "ip", *words.split()], check=True)
        try:
            yield there
        finally:
            ip(f"link del {near}")  # before its namespace ends, which takes it along
            process.kill()


SAY = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.sendto(b"hello", (sys.argv[1], int(sys.argv[2])))
print(s.recv(99).decode())
"""


def test_neighbours_of_two_interfaces_with_the_same_ipv4_network_are_both_answered():
    port = free_port()
    with (
        neighbour_in_a_namespace("l0", "l1", 1) as first,
        neighbour_in_a_namespace("k0", "k1", 2) as second,
    ):
        ears = link.Server(["l0", "k0"], port)
        for there, own, name in ((first, 1, "l0"), (second, 2, "k0")):
            (sock,) = [s for s in ears.sockets if s.name == name]
            words = [*there, sys.executable, "-c", SAY, f"10.9.0.{own}", str(port)]
            with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as asking:
                data, peer, source_port = receive(sock)
                assert data == b"hello"
                assert int.from_bytes(peer[16:], "big") == ifaces.ifindex(name)
                answer = net.udp(peer)  # as an upload does
                assert answer.send(peer, source_port, name.encode())
                assert asking.communicate()[0] == name + "\n"
            answer.close()
        ears.close()
