"""The radio between emulated routers: Ethernet frames from one end of a link to the other.
Some are lost.

An end is a UNIX datagram socket that QEMU sends to, or a TAP device of this host.
"""

import fcntl
import os
import random
import selectors
import socket
import struct
import subprocess
import threading
from pathlib import Path

TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI = 0x0002 | 0x1000
MAX_FRAME = 2048


class QemuEnd:
    """`path` is where the router listens; QEMU sends to `path`-w, which is ours."""

    def __init__(self, path):
        self.path = str(path)
        self.file = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.file.bind(self.path + "-w")
        self.file.setblocking(False)

    def receive(self):
        return self.file.recv(MAX_FRAME)

    def send(self, frame):
        self.file.sendto(frame, self.path)


class TapEnd:
    """A network interface of this host."""

    def __init__(self, name):
        self.file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.file, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP_NO_PI))
        subprocess.run(["ip", "link", "set", name, "up"], check=True)

    def receive(self):
        return os.read(self.file, MAX_FRAME)

    def send(self, frame):
        os.write(self.file, frame)


class Wires:
    """links: pairs of ends. loss: the part of the frames that is lost, 0 to 1."""

    def __init__(self, links, loss, seed):
        self.loss = loss
        self.frames = self.lost = self.bytes = 0
        self._random = random.Random(seed)
        self._selector = selectors.DefaultSelector()
        for a, b in links:
            self._selector.register(a.file, selectors.EVENT_READ, (a, b))
            self._selector.register(b.file, selectors.EVENT_READ, (b, a))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            for key, _ in self._selector.select():
                source, target = key.data
                try:
                    frame = source.receive()
                    self.frames += 1
                    self.bytes += len(frame)
                    if self._random.random() < self.loss:
                        self.lost += 1
                    else:
                        target.send(frame)
                except OSError:
                    pass  # the router is off, or too slow: the frame is lost as well


def qemu_paths(path):
    """(local, remote) of QEMU's netdev for the end at `path`."""
    return Path(path), Path(str(path) + "-w")
