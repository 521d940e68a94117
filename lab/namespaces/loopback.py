"""Nodes over loopback, where network namespaces are not allowed. Also runs on MicroPython:

python lab/loopback.py -m MODULE OWN NEIGHBOURS LOSS FILE [FLAG...]

runs the module's main with a shell whose sockets are bound to the address OWN, hear nothing but the
NEIGHBOURS (addresses with commas), and lose LOSS percent of what they send. A broadcast is a
datagram to each neighbour. FILE gets how many datagrams were to be sent, and how many were lost.
All else is as it is in the field: processes, protocol, signatures, files.
"""

import sys

from swdist.shell import link, net, platform

INDEX = 1  # all links count as one interface
COUNT_EVERY = 100


class Air:
    """What the sockets of one process share."""

    def __init__(self, own, neighbours, loss_percent, path):
        self.address = bytes([int(n) for n in own.split(".")])
        self.neighbours = [bytes([int(n) for n in a.split(".")]) for a in neighbours.split(",")]
        self.loss_percent = loss_percent
        self.path = path
        self.index = {"lo": INDEX}
        self.own = [self.address]
        self.sent = self.lost = 0

    def index_of(self, address, name):
        return INDEX if address in self.neighbours else 0

    def loses(self):
        self.sent += 1
        lost = platform.rand(100) < self.loss_percent
        self.lost += lost
        if self.sent % COUNT_EVERY == 0:
            with open(self.path, "w") as f:
                f.write("%d %d\n" % (self.sent, self.lost))
        return lost

    def socket(self, port):
        sock = net.socket.socket(net.socket.AF_INET, net.socket.SOCK_DGRAM)
        sock.bind(net._address4(self.address, port))
        return Udp(sock, True, self, "lo", INDEX)


class Udp(net.Udp):
    def tie(self, peer, port):
        pass  # no other peers are heard anyway

    def send(self, peer, port, data):
        return self._interfaces.loses() or super().send(peer, port, data)


class Link:
    why = None

    def __init__(self, air, port):
        self._air = air
        self._port = port
        self.sockets = [air.socket(port)]

    def refresh(self):
        pass

    def close(self):
        for s in self.sockets:
            s.close()

    def send(self, peer, port, data):
        return self.sockets[0].send(peer, port, data)

    def broadcast(self, data):
        for address in self._air.neighbours:
            peer = net.MAPPED + address + INDEX.to_bytes(4, "big")
            self.sockets[0].send(peer, self._port, data)
        return len(self._air.neighbours)


def main(module, own, neighbours, loss_percent, path, *flags):
    air = Air(own, neighbours, int(loss_percent), path)
    link.Link = link.Server = lambda names, port=link.PORT: Link(air, port)
    net.udp = lambda peer: air.socket(0)
    sys.argv[:] = [module] + list(flags)
    program = __import__(module, None, None, ["main"])
    if module.startswith("swdist."):
        return program.main(list(flags))
    return program.main()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[2:]))  # behind -m, by which the launcher knows its daemons
