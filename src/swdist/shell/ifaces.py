"""The host's network interfaces, as /proc and /sys tell them."""

import os
import struct

from swdist.formats.bits import from_hex

_DAD_FAILED = 0x08


def lines(path):
    try:
        os.stat(path)  # MicroPython 1.20 closes descriptor 0 for each file that can't be opened
        with open(path) as f:
            return f.read().split("\n")
    except OSError:
        return []


def ifindex(name):
    """The interface's index, or None."""
    text = lines("/sys/class/net/%s/ifindex" % name)
    return int(text[0]) if text and text[0] else None


def ifname(index):
    try:
        names = os.listdir("/sys/class/net")
    except OSError:
        return None
    for name in names:
        if ifindex(name) == index:
            return name
    return None


def _link_locals(name):
    """Also those that are tentative (RFC 4862), but no duplicates; 32 hex digits each."""
    found = []
    for line in lines("/proc/net/if_inet6"):
        f = line.split()
        if len(f) == 6 and f[5] == name and f[0][:3] == "fe8" and not int(f[4], 16) & _DAD_FAILED:
            found.append(f[0])
    return found


def has_link_local(name):
    return len(_link_locals(name)) > 0


def own_address(name):
    """The link-local address to send from, 16 bytes, where the interface has several; else None.
    The kernel takes what was added last, which by custom is fe80::1 on each node: then all of them
    look like one. That of the hardware comes first, then what nobody has typed."""
    found = _link_locals(name)
    if len(found) < 2:
        return None
    return from_hex(max(found, key=lambda a: (a[22:26] == "fffe", a[16:28] > "00", a)), 16)


def _on_link(names):
    """[(name, network, mask)] of the IPv4 networks on these interfaces."""
    found = []
    for line in lines("/proc/net/route")[1:]:
        f = line.split()
        if len(f) < 8 or f[0] not in names or int(f[2], 16) or not int(f[3], 16) & 1:
            continue
        found.append((f[0], _native(f[1]), _native(f[7])))
    return found


def _native(text):
    """A number as /proc/net/route writes it: an address, as the kernel's own integer."""
    return int.from_bytes(struct.pack("@I", int(text, 16)), "big")


def ipv4_of(name):
    """Does the interface have an IPv4 address?"""
    return len(_on_link((name,))) > 0


def _own_ipv4():
    """The host's own IPv4 addresses, 4 bytes each."""
    own = []
    last = None
    for line in lines("/proc/net/fib_trie"):
        if "|--" in line:
            last = line.split()[-1]
        elif "host LOCAL" in line and last is not None:
            own.append(bytes([int(x) for x in last.split(".")]))
    return own


class Interfaces:
    """What is known of the interfaces of the mesh; shared by all sockets, so one refresh serves."""

    def __init__(self, names):
        self.names = tuple(names)
        self.refresh()

    def refresh(self):
        self.index = {}
        for name in self.names:
            index = ifindex(name)
            if index is not None:
                self.index[name] = index
        self.networks = _on_link(self.names)
        self.own = _own_ipv4()

    def index_of(self, address, name):
        """Index of the interface (name, or any if None) on whose link an IPv4 address is, or 0."""
        number = int.from_bytes(address, "big")
        for name_, network, mask in self.networks:
            if (name is None or name == name_) and mask and number & mask == network:
                return self.index.get(name_, 0)
        return 0


_shared = {}


def interfaces(names):
    names = tuple(names)
    if names not in _shared:
        _shared[names] = Interfaces(names)
    return _shared[names]
