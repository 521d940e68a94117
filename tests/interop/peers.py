"""TFTP programs of others, on 127.0.0.1: where they are, and how they are called."""

import contextlib
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from conftest import command

ROOT = Path(__file__).resolve().parent.parent.parent
UNPACKED = ROOT / "build/peers"  # packages that would start a daemon are only unpacked
HOST = "127.0.0.1"
LIMIT_S = 10
INTERPRETERS = ("cpython", "micropython")


def program(name):
    """Its path; skips the test where the package is not to be had."""
    unpacked = ":".join(f"{UNPACKED}/{package}/usr/sbin" for package in ("tftpd-hpa", "atftpd"))
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin:{unpacked}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("", 0))
        return s.getsockname()[1]


def drive(interpreter, *words, heap="32M"):
    """(arguments, environment) of our own driver program."""
    arguments, environment = command(interpreter)
    arguments = [f"heapsize={heap}" if a.startswith("heapsize=") else a for a in arguments]
    return [*arguments, str(ROOT / "tests/interop/drive.py"), *map(str, words)], environment


def bound(port):
    """Is a socket bound to this UDP port?"""
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            if line.split()[1].endswith(f":{port:04X}"):
                return True
    return False


def await_bound(process, port):
    """The kernel tells of no bind: asks again until the port is there or the process is not."""
    ended = select.poll()
    fd = os.pidfd_open(process.pid)
    try:
        ended.register(fd, select.POLLIN)
        for _ in range(1000):
            if bound(port):
                return
            if ended.poll(5):
                break
    finally:
        os.close(fd)
    raise RuntimeError(f"{process.args} does not listen on UDP port {port}")


@contextlib.contextmanager
def running(arguments, environment=None, port=None, **more):
    """A process of its own group, which all ends with the block. Without a port it says `ready`."""
    out = subprocess.PIPE if port is None else subprocess.DEVNULL
    process = subprocess.Popen(
        arguments,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=out,
        start_new_session=True,
        **more,
    )
    try:
        if port is None:
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"{arguments} did not start")
        else:
            await_bound(process, port)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextlib.contextmanager
def ours(interpreter, folder):
    """Our server; its port."""
    port = free_port()
    with running(*drive(interpreter, "serve", port, folder)):
        yield port


def fetch(interpreter, port, name, path, blksize, window=16, host=HOST):
    """Our client; the finished process."""
    arguments, environment = drive(interpreter, "get", host, port, name, path, blksize, window)
    return subprocess.run(
        arguments, env=environment, text=True, capture_output=True, timeout=LIMIT_S
    )


def server_command(kind, port, folder):
    """(arguments, options for Popen) of a stock server in the foreground."""
    if kind == "tftpd-hpa":
        user = "root" if os.getuid() == 0 else subprocess.getoutput("id -un")
        where = ["--address", f"{HOST}:{port}", "--user", user]
        return [program("in.tftpd"), "--foreground", *where, "--secure", str(folder)]
    if kind == "atftpd":
        where = ["--port", str(port), "--bind-address", HOST, "--logfile", "/dev/null"]
        user = ["--user", "root", "--group", "root"] if os.getuid() == 0 else []
        return [program("atftpd"), "--daemon", "--no-fork", *where, *user, str(folder)]
    if kind == "dnsmasq":
        # Its TFTP port is 69, always.
        words = "--keep-in-foreground --port=0 --conf-file=/dev/null --user=root --pid-file="
        where = [f"--listen-address={HOST}", "--bind-interfaces"]
        log = "--log-facility=/dev/null"
        tftp = ["--enable-tftp", f"--tftp-root={folder}"]
        return [program("dnsmasq"), *words.split(), log, *where, *tftp]
    assert kind == "tftp"
    start = "tftp.TFTPServer(sys.argv[1], listen=sys.argv[2], port=int(sys.argv[3]))"
    code = f"import sys, tftp; {start}.serve_forever()"
    return [sys.executable, "-c", code, str(folder), HOST, str(port)]


def make_files(folder, sizes):
    """Files f0, f1, f511 ... of other bytes each."""
    folder.chmod(0o755)
    for size in sizes:
        path = folder / f"f{size}"
        path.write_bytes(random.Random(size).randbytes(size))
        path.chmod(0o644)
    for parent in folder.parents:  # a server that gives up root must find its way, too
        if parent.is_relative_to(tempfile.gettempdir()) and parent != Path(tempfile.gettempdir()):
            parent.chmod(0o755)
    return folder


def can_bind_69():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.bind((HOST, 69))
        except OSError:
            return False
    return True
