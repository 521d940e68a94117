"""Our TFTP server and client beside stock ones, over a veth pair with both ends on one core.

    python bench/tftp.py [--rounds N] [--size MIB] [--loss]

Speed is a file's size over the time of a whole client process, less the time of the same client for
a file of one byte, so that nobody pays for the start of an interpreter; medians of interleaved
rounds. --loss: the table with lost packets instead (both directions, by nftables); a run that takes
over a minute counts as not done.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import peers  # noqa: E402

from lab import net  # noqa: E402

PORT = 6969
LIMIT_S = 60
CELLS = [(blksize, window) for blksize in (512, 1428) for window in (1, 16, 64)]
WINDOWS = {"atftp", "tftp", "cpython", "micropython"}  # who asks for windows
OPTIONS = WINDOWS | {"busybox", "curl"}  # who asks for block sizes
SERVERS = ("cpython", "micropython", "tftp", "tftpd-hpa", "atftpd", "dnsmasq")
CLIENTS = ("cpython", "micropython", "tftp", "atftp", "busybox", "curl", "tftp-hpa")


class Link:
    """Two namespaces and a veth pair, which loses so many packets in both directions."""

    def __init__(self, world, number, loss_percent):
        self._ends = [f"server{number}", f"client{number}"]
        self.host = f"10.0.{number}.1"
        world.loss_percent = loss_percent
        for name in self._ends:
            world.add(name)
        world.link(*self._ends, ipv4=True)

    def inside(self, end, words):
        """At the server's end (0) or the client's (1), on one core for both."""
        words = map(str, words)
        return ["ip", "netns", "exec", self._ends[end], "taskset", "-c", "0", *words]

    @contextlib.contextmanager
    def server(self, kind, folder):
        """Its port."""
        port = 69 if kind == "dnsmasq" else PORT
        if kind in peers.INTERPRETERS:
            words, environment = peers.drive(kind, "serve", port, folder)
        else:
            words, environment = peers.server_command(kind, port, folder, self.host), None
        with peers.running(self.inside(0, words), environment, port, stderr=subprocess.DEVNULL):
            yield port

    def seconds(self, kind, port, path, out, blksize, window):
        """Of a whole client process; None if it failed, or took too long."""
        what = (port, path.name, out, blksize, window)
        if kind in peers.INTERPRETERS:
            words, environment = peers.drive(kind, "get", self.host, *what)
        else:
            words, environment = peers.client_command(kind, *what, self.host), None
        began = time.perf_counter()
        try:
            done = subprocess.run(
                self.inside(1, words), env=environment, capture_output=True, timeout=LIMIT_S
            )
        except subprocess.TimeoutExpired:
            return None
        took = time.perf_counter() - began
        same = out.exists() and out.read_bytes() == path.read_bytes()
        out.unlink(missing_ok=True)
        return took if done.returncode == 0 and same else None


def fits(kind, blksize, window):
    return (window == 1 or kind in WINDOWS) and (blksize == 512 or kind in OPTIONS)


def speed(link, pairs, options, folder, out):
    """{(server, client, blksize, window): MB/s}, rounds interleaved."""
    small, big = folder / "f1", folder / f"f{options.bytes}"
    took = {}
    for _ in range(options.rounds):
        for server_kind, client_kind in pairs:
            with link.server(server_kind, folder) as port:
                for cell in CELLS:
                    if fits(client_kind, *cell):
                        run = [
                            link.seconds(client_kind, port, path, out, *cell)
                            for path in (small, big)
                        ]
                        if None not in run:
                            key = (server_kind, client_kind, *cell)
                            took.setdefault(key, []).append(max(run[1] - run[0], 0.001))
    return {key: options.bytes / 1e6 / statistics.median(s) for key, s in took.items()}


def table(title, kinds, speeds, key):
    print(f"\n{title}, MB/s; in brackets: ours on CPython / it")
    cells = "".join(f"  {b:4}/{w:<2} " + " " * 7 for b, w in CELLS)
    print(f"{'':12}{cells}")
    for kind in kinds:
        line = f"{kind:12}"
        for cell in CELLS:
            own, ours = speeds.get(key(kind, cell)), speeds.get(key("cpython", cell))
            if own is None:
                line += f"{'-':>9}" + " " * 8
            else:
                line += f"{own:9.1f}" + (f" ({ours / own:4.2f}) " if ours else " " * 8)
        print(line)


def lossy(world, options, folder, out):
    pairs = [
        ("cpython", "cpython", 1428, 16), ("micropython", "micropython", 1428, 16),
        ("tftp", "tftp", 1428, 16), ("tftpd-hpa", "atftp", 1428, 1), ("atftpd", "atftp", 1428, 16),
        ("dnsmasq", "curl", 1428, 1), ("tftpd-hpa", "busybox", 1428, 1),
    ]  # fmt: skip
    links = {p: Link(world, n, p) for n, p in enumerate((0, 1, 5, 10, 20))}
    path = folder / f"f{options.bytes}"
    packets = options.bytes / 1428
    print("\nseconds with packets lost in both directions (ms for each lost packet)")
    losses = "".join(f"{f'{p} %':>18}" for p in links if p)
    print(f"{'server':12} {'client':12} {'0 %':>8}{losses}")
    for server_kind, client_kind, blksize, window in pairs:
        line, base = f"{server_kind:12} {client_kind:12}", None
        for percent, link in links.items():
            with link.server(server_kind, folder) as port:
                took = link.seconds(client_kind, port, path, out, blksize, window)
            if percent == 0:
                base = took
                line += f" {took:8.2f}" if took else f"{'not done':>9}"
            elif took is None:
                line += f"{'not done':>18}"
            else:
                lost = (packets + packets / window) * percent / 100
                line += f"{took:9.2f} ({1000 * (took - base) / lost:5.1f})"
            if took is None:
                break
        print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=float, default=8, help="MiB")
    parser.add_argument("--loss", action="store_true")
    options = parser.parse_args()
    if net.INSIDE not in os.environ:
        os.chdir(ROOT)
        status = net.enter("bench.tftp", sys.argv[1:])
        sys.exit("tftp: network namespaces are not allowed here" if status is None else status)
    net.obey_leash()
    options.bytes = int(options.size * 1048576)
    with tempfile.TemporaryDirectory() as parent, tempfile.TemporaryDirectory() as other:
        folder = peers.make_files(Path(parent), (1, options.bytes))
        out = Path(other) / "got"
        world = net.World(0)
        if options.loss:
            lossy(world, options, folder, out)
            return
        pairs = [(kind, "atftp") for kind in SERVERS]
        pairs += [("atftpd", kind) for kind in CLIENTS if kind != "atftp"]
        speeds = speed(Link(world, 0, 0), pairs, options, folder, out)
        table("servers, client atftp", SERVERS, speeds, lambda k, c: (k, "atftp", *c))
        table("clients, server atftpd", CLIENTS, speeds, lambda k, c: ("atftpd", k, *c))
        print(json.dumps({"/".join(map(str, k)): round(v, 2) for k, v in speeds.items()}))


if __name__ == "__main__":
    main()
