"""Programs of others, mostly for TFTP on 127.0.0.1: where they are, and how they are called."""

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
from interpreters import ROOT, command

UNPACKED = ROOT / "build/peers"  # packages that would start a daemon are only unpacked
HOST = "127.0.0.1"
LIMIT_S = 10
INTERPRETERS = ("cpython", "micropython")
PYPI = """
import sys, tftp
host, port, name, path, blksize, window = sys.argv[1:]
options = {"blksize": None if blksize == "512" else int(blksize)}  # its default is 1428
options["windowsize"] = None if window == "1" else int(window)
try:
    tftp.TFTPClient(host, port=int(port), **options).download(name, path)
except tftp.TFTPError as e:
    sys.exit(str(e))
"""


def program(name):
    """Its path; skips the test where the package is not to be had."""
    unpacked = map(str, UNPACKED.glob("*/usr/*bin"))
    found = shutil.which(name, path=":".join([os.environ["PATH"], "/usr/sbin", "/sbin", *unpacked]))
    if found is None:
        pytest.skip(f"{name} is not installed: `make setup` as root fetches it")
    return found


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("", 0))
        return s.getsockname()[1]


def drive(interpreter, *words):
    """(arguments, environment) of our own driver program. MicroPython's heap is as small as a
    node's, but for a client, which takes whole files of up to 9 MiB into memory."""
    arguments, environment = command(interpreter, "12M" if words[:1] == ("get",) else "2M")
    return [*arguments, str(ROOT / "tests/drive.py"), *map(str, words)], environment


def bound(port, pid="self"):
    """Is a socket bound to this UDP port in the process's network namespace?"""
    for table in (f"/proc/{pid}/net/udp", f"/proc/{pid}/net/udp6"):
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
            if bound(port, process.pid):
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


def fetch(interpreter, port, name, path, blksize, window=16, host=HOST, limit_s=LIMIT_S):
    """Our client; the finished process."""
    arguments, environment = drive(interpreter, "get", host, port, name, path, blksize, window)
    return subprocess.run(
        arguments, env=environment, text=True, capture_output=True, timeout=limit_s
    )


def server_command(kind, port, folder, host=HOST):
    """Arguments of a stock server in the foreground."""
    if kind == "tftpd-hpa":
        user = "root" if os.getuid() == 0 else subprocess.getoutput("id -un")
        where = ["--address", f"{host}:{port}", "--user", user]
        return [program("in.tftpd"), "--foreground", *where, "--secure", str(folder)]
    if kind == "atftpd":
        where = ["--port", str(port), "--bind-address", host, "--logfile", "/dev/null"]
        user = ["--user", "root", "--group", "root"] if os.getuid() == 0 else []
        return [program("atftpd"), "--daemon", "--no-fork", *where, *user, str(folder)]
    if kind == "dnsmasq":
        # Its TFTP port is 69, always.
        words = "--keep-in-foreground --port=0 --conf-file=/dev/null --user=root --pid-file="
        where = [f"--listen-address={host}", "--bind-interfaces"]
        log = "--log-facility=/dev/null"
        tftp = ["--enable-tftp", f"--tftp-root={folder}"]
        return [program("dnsmasq"), *words.split(), log, *where, *tftp]
    assert kind == "tftp"
    start = "tftp.TFTPServer(sys.argv[1], listen=sys.argv[2], port=int(sys.argv[3]))"
    code = f"import sys, tftp; {start}.serve_forever()"
    return [sys.executable, "-c", code, str(folder), host, str(port)]


def client_command(kind, port, name, path, blksize, window, host=HOST):
    """The command that fetches a file."""
    port = str(port)
    if kind == "tftp-hpa":
        return [program("tftp"), "-m", "binary", host, port, "-c", "get", name, str(path)]
    if kind == "atftp":
        options = [] if blksize == 512 else ["--option", f"blksize {blksize}"]
        options += [] if window == 1 else ["--option", f"windowsize {window}"]
        where = ["-r", name, "-l", str(path), host, port]
        return [program("atftp"), "--get", *options, *where]
    if kind == "curl":
        options = ["--tftp-no-options"] if blksize == 512 else ["--tftp-blksize", str(blksize)]
        url = f"tftp://{host}:{port}/{name}"
        return [program("curl"), "-sS", "--globoff", *options, "-o", str(path), url]
    if kind == "busybox":
        options = [] if blksize == 512 else ["-b", str(blksize)]
        where = ["-r", name, "-l", str(path), host, port]
        return [program("busybox"), "tftp", "-g", *options, *where]
    return [sys.executable, "-c", PYPI, host, port, name, str(path), str(blksize), str(window)]


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
