"""opkg.sh, which stands for opkg, does what the real one does: these are run with both.

The real one with ROOTFS, the root file system of an OpenWrt that has opkg (24.10 or before)."""

import os
import subprocess
import time

import pytest
from packing import simple
from real_opkg import Tree

from lab.rootfs import OPKG

CONF = "/etc/config/thing"
SAYS = """#!/bin/sh
me=$(basename "$0")
new=$([ ! -e {root}/new ] || echo y)
old=$([ ! -e {root}/old ] || echo y)
echo "${{me#thing.}} $* upgrade=$PKG_UPGRADE new=$new old=$old" >>{log}
"""


class System:
    """With the stand-in: its root is a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.root = folder / "root"
        self.log = folder / "log"
        self.within = (self.root, self.log)
        self.root.mkdir()

    def package(self, version, files, conffile="as it came\n", name="thing", **fields):
        root, log = self.within
        names = ("preinst", "postinst", "prerm", "postrm") if name == "thing" else ()
        if not isinstance(files, dict):
            files = dict.fromkeys(files, version)
        return simple(
            self.folder / f"{name}_{version}.ipk",
            {"Package": name, "Version": version, **fields},
            {script: SAYS.format(root=root, log=log) for script in names},
            {**files, **({CONF[1:]: conffile} if conffile else {})},
            (CONF,) if conffile else (),
        )

    def opkg(self, *words):
        return subprocess.run(
            ["busybox", "sh", OPKG, "-o", self.root, *words], capture_output=True, text=True
        )

    def run(self, *words, status=0):
        done = self.opkg(*words)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr + done.stdout

    def said(self):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.write_text("")
        return [line.replace("thing.", "") for line in lines]

    def read(self, path):
        return (self.root / path.lstrip("/")).read_text()


class Real(System):
    """The root is what a router's flash has, over its image."""

    def __init__(self, folder, tree):
        self.folder = folder
        self.flash = tree.flash()
        self.root = self.flash.path / "up"
        self.within = ("", "/root/log")
        self.log = self.root / "root/log"

    def opkg(self, *words, before=":"):
        names = [str(word) for word in words]
        for n, word in enumerate(words):
            if isinstance(word, os.PathLike):
                self.flash.put(word, "root")
                names[n] = f"/root/{word.name}"
        return self.flash.run(f"{before}; mkdir -p /root; /bin/opkg {' '.join(names)}")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    rootfs = os.environ.get("ROOTFS")
    if not rootfs:
        pytest.skip("no ROOTFS")
    return Tree(tmp_path_factory.mktemp("tree"), rootfs)


@pytest.fixture(params=["stand-in", "real"])
def system(request, tmp_path):
    if request.param == "stand-in":
        return System(tmp_path)
    return Real(tmp_path, request.getfixturevalue("tree"))


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
    assert "is up to date" in system.run("install", system.package("0.9.10-r1", ["new"]))
    assert "Not downgrading" in system.run("install", system.package("0.9.9-r1", ["new"]))
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


def test_file_of_no_package_is_overwritten_and_one_of_another_stops_it(system):
    (system.root / "old").write_text("by hand")
    system.run("install", system.package("1", ["old"]))
    assert system.read("old") == "1"
    said = system.run("install", system.package("1", ["old"], None, "other"), status=255)
    assert said.startswith("Collected errors:\n * check_data_file_clashes: ")
    assert " already provided by package  * thing\n" in said


def test_packages_given_together_satisfy_each_other_in_any_order(system):
    depends = "python, thing (>= 1)"
    needs = system.package("1", ["new"], name="needs", conffile=None, Depends=depends)
    gives = system.package("2", ["gives"], name="gives", conffile=None, Provides="python")
    system.run("install", needs, gives, system.package("1", ["old"]))
    # All are unpacked before the first is configured.
    assert "postinst configure upgrade=0 new=y old=y" in system.said()
    assert "Package gives is depended upon by packages" in system.run("remove", "gives", status=255)


@pytest.mark.parametrize("noaction", [(), ("--noaction",)])
def test_what_it_refuses_and_with_which_words(system, noaction):
    needs = system.package("1", ["new"], None, "needs", Depends="other")
    odd = system.package("1", ["new"], None, "odd", Architecture="")
    for package, causes in (
        (needs, ["pkg_hash_check_unresolved: cannot find dependency other for needs"]),
        (odd, []),
    ):
        said = system.run(*noaction, "install", package, status=255).splitlines()
        name = package.name.split("_")[0]
        odd_words = f"Packages for {name} found, but incompatible with the architectures configured"
        causes = [*causes, f"pkg_hash_fetch_best_installation_candidate: {odd_words}"]
        assert said[: len(causes) + 1] == ["Collected errors:", *(" * " + x for x in causes)]
        assert not (system.root / "new").exists()


def test_noaction_changes_nothing(system):
    system.run("install", system.package("1", ["old"]))
    system.said()
    status = system.read("/usr/lib/opkg/status")
    system.run("--noaction", "install", system.package("2", ["new"]))
    assert (system.said(), system.read("/usr/lib/opkg/status")) == ([], status)
    assert not (system.root / "new").exists()


def test_reinstallation_is_a_removal_for_the_scripts(system):
    system.run("install", system.package("1", ["old"]))
    system.said()
    system.run("--force-reinstall", "install", system.package("2", ["new"]))
    assert system.said() == [
        "prerm remove upgrade=0 new= old=y",
        "postrm remove upgrade=0 new= old=",
        "preinst install upgrade=0 new= old=",
        "postinst configure upgrade=0 new=y old=",
    ]


def test_what_can_t_be_unpacked_is_no_error(system):
    package = system.package("1", ["a/b"])
    parts = subprocess.run(["tar", "xzf", package, "-C", system.folder], check=True)
    assert parts.returncode == 0
    for script in (
        "tar xzf data.tar.gz && tar czf data.tar.gz ./a/b",
        f"tar czf {package.name} ./debian-binary ./control.tar.gz ./data.tar.gz",
    ):
        subprocess.run(["sh", "-c", script], cwd=system.folder, check=True)
    said = system.run("install", package)
    assert "wfopen: " in said and not (system.root / "a").exists()
    assert "Status: install user installed" in system.run("status", "thing")


def test_absent_is_removed_with_success_and_unknown_is_no_error(system):
    assert "No packages removed" in system.run("remove", "nothing")
    assert system.run("status", "nothing").strip() == ""


@pytest.mark.parametrize("size, status", [(4096, 139), (4095, 0), (0, 0)])
def test_list_of_packages_that_ends_somewhere(system, size, status):
    """opkg writes it in blocks of 4 KB. Cut there, it is the end of opkg itself; cut elsewhere,
    what is missing is not installed."""
    system.run("install", system.package("1", ["old"]))
    path = system.root / "usr/lib/opkg/status"
    path.write_text(("Package: thong\nVersion: 1\nStatus: install ok installed\n\n" * 99)[:size])
    done = system.opkg("status", "thing")
    assert done.returncode in (status, status and -11)
    assert "Package: thing" not in done.stdout


def test_configuration_that_a_version_no_longer_has_leaves_a_copy(system):
    system.run("install", system.package("1", ["old"]))
    (system.root / CONF[1:]).write_text("mine\n")
    system.run("install", system.package("2", ["old"], None))
    assert system.read(CONF + "-opkg.backup") == "mine\n"
    assert not (system.root / CONF[1:]).exists()


def test_who_only_asks_needs_the_lock_too(system):
    """255, and nothing on stdout."""
    root, _ = system.within
    waits = f"#!/bin/sh\n: >{root}/begun\nuntil [ -e {root}/go ]; do sleep 0.1; done\n"
    about = {"Package": "slow", "Version": "1"}
    slow = simple(system.folder / "slow.ipk", about, {"preinst": waits})
    if isinstance(system, Real):
        system.flash.put(slow, "root")
        begun = "until [ -e /begun ]; do sleep 0.1; done"
        other = f"opkg install /root/slow.ipk >/dev/null 2>&1 & {begun}"
        done = system.opkg("status", "slow", before=other)
    else:
        words = ["busybox", "sh", OPKG, "-o", system.root, "install", slow]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL):
            while not (system.root / "begun").exists():
                time.sleep(0.01)
            done = system.opkg("status", "slow")
            (system.root / "go").touch()
    assert (done.returncode, done.stdout) == (255, "")
    assert "ould not lock" in done.stderr.lower().replace("could", "ould")
