"""Two real nodes over loopback, of which the second has a web server: busybox httpd with files/www.

The second takes a release from the first, switches to it, and comes back from one that is bad.
"""

import random
import time
from pathlib import Path

from lab import community
from lab.namespaces import net
from lab.namespaces.node import Node
from lab.web import Web, listen
from swdist_host import payload, release

ROOT = Path(__file__).resolve().parents[2]
MICROPYTHON = ROOT / "build/runtime/bin/micropython"
LOSS_PERCENT = 20
PICTURES = ROOT / "build/page"
READY = "!document.querySelector('section').hidden"  # there is something to be seen


class Mesh:
    """A laptop, the node beside it, and the one behind, whose page it is."""

    def __init__(self, folder):
        self.folder = folder
        self.world = net.Loopback(LOSS_PERCENT, folder)
        self.key, self.network = community.make(folder, "page")
        names = ("laptop", "first", "behind")
        for name in names:
            self.world.add(name)
        for pair in zip(names, names[1:]):
            self.world.link(*pair, ipv4=True)
        self.laptop, self.first, self.node = (
            Node(name, folder / name, self.world, folder / "ca", [str(MICROPYTHON)])
            for name in names
        )
        self.web = Web(folder, self.node.write_launcher(), listen())
        for node in (self.first, self.node):
            node.start()

    def close(self):
        self.web.close()
        for node in (self.laptop, self.first, self.node):
            node.stop()

    def hand_in(self, version, size, in_s, does=""):
        """Built, signed, and offered by the laptop."""
        tree = self.folder / f"tree-{version}"
        (tree / "hooks").mkdir(parents=True)
        (tree / "firmware").write_bytes(random.Random(version).randbytes(size))
        (tree / "hooks/activate").write_text(f"#!/bin/sh\n{does}\n")
        (tree / "hooks/activate").chmod(0o755)
        source = release.Source("slot", (), payload.from_dir(tree))
        swd = release.build(self.network, version, int(time.time()) + in_s, [source])
        path = self.folder / f"{version}.swd"
        release.save(release.sign(swd, self.key), path)
        self.laptop.stop()
        words = ["seed", path, "--json", "--interface", "lo", "--ca", self.folder / "ca"]
        self.laptop.start_other(ROOT, "swdist_host.__main__", words)
