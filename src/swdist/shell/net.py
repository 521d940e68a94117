"""The shell's sockets. A neighbour is `peer`, 20 bytes: IPv6 address (IPv4 as ::ffff:a.b.c.d) and
interface index, big-endian. MicroPython has raw socket addresses, CPython tuples: both end here.

Nothing blocks, and no OSError comes out of recv and send.
"""

import select
import socket
import struct
import sys

from swdist.shell import libc
from swdist.shell.ifaces import ifname, own_address
from swdist.shell.unixsock import datagram_socket

MICROPYTHON = sys.implementation.name == "micropython"
MAX_DATAGRAM = 2048

_IPPROTO_IPV6 = 41
_MULTICAST_LOOP = 19
_V6ONLY = 26
_SO_BINDTODEVICE = 25  # on MIPS too, where other SO_* differ
MAPPED = bytes(10) + b"\xff\xff"

# With ffi a datagram of a transfer lands in one buffer, and nothing has to be collected.
_recv = libc.c_function("i", "recv", "iPii") if MICROPYTHON else None
_view = memoryview(bytearray(MAX_DATAGRAM))
_DROPS = 16  # foreign datagrams skipped by one recv()
_POLLIN = 1


# --- socket addresses


def _address6(address, port, index):
    if MICROPYTHON:
        return (
            struct.pack("@H", socket.AF_INET6)
            + struct.pack("!HI", port, 0)
            + address
            + struct.pack("@I", index)
        )
    return (socket.inet_ntop(socket.AF_INET6, address), port, 0, index)


def _address4(address, port):
    if MICROPYTHON:
        return struct.pack("@H", socket.AF_INET) + struct.pack("!H", port) + address + bytes(8)
    return ("%d.%d.%d.%d" % tuple(address), port)


def _from6(address):
    """(address, port, interface index)."""
    if MICROPYTHON:
        port = struct.unpack_from("!H", address, 2)[0]
        return bytes(address[8:24]), port, struct.unpack_from("@I", address, 24)[0]
    host = socket.inet_pton(socket.AF_INET6, address[0].partition("%")[0])
    return host, address[1], address[3]


def _from4(address):
    """(address, port)."""
    if MICROPYTHON:
        return bytes(address[4:8]), struct.unpack_from("!H", address, 2)[0]
    return socket.inet_aton(address[0]), address[1]


# --- UDP


class Udp:
    """One UDP socket. interfaces: drop what is not from their links (None: from any link-local
    neighbour). name, index: the only interface of an IPv4 socket, or None and 0."""

    def __init__(self, sock, v4, interfaces, name, index):
        self.raw = sock
        self._v4 = v4
        self._interfaces = interfaces
        self.name = name
        self.index = index
        self.fd = sock.fileno()
        self.tied = False  # to the address below?
        self._peer = self._port = self._to = None  # of the last one sent
        sock.setblocking(False)

    def recv(self):
        """(data, peer, port), or None if nothing (more) is there. The next call may overwrite
        data."""
        if self.tied:
            try:
                if _recv is None:
                    return self.raw.recv(MAX_DATAGRAM), self._peer, self._port
                n = _recv(self.fd, _view, MAX_DATAGRAM, 0)
            except OSError:
                return None
            return None if n < 0 else (_view[:n], self._peer, self._port)
        for _ in range(_DROPS):
            try:
                data, source = self.raw.recvfrom(MAX_DATAGRAM)
            except OSError:
                return None
            if self._v4:
                address, port = _from4(source)
                index = self._index4(address)
                address = MAPPED + address
            else:
                address, port, index = _from6(source)
                if address[0] != 0xFE or address[1] & 0xC0 != 0x80:
                    continue
                if self._interfaces is not None and index not in self._interfaces.index.values():
                    continue
            if index and port:
                return data, address + struct.pack("!I", index), port
        return None

    def tie(self, peer, port):
        """From here on the kernel takes nothing from anybody else; what came before is dropped."""
        self._peer = bytes(peer)
        self._port = port
        try:
            self.raw.connect(self._address(peer, port))
            self.tied = True
            while True:
                self.raw.recv(1)
        except OSError:
            pass

    def fits(self, peer, port):
        """Can it be used for this peer and port? It is of one interface and family."""
        return peer == self._peer and (port == self._port or not self.tied)

    def _address(self, peer, port):
        if self._v4:
            return _address4(bytes(peer[12:16]), port)
        return _address6(bytes(peer[:16]), port, struct.unpack_from("!I", peer, 16)[0])

    def _index4(self, address):
        if self._interfaces is None:
            return self.index
        if address in self._interfaces.own:
            return 0
        return self._interfaces.index_of(address, self.name)

    def takes(self, peer):
        """Is the peer of this socket's family, and, for IPv4, interface?"""
        four = bytes(peer[:12]) == MAPPED
        return four == self._v4 and self.index in (0, struct.unpack_from("!I", peer, 16)[0])

    def send(self, peer, port, data):
        try:
            if self.tied:
                self.raw.send(data)
                return True
            if port != self._port or peer != self._peer:
                self._to = self._address(peer, port)
                self._peer = bytes(peer)
                self._port = port
            self.raw.sendto(data, self._to)
        except OSError:
            return False
        return True

    def close(self):
        try:
            self.raw.close()
        except OSError:
            pass


def socket6(port, reuse, address=bytes(16), index=0):
    sock = datagram_socket(socket.AF_INET6)
    try:
        sock.setsockopt(_IPPROTO_IPV6, _V6ONLY, 1)
        sock.setsockopt(_IPPROTO_IPV6, _MULTICAST_LOOP, 0)
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(_address6(address, port, index))
    except OSError:
        sock.close()
        raise
    return sock


def socket4(port, reuse, name):
    sock = datagram_socket(socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if name is not None:
            try:
                sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, name.encode() + b"\0")
            except OSError:
                pass  # not permitted on old kernels: the routes decide then
        sock.bind(_address4(bytes(4), port))
    except OSError:
        sock.close()
        raise
    return sock


def udp(peer):
    """A Udp for a transfer with this peer, on a port of its own, or None."""
    index = struct.unpack_from("!I", peer, 16)[0]
    try:
        name = ifname(index)
        if bytes(peer[:12]) == MAPPED:
            return Udp(socket4(0, False, name), True, None, name, index)
        own = own_address(name)
        sock = socket6(0, False, own, index) if own else socket6(0, False)
        return Udp(sock, False, None, None, 0)
    except OSError:
        return None


# --- waiting


class Poller:
    """Waits for what is registered: the objects above, or numbers of descriptors."""

    def __init__(self):
        self._poll = select.poll()
        self._by_fd = {}

    def register(self, x):
        fd = x if isinstance(x, int) else x.fd
        self._by_fd[fd] = x
        self._poll.register(fd, _POLLIN)

    def unregister(self, x):
        fd = x if isinstance(x, int) else x.fd
        # The number of a closed descriptor may already belong to a new one.
        if self._by_fd.get(fd) is x:
            del self._by_fd[fd]
            self._poll.unregister(fd)

    def wait(self, timeout_ms):
        """Those that are ready; [] after timeout_ms."""
        try:
            got = self._poll.poll(timeout_ms)
        except OSError:
            return []
        return [self._by_fd[item[0]] for item in got if item[0] in self._by_fd]
