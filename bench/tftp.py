"""Our TFTP server and client beside stock ones, over a veth pair with both ends on one core.

    python bench/tftp.py [--rounds N] [--size MIB] [--loss] (as root)

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

sys.path[:0] = [
    str(Path(__file__).resolve().parent.parent / name) for name in ("tests", "tests/interop")
]

import peers  # noqa: E402
from test_clients import client  # noqa: E402

A, B = "swdist-tftp-a", "swdist-tftp-b"
HOST = peers.HOST = "10.213.7.1"
PORT = 6969
LIMIT_S = 60
CELLS = [(blksize, window) for blksize in (512, 1428) for window in (1, 16, 64)]
WINDOWS = {"atftp", "tftp", "cpython", "micropython"}  # who asks for windows
OPTIONS = WINDOWS | {"busybox", "curl"}  # who asks for block sizes
SERVERS = ("cpython", "micropython", "tftp", "tftpd-hpa", "atftpd", "dnsmasq")
CLIENTS = ("cpython", "micropython", "tftp", "atftp", "busybox", "curl", "tftp-hpa")


def sh(*words):
    subprocess.run(words, check=True, capture_output=True)


@contextlib.contextmanager
def network():
    try:
        for name in (A, B):
            sh("ip", "netns", "add", name)
        sh("ip", "-n", A, "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns", B)
        for name, link, address in ((A, "v0", HOST), (B, "v1", "10.213.7.2")):
            sh("ip", "-n", name, "address", "add", f"{address}/24", "dev", link)
            for up in ("lo", link):
                sh("ip", "-n", name, "link", "set", up, "up")
        yield
    finally:
        for name in (A, B):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def set_loss(percent):
    for name in (A, B):
        rules = "add table ip t; delete table ip t; add table ip t;"
        rules += "add chain ip t c { type filter hook input priority 0; };"
        if percent:
            rules += f"add rule ip t c meta l4proto udp numgen random mod 100 < {percent} drop;"
        sh("ip", "netns", "exec", name, "nft", rules)


def inside(name, words):
    return ["ip", "netns", "exec", name, "taskset", "-c", "0", *map(str, words)]


@contextlib.contextmanager
def server(kind, folder):
    """Its port."""
    port = 69 if kind == "dnsmasq" else PORT
    if kind in peers.INTERPRETERS:
        words, environment = peers.drive(kind, "serve", port, folder)
    else:
        words, environment = peers.server_command(kind, port, folder), None
    process = subprocess.Popen(
        inside(A, words), env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(500):  # until it is bound: the kernel has no event for that
            table = subprocess.run(
                inside(A, ["cat", "/proc/net/udp", "/proc/net/udp6"]),
                capture_output=True,
                text=True,
            ).stdout
            if f":{port:04X} " in table:
                break
            time.sleep(0.01)
        else:
            raise RuntimeError(f"{kind} does not listen")
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def seconds(kind, port, name, folder, out, blksize, window):
    """Of a whole client process; None if it failed, or took too long."""
    environment = None
    if kind in peers.INTERPRETERS:
        words, environment = peers.drive(kind, "get", HOST, port, name, out, blksize, window)
    else:
        words = client(kind, port, name, out, blksize, window)
    began = time.perf_counter()
    try:
        done = subprocess.run(
            inside(B, words), env=environment, capture_output=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return None
    took = time.perf_counter() - began
    same = out.exists() and out.read_bytes() == (folder / name).read_bytes()
    out.unlink(missing_ok=True)
    return took if done.returncode == 0 and same else None


def fits(kind, blksize, window):
    return (window == 1 or kind in WINDOWS) and (blksize == 512 or kind in OPTIONS)


def speed(pairs, options, folder, out):
    """{(server, client): {cell: MB/s}}, rounds interleaved."""
    big, small = f"f{options.bytes}", "f1"
    took = {}
    for _ in range(options.rounds):
        for server_kind, client_kind in pairs:
            with server(server_kind, folder) as port:
                for blksize, window in CELLS:
                    if fits(client_kind, blksize, window):
                        run = [
                            seconds(client_kind, port, name, folder, out, blksize, window)
                            for name in (small, big)
                        ]
                        if None not in run:
                            key = (server_kind, client_kind, blksize, window)
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


def lossy(options, folder, out):
    pairs = [
        ("cpython", "cpython", 1428, 16), ("micropython", "micropython", 1428, 16),
        ("tftp", "tftp", 1428, 16), ("tftpd-hpa", "atftp", 1428, 1), ("atftpd", "atftp", 1428, 16),
        ("dnsmasq", "curl", 1428, 1), ("tftpd-hpa", "busybox", 1428, 1),
    ]  # fmt: skip
    name = f"f{options.bytes}"
    packets = options.bytes / 1428
    print("\nseconds with packets lost in both directions (ms for each lost packet)")
    print(
        f"{'server':12} {'client':12} {'0 %':>8}"
        + "".join(f"{f'{p} %':>18}" for p in (1, 5, 10, 20))
    )
    for server_kind, client_kind, blksize, window in pairs:
        line, base = f"{server_kind:12} {client_kind:12}", None
        with server(server_kind, folder) as port:
            for percent in (0, 1, 5, 10, 20):
                set_loss(percent)
                took = seconds(client_kind, port, name, folder, out, blksize, window)
                if percent == 0:
                    base = took
                    line += f" {took:8.2f}" if took else f"{'not done':>9}"
                elif took is None:
                    line += f"{'not done':>18}"
                else:
                    acks = packets / window
                    lost = (packets + acks) * percent / 100
                    line += f"{took:9.2f} ({1000 * (took - base) / lost:5.1f})"
                if took is None:
                    break
        set_loss(0)
        print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=float, default=8, help="MiB")
    parser.add_argument("--loss", action="store_true")
    options = parser.parse_args()
    if os.getuid() != 0:
        sys.exit("tftp: network namespaces take root")
    options.bytes = int(options.size * 1048576)
    with tempfile.TemporaryDirectory() as parent, network():
        folder = peers.make_files(Path(parent), (1, options.bytes))
        with tempfile.TemporaryDirectory() as other:
            out = Path(other) / "got"
            if options.loss:
                lossy(options, folder, out)
                return
            pairs = [(kind, "atftp") for kind in SERVERS]
            pairs += [("atftpd", kind) for kind in CLIENTS if kind != "atftp"]
            speeds = speed(pairs, options, folder, out)
            table("servers, client atftp", SERVERS, speeds, lambda k, c: (k, "atftp", *c))
            table("clients, server atftpd", CLIENTS, speeds, lambda k, c: ("atftpd", k, *c))
            print(json.dumps({"/".join(map(str, k)): round(v, 2) for k, v in speeds.items()}))


if __name__ == "__main__":
    main()
