"""The shell scripts by themselves, under busybox's ash."""

import subprocess

import pytest
from packing import ROOT

FILES = ROOT / "files"
SCRIPTS = [
    *(ROOT / "package/swdist/scripts").iterdir(),
    *(ROOT / "tests/package").glob("*.sh"),
    *(
        path
        for path in FILES.rglob("*")
        if path.is_file()
        and path.suffix not in (".nft", ".json", ".html", ".js")
        and path.parent.name not in ("config", "keep.d")
    ),
]
# rc.common's part in a call of /etc/init.d/swdist on systems without procd.
RC_COMMON = """initscript=$1
action=$2
enabled() { [ -x /etc/rc.d/S99swdist ]; }
. "$initscript"
$action
"""
PROCD = """
procd_open_instance() { echo "open $1"; }
procd_set_param() { echo "$*"; }
procd_close_instance() { echo close; }
procd_add_reload_trigger() { echo "trigger $1"; }
. "$0"
"""


def ash(script, **environment):
    done = subprocess.run(
        ["busybox", "ash", "-c", *script],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environment},
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_script_is_clean_and_understood_by_ash(path):
    # Those that are sourced have no first line that says what they are.
    done = subprocess.run(["shellcheck", "-s", "sh", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    subprocess.run(["busybox", "ash", "-n", path], check=True)


@pytest.mark.parametrize(
    "layout, found",
    [
        ('mtd1: 007b0000 00010000 "firmware"\nmtd2: 00680000 00010000 "rootfs"\n', ["mtd1:"]),
        ('mtd5: 00680000 00010000 "rootfs"\nmtd4: 007b0000 00010000 "linux"\n', ["mtd4:"]),
        ('mtd0: 00040000 00010000 "boot"\nmtd7: 1 1 "not linux"\n', []),
        ("", []),
    ],
)
def test_status_tells_flash_partitions_by_their_labels(tmp_path, layout, found):
    (tmp_path / "mtd").write_text("dev:    size   erasesize  name\n" + layout)
    text = (FILES / "usr/bin/swdist").read_text()
    script = tmp_path / "swdist"
    script.write_text(text.replace("/usr/lib", f"{FILES}/usr/lib"))
    _, said = ash(['. "$0"', str(script), "status"], SWDIST_PROC_MTD=str(tmp_path / "mtd"))
    lines = [line.split()[0] for line in said.splitlines() if "mtd" in line]
    assert lines == found
    _, said = ash(['. "$0"', str(script), "status"], SWDIST_PROC_MTD=str(tmp_path / "no flash"))
    assert "mtd" not in said


def test_procd_is_told_what_to_run_and_when_to_run_it_anew(tmp_path):
    """Without procd here: the words that the script says to it."""
    text = (FILES / "etc/init.d/swdist").read_text()
    text = text.replace("/sbin/procd", "/bin/sh").replace("/usr/lib", f"{FILES}/usr/lib")
    script = tmp_path / "swdist"
    text = text.replace("mkdir -p", ": mkdir")
    words = PROCD + "start_service; service_triggers; echo $START$STOP"
    script.write_text(text)
    assert ash([words, str(script)])[1].endswith("trigger swdist\n9901\n")  # there are no keys
    script.write_text(text.replace("swdist_ready || return 0", ":"))
    status, said = ash([words, str(script)])
    assert status == 0
    for daemon in ("switchd", "netd"):
        assert (
            f"open {daemon}\n"
            f"command /usr/bin/swdist supervise {daemon}\n"
            "respawn 3600 5 0\n"
            "file /etc/config/swdist\n"
            "stdout 1\nstderr 1\nclose\n"
        ) in said
    assert said.endswith("trigger swdist\n9901\n")


def test_check_is_a_command_of_the_service_on_old_and_new_systems(tmp_path):
    text = (FILES / "etc/init.d/swdist").read_text()
    script = tmp_path / "swdist"
    text = text.replace("/sbin/procd", "/bin/sh").replace("/usr/lib", f"{FILES}/usr/lib")
    script.write_text(text)
    _, said = ash(['. "$0"; echo "$EXTRA_COMMANDS: $EXTRA_HELP"', str(script)])
    assert said == "check: \tcheck\tCheck the configuration\n"
    new = 'extra_command() { echo "$@"; }; . "$0"; echo "$EXTRA_COMMANDS"'
    assert ash([new, str(script)])[1] == "check Check the configuration\n\n"


def test_uci_defaults_of_utils_are_asked_of_openwrt(tmp_path):
    (tmp_path / "lib").mkdir()
    script = f"{ROOT}/package/swdist/scripts/utils-postinst"
    words = [f". {script}", "/usr/lib/opkg/info/swdist-utils.postinst", "configure"]
    root = {"IPKG_INSTROOT": str(tmp_path)}
    assert ash(words, **root) == (0, "")  # older than such functions
    (tmp_path / "lib/functions.sh").write_text('default_postinst()\n{ echo "$@"; return 3; }\n')
    assert ash(words, **root) == (3, "/usr/lib/opkg/info/swdist-utils.postinst configure\n")
    assert ash(words, IPKG_NO_SCRIPT="1", **root) == (0, "")


@pytest.mark.slow
def test_service_and_hotplug_without_procd(router, packages):
    """A system with rc.common and without procd, as OpenWrt was until 2013."""
    from test_install import CONFIG, daemons, give_runtime, up

    give_runtime(router)
    (router.root / "etc/rc.common").write_text("#!/bin/sh\n" + RC_COMMON)
    (router.root / "etc/rc.common").chmod(0o755)
    (router.root / "etc/config").mkdir()
    (router.root / "etc/config/swdist").write_text(CONFIG)
    router.install(packages["swdist-keyring"], packages["swdist"])
    up(router)
    service = "/etc/init.d/swdist"
    router.run(f"{service} enabled && {service} check")
    assert router.run(f"{service} status").count("running (") == 2
    before = daemons(router)
    router.run(f"{service} reload")
    up(router)
    assert set(daemons(router).items()).isdisjoint(before.items())
    router.run(f"{service} stop")
    assert daemons(router) == {}
    hotplug = ". /etc/hotplug.d/iface/90-swdist"
    # What was stopped stays so; what could not start does, once it can.
    router.run(f"export ACTION=ifup; {hotplug}", check=False)
    assert daemons(router) == {}
    router.run("mv /etc/swdist/ca /etc/swdist/away")
    router.run(f"{service} start", check=False)
    assert daemons(router) == {}
    router.run("mv /etc/swdist/away /etc/swdist/ca")
    router.run(f"export ACTION=ifdown; {hotplug}", check=False)
    assert daemons(router) == {}
    router.run(f"export ACTION=ifup; {hotplug}")
    up(router)
