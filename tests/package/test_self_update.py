"""swdist replaces itself by a release, and comes back when the new one is good for nothing.

On a router of its own (router.py): the launcher under busybox's ash, the packed modules, real
daemons, and the operator's own commands at the other end of the link.
"""

import json
import os
import subprocess
import sys
import time

import pytest
from test_install import CONFIG, give_runtime

from swdist import VERSION as TODAY
from swdist_host import payload

SWDIST = [sys.executable, "-c", "from swdist_host.cli import main; main()"]
LAUNCHER = "usr/bin/swdist"
CONFIRM_S = 6
MARGIN_S = 2
LIMIT_S = 2 * CONFIRM_S + MARGIN_S + 45
VERSION = 'VERSION = "1.0.1"\n'


def code(folder, package, changes):
    """A payload with the package's modules; changes: {module: source}, None leaves it out."""
    modules = folder / payload.CODE
    modules.mkdir(parents=True)
    for name, data in payload._modules(package).items():
        if name.split(".")[0] not in changes:
            (modules / name).write_bytes(data)
    for name, text in changes.items():
        if text is not None:
            (modules / f"{name}.py").write_text(text)
    return folder


class Field:
    """A router, and a laptop beside it that makes releases and hands them in."""

    home = "usr/share/swdist/state"

    def __init__(self, router, packages, ca, folder, links=()):
        """links: further interfaces of its mesh; mesh0's other end is the laptop's."""
        self.router = router
        self.ca, self.key = ca
        self.folder = folder
        self.laptop = None
        give_runtime(router)
        (router.root / "etc/config").mkdir()
        config = CONFIG + f"\toption confirm_s '{CONFIRM_S}'\n\toption beacon_ms '500'\n"
        config += "".join(f"\tlist interface '{name}'\n" for name in links)
        (router.root / "etc/config/swdist").write_text(config)
        router.install(packages["swdist-keyring"], packages["swdist"])
        # The same launcher with shorter times.
        path = router.root / LAUNCHER
        text = path.read_text()
        for line, shorter in (("MARGIN_S=60", f"MARGIN_S={MARGIN_S}"), ("AGAIN_S=5", "AGAIN_S=1")):
            assert line in text
            text = text.replace(line, shorter)
        path.write_text(text)
        router.run("swdist restart")
        self.wait(lambda: self.status("switch") and self.status("net"), "it is up")

    def command(self, *words):
        done = subprocess.run(
            [*SWDIST, *map(str, words)], cwd=self.folder, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def hand_in(self, version, *words, start="now"):
        """Its id. From then on the laptop is a neighbour that offers the release."""
        file = f"{version}-{len(list(self.folder.glob('*.swd')))}.swd"
        build = ["--ca", self.ca, "--version", version, "--start", start, *words]
        said = json.loads(self.command("release", "build", "-o", file, *build, "--json"))
        self.command("release", "sign", file, "--key", self.key, "--ca", self.ca, "--yes")
        seed = [*SWDIST, "seed", file, "--ca", self.ca, "--interface", "mesh1"]
        # The router's network, with the /sys that belongs to it.
        enter = ["nsenter", "-t", self.router.pid, "--net", "unshare", "--mount", "sh", "-c"]
        sysfs = 'mount -t sysfs none /sys && exec "$@"'
        self.leave()
        with open(self.folder / "log", "a") as log:
            self.laptop = subprocess.Popen(
                [*enter, sysfs, "sh", *map(str, seed)], cwd=self.folder, stdout=log, stderr=log,
                # What it leaves when it is killed goes with the test's folder.
                env={**os.environ, "TMPDIR": str(self.folder)},
            )  # fmt: skip
        return said["id"]

    def leave(self):
        if self.laptop is not None:
            self.laptop.kill()
            self.laptop.wait()

    def status(self, side):
        try:
            return json.loads((self.router.root / f"var/run/swdist/{side}.json").read_text())
        except (OSError, ValueError):
            return None

    def state(self, name):
        try:
            return (self.router.root / self.home / name).read_text()
        except OSError:
            return ""

    def switches(self):
        return [json.loads(line) for line in self.state("switches").splitlines()]

    def wait(self, ready, what):
        end = time.monotonic() + LIMIT_S
        while not ready():
            if time.monotonic() > end:
                router = (self.router.root / "var/log/messages").read_text().splitlines()[-30:]
                laptop = (self.folder / "log").read_text().splitlines()[-30:]
                said = [f"not seen: {what}", *router, "The laptop:", *laptop]
                raise AssertionError("\n".join([*said, f"{self.status('net')}"]))
            time.sleep(0.1)

    def runs(self, version, rid):
        """Do both daemons run that swdist, and is that release confirmed?"""
        net, switch = self.status("net"), self.status("switch")
        return (
            bool(net and switch)
            and net["swdist"] == switch["swdist"] == version
            and switch["active"]["id"] == switch["confirmed"] == rid
        )


FACTORY = "0" * 64


@pytest.mark.soak
def test_node_runs_the_swdist_of_the_release_and_the_image_s_again_after_it(
    field, packages, tmp_path
):
    assert field.runs(TODAY, FACTORY)
    tree = code(tmp_path / "tree", packages["swdist"], {"__init__": VERSION})
    rid = field.hand_in("1.1.0", "--payload", tree)
    field.wait(lambda: field.runs("1.0.1", rid), "the release's own swdist")
    # What has no swdist of its own runs with the image's.
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/file").write_text("x")
    plain = field.hand_in("1.2.0", "--payload", tmp_path / "plain")
    field.wait(lambda: field.runs(TODAY, plain), "the image's swdist")
    field.hand_in("1.2.0", "--revision", "1", "--withdraw")
    field.wait(lambda: field.runs("1.0.1", rid), "the release's own swdist, once more")
    assert field.state("failed") == ""


HANG = "def main(argv):\n    while True:\n        pass\n\nmain(0)\n"
BROKEN = {
    "syntax error": ({"switchd": "def main(:\n"}, "switchd ended 5 times"),
    "hang": ({"switchd": HANG}, "switchd hung"),
    "missing module": ({"core": None}, "switchd ended 5 times"),
    "end at once": ({"switchd": "raise SystemExit(0)\n"}, "switchd ended 5 times"),
    "network side that hangs": ({"netd": HANG}, "not confirmed in time"),
}
CASES = [
    pytest.param(what, marks=pytest.mark.slow if n == 0 else pytest.mark.soak)
    for n, what in enumerate(BROKEN)
]


@pytest.mark.parametrize("what", CASES)
def test_swdist_that_is_good_for_nothing_is_left_for_the_one_before(
    field, packages, tmp_path, what
):
    changes, why = BROKEN[what]
    good = code(tmp_path / "good", packages["swdist"], {"__init__": VERSION})
    before = field.hand_in("1.1.0", "--payload", good)
    field.wait(lambda: field.runs("1.0.1", before), "the good release")
    hooks = field.router.root / "usr/lib/swdist/hooks/rollback.d"
    hooks.mkdir(parents=True)
    (hooks / "tell").write_text('echo "$1" >>/tmp/left\n')
    bad = code(tmp_path / "bad", packages["swdist"], {"__init__": "VERSION = '6.6.6'\n", **changes})
    rid = field.hand_in("1.2.0", "--payload", bad)
    field.wait(lambda: rid in field.state("failed"), "the failure")
    field.wait(lambda: field.state("active") == before + "\n", "the good release again")
    field.wait(lambda: field.runs("1.0.1", before), "its swdist")
    assert field.state("failed") == f"{rid} {why}\n"
    assert field.state("active") == field.state("confirmed") == before + "\n"
    # Also what the launcher does where no switchd can is told, once, as all else is.
    there, back = field.switches()[-2:]
    assert there.keys() == back.keys()
    assert (back["reason"], back["id"]) == ("rollback", before)
    assert (back["from"], back["to"]) == (there["to"], there["from"]) == ("1.2.0-r0", "1.1.0-r0")
    assert field.router.run("cat /tmp/left") == f"/usr/share/swdist/state/slots/{rid}\n"
    assert "micropython" in field.router.run("ps -o args | grep '[n]etd --config'")


def test_network_side_that_could_not_start_is_refused_before_it_is_switched_to(
    field, packages, tmp_path
):
    """A trial would find out too, but then no node of the mesh would have one. What keeps the one
    that runs from starting as well, or may come, is no fault of the release."""
    field.router.install(packages["swdist-install"])
    field.router.run("echo \"\toption images_kb '64'\" >>/etc/config/swdist; swdist restart")
    field.wait(lambda: field.status("switch") and field.status("net"), "it is up again")
    before = field.router.run("cat /var/run/swdist-netd.pid")
    tree = code(tmp_path / "tree", packages["swdist"], {"__init__": VERSION})
    bad = field.hand_in("1.1.0", "--payload", tree)
    field.wait(lambda: bad in field.state("failed"), "the refusal")
    assert field.state("failed") == f"{bad} swdist-netd: check: swdist-install is missing\n"
    assert field.switches() == [] and field.status("switch")["active"]["id"] == FACTORY
    assert field.router.run("cat /var/run/swdist-netd.pid") == before
    config = "sed -i '/images_kb/d' /etc/config/swdist; echo \"\t%s\" >>/etc/config/swdist"
    field.router.run(config % "option no_such 'option'")
    late = field.hand_in("1.2.0", "--payload", tree, start="+1h")
    field.wait(lambda: late in field.status("switch")["prepared"], "no refusal of what all refuse")
    field.router.run("sed -i '/no_such/d' /etc/config/swdist")
    field.router.run(config % "list interface 'usb0'")
    good = field.hand_in("1.1.0", "--revision", "1", "--payload", tree)
    field.wait(lambda: field.runs("1.0.1", good), "a release with its own swdist")
    assert field.state("failed").count("\n") == 1


@pytest.mark.soak
def test_confirmed_swdist_that_rots_on_flash_gives_way_to_the_image_s(field, packages, tmp_path):
    tree = code(tmp_path / "tree", packages["swdist"], {"__init__": VERSION})
    rid = field.hand_in("1.1.0", "--payload", tree)
    field.wait(lambda: field.runs("1.0.1", rid), "the release's own swdist")
    slot = field.router.root / "usr/share/swdist/state/slots" / rid
    (slot / payload.CODE / "switchd.mpy").write_bytes(b"rot")
    field.router.run("kill -9 $(cat /var/run/swdist-switchd.pid)")
    field.wait(lambda: field.status("switch")["swdist"] == TODAY, "the image's switchd")
    assert field.status("switch")["active"]["id"] == rid
    assert field.status("net")["swdist"] == "1.0.1"
    assert field.state("failed") == ""
