"""One emulated router: a QEMU process, its console, and its flash, which outlives it."""

import re
import socket
import subprocess
import threading
import time
from pathlib import Path

from lab.emulated import image
from lab.stage import Failed

QEMU = "qemu-system-mipsel"
BOOT_S = 60
COMMAND_S = 120
EXCHANGES = 40
# Answers each line with the counter that swdist's processes have, until an empty one.
TELL_COUNTER = """import sys
try:
    from swdist.core import Clock
except ImportError:  # --old: before there was such a file
    from swdist.platform import Clock
clock = Clock()
print("@@ready")
while len(sys.stdin.readline()) > 1:
    print("@@counter", clock.counter_us())
"""


class Console:
    """A serial line of the router, on a UNIX socket."""

    def __init__(self, path):
        self.lines = []
        self.text = ""
        self._socket = socket.socket(socket.AF_UNIX)
        end = time.monotonic() + 20
        while True:
            try:
                self._socket.connect(str(path))
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        self._new = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while data := self._receive():
            with self._new:
                self.text += data.decode(errors="replace")
                *whole, _ = self.text.split("\n")
                while len(self.lines) < len(whole):
                    self.lines.append((time.monotonic(), whole[len(self.lines)].rstrip("\r")))
                self._new.notify_all()

    def _receive(self):
        try:
            return self._socket.recv(4096)
        except ConnectionResetError:
            return b""

    def send(self, text):
        self._socket.sendall(text.encode())

    def wait(self, pattern, seconds, since=0):
        """The match of a pattern in what is said from character `since` on."""
        with self._new:
            found = self._new.wait_for(lambda: re.search(pattern, self.text[since:]), seconds)
            if not found:
                raise Failed(f"{pattern!r} not said within {seconds} s; last:\n{self.text[-1500:]}")
            return found


class Router:
    """Linux on MIPS Malta, with as much memory for programs as a router of 32 MB has."""

    def __init__(self, name, folder, boot, wires, memory_mib=36, more=""):
        self.name = name
        self.folder = Path(folder) / name
        self.folder.mkdir(parents=True)
        self.ram = self.folder / "ram"
        self.kernel, self.initramfs, root = boot
        self.wires = wires  # [(path of the router's socket, path of the other end)]
        self.memory_mib = memory_mib
        self.more = more  # for the kernel's command line
        image.flash(root, self.ram)
        self.process = None
        self.boots = 0

    def start(self):
        self.boots += 1
        lines = [self.folder / f"serial{n}-{self.boots}" for n in (0, 1)]
        words = [
            QEMU,
            *("-M", "malta,memory-backend=ram0", "-cpu", "24Kf", "-m", "56", "-no-reboot"),
            "-object",
            f"memory-backend-file,id=ram0,size=56M,mem-path={self.ram},share=on",
            *(
                "-nic",
                "none",
                "-vga",
                "none",
                "-display",
                "none",
                "-monitor",
                "none",
                "-kernel",
                self.kernel,
            ),
            *("-initrd", self.initramfs, "-append"),
            "nokaslr quiet console=ttyS0 panic=1 rdinit=/init "
            f"mem={self.memory_mib}M@0x0 mem=8M@0x3000000 router={self.name} {self.more}",
        ]
        for line in lines:
            words += ["-serial", f"unix:{line},server=on,wait=off"]
        for n, (own, other) in enumerate(self.wires):
            Path(own).unlink(missing_ok=True)
            words += ["-netdev"]
            words += [
                f"dgram,id=n{n},local.type=unix,local.path={own},"
                f"remote.type=unix,remote.path={other}"
            ]
            address = f"02:00:00:00:{int(self.name[1:]):02x}:{n:02x}"
            words += ["-device", f"virtio-net-pci,netdev=n{n},mac={address},romfile="]
        self.started_at = time.monotonic()
        with open(self.folder / "qemu.log", "ab") as log:
            self.process = subprocess.Popen(
                list(map(str, words)), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.console, self.events = (Console(line) for line in lines)

    def up(self):
        """Waits for the end of the boot; its seconds."""
        self.events.wait("ROUTER UP", BOOT_S)
        took = time.monotonic() - self.started_at
        self.console.send("\nstty -echo; PS1=; export PATH=/bin:/usr/bin:/sbin\n")
        self.run("true")
        return took

    def run(self, command, seconds=COMMAND_S, check=True):
        """What a shell command says on the router."""
        begin = len(self.console.text)
        self.console.send(f'( {command} ) 2>&1; echo "@@end" $?\n')
        end = self.console.wait(r"@@end (\d+)\r?\n", seconds, begin)
        said = self.console.text[begin : begin + end.start()].replace("\r", "")
        if check and end[1] != "0":
            raise Failed(f"{self.name}: {command}: {end[1]}\n{said}")
        return said.strip()

    def counter(self):
        """(offset, error) in seconds: this host's monotonic clock is the router's counter plus
        offset, give or take error. By the quickest of some exchanges over the serial line: the
        router has read its counter at some moment of it."""
        begin = len(self.console.text)
        self.console.send(
            f"MICROPYPATH=/usr/lib/micropython micropython -c '{TELL_COUNTER}'; echo '@@'end $?\n"
        )
        self.console.wait(r"@@ready\r?\n", COMMAND_S, begin)
        found = []
        for _ in range(EXCHANGES):
            begin = len(self.console.text)
            asked = time.monotonic()
            self.console.send("?\n")
            counter = int(self.console.wait(r"@@counter (\d+)\r?\n", COMMAND_S, begin)[1]) / 1e6
            answered = time.monotonic()
            found.append(((answered - asked) / 2, (asked + answered) / 2 - counter))
        begin = len(self.console.text)
        self.console.send("\n")
        self.console.wait(r"@@end 0\r?\n", COMMAND_S, begin)
        error, offset = min(found)
        return offset, error

    def kill(self):
        """The power is cut: what is in flash stays as it is, to the byte."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self):
        if self.process is not None:
            self.kill()
