"""Two real nodes over loopback, of which the second has a web server: busybox httpd with files/www.

The second takes a release from the first, switches to it, and comes back from one that is bad.
"""

import random
import shutil
import socket
import subprocess
import time
from pathlib import Path

from lab import community
from lab.namespaces import net
from lab.namespaces.node import Node
from swdist_host import payload, release

ROOT = Path(__file__).resolve().parents[2]
WWW = ROOT / "files/www"
MICROPYTHON = ROOT / "build/runtime/bin/micropython"
LOSS_PERCENT = 10
PICTURES = ROOT / "build/page"
READY = "!document.querySelector('section').hidden"  # there is something to be seen


class Web:
    """busybox httpd with files/www as a router has it, but for two paths."""

    def __init__(self, folder, swdist):
        self.www = folder / "www"
        self.made = folder / "made"
        shutil.copytree(WWW, self.www)
        cgi = self.www / "cgi-bin/swdist"
        text = cgi.read_text()
        for old, new in (("/usr/bin/swdist", swdist), ("/var/run/swdist-page", self.made)):
            assert old in text
            text = text.replace(old, str(new))
        cgi.write_text(text)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = subprocess.Popen(
            ["busybox", "httpd", "-f", "-p", f"127.0.0.1:{self.port}", "-h", self.www]
        )
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self):
        self.process.terminate()
        self.process.wait()


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
        self.node.make_launcher()
        self.web = Web(folder, self.node.launcher)
        self.node.launcher = None  # that is for the web server: the daemons run without
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
