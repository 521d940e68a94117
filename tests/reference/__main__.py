"""python -m tests.reference --link IFACE --folder DIR --network HEX --key FILE ...: a real node.

Prints a line of JSON whenever what it holds or runs changes. It speaks IPv6 alone.
"""

import argparse
import json
import pathlib
import random
import selectors
import socket
import struct
import sys
import time

from . import archive, trust, wire
from .choose import Profile
from .node import Node


def now_us():
    return time.monotonic_ns() // 1000


class Net:
    """Sockets; only sources that count (section 3.1) are heard."""

    def __init__(self, links):
        self.links = {name: socket.if_nametoindex(name) for name in links}
        self.selector = selectors.DefaultSelector()
        self.group = self.socket(wire.PORT)
        self.group.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        for index in self.links.values():
            member = socket.inet_pton(socket.AF_INET6, wire.GROUP) + struct.pack("@i", index)
            self.group.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)

    def socket(self, port=0):
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("::", port))
        return sock

    def listen(self, sock, receive):
        """receive(link, address, port, data, now_us)"""
        self.selector.register(sock, selectors.EVENT_READ, receive)

    def wait(self, timeout_s):
        for key, _ in self.selector.select(timeout_s):
            try:
                data, (address, port, _, index) = key.fileobj.recvfrom(65535)
            except OSError:
                continue  # closed meanwhile, or a neighbour's port that is
            link = next((name for name, i in self.links.items() if i == index), None)
            if link and port and address.startswith("fe80:"):
                key.data(link, address.split("%")[0], port, data, now_us())

    def send(self, sock, data, address, port, link):
        try:
            sock.sendto(data, (address, port, 0, self.links[link]))
        except OSError as e:
            print(f"{link}: {e}", file=sys.stderr)

    def multicast(self, link, data):
        self.send(self.group, data, wire.GROUP, wire.PORT, link)

    def open_port(self, receive, link, peer):
        return Port(self, receive, link, peer)


class Port:
    """A socket of one transfer."""

    def __init__(self, net, receive, link, peer):
        self.net, self.link, self.peer, self.socket = net, link, peer, net.socket()
        net.listen(self.socket, lambda link, *packet: receive(*packet))

    def send(self, data, port):
        self.net.send(self.socket, data, self.peer, port, self.link)

    def close(self):
        self.net.selector.unregister(self.socket)
        self.socket.close()


def read_key(path):
    return trust.Key.read(trust.canonical_base64(pathlib.Path(path).read_text().split("\n")[1]))


def status(node):
    complete = [p.pid.hex() for p in node.store.payloads.values() if p.is_complete]
    return {
        "active": (node.chooser.active or b"").hex(),
        "held": [m.rid.hex() for m in node.store.set()],
        "complete": sorted(complete),
        "synchronised": node.clock.is_synchronised,
        "refusals": sum(p.refusals for p in node.fetcher.peers.values()),
    }


def arguments():
    parser = argparse.ArgumentParser(prog="tests.reference", description=__doc__)
    parser.add_argument("--link", action="append", required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--network", type=bytes.fromhex, required=True, help="16 hex digits")
    parser.add_argument("--key", type=read_key, action="append", required=True, help="a .pub file")
    parser.add_argument("--threshold", type=int, default=1)
    parser.add_argument("--board", default="any-board")
    parser.add_argument("--beacon-ms", type=int, default=4000, help="between dense beacons")
    parser.add_argument("--behind-s", type=int, default=0, help="how wrong its system clock is")
    parser.add_argument("--release", help="a .swd file that its owner brings")
    return parser.parse_args()


def main():
    args = arguments()
    believed = trust.Trust(args.network, args.key, args.threshold)
    net, system_us = Net(args.link), time.time_ns() // 1000 - args.behind_s * 1_000_000
    server = net.socket()
    node = Node(
        Profile(args.board, (1, 0, 0)), believed, args.folder, net, random.SystemRandom().randint,
        now_us(), system_us, server.getsockname()[1], dense_us=1000 * args.beacon_ms,
    )  # fmt: skip
    net.listen(net.group, lambda link, address, _, *data: node.receive(link, address, *data))
    net.listen(server, node.server.request)
    if args.release:
        node.bring(*archive.read_release(pathlib.Path(args.release).read_bytes()), now_us())
    told = None
    while True:
        net.wait(0.02)
        node.tick(now_us())
        if (say := status(node)) != told:
            print(json.dumps(say), flush=True)
            told = say


if __name__ == "__main__":
    main()
