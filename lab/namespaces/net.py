"""Network namespaces, links and loss; and loopback where there are none.

The namespaces live in private mount, network and process namespaces: when the first process in
there ends, however it ends, the kernel removes every namespace, interface and process of the lab.
"""

import _thread
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from lab import web

INSIDE = "SWDIST_LAB_INSIDE"
LAST_WORDS_S = 2
NAMED = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"']
# ip and nft are there, where a plain user's PATH does not look.
os.environ["PATH"] += ":/usr/sbin:/sbin"
LOOPBACK = str(Path(__file__).with_name("loopback.py"))
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]

# Routers have their processors to themselves. Linux shares a machine between sessions first, and
# by nice only within each: so the lab is a session of its own, ahead of all others if that is
# allowed.
AHEAD = 'echo -15 2> /dev/null > /proc/self/autogroup; exec "$@"'

NOT_ALLOWED = """network namespaces are not allowed here: the same nodes run over loopback instead,
each on an address of its own. To see them on links of their own, run as root, or allow user
namespaces: sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0
"""


def unshare_command():
    """The command that gives a private world, or None where it is not allowed. Root in a container
    may lack the right too, and then a user namespace may do."""
    for command in (UNSHARE, [*UNSHARE, "--user", "--map-root-user"]):
        tried = subprocess.run(
            [*command, "mount", "-t", "tmpfs", "none", "/run"], capture_output=True
        )
        if tried.returncode == 0:
            return command
    return None


def enter(module, arguments, opened=None):
    """Runs the module again in a private world; its exit status, or None if that is not allowed.
    opened(pid): called with the parent of the first process in there. With it goes a socket that
    listens here.

    The world hangs on a leash, a pipe whose other end is here. However this process ends, also by
    SIGKILL, the kernel closes it, and `obey_leash` ends the world. (A signal would not do:
    unshare ignores SIGTERM and SIGINT while it waits; and Ctrl-C does not reach another session.)
    """
    command = unshare_command()
    if command is None:
        return None
    leash, held = os.pipe()
    door = web.listen()
    child = subprocess.Popen(
        ["sh", "-c", AHEAD, "sh", *command, sys.executable, "-m", module, *arguments],
        env={**os.environ, INSIDE: f"{leash} {door.fileno()}"},
        pass_fds=[leash, door.fileno()],
        start_new_session=True,
    )
    os.close(leash)
    door.close()
    try:
        if opened:
            opened(child.pid)
        return child.wait()
    finally:
        os.close(held)
        child.wait()


def obey_leash():
    """Inside: this is process 1 of the world, so the kernel ends all others with it. It may say
    so, as at Ctrl-C. Returns the socket that came along."""
    leash, door = map(int, os.environ.pop(INSIDE).split())
    for fd in (leash, door):
        os.set_inheritable(fd, False)

    def wait():
        os.read(leash, 1)
        _thread.interrupt_main()
        time.sleep(LAST_WORDS_S)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    return socket.socket(fileno=door)


def run(*words, stdin=None):
    done = subprocess.run(words, input=stdin, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Loopback:
    """Has what World has, without namespaces: see lab/loopback.py. A node is an address."""

    links = "over loopback, each node on an address of its own"

    def __init__(self, loss_percent, folder):
        self.loss_percent = loss_percent
        self.interfaces = {}
        self._folder = folder
        self._addresses = {}
        self._neighbours = {}

    def add(self, name):
        self.interfaces[name] = ["lo"]
        lab = os.getpid() % 0xFFFE + 1  # several may run at once
        self._addresses[name] = f"127.{lab >> 8}.{lab & 0xFF}.{len(self._addresses) + 1}"
        self._neighbours[name] = []

    def link(self, a, b, ipv4):
        self._neighbours[a].append(self._addresses[b])
        self._neighbours[b].append(self._addresses[a])

    def command(self, name, python, module):
        """What starts a module's main so that it hears its neighbours."""
        if module == "swdist.switchd":
            return self.inside(name, [*python, "-m", module])
        neighbours = ",".join(self._neighbours[name])
        file = self._folder / f"loss-{name}"
        around = [self._addresses[name], neighbours, str(self.loss_percent), str(file)]
        return self.inside(name, [*python, LOOPBACK, "-m", module, *around])

    def inside(self, name, words):
        """The kernel ends the process with the lab, however that ends; also if it has ended before
        that could be arranged."""
        orphan = '[ "$PPID" = "$0" ] && exec "$@"'
        return ["setpriv", "--pdeathsig", "KILL", "sh", "-c", orphan, str(os.getpid()), *words]

    def loss(self):
        """(datagrams to be sent, those of them that were lost) so far."""
        counts = [file.read_text().split() for file in self._folder.glob("loss-*")]
        counts = [c for c in counts if len(c) == 2]
        return sum(int(c[0]) for c in counts), sum(int(c[1]) for c in counts)


class World:
    """Namespaces by name, and the links between them."""

    links = "half of the links with IPv6 only, half with IPv4 only"

    def __init__(self, loss_percent):
        self.loss_percent = loss_percent
        self.interfaces = {}  # namespace: names of its interfaces
        self._links = 0
        run("mount", "-t", "tmpfs", "none", "/run")

    def add(self, name):
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
        self.interfaces[name] = []

    def link(self, a, b, ipv4):
        """A veth pair; with ipv4 it has no IPv6 at all, else no IPv4 addresses. Each node's are
        wlan0, wlan1 and so on."""
        n = self._links
        self._links += 1
        ends = [f"wlan{len(self.interfaces[space])}" for space in (a, b)]
        run(
            "ip",
            "-n",
            a,
            "link",
            "add",
            ends[0],
            "type",
            "veth",
            "peer",
            "name",
            ends[1],
            "netns",
            b,
        )
        for i, (space, interface) in enumerate(zip((a, b), ends)):
            self.interfaces[space].append(interface)
            if ipv4:
                self.sysctl(space, f"net/ipv6/conf/{interface}/disable_ipv6", "1")
                address = f"10.{n // 256}.{n % 256}.{i + 1}/24"
                run("ip", "-n", space, "addr", "add", address, "brd", "+", "dev", interface)
            else:
                self.sysctl(space, f"net/ipv6/conf/{interface}/accept_dad", "0")
            run("ip", "-n", space, "link", "set", interface, "up")
            self._lose(space, interface)

    def segment(self, names):
        """One link that all of them are on, with IPv6: a bridge in a namespace of its own."""
        air = f"air{self._links}"
        self.add(air)
        run("ip", "-n", air, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        run("ip", "-n", air, "link", "set", "br0", "up")
        for name in names:
            self.link(name, air, ipv4=False)
            run("ip", "-n", air, "link", "set", self.interfaces[air][-1], "master", "br0")
        # What goes over the bridge is lost where it arrives, and not twice.
        run("ip", "netns", "exec", air, "nft", "flush", "ruleset")

    def link_local(self, name, n=0):
        """The address on its nth interface."""
        words = ("-6", "-o", "addr", "show", "dev", self.interfaces[name][n], "scope", "link")
        return run("ip", "-n", name, *words).split()[3].partition("/")[0]

    def sysctl(self, space, key, value):
        run("ip", "netns", "exec", space, "sh", "-c", f"echo {value} > /proc/sys/{key}")

    def _lose(self, space, interface):
        """Each datagram that comes in is lost with the given probability."""
        rules = (
            f"table {{family}} loss_{interface} {{{{\n chain lose {{{{\n"
            f"  type filter hook {{hook}} priority {{priority}};\n"
            f'  iifname "{interface}" counter\n'
            f'  iifname "{interface}" numgen random mod 100 < {self.loss_percent} counter drop\n'
            " }}\n}}\n"
        )
        enter = ("ip", "netns", "exec", space, "nft", "-f", "-")
        try:
            hook = f"ingress device {interface}"
            run(*enter, stdin=rules.format(family="netdev", hook=hook, priority=0))
        except RuntimeError:  # a kernel without that hook: what is for this host, but not ARP
            run(*enter, stdin=rules.format(family="inet", hook="input", priority=-300))

    def command(self, name, python, module):
        """What starts a module's main in the namespace."""
        return self.inside(name, [*python, "-m", module])

    def inside(self, name, words):
        """What runs words there, where the machine is called so."""
        return ["ip", "netns", "exec", name, *NAMED, name, *words]

    def loss(self):
        """(frames that came to an interface, those of them that the lab dropped) so far."""
        came = lost = 0
        for space in self.interfaces:
            rules = run("ip", "netns", "exec", space, "nft", "list", "ruleset")
            counts = [int(n) for n in re.findall(r"counter packets (\d+)", rules)]
            came += sum(counts[::2])
            lost += sum(counts[1::2])
        return came, lost
