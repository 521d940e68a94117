"""Network namespaces, links and loss.

All of it lives in private mount, network and process namespaces: when the first process in there
ends, however it ends, the kernel removes every namespace, interface and process of the lab.
"""

import os
import re
import subprocess
import sys
import threading

INSIDE = "SWDIST_LAB_INSIDE"
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]

NOT_ALLOWED = """network namespaces are not allowed here, so there is no mesh to show.
Run as root, or allow user namespaces:
  sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0
(loopback can't stand in: nodes speak from link-local addresses to one port on each link,
so each needs a network stack of its own). The device's protocol runs without: make test"""


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


def enter(module, arguments):
    """Runs the module again in a private world; its exit status, or None if that is not allowed.

    The world hangs on a leash, a pipe whose other end is here. However this process ends, also by
    SIGKILL, the kernel closes it, and `obey_leash` ends the world. (A signal would not do:
    unshare ignores SIGTERM and SIGINT while it waits.)
    """
    command = unshare_command()
    if command is None:
        return None
    leash, held = os.pipe()
    child = subprocess.Popen(
        [*command, sys.executable, "-m", module, *arguments],
        env={**os.environ, INSIDE: str(leash)},
        pass_fds=[leash],
    )
    os.close(leash)
    try:
        return child.wait()
    finally:
        os.close(held)
        child.wait()


def obey_leash():
    """Inside: this is process 1 of the world, so the kernel ends all others with it."""
    leash = int(os.environ.pop(INSIDE))
    os.set_inheritable(leash, False)

    def wait():
        os.read(leash, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def run(*words, stdin=None):
    done = subprocess.run(words, input=stdin, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class World:
    """Namespaces by name, and the links between them."""

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
        """A veth pair; with ipv4 it has no IPv6 at all, else no IPv4 addresses."""
        n = self._links
        self._links += 1
        ends = (f"m{n}a", f"m{n}b")
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

    def loss(self):
        """(frames that came to an interface, those of them that the lab dropped) so far."""
        came = lost = 0
        for space in self.interfaces:
            rules = run("ip", "netns", "exec", space, "nft", "list", "ruleset")
            counts = [int(n) for n in re.findall(r"counter packets (\d+)", rules)]
            came += sum(counts[::2])
            lost += sum(counts[1::2])
        return came, lost
