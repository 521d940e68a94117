"""Network namespaces, links and loss.

All of it lives in private mount, network and process namespaces: when the first process in there
ends, however it ends, the kernel removes every namespace, interface and process of the lab.
"""

import os
import subprocess
import sys

INSIDE = "SWDIST_LAB_INSIDE"
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def unshare_command():
    """The command that gives a private world, or None where it is not allowed."""
    command = UNSHARE if os.geteuid() == 0 else [*UNSHARE, "--user", "--map-root-user"]
    tried = subprocess.run([*command, "true"], capture_output=True)
    return command if tried.returncode == 0 else None


def enter(module, arguments):
    """Runs the module again in a private world; its exit status, or None if that is not allowed."""
    command = unshare_command()
    if command is None:
        return None
    child = subprocess.Popen(
        [*command, sys.executable, "-m", module, *arguments], env={**os.environ, INSIDE: "1"}
    )
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.terminate()  # with it goes everything inside


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
        if self.loss_percent:
            rules = (
                f"table netdev loss_{interface} {{\n chain lose {{\n"
                f"  type filter hook ingress device {interface} priority 0;\n"
                f"  numgen random mod 100 < {self.loss_percent} counter drop\n }}\n}}\n"
            )
            run("ip", "netns", "exec", space, "nft", "-f", "-", stdin=rules)

    def lost(self):
        """Datagrams that the lab has dropped so far."""
        total = 0
        for space in self.interfaces:
            words = run("ip", "netns", "exec", space, "nft", "list", "ruleset").split()
            total += sum(int(words[i + 1]) for i, w in enumerate(words) if w == "packets")
        return total
