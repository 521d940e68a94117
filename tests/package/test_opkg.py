"""opkg.sh, which stands for opkg, does things in the order of opkg's source, on which ours rely.

opkg-lede, libopkg/opkg_install.c and opkg_remove.c; ipkg has the same order.
"""

import subprocess

import pytest
from packing import simple
from router import OPKG

CONF = "/etc/config/thing"
SAYS = """#!/bin/sh
me=$(basename "$0")
new=$([ ! -e {root}/new ] || echo y)
old=$([ ! -e {root}/old ] || echo y)
echo "${{me#thing.}} $* upgrade=$PKG_UPGRADE new=$new old=$old" >>{log}
"""


class System:
    def __init__(self, folder):
        self.root = folder / "root"
        self.log = folder / "log"
        self.folder = folder
        self.log.write_text("")

    def package(self, version, files, conffile="as it came\n", name="thing", **fields):
        scripts = {
            script: SAYS.format(root=self.root, log=self.log)
            for script in ("preinst", "postinst", "prerm", "postrm")
        }
        return simple(
            self.folder / f"{name}_{version}.ipk",
            {"Package": name, "Version": version, **fields},
            scripts if name == "thing" else None,
            {**dict.fromkeys(files, version), **({CONF[1:]: conffile} if conffile else {})},
            (CONF,) if conffile else (),
        )

    def run(self, *words, status=0):
        done = subprocess.run(
            ["busybox", "sh", OPKG, "-o", self.root, *words], capture_output=True, text=True
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def said(self):
        lines = self.log.read_text().splitlines()
        self.log.write_text("")
        return lines

    def read(self, path):
        return (self.root / path.lstrip("/")).read_text()


@pytest.fixture
def system(tmp_path):
    return System(tmp_path)


def test_scripts_run_in_opkg_s_order_with_its_arguments(system):
    system.run("install", system.package("1.0.0-r1", ["old", "both"]))
    assert system.said() == [
        "preinst install upgrade=0 new= old=",
        "postinst configure upgrade=0 new= old=y",
    ]
    system.run("install", system.package("1.0.1-r1", ["new", "both"]))
    assert system.said() == [
        "prerm upgrade 1.0.1-r1 upgrade=1 new= old=y",
        "preinst upgrade 1.0.0-r1 upgrade=1 new= old=y",
        "postrm upgrade 1.0.1-r1 upgrade=1 new= old=y",
        "postinst configure upgrade=1 new=y old=",
    ]
    system.run("remove", "thing")
    assert system.said() == [
        "prerm remove upgrade=0 new=y old=",
        "postrm remove upgrade=0 new= old=",
    ]
    assert not (system.root / "both").exists()


def test_same_and_lower_version_are_left_out(system):
    system.run("install", system.package("0.9.10-r1", ["old"]))
    system.said()
    assert "up to date" in system.run("install", system.package("0.9.10-r1", ["new"]))
    assert "not downgrading" in system.run("install", system.package("0.9.9-r1", ["new"]))
    assert system.said() == [] and not (system.root / "new").exists()


def test_conffile_of_the_user_s_stays_and_the_new_one_comes_beside_it(system):
    system.run("install", system.package("1", ["old"], "one\n"))
    system.run("install", system.package("2", ["old"], "two\n"))
    assert system.read(CONF) == "two\n"  # nobody had edited it
    (system.root / CONF[1:]).write_text("mine\n")
    system.run("install", system.package("3", ["old"], "three\n"))
    assert (system.read(CONF), system.read(CONF + "-opkg")) == ("mine\n", "three\n")
    # Edited to just what comes next: nothing to keep, and no -opkg.
    (system.root / (CONF[1:] + "-opkg")).unlink()
    (system.root / CONF[1:]).write_text("four\n")
    system.run("install", system.package("4", ["old"], "four\n"))
    assert not (system.root / (CONF[1:] + "-opkg")).exists()
    (system.root / CONF[1:]).write_text("mine again\n")
    system.run("remove", "thing")
    assert system.read(CONF) == "mine again\n"


def test_file_that_is_there_already_and_no_package_s_stops_an_installation(system):
    system.root.mkdir()
    (system.root / "old").write_text("by hand")
    assert "of no package" in system.run("install", system.package("1", ["old"]), status=1)
    assert system.read("old") == "by hand"


def test_packages_given_together_satisfy_each_other_in_any_order(system):
    depends = "python, thing (>= 1)"
    needs = system.package("1", ["new"], name="needs", conffile=None, Depends=depends)
    gives = system.package("2", ["gives"], name="gives", conffile=None, Provides="python")
    assert "needs depends on python" in system.run("install", needs, status=1)
    said = system.run("install", needs, gives, system.package("1", ["old"]))
    assert said.index("installed thing") < said.index("installed needs")
    # All are unpacked before the first is configured.
    assert "postinst configure upgrade=0 new=y old=y" in system.said()
    assert "needs depends on gives" in system.run("remove", "gives", status=1)
