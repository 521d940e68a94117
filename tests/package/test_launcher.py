"""What the launcher reads and writes, under busybox's ash: files/usr/lib/swdist/functions.sh.

That it starts, watches and replaces real daemons is in test_self_update.py."""

import os
import signal
import subprocess

import pytest
from packing import ROOT

from swdist.formats import uci
from swdist.formats.bits import from_hex
from swdist.machines import switcher
from swdist.shell import platform
from swdist.storage.slots import Slots
from swdist.trust.choose import FACTORY

FUNCTIONS = (ROOT / "files/usr/lib/swdist/functions.sh").read_text()
OLD, NEW = "aa" * 32, "bb" * 32
# Each command that changes the flash is written down; before the one after CUT the power goes.
CUTTING = """
step() {
	echo "$1" >>calls
	[ "$(grep -c . calls)" -le "$CUT" ] || kill -9 0
	command "$@"
}
for name in cat sync mv; do
	eval "$name() { step $name \\"\\$@\\"; }"
done
"""


class Node:
    """STATE of a node, and the launcher's functions on it."""

    def __init__(self, folder):
        self.folder = folder
        self.state = folder / "state"
        for rid in (OLD, NEW):
            (self.state / "slots" / rid).mkdir(parents=True)
        (folder / "config").write_text(f"config swdist\n\toption state '{self.state}'\n")
        text = FUNCTIONS.replace("/etc/config/swdist", str(folder / "config"))
        text = text.replace("/lib/functions.sh", str(folder / "openwrt.sh"))
        text = text.replace("/usr/lib/swdist", str(folder))
        (folder / "functions").write_text(text.replace("/var/run", str(folder)))

    def put(self, **files):
        for name, text in files.items():
            (self.state / name).write_text(text)
        return self

    def get(self, name):
        path = self.state / name
        return path.read_text() if path.exists() else None

    def ash(self, script, before="", **environment):
        """What it says; None if the power went."""
        done = subprocess.run(
            ["busybox", "ash", "-c", f"{before}\n. ./functions\n{script}"],
            cwd=self.folder, stdout=subprocess.PIPE, text=True, start_new_session=True,
            env={"PATH": os.environ["PATH"], **environment},
        )  # fmt: skip
        assert done.returncode in (0, -signal.SIGKILL), done
        return None if done.returncode else done.stdout

    def slot(self):
        said = self.ash('swdist_slot; echo "$active,$confirmed,$trial,$code"')
        return tuple(said.strip().replace(str(self.state) + "/slots/", "").split(","))

    def boot(self, before="", **environment):
        (self.folder / "swdist-boot").unlink(missing_ok=True)
        return self.ash("swdist_boot", before, **environment)

    def slots(self):
        return Slots(platform.Fs(), "/nowhere", str(self.state))


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "option state /a",
        "\toption state '/a'",
        '  option  state\t"/a/b-c_d.e"',
        "option 'state' '/a' # comment",
        'option "state" /a#b',
        "option states '/a'",
        "#option state '/a'",
        "option state '/a'\n\toption state '/b'",
        "option x 'y'",
    ],
)
def test_option_is_read_as_the_daemons_read_it(node, line):
    (node.folder / "config").write_text(f"config swdist 'node'\n{line}\n")
    types, why = uci.parse((node.folder / "config").read_text())
    assert why is None
    expected = types["swdist"].get("state", "/default")
    assert node.ash("swdist_option state /default").strip() == expected


OPENWRT = """
config_load() {
	[ "$1" = swdist ] && sections='main other cfg03'
}
config_foreach() {
	for section in $sections; do
		case $2,$section in swdist,main | swdist,cfg03 | else,other) "$1" "$section" "$3" ;; esac
	done
}
config_get() {
	case $2.$3 in
	main.state) eval "$1='/a#b  c'" ;;
	main.store) eval "$1=/a" ;;
	cfg03.store) eval "$1=/b" ;;
	other.*) eval "$1=/other" ;;
	main.interface) eval "$1='br-mesh mesh0'" ;;
	*) eval "$1=" ;;
	esac
}
"""


def test_where_openwrt_reads_its_files_itself_it_is_asked(node):
    """The shape of its functions; what libuci makes of a file is in tests/device/test_uci.py."""
    (node.folder / "openwrt.sh").write_text(OPENWRT)
    (node.folder / "config").write_text("config swdist\n option state /never\n option user x\n")
    assert node.ash("swdist_option state /default") == "/a#b  c\n"
    assert node.ash("swdist_option store /default") == "/b\n"
    assert node.ash("swdist_option user swdist") == "swdist\n"
    assert node.ash("swdist_values interface") == "br-mesh mesh0\n"
    said = node.ash("swdist_option user x; command -v config_load; section=kept; echo $section")
    assert said == "x\nkept\n"  # nothing of OpenWrt's stays behind in the launcher


@pytest.mark.parametrize(
    "files, expected",
    [
        ({}, ("", "", "", "")),
        ({"active": NEW + "\n"}, (NEW, "", NEW, f"{NEW}/lib:")),
        ({"active": NEW + "\n", "confirmed": OLD + "\n"}, (NEW, OLD, NEW, f"{NEW}/lib:")),
        ({"active": NEW + "\n", "confirmed": NEW + "\n"}, (NEW, NEW, "", f"{NEW}/lib:")),
        ({"active": OLD + "\n", "confirmed": NEW + "\n"}, (OLD, NEW, OLD, "")),
        ({"active": "cc" * 32 + "\n", "confirmed": NEW + "\n"}, ("", NEW, "", "")),
        ({"active": FACTORY.hex() + "\n", "confirmed": NEW + "\n"}, ("", NEW, "", "")),
        ({"active": "\n", "confirmed": OLD}, ("", OLD, "", "")),
        ({"active": NEW, "confirmed": OLD, "failed": NEW + " why\n"}, (OLD, OLD, "", "")),
        (
            {"active": NEW, "confirmed": NEW, "failed": NEW + " why\n"},
            (NEW, NEW, "", f"{NEW}/lib:"),
        ),
        ({"active": NEW, "failed": OLD + " why\n" + NEW + " why\n"}, ("", "", "", "")),
    ],
)
def test_what_is_to_run_follows_from_the_files_of_switchd(node, files, expected):
    (node.state / "slots" / NEW / "lib/swdist").mkdir(parents=True)
    node.put(**files)
    assert node.slot() == expected
    if "failed" not in files:
        assert (node.slots().active().hex() == expected[0]) or expected[0] == ""
        assert (node.slots().active() == FACTORY) == (expected[0] == "")


def test_release_fails_at_the_sixth_boot_of_its_trial_and_after_its_second_chance_for_good(node):
    node.put(active=NEW + "\n", confirmed=OLD + "\n")
    power = switcher.POWER.decode()
    for boots, last in ((5, power), (5, " not confirmed in 10 boots")):
        for _ in range(boots):
            node.boot()
            assert node.ash("swdist_boot") == ""  # started again within the same boot
            assert node.slot()[2] == NEW and not node.get("failed")
        node.boot()
        assert node.get("failed") == f"{NEW}{last}\n"
        assert node.slot()[0] == OLD
        node.slots().forgive(switcher.POWER)
        assert (node.get("failed") == "") == (last == power)
    node.put(active=OLD + "\n", confirmed="", failed="")
    node.boot()
    assert node.get("tries") == OLD + ".\n"  # another one has its own


def test_configuration_is_checked_by_the_code_that_reads_it(node):
    """Options that only a newer swdist knows are none to the image's."""
    python = node.folder / "python"
    python.write_text('#!/bin/sh\necho "$MICROPYPATH $*"\n')
    python.chmod(0o755)
    text = (node.folder / "functions").read_text()
    assert '"micropython -X heapsize=1M"' in text
    text = text.replace('"micropython -X heapsize=1M"', str(python))
    (node.folder / "functions").write_text(text)
    launcher = (ROOT / "files/usr/bin/swdist").read_text()
    launcher = launcher.replace("/usr/lib/swdist/functions.sh", str(node.folder / "functions"))
    (node.folder / "launcher").write_text(launcher)

    def path():
        said = node.ash(f"busybox ash {node.folder / 'launcher'} check").split()
        assert said[1:] == ["-m", "swdist.netd", "--check"]
        return said[0]

    image = ".frozen:/usr/lib/micropython"
    assert path() == image
    node.put(active=NEW + "\n", confirmed=NEW + "\n")
    assert path() == image  # a slot without swdist
    (node.state / "slots" / NEW / "lib/swdist").mkdir(parents=True)
    assert path() == f"{node.state}/slots/{NEW}/lib:{image}"


def test_boot_of_what_is_confirmed_writes_nothing(node):
    node.put(active=NEW + "\n", confirmed=NEW + "\n")
    node.boot()
    assert not (node.state / "tries").exists()


def test_failure_is_written_as_switchd_reads_it_and_old_ones_are_forgotten(node):
    node.put(active=NEW + "\n", failed="".join(f"{n:064x} why\n" for n in range(20)))
    node.ash("swdist_slot; swdist_fail 'switchd ended 5 times'")
    failed = node.slots().failed()
    assert [r.hex() for r in failed] == [f"{n:064x}" for n in range(5, 20)] + [NEW]
    assert node.get("failed").endswith(f"{NEW} switchd ended 5 times\n")


def test_power_cut_at_each_step_leaves_a_slot_that_is_whole_and_loses_no_count(node):
    before = {"active": NEW + "\n", "confirmed": OLD + "\n", "failed": "cc" * 32 + " why\n"}
    for step in range(20):
        node.put(**before, tries=NEW + "." * 5 + "\n")
        (node.folder / "calls").unlink(missing_ok=True)
        cut = node.boot(CUTTING, CUT=str(step))
        assert node.get("tries") in (NEW + "." * 5 + "\n", NEW + "." * 6 + "\n")
        assert node.get("failed").startswith(before["failed"])
        assert node.slots().active().hex() == NEW  # that is switchd's alone
        assert node.slots().confirmed() == from_hex(OLD, 32)
        # Whatever was cut: the next boots come to the same.
        while node.slot()[0] != OLD:
            node.boot()
        assert NEW in node.get("failed")
        if cut is not None:
            break
    calls = (node.folder / "calls").read_text().split()
    # Flushed before it gets its name, and the name after that; two files, one of them read first.
    assert calls == ["cat", *["cat", "sync", "mv", "sync"] * 2] and step == len(calls)
