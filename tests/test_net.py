"""Sockets and waiting, on this host."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from swdist import sntp
from swdist.shell import ifaces, net, unixsock

ROOT = Path(__file__).resolve().parent.parent


def receive(sock):
    poller = net.Poller()
    poller.register(sock)
    assert poller.wait(2000) == [sock]
    return sock.recv()


def test_sockets_on_links():
    """tests/links.py, in a network namespace of its own with a veth pair."""
    make_links = """
        mount -t sysfs none /sys  # its list of interfaces is that of who mounts it
        ip link add m0 type veth peer name m1
        ip addr add 192.0.2.1/24 dev m0
        ip link set lo up
        for i in m0 m1; do
            echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad
            ip link set $i up
        done
        exec "$@"
    """
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/links.py"]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-ec", make_links, "sh"]
        + [sys.executable, *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "8 passed" in done.stdout, done.stdout + done.stderr


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
    six, four = sntp.everybody(table)
    assert six == sntp.GROUP + struct.pack("!I", 5)
    assert four == bytes(10) + b"\xff\xff\xc0\x00\x02\xff" + struct.pack("!I", 5)
    assert ifaces.ipv4_of("m0") and ifaces.ipv4_of("x0") and not ifaces.ipv4_of("y0")


def test_unix_sockets(tmp_path):
    a = unixsock.Unix(str(tmp_path / "a"))
    b = unixsock.Unix(str(tmp_path / "b"))
    assert a.recv() is None
    assert b.send_to(str(tmp_path / "a"), b"one")
    assert receive(a) == b"one"
    assert not b.send_to(str(tmp_path / "none"), b"one")
    sender = unixsock.UnixSender(str(tmp_path / "a"))
    assert sender.send(b"two")
    assert receive(a) == b"two"
    a.close()
    assert not sender.send(b"lost")
    a = unixsock.Unix(str(tmp_path / "a"))
    assert sender.send(b"three")
    assert receive(a) == b"three"
    for s in (a, b, sender):
        s.close()
    with pytest.raises(ValueError, match="can't be made"):
        unixsock.Unix(str(tmp_path / "none" / "a"))


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
    old = unixsock.Unix(str(tmp_path / "a"))
    poller.register(old)
    old.close()
    new = unixsock.Unix(str(tmp_path / "b"))
    assert new.fd == old.fd
    poller.register(new)
    poller.unregister(old)
    assert new.send_to(str(tmp_path / "b"), b"x")
    assert poller.wait(1000) == [new]
    new.close()
