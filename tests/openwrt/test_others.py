"""What is done to one of our packages takes nothing of the others, nor what people and swdist have made."""

from dataclasses import replace

import pytest

from openwrt.node import Node, ipk

PARTS = ("install", "sntp", "utils", "page")
WITHOUT_CODE = ("swdist-page", "luci-app-swdist")  # nothing of them is in what runs
NAMES = ("swdist", *(f"swdist-{part}" for part in PARTS), "luci-app-swdist", "swdist-keyring")
BY_PEOPLE = (
    "/etc/swdist/ca/0123456789abcdef",
    "/usr/lib/swdist/hooks/confirm.d/10-mine",
    "/www/cgi-bin/mine",
    "/www/luci-static/resources/view/mine.js",
    "/www/swdist/mine.html",
)
BY_SWDIST = ("/etc/swdist/state/mine", "/etc/swdist/store/mine")
MADE = BY_PEOPLE + BY_SWDIST
WHERE = "/etc/config/swdist /etc/init.d/swdist /etc/swdist /usr/bin/swdist /usr/lib/micropython/swdist \
/usr/lib/swdist /usr/libexec/rpcd /usr/share/rpcd/acl.d/*swdist* /usr/share/luci /lib/upgrade/keep.d/swdist /www"
# Written anew by whoever runs.
MOVES = "-path '/etc/swdist/st*/*' ! -name mine"


@pytest.fixture
def whole(made, tmp_path):
    with Node(made, tmp_path, *PARTS) as node:
        node.install(*made.luci())
        node.up()
        for path in MADE:
            node.run(f"mkdir -p $(dirname {path}); echo mine >{path}")
        node.run("uci set swdist.@swdist[0].log_level=debug; uci commit swdist")
        yield node


def files(node):
    said = node.run(
        f"find {WHERE} -type f ! '(' {MOVES} ')' -exec sha256sum {{}} + 2>/dev/null | sort -k 2"
    )
    return said.splitlines()


def names(lines):
    return {line.split()[1] for line in lines}


def test_forced_reinstallation_of_each_takes_nothing(whole):
    before = files(whole)
    assert set(MADE) <= names(before)
    for name in NAMES:
        whole.reinstall(name)
        assert files(whole) == before, name
        whole.up()


def test_upgrade_of_each_takes_nothing(made, whole, tmp_path):
    before = files(whole)
    compiled = ipk.modules("mpy")
    packages = [ipk.swdist(compiled), *ipk.optional(compiled), ipk.keyring(made.folder / "ca")]
    for package in (package for package in packages if package.name in NAMES):
        ipk.write(replace(package, version="9.0-r1"), tmp_path / "newer", 1)
        found = next((tmp_path / "newer").glob(f"{package.name}[-_]9.0-r1*.{made.kind}"))
        processes = whole.daemons()
        whole.install(found)
        assert names(files(whole)) == names(before), package.name
        after = whole.up()
        went_on = set(processes.values()) & set(after.values())
        assert bool(went_on) == (package.name in WITHOUT_CODE), package.name


def test_removal_of_each_takes_its_own(whole):
    for name in reversed(NAMES):
        left = names(files(whole)) - whole.owned(name)
        if name == "swdist":  # edited configuration stays; what it has made itself goes
            left = left - set(BY_SWDIST) | {"/etc/config/swdist"}
        whole.remove(name)
        assert names(files(whole)) == left, name
        if name not in ("swdist", "swdist-keyring"):
            whole.up()
    assert left == {*BY_PEOPLE, "/etc/config/swdist"}


def test_state_of_before_moves_to_where_it_lies_now(made, tmp_path):
    package = replace(ipk.swdist(ipk.modules("mpy")), version="9.0-r1")
    ipk.write(package, tmp_path / "newer", 1)
    with Node(made, tmp_path) as node:
        node.up()
        node.run("/etc/init.d/swdist stop; mkdir /usr/share/swdist; mv /etc/swdist/st* /usr/share/swdist;"
                 "uci delete swdist.@swdist[0].state; uci delete swdist.@swdist[0].store; uci commit swdist;"
                 "for d in state store; do echo mine >/usr/share/swdist/$d/mine; done; /etc/init.d/swdist start")  # fmt: skip
        node.up()
        node.run("[ ! -e /etc/swdist/state ]")
        node.install(next((tmp_path / "newer").glob(f"*.{made.kind}")))
        node.up()
        node.run("cat /etc/swdist/state/mine /etc/swdist/store/mine; [ ! -e /usr/share/swdist ]")
        assert node.run("ls -ld /etc/swdist/store").split()[2] == "swdist"
        assert node.run("uci get swdist.@swdist[0].state") == "/etc/swdist/state"
