"""python -m tests.reference.interop: the daemons of this project and reference nodes in one mesh.

a, b: this project's daemons on MicroPython; r, s: reference nodes, in network namespaces, in a row
a - r - b - s, with 10 % loss; four liars, neighbours of a and r. 1.1.0 is made and seeded by this
project's tools beside a, 1.2.0 is packed by this package and brought to s by its owner. Each has to
cross nodes of the other kind. Prints a line for each promise; fails if one does not hold.
"""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from lab import community
from lab.namespaces import net
from lab.namespaces.node import Node

from . import manifest, trust
from .test_node import packed, tar

ROOT = Path(__file__).resolve().parents[2]
MICROPYTHON = os.environ.get("MICROPYTHON") or str(ROOT / "build/runtime/bin/micropython")
FOLDER = Path("/run/lab")
TWISTS = ("forged", "digest", "truncated", "manifest")
LOSS_PERCENT, LEAD_S = 10, 40


def secret(path):
    """(key id, Ed25519 private key) of a key file of signify without a passphrase."""
    data = base64.b64decode(path.read_text().split("\n")[1])
    return data[32:40], trust.ed25519.Ed25519PrivateKey.from_private_bytes(data[40:72])


def utc(at_s):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))


def release_file(path, network, key_id, private, version, start_s):
    """Packs and signs NAME.swd, with nothing but this package."""
    content = tar({"version.txt": version.encode(), "firmware": os.urandom(150_000)})
    index, pieces = packed(content, 20_000)
    pid = trust.hashlib.sha256(index).hexdigest()
    stored = sum(len(piece) for piece in pieces[1:])
    text = (
        f"Format: swdist-release 1\nNetwork: {network.hex()}\nVersion: {version}\nRevision: 0\n"
        f"Channel: stable\nSigned-At: {utc(time.time() - 60)}\nStart: {utc(start_s)}\n"
        f"Payload-1: slot {len(content)} {stored} {pid} any\n"
    ).encode()
    block = base64.b64encode(b"Ed" + key_id + private.sign(text))
    files = {"manifest": text, "signatures": trust.COMMENT + block + b"\n"}
    files |= {f"{pid}/index": index, f"{pid}/pieces": b"".join(pieces)}
    path.write_bytes(tar(files))
    return manifest.Manifest(text)


class Reference:
    """A reference node, or a liar, as a process in a namespace."""

    def __init__(self, world, name, folder, network, module="tests.reference", more=()):
        self.folder = folder / name
        self.folder.mkdir()
        links = [word for i in world.interfaces[name] for word in ("--link", i)]
        words = [
            sys.executable, "-m", module, *links, "--folder", str(self.folder),
            "--network", network.hex(), "--key", str(folder / "alice.pub"),
            "--beacon-ms", "1000", *map(str, more),
        ]  # fmt: skip
        self.log = self.folder / "log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                world.inside(name, words), cwd=ROOT, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip

    def status(self):
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return json.loads(lines[-1]) if lines else {}

    def active(self):
        return self.status().get("active")

    def switched_s(self):
        return (self.folder / "active").stat().st_mtime

    def refusals(self):
        return self.status().get("refusals", 0)

    def held(self):
        return self.status().get("held", [])


class Ours:
    """This project's two daemons, with the same questions."""

    def __init__(self, node):
        self.node = node
        node.start()

    def active(self):
        version = self.node.active()
        return self.node.release(version).get("id", version) if version else None

    def switched_s(self):
        raw_us = self.node.switches()[-1]["raw_us"]
        return time.time() - time.monotonic() + raw_us / 1e6

    def refusals(self):
        return self.node.net().get("refusals", 0)

    def held(self):
        return [r["version"] for r in self.node.net().get("releases", [])]


class Scene:
    def __init__(self):
        self.failed = 0
        self.began = time.monotonic()
        self.world = net.World(LOSS_PERCENT)
        FOLDER.mkdir()
        _, self.network = community.make(FOLDER, "interop")
        self.key_id, self.private = secret(FOLDER / "alice.sec")
        for name in ("a", "r", "b", "s", "laptop", *TWISTS):
            self.world.add(name)
        links = [("a", "r"), ("r", "b"), ("b", "s"), ("laptop", "a")]
        for a, b in links + [(t, n) for t in TWISTS for n in ("a", "r")]:
            self.world.link(a, b, ipv4=False)

    def promise(self, what, holds):
        self.failed += not holds
        seconds = time.monotonic() - self.began
        print(f"{seconds:6.1f} s  {'holds ' if holds else 'FAILED'}  {what}", flush=True)

    def within(self, seconds, what, ready):
        end = time.monotonic() + seconds
        while not (holds := bool(ready())) and time.monotonic() < end:
            time.sleep(0.2)
        self.promise(what, holds)

    def ours(self, name, behind_s):
        python = [MICROPYTHON, "-X", "heapsize=1M"]
        node = Node(name, FOLDER / name, self.world, FOLDER / "ca", python, -behind_s)
        return Ours(node)

    def reference(self, name, *more):
        return Reference(self.world, name, FOLDER, self.network, more=more)

    def tool(self, *words):
        subprocess.run([sys.executable, "-m", "swdist_host", *map(str, words)], check=True,
                       stdin=subprocess.DEVNULL, capture_output=True)  # fmt: skip

    def made_by_our_tools(self, path, start_s):
        tree = FOLDER / "tree"
        tree.mkdir()
        (tree / "firmware").write_bytes(os.urandom(150_000))
        self.tool("release", "build", "-o", path, "--ca", FOLDER / "ca", "--version", "1.1.0",
                  "--start", utc(start_s), "--payload", tree)  # fmt: skip
        self.tool("release", "sign", path, "--key", FOLDER / "alice.sec", "--yes")
        return manifest.Manifest(read_manifest(path))

    def play(self):
        start_s = int(time.time()) + LEAD_S
        swd = FOLDER / "1.1.0.swd"
        first = self.made_by_our_tools(swd, start_s)
        forged = trust.ed25519.Ed25519PrivateKey.generate()
        lie = FOLDER / "lie.swd"
        release_file(lie, self.network, self.key_id, forged, "9.0.0", time.time() - 10)
        liars = []
        for twist in TWISTS:
            more = ["--twist", twist, "--lie", lie if twist == "forged" else swd]
            module = "tests.reference.liar"
            liars.append(Reference(self.world, twist, FOLDER, self.network, module, more))
        nodes = [self.ours("a", 0), self.reference("r"), self.ours("b", 3600)]
        nodes.append(self.reference("s", "--behind-s", 7200))
        self.within(30, "the nodes hear the liars, and refuse what they say",
                    lambda: all(n.refusals() for n in nodes[:2]))  # fmt: skip
        laptop = Node("laptop", FOLDER / "laptop", self.world, FOLDER / "ca", [sys.executable])
        interface = self.world.interfaces["laptop"][0]
        laptop.start_other(ROOT, "swdist_host.__main__", [
            "seed", swd, "--json", "--interface", interface, "--ca", FOLDER / "ca",
        ])  # fmt: skip
        self.runs(nodes, first, start_s)
        start_s = int(time.time()) + LEAD_S
        path = FOLDER / "1.2.0.swd"
        second = release_file(path, self.network, self.key_id, self.private, "1.2.0", start_s)
        nodes[3].process.kill()
        nodes[3].process.wait()
        (FOLDER / "s").rename(FOLDER / "s-before")
        nodes[3] = self.reference("s", "--behind-s", 7200, "--release", path)
        self.runs(nodes, second, start_s)
        lied = manifest.Manifest(read_manifest(lie)).rid.hex()
        held = [h for n in nodes for h in n.held()]
        self.promise("nobody holds the forged release", not {lied, "9.0.0"} & set(held))
        self.promise("the liars still run", all(n.process.poll() is None for n in liars))
        return self.failed

    def runs(self, nodes, m, start_s):
        name = ".".join(map(str, m.version))
        expected = {Ours: (m.rid.hex(), name), Reference: (m.rid.hex(),)}
        self.within(start_s - time.time() + 20, f"all run {name}, ours and the reference",
                    lambda: all(n.active() in expected[type(n)] for n in nodes))  # fmt: skip
        off_ms = [1000 * (n.switched_s() - start_s) for n in nodes]
        self.promise(f"within 300 ms of its start: {[round(ms) for ms in off_ms]}",
                     all(abs(ms) < 300 for ms in off_ms))  # fmt: skip


def read_manifest(path):
    with open(path, "rb") as file:
        header = file.read(512)
        return file.read(int(header[124:135], 8))


def main():
    if not os.environ.get(net.INSIDE):
        return net.enter("tests.reference.interop", sys.argv[1:])
    net.obey_leash()
    scene = Scene()
    failed = scene.play()
    if failed:
        for path in sorted(FOLDER.glob("*/*log")):
            print(f"--- {path}", path.read_text(errors="replace")[-1500:], sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
