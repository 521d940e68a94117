"""Our TFTP server and client beside stock ones, over a veth pair with both ends on one core.

    python bench/tftp.py [--rounds N] [--size MIB] [--loss] [--pairs] [--servers] [--clients]

Three tables: each one's server with its own client, servers with a stock client, and clients with
a stock server.

Speed is a file's size over the time of a whole client process, less the time of the same client
for a file of one byte, so that nobody pays for the start of an interpreter; medians of interleaved
rounds. Beside it the CPU time of both processes for a block, counted the same way: on a machine
that has other things to do it tells more. Ours on CPython runs as the host tool's seeder does, ours
on MicroPython as a node. --loss: the table with lost packets instead (both directions, by nftables,
each datagram by itself); a run that takes over LIMIT_S counts as that.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = map(str, (ROOT, ROOT / "bench", ROOT / "tests"))  # in the namespace a module

import peers  # noqa: E402
from arguments import count  # noqa: E402

from lab.namespaces import net  # noqa: E402

PORT = 6969
LIMIT_S = 100
CELLS = [(blksize, window) for blksize in (512, 1428) for window in (1, 16, 64)]
WINDOWS = {"atftp", "tftp", "cpython", "micropython"}  # who asks for windows
OPTIONS = WINDOWS | {"busybox", "curl"}  # who asks for block sizes
SERVERS = ("cpython", "micropython", "tftp", "tftpd-hpa", "atftpd", "dnsmasq")
CLIENTS = ("cpython", "micropython", "tftp", "atftp", "busybox", "curl", "tftp-hpa")
PAIRS = {
    "cpython": ("cpython", "cpython"),
    "micropython": ("micropython", "micropython"),
    "tftp": ("tftp", "tftp"),
    "atftp": ("atftpd", "atftp"),
    "hpa/busybox": ("tftpd-hpa", "busybox"),
    "dnsmasq/curl": ("dnsmasq", "curl"),
}
TABLES = {
    "pairs": ("each server with its own client", PAIRS),
    "servers": ("servers, client atftp", {kind: (kind, "atftp") for kind in SERVERS}),
    "clients": ("clients, server atftpd", {kind: ("atftpd", kind) for kind in CLIENTS}),
}
LOSSES = (0, 1, 5, 10, 20)
LOSSY_OURS = (("cpython", "cpython", 1428, 16), ("micropython", "micropython", 1428, 16))
LOSSY_PEERS = (
    ("tftp", "tftp", 1428, 16),
    ("tftpd-hpa", "atftp", 1428, 1),
    ("atftpd", "atftp", 1428, 16),
    ("dnsmasq", "curl", 1428, 1),
    ("tftpd-hpa", "busybox", 1428, 1),
    ("atftpd", "busybox", 1428, 1),
)


class Link:
    """Two namespaces and a veth pair, which loses so many packets in both directions."""

    def __init__(self, world, number, loss_percent):
        self._ends = [f"server{number}", f"client{number}"]
        self.host = f"10.0.{number}.1"
        world.loss_percent = loss_percent
        for name in self._ends:
            world.add(name)
        world.link(*self._ends, ipv4=True)
        for name in self._ends if loss_percent else ():
            for interface in world.interfaces[name]:  # what is sent at once is lost one by one
                net.run("ip", "-n", name, "link", "set", "dev", interface, "gso_max_segs", "1")

    def inside(self, end, words):
        """At the server's end (0) or the client's (1), on one core for both."""
        words = map(str, words)
        return ["ip", "netns", "exec", self._ends[end], "taskset", "-c", "0", *words]

    @contextlib.contextmanager
    def server(self, kind, folder):
        """(its process, its port)"""
        port = 69 if kind == "dnsmasq" else PORT
        if kind in peers.INTERPRETERS:
            words, environment = peers.drive(kind, "serve", port, folder)
        else:
            words, environment = peers.server_command(kind, port, folder, self.host), None
        running = peers.running(self.inside(0, words), environment, port, stderr=subprocess.DEVNULL)
        with running as process:
            yield process, port

    def seconds(self, kind, port, path, out, blksize, window):
        """Of a whole client process; None if it failed, LIMIT_S if it took longer."""
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
            out.unlink(missing_ok=True)
            return LIMIT_S
        took = time.perf_counter() - began
        same = out.exists() and out.read_bytes() == path.read_bytes()
        out.unlink(missing_ok=True)
        return took if done.returncode == 0 and same else None


def cpu_s(process):
    """CPU time of a server and of our children that have ended, the clients."""
    clock = ~process.pid << 3 | 2  # its CPU clock, threads included; children by the tick
    ticks = sum(
        map(int, Path(f"/proc/{process.pid}/stat").read_text().split(")")[1].split()[13:15])
    )
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    server_s = time.clock_gettime(clock) + ticks / os.sysconf("SC_CLK_TCK")
    return server_s + ended.ru_utime + ended.ru_stime


def fits(kind, blksize, window):
    return (window == 1 or kind in WINDOWS) and (blksize == 512 or kind in OPTIONS)


def speed(link, pairs, options, folder, out):
    """{(server, client, blksize, window): (MB/s, CPU us a block)}, rounds interleaved."""
    took = {}
    for _ in range(options.rounds):
        for server_kind, client_kind in pairs:
            with link.server(server_kind, folder) as (process, port):
                for cell in CELLS:
                    if fits(client_kind, *cell):
                        run = []
                        for size in (1, options.bytes):
                            before = cpu_s(process)
                            wall = link.seconds(client_kind, port, folder / f"f{size}", out, *cell)
                            run.append((wall, cpu_s(process) - before))
                        if None not in (run[0][0], run[1][0]):
                            key = (server_kind, client_kind, *cell)
                            took.setdefault(key, []).append([b - a for a, b in zip(*run)])
    speeds = {}
    for key, runs in took.items():
        wall, cpu = (max(statistics.median(column), 1e-6) for column in zip(*runs))
        speeds[key] = options.bytes / 1e6 / wall, 1e6 * cpu * key[2] / options.bytes
    return speeds


def table(title, pairs, speeds):
    """In brackets: ours on CPython, measured by it."""
    for i, what in enumerate(("MB/s (ours on CPython / it)", "CPU us a block (it / ours)")):
        print(f"\n{title}: {what}")
        print(" " * 12 + "".join(f"{f'{b}/{w}':>9}" + " " * 8 for b, w in CELLS))
        for name, pair in pairs.items():
            line = f"{name:12}"
            for cell in CELLS:
                own, ours = speeds.get((*pair, *cell)), speeds.get((*pairs["cpython"], *cell))
                # tftpd-hpa works in children, whose time nobody sees who is not their parent.
                if own is None or (i and "tftpd-hpa" in pair):
                    line += f"{'-':>9}" + " " * 8
                else:
                    ratio = (ours[i] / own[i], own[i] / ours[i])[i] if ours else 0
                    line += f"{own[i]:9.1f} ({ratio:4.2f}) "
            print(line)


def lossy(world, options, folder, other):
    path = folder / f"f{options.bytes}"
    packets = options.bytes / 1428
    pairs = LOSSY_OURS + LOSSY_PEERS
    links, took = {}, {}
    for pair in pairs:
        for percent in LOSSES:
            links[pair, percent] = Link(world, len(links), percent)

    def run(pair, percent):
        server_kind, client_kind, blksize, window = pair
        link = links[pair, percent]
        out = other / f"{link.host}"
        with link.server(server_kind, folder) as (_, port):
            took[pair, percent] = link.seconds(client_kind, port, path, out, blksize, window)

    # Ours one after the other; the peers mostly wait, so they may do that together.
    for pair in LOSSY_OURS:
        for percent in LOSSES:
            run(pair, percent)
    with concurrent.futures.ThreadPoolExecutor(len(LOSSY_PEERS) * len(LOSSES)) as pool:
        runs = [pool.submit(run, pair, percent) for pair in LOSSY_PEERS for percent in LOSSES]
        for each in runs:
            each.result()

    print(f"\nseconds for {options.size:g} MiB with packets lost in both directions")
    print("(ms for each lost packet); below, how many times ours on CPython is faster")
    print(f"{'server':12} {'client':12}" + "".join(f"{f'{p} %':>18}" for p in LOSSES))
    for pair in pairs:
        line = f"{pair[0]:12} {pair[1]:12}"
        base = took[pair, 0]
        for percent in LOSSES:
            s = took[pair, percent]
            if s is None:
                line += f"{'failed':>18}"
            elif s >= LIMIT_S:
                line += f"{f'> {LIMIT_S}':>18}"
            elif not percent or base is None:
                line += f"{s:18.2f}"
            else:
                lost = (packets + packets / pair[3]) * percent / 100
                line += f"{s:9.2f} ({1000 * (s - base) / lost:5.1f} )"
        print(line)
    line = f"{'best peer / ours':25}"
    for percent in LOSSES:
        best = min(took[pair, percent] or LIMIT_S for pair in LOSSY_PEERS)
        ratio = best / took[LOSSY_OURS[0], percent]
        line += f"{'> ' if best >= LIMIT_S else ''}{ratio:.1f}".rjust(18)
    print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=count, default=3)
    parser.add_argument("--size", type=float, default=8, help="MiB")
    parser.add_argument("--loss", action="store_true")
    for name, (title, _) in TABLES.items():
        parser.add_argument(f"--{name}", action="store_true", help=f"only this table: {title}")
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
            lossy(world, options, folder, Path(other))
            return
        wanted = [TABLES[name] for name in TABLES if getattr(options, name)] or TABLES.values()
        pairs = {pair: None for _, pairs in wanted for pair in pairs.values()}
        speeds = speed(Link(world, 0, 0), pairs, options, folder, out)
        for title, named in wanted:
            table(title, named, speeds)
        print(json.dumps({"/".join(map(str, k)): v for k, v in speeds.items()}))


if __name__ == "__main__":
    main()
