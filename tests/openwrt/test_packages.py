"""Releases of packages: made by our tools, installed and undone by the real package manager."""

import sys

import pytest

from openwrt.node import Node
from openwrt.router import wait_for

sys.path.append(str(__import__("pathlib").Path(__file__).resolve().parent.parent.parent / "tools"))
import ipk

TOOL, CONF, NEW = "/usr/bin/probe", "/etc/config/probe", "/usr/share/extra"


def package(made, name, version, files, conffiles=()):
    out = made.folder / f"small-{version}"
    entries = {path.lstrip("/"): (0o755, text.encode()) for path, text in files.items()}
    made_here = ipk.Package(
        name, "all", "small", version=version, files=entries, conffiles=conffiles
    )
    ipk.write(made_here, out, 1)
    return next(path for path in out.glob(f"{name}*.{made.kind}"))


@pytest.fixture
def field(made, mesh, tmp_path):
    node = mesh.add(tmp_path, "install")
    node.install(package(made, "probe", "1.0-r1", {TOOL: "one", CONF: "as it came"}, (CONF[1:],)))
    node.run(f"echo edited >{CONF}")
    two = package(made, "probe", "2.0-r1", {TOOL: "two", CONF: "as it comes"}, (CONF[1:],))
    more = package(made, "extra", "1.0-r1", {NEW: "new"})
    mesh.words = ["--package", two, "--package", more]
    return node


def versions(node):
    ask = {"ipk": "opkg list-installed", "apk": "apk list --installed 2>/dev/null | sed 's/ .*//'"}[
        node.made.kind
    ]
    return node.run(f"{ask} | grep -e '^probe' -e '^extra' || true")


def test_release_is_installed_and_undone_when_it_is_withdrawn(made, mesh, field):
    before = versions(field)
    mesh.hand_in(made.release("1.1.0", *mesh.words))
    field.runs("1.1.0", 60)
    assert field.run(f"cat {TOOL} {NEW}") == "twonew"
    assert "2.0" in versions(field) and "extra" in versions(field)
    mesh.hand_in(made.release("1.1.0", "--revision", "1", "--withdraw"))
    wait_for(lambda: field.switch()["active"]["version"] == "1.0.0", "the image's own", 60)
    wait_for(lambda: versions(field) == before, "the packages that were here", 60)
    assert field.run(f"cat {TOOL} {CONF}") == "oneedited"
    field.run(f"[ ! -e {NEW} ]")
    field.run('[ -z "$(ls /etc/swdist/state/packages 2>/dev/null)" ]')


def test_release_that_fails_its_trial_is_undone(made, mesh, field):
    before = versions(field)
    field.run(
        "mkdir -p /usr/lib/swdist/hooks/confirm.d; echo 'echo no route; exit 1' >/usr/lib/swdist/hooks/confirm.d/10"
    )
    mesh.hand_in(made.release("1.1.0", *mesh.words))
    assert "no route" in str(field.fails(90))
    wait_for(lambda: versions(field) == before, "the packages that were here", 60)
    assert field.run(f"cat {TOOL} {CONF}") == "oneedited"


def test_ours_are_removed_by_it(made, tmp_path):
    with Node(made, tmp_path, "utils", "install") as node:
        node.up()
        node.run(
            "mkdir -p /usr/lib/swdist/hooks/confirm.d; echo true >/usr/lib/swdist/hooks/confirm.d/10"
        )
        node.run("uci set swdist.@swdist[0].log_level=debug; uci commit swdist")
        node.remove("swdist-utils")
        node.up()
        assert sorted(node.daemons()) == ["netd", "switchd"]
        node.remove("swdist-install", "swdist")
        wait_for(lambda: not node.daemons(), "none", 20)
        node.run(
            "[ -e /usr/lib/swdist/hooks/confirm.d/10 ] && [ -s /etc/swdist/ca/network ] && [ ! -e /etc/rc.d/S99swdist ]"
        )
        assert "debug" in node.run("cat /etc/config/swdist")
