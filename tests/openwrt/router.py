"""Routers that run OpenWrt's own procd as process 1, each in namespaces of its own (keeper.sh).

Nothing of the host is theirs: no device but those of CHARACTER and a loop device of their own, no clock, no
module, no network but the veth given. All of it goes with the process that made it, however that ends."""

import ctypes
import fcntl
import json
import os
import platform
import shlex
import struct
import subprocess
import time
from pathlib import Path

KEEPER = Path(__file__).with_name("keeper.sh")
CGROUPS = "swdist-openwrt"
BOARD = "x86-64-generic"
LOOPS = 96
LOOP_MAJOR = 7
# (type, major, minors): null, zero, full, random, urandom; tty, ptmx; pts; tun.
CHARACTER = {1: (3, 5, 7, 8, 9), 5: (0, 2), 10: (200,), 136: None}
BOOT_S = 60
# An image as sysupgrade takes it for x86: sectors of the boot partition and of the second one.
BOOT_SECTORS, ROOT_SECTORS = (512, 4096), (5120, 4096)
SECTOR = 512


def wait_for(condition, what, limit_s=60):
    """What the condition says, once it says something true."""
    end = time.monotonic() + limit_s
    while True:
        said = condition()
        if said:
            return said
        assert time.monotonic() < end, f"not within {limit_s} s: {what}"
        time.sleep(0.1)


class Router:
    """files: {path: text} that its image has besides. disk: the file that is its flash. link: a network
    interface here that becomes its eth0."""

    def __init__(
        self, rootfs, folder, name="router", files=None, disk=None, link=None, overlay_mb=64
    ):
        self.folder = Path(folder) / name
        self.name = name
        for path, text in {"/etc/config/README": "", **(files or {})}.items():
            self._lay(path, text)
        self.loops = _loops(disk) if disk else ()
        self.cgroup = _cgroup(self.loops)
        flash = f"/dev/loop{self.loops[0]}" if disk else ""
        environment = {"PATH": os.environ["PATH"], "BOARD": BOARD, "OVERLAY_MB": str(overlay_mb),
                       "MEMORY_MB": str(overlay_mb + 160)}  # fmt: skip
        self.keeper = subprocess.Popen(
            ["sh", "-c", f'echo $$ >{self.cgroup}/cgroup.procs; exec "$@"', "sh", "setpriv", "--pdeathsig", "KILL",
             "unshare", "--mount", "--net", "--uts", "--ipc", "--cgroup", "--propagation", "private",
             KEEPER, rootfs, self.folder, flash],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "console").open("w"),
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        if link:
            wait_for((self.folder / "root").exists, "namespaces")
            host("ip", "link", "set", link, "netns", str(self.keeper.pid), "name", "eth0")
        (self.folder / "go").touch()
        self.wait_up()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _lay(self, path, text):
        target = self.folder / "files" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(0o755 if text.startswith("#!") else 0o644)

    # --- boots

    @property
    def boots(self):
        return int(self._read("boots") or 0)

    def _read(self, name):
        path = self.folder / name
        return path.read_text(errors="replace").strip() if path.exists() else ""

    @property
    def console(self):
        return self._read("console")

    def wait_up(self, boots=1):
        """Until this many boots are done and rc.d is through."""

        def up():
            assert self.keeper.poll() is None, self.console
            return self.boots >= boots and self._read("pid") and self.tries(
                "ubus -t 1 wait_for system service && [ -e /tmp/resolv.conf.d ] && ! pgrep -f rc.d/[S]", limit_s=10)  # fmt: skip

        wait_for(up, f"boot {boots} of {self.name}\n{self.console}", BOOT_S)

    def reboot(self):
        boots = self.boots
        self.tries("reboot")
        self.wait_up(boots + 1)

    def cut_power(self):
        boots = self.boots
        os.kill(int(self._read("pid")), 9)
        self.wait_up(boots + 1)

    def stop(self):
        (self.folder / "stopped").touch()
        self.keeper.kill()
        self.keeper.wait()
        wait_for(lambda: _is_gone(self.cgroup), f"end of {self.name}")

    # --- inside

    def _inside(self, command, data, limit_s):
        pid = self._read("pid")
        words = ["nsenter", "-t", pid, "-m", "-u", "-i", "-n", "-p", "-C", "env", "-i", "HOME=/root", "TERM=dumb",
                 "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", command]  # fmt: skip
        enter = f'echo $$ >{self.cgroup}/cgroup.procs; exec "$@"'
        return subprocess.run(["sh", "-c", enter, "sh", *words], input=data, timeout=limit_s,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip

    def call(self, command, limit_s=120, data=b""):
        """(exit status, what it printed) of a shell command inside."""
        done = self._inside(command, data, limit_s)
        return done.returncode, done.stdout.decode(errors="replace").rstrip("\n")

    def tries(self, command, limit_s=120):
        return self._read("pid") and self.call(command, limit_s)[0] == 0

    def run(self, command, limit_s=120, data=b""):
        """What a command printed that has to succeed."""
        status, text = self.call(command, limit_s, data)
        assert status == 0, f"{command}: {status}\n{text}"
        return text

    def json(self, command):
        return json.loads(self.run(command))

    def put(self, source, path):
        """A file from here, or bytes."""
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        status, text = self.call(f"cat >{shlex.quote(path)}", data=data)
        assert status == 0, text

    def get(self, path):
        """The bytes of a file from there."""
        return self._inside(f"cat {shlex.quote(path)}", b"", 60).stdout

    def wait(self, command, limit_s=60):
        """What a command prints, once it succeeds."""
        found = []

        def succeeds():
            found[:] = self.call(command) if self._read("pid") else (1, "off")
            return found[0] == 0

        wait_for(succeeds, f"{command} in {self.name}", limit_s)
        return found[1]

    def log(self):
        return self.run("logread").splitlines()


def disk(path, text):
    """A disk image that x86's sysupgrade takes, with `text` at the start of its second partition."""
    path.unlink(missing_ok=True)
    boot = path.with_suffix(".boot")
    grub = path.with_suffix(".files") / "boot/grub"
    grub.mkdir(parents=True, exist_ok=True)
    (grub / "grub.cfg").write_text("linux /boot/vmlinuz root=PARTUUID=5452574f-02\n")
    for file, size in (
        (path, (ROOT_SECTORS[0] + ROOT_SECTORS[1]) * SECTOR),
        (boot, BOOT_SECTORS[1] * SECTOR),
    ):
        with file.open("wb") as f:
            f.truncate(size)
    host("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", str(grub.parent.parent), str(boot))
    table = "label: dos\nlabel-id: 0x5452574f\n" + "".join(
        f"start={start},size={size},type=83\n" for start, size in (BOOT_SECTORS, ROOT_SECTORS)
    )
    host("sfdisk", "-q", str(path), stdin=table)
    with path.open("r+b") as f:
        for at, data in ((0, b"\xeb\x63"), (BOOT_SECTORS[0] * SECTOR, boot.read_bytes()),
                         (ROOT_SECTORS[0] * SECTOR, text.encode())):  # fmt: skip
            f.seek(at)
            f.write(data)
    boot.unlink()
    return path


def host(*words, stdin=None):
    done = subprocess.run(
        words, input=stdin, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}"
    return done.stdout


_held = []


def _loops(disk):
    """Numbers of three neighbouring loop devices over a disk and its partitions, as disks have them. They
    go when this process ends: what is detached while it is open stays until then."""
    with open("/dev/loop-control") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for first in range(0, LOOPS, 3):
            numbers = range(first, first + 3)
            for n in numbers:
                if not Path(f"/dev/loop{n}").exists():
                    os.mknod(f"/dev/loop{n}", 0o600 | 0o060000, os.makedev(LOOP_MAJOR, n))
            if any(
                subprocess.run(["losetup", f"/dev/loop{n}"], capture_output=True).returncode == 0
                for n in numbers
            ):
                continue
            parts = (
                (),
                *(
                    (f"-o{s * SECTOR}", f"--sizelimit={c * SECTOR}")
                    for s, c in (BOOT_SECTORS, ROOT_SECTORS)
                ),
            )
            for n, part in zip(numbers, parts):
                host("losetup", *part, f"/dev/loop{n}", str(disk))
                _held.append(os.open(f"/dev/loop{n}", os.O_RDONLY))
                host("losetup", "-d", f"/dev/loop{n}")
            return tuple(numbers)
    raise OSError("no three loop devices in a row are free")


# --- what devices they may open


def _bpf(command, attributes):
    number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(number, command, ctypes.create_string_buffer(attributes, 128), 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), "bpf: " + os.strerror(ctypes.get_errno()))
    return result


def _instruction(code, destination=0, source=0, offset=0, number=0):
    return struct.pack("<BBhi", code, destination | source << 4, offset, number)


def _program(rules):
    """BPF that answers 1 for devices of one of the rules (2 for character or 1 for block, major, minor or
    None), and for making any character device without opening it."""
    load, jump_ne, move, leave = 0x61, 0x55, 0xB7, 0x95
    out = [_instruction(load, 2, 1, 0), _instruction(0xBF, 5, 2), _instruction(0x57, 2, number=0xFFFF),
           _instruction(0x77, 5, number=16), _instruction(load, 3, 1, 4), _instruction(load, 4, 1, 8)]  # fmt: skip
    yes = _instruction(move, number=1) + _instruction(leave)
    out += [
        _instruction(jump_ne, 2, offset=3, number=2),
        _instruction(jump_ne, 5, offset=2, number=1),
        yes,
    ]
    for kind, major, minor in rules:
        rest = 3 if minor is None else 4
        out += [
            _instruction(jump_ne, 2, offset=rest, number=kind),
            _instruction(jump_ne, 3, offset=rest - 1, number=major),
        ]
        if minor is not None:
            out.append(_instruction(jump_ne, 4, offset=2, number=minor))
        out.append(yes)
    return b"".join([*out, _instruction(move, number=0), _instruction(leave)])


def _cgroup(loops):
    """A cgroup whose processes open no other device than theirs: an upgrade can't find the host's disk."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    top = Path(next(m[1] for m in mounts if m[2] == "cgroup2")) / CGROUPS
    path = top / f"{os.getpid()}-{time.monotonic_ns()}"
    path.mkdir(parents=True)
    rules = [
        (2, major, minor) for major, minors in CHARACTER.items() for minor in minors or (None,)
    ]
    code = _program([*rules, *((1, LOOP_MAJOR, n) for n in loops)])
    code, license_ = (
        ctypes.create_string_buffer(code, len(code)),
        ctypes.create_string_buffer(b"GPL"),
    )
    address = ctypes.addressof
    program = _bpf(5, struct.pack("<IIQQ", 15, len(code) // 8, address(code), address(license_)))
    folder = os.open(path, os.O_RDONLY)
    _bpf(8, struct.pack("<III", folder, program, 6))
    os.close(program)
    os.close(folder)
    return path


def _is_gone(cgroup):
    """Removes a cgroup and those that were made in it, if nobody lives there any more."""
    for folder, _, _ in os.walk(cgroup, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            return False
    return True
