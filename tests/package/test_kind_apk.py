"""files/usr/lib/swdist/install-apk: packages come, and go again. With ROOTFS=, of an OpenWrt with
apk, by its own; else by apk.sh."""

import fcntl
import os
import subprocess
import time
from pathlib import Path

import pytest
from apk_system import DB, EXPECTED, SCRIPT, System, with_releases

CONF = "etc/config/base"


@pytest.fixture
def system(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("a root file system of its own takes root")
    system = System(tmp_path)
    yield system
    system.close()


def test_packages_come_are_replaced_and_go_and_all_is_as_it_was(system):
    """The database, world with its pins, scripts, folders, and an edited file."""
    with_releases(system)
    image = system.state()
    assert system.call("prepare", "a") is None
    assert system.state() == image and system.kept() == []
    system.go("a")
    assert system.versions() == EXPECTED["a"]
    assert system.text("usr/bin/tool") == "two" and system.text("usr/lib/base/old") is None
    assert system.text(CONF) == "edited" and system.text(f"{CONF}.apk-new") == "new"
    system.go("b")
    assert system.versions() == EXPECTED["b"]
    system.go("a")
    system.go("factory")
    assert system.versions() == EXPECTED["factory"]
    assert system.state() == image and system.kept() == []


def image(system):
    """base is here, in version 1.0-r1; what the system is then."""
    system.image(system.package("base", "1.0-r1", {"usr/bin/tool": "one", CONF: "as it came"}))
    system.apk("audit")
    return system.state()


def base(system, **more):
    return system.package("base", "2.0-r1", {"usr/bin/tool": "two", CONF: "new"}, **more)


def fake(system, text):
    """`real` goes on to apk itself."""
    path = system.root / "usr/bin/apk"
    if not (system.root / "usr/bin/apk.real").exists():
        path.rename(system.root / "usr/bin/apk.real")
    path.write_text(f'#!/bin/sh\nreal() {{ exec /usr/bin/apk.real "$@"; }}\n{text}\n')
    path.chmod(0o755)


def real(system):
    (system.root / "usr/bin/apk.real").rename(system.root / "usr/bin/apk")


def test_release_of_another_kind_undoes_what_packages_have_changed(system):
    before = image(system)
    system.slot("a", base(system))
    system.go("a")
    assert system.text("usr/bin/tool") == "two"
    assert system.call("activate", "c", "slot") is None
    assert system.state() == before


def test_what_is_done_is_not_done_again(system):
    kinds = ("post-install", "post-upgrade", "pre-deinstall", "post-deinstall")
    scripts = {kind: f"#!/bin/sh\necho {kind} >>/tmp/ran\n" for kind in kinds}
    system.slot("a", system.package("extra", "1.0-r1", {"usr/bin/extra": "e"}, scripts))
    for _ in range(3):
        system.go("a")
    assert system.text("tmp/ran").split() == ["post-install"]
    for _ in range(2):
        system.go("factory")
    assert system.text("tmp/ran").split() == ["post-install", "pre-deinstall", "post-deinstall"]


def test_edited_configuration_is_kept_there_and_back(system):
    image(system)
    system.write(CONF, "edited")
    system.slot("a", base(system))
    system.go("a")
    assert system.text(CONF) == "edited" and system.text(f"{CONF}.apk-new") == "new"
    system.write(CONF, "edited again")
    system.go("factory")
    assert system.text(CONF) == "edited again" and system.text("usr/bin/tool") == "one"
    assert system.text(f"{CONF}.apk-new") is None


def test_configuration_that_nobody_has_edited_goes_back_with_its_package(system):
    before = image(system)
    system.slot("a", base(system))
    system.go("a")
    assert system.text(CONF) == "new"
    system.go("factory")
    assert system.text(CONF) == "as it came" and system.state() == before


def test_script_that_fails_makes_the_release_fail_and_all_is_undone(system):
    before = image(system)
    fails = {"post-upgrade": "#!/bin/sh\nexit 3\n"}
    extra = system.package("extra", "1.0-r1", {"usr/bin/extra": "e"})
    system.slot("a", base(system, scripts=fails), extra)
    assert "post-upgrade: exited with error" in system.call("activate", "a")
    system.go("factory")
    assert system.state() == before and system.kept() == []


def test_script_that_hangs_is_ended_and_one_that_will_not_let_go_is_overruled(system):
    before = image(system)
    stays = {"pre-deinstall": "#!/bin/sh\nexit 1\n", "post-install": "#!/bin/sh\nsleep 987\n"}
    system.slot("a", system.package("extra", "1.0-r1", {"usr/bin/extra": "e"}, stays))
    assert system.call("activate", "a", limit_s=2).startswith("apk: ")
    system.go("factory")
    assert system.state() == before


@pytest.mark.parametrize(
    "name, files, why",
    [
        ("swdist", {"usr/bin/x": "x"}, "swdist is what swdist itself runs on"),
        ("micropython-lib", {"usr/bin/x": "x"}, "micropython-lib is what swdist itself runs on"),
        ("../evil", {"usr/bin/x": "x"}, "evil.apk is no package"),
        ("extra", {"usr/bin/tool": "x"}, "extra brings /usr/bin/tool, which is here already"),
        ("extra", {"usr/lib/own": "x"}, "extra brings /usr/lib/own, which is here already"),
    ],
)
def test_what_could_not_be_undone_is_refused_before_anything_changes(system, name, files, why):
    system.write("usr/lib/own", "nobody's")
    before = image(system)
    made = system.package("evil", "1.0-r1", files, pkgname=name)
    made = made.rename(made.with_name("evil.apk"))
    system.slot("a", base(system), made)
    for what in ("prepare", "activate"):
        assert system.call(what, "a").startswith(why)
        assert system.state() == before and system.kept() == []


def test_garbage_nothing_and_twice_the_same_are_refused(system):
    one = system.package("extra", "1.0-r1", {"usr/bin/extra": "e"})
    system.slot("twice", one, system.package("extra", "2.0-r1", {"usr/bin/extra": "e"}))
    assert system.call("prepare", "twice") == "extra is in it twice"
    system.slot("empty")
    assert system.call("prepare", "empty") == "*.apk is no package"
    system.slot("garbage")
    (system.root / "st/slots/garbage/x.apk").write_bytes(b"\x1f\x8b\x00\xff" * 99)
    assert system.call("prepare", "garbage") == "x.apk is no package"


def test_package_that_needs_another_one_is_refused_when_it_is_prepared(system):
    before = image(system)
    extra = system.package("extra", "1.0-r1", {"usr/bin/extra": "e"}, depend="other")
    system.slot("a", extra)
    assert "other (no such package)" in system.call("prepare", "a")
    assert system.state() == before and system.kept() == []


def test_it_is_tried_on_what_will_be_there_and_not_on_the_release_that_is_active(system):
    system.slot("a", system.package("extra", "1.0-r1", {"usr/bin/extra": "e"}))
    system.go("a")
    more = system.package("more", "1.0-r1", {"usr/bin/more": "m"}, depend="extra")
    system.slot("b", more)
    assert "extra (no such package)" in system.call("prepare", "b")
    assert system.versions() == {"extra": "1.0-r1"}


def test_what_a_query_does_not_answer_changes_nothing_and_is_no_verdict(system):
    before = image(system)
    system.slot("a", base(system))
    fake(system, '[ "$1" != audit ] || { echo no >&2; exit 99; }; real "$@"')
    for what in ("prepare", "activate"):
        assert system.call(what, "a") == "not now: apk audit: no"
    real(system)
    assert system.state() == before
    system.go("a")


def test_apk_that_has_no_room_or_is_locked_has_not_refused_the_release(system):
    before = image(system)
    system.slot("a", base(system))
    for said in ("Unable to lock database: Resource temporarily unavailable", "x: No space left"):
        fake(system, f'[ "$1" != add ] || {{ echo "ERROR: {said}" >&2; exit 99; }}; real "$@"')
        assert system.call("activate", "a") == f"not now: apk: {said}"
    real(system)
    system.go("factory")
    assert system.state() == before


def test_going_back_waits_for_who_has_the_lock_and_is_done_then(system):
    before = image(system)
    system.slot("a", base(system))
    system.go("a")
    with open(system.root / DB / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert system.call("activate", "factory").startswith("not now: base can't be undone")
    system.go("factory")
    assert system.state() == before


@pytest.mark.parametrize("does", [":", '/usr/bin/apk.real "$@"; rm -f /usr/bin/extra'])
def test_manager_that_says_it_has_installed_what_it_has_not_is_not_believed(system, does):
    system.slot("a", system.package("extra", "1.0-r1", {"usr/bin/extra": "e"}))
    fake(system, f'[ "$1" != add ] || {{ {does}; exit 0; }}; real "$@"')
    assert system.call("activate", "a") == "apk has not installed extra-1.0-r1.apk"


def test_what_is_broken_on_flash_is_installed_again(system):
    """apk's records alone do not tell."""
    before = image(system)
    system.slot("a", base(system))
    system.go("a")
    system.write("usr/bin/tool", "bro")
    system.go("a")
    assert system.text("usr/bin/tool") == "two"
    system.go("factory")
    assert system.state() == before


def test_service_that_was_disabled_stays_so_there_and_back(system):
    """Whatever scripts of packages do."""
    service = (
        "#!/bin/sh\ncase $1 in\n"
        "enabled) [ -L /etc/rc.d/S50tool ] ;;\n"
        "enable) ln -sf ../init.d/tool /etc/rc.d/S50tool ;;\n"
        "disable) rm -f /etc/rc.d/S50tool ;;\nesac\n"
    )
    scripts = {"post-upgrade": "#!/bin/sh\n/etc/init.d/tool enable\n"}
    files = {"etc/init.d/tool": service, "usr/bin/tool": "one"}
    system.image(system.package("base", "1.0-r1", files, scripts))
    system.slot("a", system.package("base", "2.0-r1", {**files, "usr/bin/tool": "two"}, scripts))
    for slot in ("a", "factory"):
        system.go(slot)
        assert not (system.root / "etc/rc.d/S50tool").is_symlink(), slot
    (system.root / "etc/rc.d/S50tool").symlink_to("../init.d/tool")
    for slot in ("a", "factory"):
        system.go(slot)
        assert (system.root / "etc/rc.d/S50tool").is_symlink(), slot


def test_what_others_install_meanwhile_stays(system):
    image(system)
    system.slot("a", base(system))
    system.go("a")
    system.image(system.package("extra", "1.0-r1", {"usr/bin/extra": "e"}))
    system.go("factory")
    assert system.versions() == {"base": "1.0-r1", "extra": "1.0-r1"}
    assert system.text("usr/bin/extra") == "e"


def session(leader):
    """The processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if words[3] == str(leader):
            found.append(path.parent.name)
    return found


@pytest.mark.parametrize("name", ["install", "install-apk"])
def test_what_watches_the_time_is_gone_with_what_it_watches(name, tmp_path):
    """However late it starts: else it ends some other process when the time is over."""
    limited = SCRIPT.with_name(name).read_text().split("\nlimited() {")[1].split("\n}\n")[0]
    loop = "n=0; while [ $n -lt 400 ]; do limited true; n=$((n + 1)); done"
    script = f"limit_s=60 log=/dev/null work={tmp_path}\nlimited() {{{limited}\n}}\n{loop}"
    shell = subprocess.Popen(["busybox", "ash", "-c", script], start_new_session=True)
    assert shell.wait() == 0
    end = time.monotonic() + 5
    while session(shell.pid) and time.monotonic() < end:
        time.sleep(0.1)
    left = session(shell.pid)
    for process in left:
        os.kill(int(process), 9)
    assert left == []
