"""Sockets on the interfaces of the mesh, which come, go, and get addresses late.

One serves all of IPv6. IPv4 takes one for each interface: on two of them the same network may lie.
"""

import struct
from binascii import hexlify

from swdist.formats.datagram import PORT
from swdist.shell.ifaces import has_link_local, interfaces, ipv4_of, lines, own_address
from swdist.shell.net import MAPPED, Udp, socket4, socket6

GROUP = b"\xff\x12" + bytes(10) + b"\xa2\xfd\x15\x71"

_IPPROTO_IPV6 = 41
_JOIN_GROUP = 20
_LEAVE_GROUP = 21


class Sockets:
    """shared: may others have the port too?"""

    def __init__(self, names, port, shared):
        self.sockets = []
        self._port = port
        self._shared = shared
        self._table = interfaces(names)
        self.six = None
        self.why = None  # what could not be opened or joined at the last refresh, for people

    def refresh(self):
        """Opens what is missing, and closes what is on an interface that is gone."""
        table = self._table
        table.refresh()
        self.why = None
        if self.six is None and lines("/proc/net/if_inet6"):
            self.six = self._open(False, None, 0)
        for name in table.names:
            index = table.index.get(name)
            self._four(name, index, self._wants_four(name, index))

    def _wants_four(self, name, _index):
        return ipv4_of(name)

    def _four(self, name, index, wanted):
        for s in self.sockets[:]:
            if s.name == name:
                if wanted and s.index == index:
                    return
                self.sockets.remove(s)
                s.close()
        if wanted and index is not None:
            self._open(True, name, index)

    def _open(self, four, name, index):
        try:
            args = self._port, self._shared
            s = Udp(
                socket4(*(args + (name,))) if four else socket6(*args),
                four,
                self._table,
                name,
                index,
            )
        except OSError as e:
            self.why = "UDP port %d can't be had (%s): is another daemon running?" % (self._port, e)
            return None  # tried again at the next refresh
        self.sockets.append(s)
        return s

    def send(self, peer, port, data):
        for s in self.sockets:
            if s.takes(peer) and s.send(peer, port, data):
                return True
        return False

    def close(self):
        for s in self.sockets:
            s.close()
        self.sockets = []
        self.six = None


class Server(Sockets):
    """The only ones on their port. ValueError if it is taken."""

    def __init__(self, names, port):
        super().__init__(names, port, False)
        self.refresh()
        if self.why is not None:
            self.close()
            raise ValueError(self.why)


class Link(Sockets):
    """The link protocol's: the IPv6 one has joined the group, and IPv4 serves where there is no
    IPv6."""

    def __init__(self, names, port=PORT):
        super().__init__(names, port, True)
        self._group = Group(GROUP)
        self._voices = {}  # {interface: (address, index, Udp that sends from it)}
        self.refresh()

    def broadcast(self, data):
        """To all neighbours on all interfaces; how many datagrams were sent."""
        sent = 0
        for name, index in self._group.joined.items():
            peer = GROUP + struct.pack("!I", index)
            voice = self._voices[name][2] if name in self._voices else self.six
            sent += voice.send(peer, self._port, data)
        for s in self.sockets:
            if s is not self.six:
                sent += s.send(MAPPED + b"\xff\xff\xff\xff", self._port, data)
        return sent

    def _wants_four(self, name, index):
        if self.six is None:
            return ipv4_of(name)
        six = index is not None and has_link_local(name)
        if not self._group.keep(self.six, name, index if six else None) and six:
            self.why = "%s: the group can't be joined, so nobody is heard there" % name
        self._speak(name, index, own_address(name) if six else None)
        return not six and ipv4_of(name)

    def _speak(self, name, index, own):
        """Keeps a socket that sends from an address, where there is a choice. Its port is its own:
        nothing comes there that is for the others."""
        old = self._voices.get(name)
        if old is not None and old[:2] != (own, index):
            self._voices.pop(name)[2].close()
        if own is not None and name not in self._voices:
            try:
                sock = socket6(0, False, own, index)
            except OSError:
                return  # tentative; at the next refresh, then
            self._voices[name] = own, index, Udp(sock, False, None, None, 0)

    def close(self):
        super().close()
        self._group.joined = {}
        for name in list(self._voices):
            self._speak(name, None, None)


class Group:
    """A socket's memberships of an IPv6 group. joined: {interface: its index}."""

    def __init__(self, address):
        self._address = address
        self.joined = {}

    def keep(self, sock, name, index):
        """Joins on an interface, or leaves (index None); True if it is joined. When IPv6 goes down
        there the kernel forgets, and the socket doesn't; when the interface goes the socket keeps
        a place of the few that it may have. So what is no longer true is left first."""
        old = self.joined.get(name)
        if old is not None and (old != index or not self._listed(index)):
            self._set(sock, _LEAVE_GROUP, self.joined.pop(name))
        if index is not None and name not in self.joined and self._set(sock, _JOIN_GROUP, index):
            self.joined[name] = index
        return name in self.joined

    def _listed(self, index):
        group = str(hexlify(self._address), "ascii")
        for line in lines("/proc/net/igmp6"):
            f = line.split()
            if len(f) > 2 and f[0] == "%d" % index and f[2] == group:
                return True
        return False

    def _set(self, sock, option, index):
        try:
            sock.raw.setsockopt(_IPPROTO_IPV6, option, self._address + struct.pack("@I", index))
        except OSError:
            return False
        return True
