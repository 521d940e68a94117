"""files/usr/lib/swdist/install under busybox's ash, with opkg.sh: packages come, and go again.

The router is a root file system of its own, with a package `base` in its image."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packing import ROOT, simple
from router import Failed
from test_install import node  # noqa: F401 - a fixture

SCRIPT = ROOT / "files/usr/lib/swdist/install"
STATE = "/usr/share/swdist/state"
WHY = "/var/run/swdist.why"
CONF = "etc/config/base"
# Each command that changes something is counted; before the one after /tmp/cut the power goes.
CUTTING = """
step() {
	echo "$1" >>/tmp/calls
	[ "$(wc -l </tmp/calls)" -le "$(cat /tmp/cut)" ] || kill -9 0
	command "$@"
}
for name in mv rm cp sync mkdir; do
	eval "$name() { step $name \\"\\$@\\"; }"
done
tar() {
	case $1 in c* | xzf) step tar "$@" ;; *) command tar "$@" ;; esac
}
"""


class System:
    def __init__(self, router, folder):
        self.router = router
        self.root = router.root
        self.folder = folder
        (self.root / "bin/opkg").symlink_to("opkg.sh")
        (self.root / "usr/lib/swdist").mkdir(parents=True)
        (self.root / STATE[1:]).mkdir(parents=True)
        self.script(SCRIPT.read_text())
        base = self.package(
            "base", "1.0", {"usr/bin/tool": "one", CONF: "as it came"}, (f"/{CONF}",)
        )
        (self.root / "tmp/base.ipk").write_bytes(base.read_bytes())
        router.run("opkg.sh install /tmp/base.ipk")
        self.image = self.files()

    def script(self, text):
        (self.root / "usr/lib/swdist/install").write_text(text)

    def package(self, name, version, files, conffiles=(), scripts=None, **fields):
        folder = self.folder / f"{name}_{version}"
        folder.mkdir(exist_ok=True)
        control = {"Package": name, "Version": version, **fields}
        return simple(folder / f"{name}_{version}_all.ipk", control, scripts, files, conffiles)

    def slot(self, name, *packages):
        path = self.root / STATE[1:] / "slots" / name
        path.mkdir(parents=True)
        for package in packages:
            shutil.copy(package, path)

    def call(self, what, slot, kind="ipk", limit_s=20):
        """None, or why it failed."""
        (self.root / WHY[1:]).unlink(missing_ok=True)
        words = (
            f"{what} {STATE}/slots/{slot} {kind} {WHY} {STATE} /var/run/swdist {limit_s} b swdist"
        )
        try:
            self.router.run(f"setsid sh /usr/lib/swdist/install {words}")
        except Failed as e:
            why = self.root / WHY[1:]
            return why.read_text().strip() if why.exists() else str(e)
        return None

    def go(self, slot, kind="ipk"):
        assert self.call("activate", slot, kind) is None

    def factory(self):
        self.go("0" * 64, "none")

    def files(self):
        """What is installed, {name: content}; in opkg's lists the order is free."""

        def content(name):
            data = (self.root / name).read_bytes()
            if name.startswith("usr/lib/opkg/"):
                return sorted(data.split(b"\n\n" if name.endswith("status") else b"\n"))
            return data

        return {
            name: content(name)
            for name in self.router.files()
            if (self.root / name).is_file() and name.split("/")[0] in ("usr", "etc", "bin")
            and not name.startswith("usr/share/swdist")
        }  # fmt: skip

    def versions(self):
        return dict(line.split() for line in self.router.run("opkg.sh list").splitlines())

    def text(self, name):
        path = self.root / name
        return path.read_text() if path.exists() else None

    def kept(self):
        folder = self.root / STATE[1:] / "packages"
        return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def system(router, tmp_path):
    return System(router, tmp_path)


def test_packages_come_are_replaced_and_go_and_the_image_is_as_it_was(system):
    one = system.package("base", "2.0", {"usr/bin/tool": "two", "usr/bin/more": "x", CONF: "new"},
                         (f"/{CONF}",))  # fmt: skip
    system.slot("a", one, system.package("extra", "1", {"usr/bin/extra": "e"}, Depends="base"))
    system.slot("b", system.package("base", "0.9", {"usr/bin/tool": "zero"}))
    assert system.call("prepare", "a") is None
    assert system.files() == system.image
    assert system.kept()[:2] == ["base.conffiles", "base.ipk"]
    assert system.text(f"{STATE[1:]}/packages/extra.new") == "/usr/bin/extra\n"
    system.go("a")
    assert system.versions() == {"base": "2.0", "extra": "1"}
    assert system.text("usr/bin/tool") == "two" and system.text(CONF) == "new"
    system.go("b")  # a lower version, without the other one
    assert system.versions() == {"base": "0.9"}
    assert system.text("usr/bin/tool") == "zero" and system.text("usr/bin/more") is None
    system.go("a")
    system.factory()
    assert system.versions() == {"base": "1.0"}
    assert system.files() == system.image and system.kept() == []


def test_release_of_another_kind_undoes_what_packages_have_changed(system):
    system.slot("a", system.package("base", "2.0", {"usr/bin/tool": "two"}))
    system.go("a")
    system.slot("c")
    (system.root / STATE[1:] / "slots/c/base_3_all.ipk").write_text("data of a slot, no package")
    system.go("c", "slot")
    assert system.files() == system.image


def test_what_is_done_is_not_done_again(system):
    log = '#!/bin/sh\necho "$0 $*" >>/tmp/ran\n'
    scripts = {"postinst": log, "prerm": log}
    system.slot("a", system.package("extra", "1", {"usr/bin/extra": "e"}, scripts=scripts))
    for _ in range(3):
        system.go("a")
    assert len(system.text("tmp/ran").splitlines()) == 1
    for _ in range(2):
        system.factory()
    assert len(system.text("tmp/ran").splitlines()) == 2


def test_edited_configuration_is_kept_there_and_back(system):
    (system.root / CONF).write_text("edited")
    one = system.package("base", "2.0", {"usr/bin/tool": "two", CONF: "new"}, (f"/{CONF}",))
    system.slot("a", one)
    system.go("a")
    assert system.text(CONF) == "edited" and system.text(f"{CONF}-opkg") == "new"
    (system.root / CONF).write_text("edited again")
    system.factory()
    assert system.text(CONF) == "edited again" and system.text("usr/bin/tool") == "one"


@pytest.mark.parametrize("script", ["preinst", "postinst"])
def test_script_that_fails_makes_the_release_fail_and_all_is_undone(system, script):
    fails = {script: "#!/bin/sh\necho no >&2\nexit 3\n"}
    bad = system.package("base", "2.0", {"usr/bin/tool": "two"}, scripts=fails)
    system.slot("a", bad, system.package("extra", "1", {"usr/bin/extra": "e"}))
    why = system.call("activate", "a")
    assert why.startswith("opkg: pkg_run_script:") and script in why
    system.factory()
    assert system.files() == system.image and system.kept() == []


@pytest.mark.parametrize("name", ["base", "extra"])
def test_script_that_will_not_let_go_is_overruled(system, name):
    stays = {"prerm": "#!/bin/sh\nexit 1\n"}
    system.slot("a", system.package(name, "2.0", {"usr/bin/tool2": "two"}, scripts=stays))
    system.go("a")
    system.factory()
    assert system.files() == system.image and system.kept() == []


def test_script_that_hangs_is_ended_with_all_that_it_has_started(system):
    hangs = {"postinst": "#!/bin/sh\nsleep 987 &\nsleep 987\n"}
    system.slot("a", system.package("extra", "1", {"usr/bin/extra": "e"}, scripts=hangs))
    assert system.call("activate", "a", limit_s=2).startswith("opkg:")
    assert "sleep 987" not in system.router.run("ps")
    system.factory()
    assert system.files() == system.image


@pytest.mark.parametrize(
    "name, files, why",
    [
        ("swdist", {"usr/bin/x": "x"}, "swdist is what swdist itself runs on"),
        ("micropython-lib", {"usr/bin/x": "x"}, "micropython-lib is what swdist itself runs on"),
        ("../evil", {"usr/bin/x": "x"}, "evil_1_all.ipk is no package"),
        ("extra", {"etc/passwd": "x"}, "extra brings /etc/passwd, which is here already"),
        ("extra", {"usr/bin/tool": "x"}, "extra brings /usr/bin/tool, which is here already"),
    ],
)
def test_what_could_not_be_undone_is_refused_before_anything_changes(system, name, files, why):
    made = system.package("evil", "1", files, Package=name)
    system.slot("a", system.package("base", "2.0", {"usr/bin/tool": "two"}), made)
    for what in ("prepare", "activate"):
        assert system.call(what, "a").startswith(why)
    assert system.files() == system.image
    system.factory()
    assert system.files() == system.image and system.kept() == []


def test_garbage_nothing_and_twice_the_same_are_refused(system):
    one = system.package("extra", "1", {"usr/bin/extra": "e"})
    system.slot("twice", one, system.package("extra", "2", {"usr/bin/extra": "e"}))
    assert system.call("prepare", "twice") == "extra is in it twice"
    system.slot("empty")
    assert system.call("prepare", "empty") == "*.ipk is no package"
    system.slot("garbage")
    (system.root / STATE[1:] / "slots/garbage/x.ipk").write_bytes(b"\x1f\x8b\x00\xff" * 99)
    assert system.call("prepare", "garbage") == "x.ipk is no package"
    assert system.files() == system.image


def test_package_that_needs_another_one_is_not_installed(system):
    needs = system.package("extra", "1", {"usr/bin/extra": "e"}, Depends="other")
    system.slot("a", needs)
    for what in ("prepare", "activate"):
        assert "cannot find dependency other for extra" in system.call(what, "a")
    system.factory()
    assert system.files() == system.image


def test_manager_that_says_it_has_installed_what_it_has_not_is_not_believed(system):
    system.slot("a", system.package("extra", "1", {"usr/bin/extra": "e"}))
    path = system.root / "bin/opkg"
    path.unlink()
    path.write_text('#!/bin/sh\n[ "$1" = status ] && exec opkg.sh "$@"\nexit 0\n')
    path.chmod(0o755)
    assert system.call("activate", "a") == "opkg has not installed extra_1_all.ipk"


def test_without_a_package_manager_it_is_refused(system):
    system.slot("a", system.package("extra", "1", {"usr/bin/extra": "e"}))
    (system.root / "bin/opkg").unlink()
    assert system.call("prepare", "a") == "there is neither opkg nor ipkg here"


@pytest.mark.parametrize("says", ["exit 255", "kill -9 $$", "sleep 99", "exit 1"])
@pytest.mark.parametrize("asked", ["status", "--noaction", "--force-downgrade"])
def test_manager_that_gives_no_answer_is_no_verdict_and_nothing_changes(system, says, asked):
    """A lock, an end by somebody, and for questions the time limit."""
    system.slot("a", system.package("base", "2.0", {"usr/bin/tool": "two"}))
    path = system.root / "bin/opkg"
    path.unlink()
    path.write_text(f'#!/bin/sh\ncase $1 in {asked}) {says} ;; esac\nexec opkg.sh "$@"\n')
    path.chmod(0o755)
    what = "prepare" if asked == "--noaction" else "activate"
    if (says, asked) == ("sleep 99", "--force-downgrade"):
        assert system.call(what, "a", limit_s=2) == "opkg: more than 2 s"
    elif not says.startswith("sleep") or asked == "status":
        assert system.call(what, "a", limit_s=2).startswith("not now: opkg: ")
    assert system.files() == {**system.image, "bin/opkg": path.read_bytes()}
    path.write_text('#!/bin/sh\nexec opkg.sh "$@"\n')
    system.go("a")
    assert system.text("usr/bin/tool") == "two"
    system.factory()
    assert system.text("usr/bin/tool") == "one" and system.kept() == []


@pytest.mark.parametrize("size", [0, 20, 60])
def test_list_of_packages_that_is_not_whole_is_no_answer(system, size):
    system.slot("a", system.package("base", "2.0", {"usr/bin/tool": "two"}))
    path = system.root / "usr/lib/opkg/status"
    text = path.read_text()
    path.write_text(text[:size])
    for what in ("prepare", "activate"):
        assert system.call(what, "a") == "not now: opkg's list of packages is not whole"
    assert system.text("usr/bin/tool") == "one"
    path.write_text(text)
    system.go("a")
    system.factory()
    assert system.files() == system.image


SERVICE = """#!/bin/sh
case $1 in
enable) ln -sf ../init.d/thing /etc/rc.d/S50thing ;;
disable) rm -f /etc/rc.d/S50thing ;;
esac
echo $1 >>/tmp/said
"""


@pytest.mark.parametrize("on", [True, False])
def test_service_is_enabled_afterwards_if_it_was_before(system, on):
    """Also where opkg has removed and installed, for which each postinst enables it."""
    scripts = {
        script: f"#!/bin/sh\n[ $PKG_UPGRADE = 1 ] || /etc/init.d/thing {does}\n"
        for script, does in (("postinst", "enable"), ("prerm", "disable"))
    }
    (system.root / "etc/rc.d").mkdir()
    files = {"etc/init.d/thing": SERVICE, "usr/bin/thing": "1"}
    one = system.package("thing", "1", files, scripts=scripts)
    two = system.package("thing", "2", files | {"usr/bin/thing": "2"}, scripts=scripts)
    (system.root / "tmp/one.ipk").write_bytes(one.read_bytes())
    system.router.run("opkg.sh install /tmp/one.ipk")
    if not on:
        system.router.run("/etc/init.d/thing disable")
    link = system.root / "etc/rc.d/S50thing"
    system.slot("a", two)
    system.go("a")
    assert link.is_symlink() == on and system.text("usr/bin/thing") == "2"
    # Half gone: it is installed anew, over the same version.
    (system.root / "usr/bin/thing").unlink()
    packages = system.root / STATE[1:] / "packages"
    (packages / "busy").write_text("a\n")
    (packages / "services").write_text("enable thing\n" if on else "disable thing\n")
    system.go("a")
    assert link.is_symlink() == on and system.text("usr/bin/thing") == "2"
    (system.root / "usr/bin/thing").write_text("short")
    system.factory()
    assert link.is_symlink() == on and system.text("usr/bin/thing") == "1"


def test_what_is_on_flash_counts_and_not_the_list_of_packages(system):
    """opkg says that all is well where it has written short files; then it is not done."""
    system.slot("a", system.package("base", "2.0", {"usr/bin/tool": "two"}))
    system.go("a")
    path = system.root / "bin/opkg"
    path.unlink()
    spoils = 'case "$*" in *install*) echo >/usr/bin/tool ;; esac'
    path.write_text(f'#!/bin/sh\nopkg.sh "$@" && {spoils}\n:\n')
    path.chmod(0o755)
    for _ in range(2):
        why = system.call("activate", "0" * 64, "none")
        assert why == "not now: base: opkg: /usr/bin/tool is not as it was"
    assert "base.ipk" in system.kept()
    path.write_text('#!/bin/sh\nexec opkg.sh "$@"\n')
    system.factory()
    assert system.text("usr/bin/tool") == "one" and system.kept() == []


def cut(system, step):
    """From the image to a release and back, with one power cut. False: there is no such step."""
    (system.root / "tmp/calls").unlink(missing_ok=True)
    (system.root / "tmp/cut").write_text(f"{step}\n")
    for slot, kind in (("a", "ipk"), ("b", "ipk"), ("0" * 64, "none")):
        if system.call("activate", slot, kind) is not None:
            break
    else:
        return False
    calls = (system.root / "tmp/calls").read_text().splitlines()
    assert len(calls) == step + 1
    (system.root / "tmp/cut").write_text("100000\n")
    assert system.call("activate", slot, kind) is None, (step, slot)  # at the next start
    expected = {"a": {"base": "2.0", "extra": "1"}, "b": {"base": "1.0", "extra": "2"}}
    assert system.versions() == expected.get(slot, {"base": "1.0"}), step
    assert system.text("usr/bin/tool") == ("two" if slot == "a" else "one"), step
    system.factory()
    assert system.files() == system.image and system.kept() == [], step
    return True


def with_cuts(system):
    """One release replaces a package and brings one; the next has another version of that one."""
    two = system.package("base", "2.0", {"usr/bin/tool": "two", "usr/bin/more": "x", CONF: "new"},
                         (f"/{CONF}",))  # fmt: skip
    system.slot("a", two, system.package("extra", "1", {"usr/bin/extra": "e"}, Depends="base"))
    system.slot("b", system.package("extra", "2", {"usr/bin/extra": "f"}))
    first, _, rest = SCRIPT.read_text().partition("\n")
    system.script(f"{first}\n{CUTTING}{rest}")
    opkg = system.root / "bin/opkg.sh"
    first, _, rest = opkg.read_text().partition("\n")
    opkg.write_text(f"{first}\n{CUTTING}{rest}")
    (system.root / "tmp/cut").write_text("100000\n")
    system.image = system.files()


@pytest.mark.slow
def test_power_cut_leaves_what_the_next_start_completes_or_undoes(system):
    with_cuts(system)
    step = 3
    while cut(system, step):
        step += 29
    assert step > 100


@pytest.mark.soak
def test_power_cut_at_each_step(system):
    with_cuts(system)
    step = 0
    while cut(system, step):
        step += 1
    print(step, "cuts")
    assert step > 100


def released(folder, ca, name, *words):
    """A signed release of version 1.1.0 that starts now."""
    swdist = Path(sys.executable).with_name("swdist")
    build = ["release", "build", "-o", name, "--ca", ca[0], "--version", "1.1.0", "--start", "now"]
    for command in ([*build, *words], ["release", "sign", name, "--key", ca[1], "--yes"]):
        subprocess.run([swdist, *command], cwd=folder, check=True, stdin=subprocess.DEVNULL)
    return folder / name


@pytest.mark.slow
def test_daemons_install_the_packages_of_a_release_and_take_them_back(
    node,  # noqa: F811
    packages,
    ca,
    tmp_path,
):
    """Real ones, with a real release; without swdist-install they say what is missing, and go on
    with the same release when it is there."""
    (node.root / "bin/opkg").symlink_to("opkg.sh")
    extra = simple(tmp_path / "e.ipk", {"Package": "extra", "Version": "1"}, {}, {"usr/bin/e": "e"})
    one = released(tmp_path, ca, "1.swd", "--package", extra)
    node.install(packages["swdist-utils"])
    node.run("swdist restart; sleep 1")  # what can be installed here is found out at the start
    (node.root / "tmp/1.swd").write_bytes(one.read_bytes())
    node.run("swdist inject /tmp/1.swd")
    node.wait("swdist log | grep 'failed: not now: kind ipk takes package swdist-install'")

    node.install(packages["swdist-install"])
    node.run("swdist restart")
    node.wait("swdist log | grep 'confirmed release 1.1.0-r0'")
    assert "extra 1\n" in node.run("opkg.sh list") and (node.root / "usr/bin/e").exists()

    gone = released(tmp_path, ca, "3.swd", "--revision", "1", "--withdraw")
    (node.root / "tmp/3.swd").write_bytes(gone.read_bytes())
    node.run("swdist inject /tmp/3.swd")
    node.wait("swdist log | grep 'to 0.0.0-r0\\|to 1.0.0-r0' && ! ls /usr/bin/e && echo gone")
    assert "extra" not in node.run("until opkg.sh list; do :; done")
