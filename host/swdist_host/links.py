"""The interfaces that an operator names."""

import os

from swdist_host.errors import BadValue

NET = "/sys/class/net"


def told():
    """The names of those that are there, for people."""
    return ", ".join(sorted(os.listdir(NET)))


def check(names):
    """The names once each; BadValue for one that is not there or down."""
    names = list(dict.fromkeys(names))
    for name in names:
        if "/" in name or not os.path.isdir(f"{NET}/{name}"):
            raise BadValue(f"there is no interface '{name}'; there are: {told()}")
        with open(f"{NET}/{name}/flags") as f:
            if not int(f.read(), 16) & 1:
                raise BadValue(f"interface '{name}' is down; do: ip link set {name} up")
    return names
