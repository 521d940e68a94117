"""The packages on a router: installed, upgraded and removed by real scripts under busybox's ash."""

import json
import shutil
import subprocess
import sys

import pytest
from packing import ROOT, make, newer
from prometheus_client.parser import text_string_to_metric_families
from router import BIN, Failed

CONFIG = """config swdist 'node'
	list interface 'mesh0'
	option board 'test'
	option factory_version '1.0.0'
"""


def give_runtime(router):
    """The host's MicroPython, as a package of that name would bring it."""
    router.put(BIN / "micropython", "usr/bin/micropython")
    info = router.root / "usr/lib/opkg/info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "micropython.control").write_text("Package: micropython\nVersion: 1\n")
    (info / "micropython.list").write_text("/usr/bin/micropython\n")
    about = "Package: micropython\nVersion: 1\nStatus: install ok installed\n\n"
    (info.parent / "status").write_text(about)


@pytest.fixture
def node(router, packages):
    """A router that was set up for mesh0 before both packages came."""
    give_runtime(router)
    (router.root / "etc/config").mkdir()
    (router.root / "etc/config/swdist").write_text(CONFIG)
    router.install(packages["swdist-keyring"], packages["swdist"])
    up(router)
    return router


def configure(router):
    """Set up for mesh0 after installation."""
    (router.root / "etc/config/swdist").write_text(CONFIG)
    router.run("swdist restart")
    up(router)


def up(router):
    """Both have said something of themselves; a stop removes what was said before."""
    router.wait("cat /var/run/swdist/net.json /var/run/swdist/switch.json")


def test_python_starts_where_nothing_has_a_module_s_name(node):
    """There MicroPython looks first; before 1.21 even for `sys`, which it has within."""
    for pid, _ in daemons(node).values():
        names = {name.partition(".")[0] for name in node.run(f"ls /proc/{pid}/cwd/").split()}
        assert names and not names & sys.stdlib_module_names


def gone(router):
    """Their helpers (timeout's watchers) see within seconds that there is nothing left to do."""
    router.wait("ps -o user,args | grep -q '[s]wdist' || echo gone")


def daemons(router):
    """{daemon: (pid, user)} of what runs."""
    found = {}
    for pid, user, line in router.processes():
        if " -m swdist." in line:
            found[line.split(" -m swdist.")[1].split()[0]] = (pid, user)
    return found


def test_installed_node_runs_both_sides_each_as_its_user(node):
    found = daemons(node)
    assert {name: user for name, (_, user) in found.items()} == {
        "netd": "swdist",
        "switchd": "root",
    }
    assert "swdist-netd: running" in node.run("swdist status")
    assert "up on mesh0" in node.wait("swdist log | grep 'up on mesh0'")
    for name in ("net", "switch"):
        assert json.loads((node.root / f"var/run/swdist/{name}.json").read_text())


def test_no_keys_and_no_runtime_is_said_and_does_no_harm(router, packages):
    with pytest.raises(Failed, match="cannot find dependency micropython for swdist"):
        router.install(packages["swdist"])
    give_runtime(router)
    router.install(packages["swdist"])
    router.wait("grep 'CA: /etc/swdist/ca has no files' /var/log/messages")
    assert "not running" in router.run("swdist status", check=False)
    # The keyring brings it up.
    (router.root / "etc/config/swdist").write_text(CONFIG)
    router.install(packages["swdist-keyring"])
    up(router)
    assert set(daemons(router)) == {"netd", "switchd"}


def test_removal_leaves_no_process_and_no_file(router, packages):
    give_runtime(router)
    before = router.files()
    router.install(packages["swdist-keyring"], packages["swdist"])
    original = (router.root / "etc/config/swdist").read_bytes()
    configure(router)
    (router.root / "etc/config/swdist").write_bytes(original)
    for home in ("usr/share/swdist", "etc/swdist"):
        (router.root / home / "state/slots/left.new").mkdir(parents=True)
    router.run("opkg.sh remove swdist swdist-keyring")
    gone(router)
    assert router.processes() == []
    # Directories stay where they are empty: opkg removes none.
    left = {name for name in router.files() - before if not (router.root / name).is_dir()}
    assert not left and before <= router.files()


def test_forced_reinstallation_takes_no_state_and_nothing_of_other_packages(node, packages):
    node.install(packages["swdist-utils"])
    for home in ("usr/share/swdist", "etc/swdist"):
        (node.root / home / "state").mkdir(parents=True, exist_ok=True)
        (node.root / home / "state/mine").write_text("mine")
    before = {name for name in node.files() if name.startswith(("usr/", "etc/"))}
    (node.root / "tmp/swdist.ipk").write_bytes(packages["swdist"].read_bytes())
    node.run("opkg.sh --force-reinstall install /tmp/swdist.ipk")
    assert before <= node.files(), before - node.files()


def test_edited_configuration_outlives_upgrade_and_removal(node, packages, tmp_path):
    said = node.install(newer(packages["swdist"], tmp_path))
    assert "new conffile will be placed at /etc/config/swdist-opkg" in said
    assert (node.root / "etc/config/swdist").read_text() == CONFIG
    new = (ROOT / "files/etc/config/swdist").read_bytes()
    assert (node.root / "etc/config/swdist-opkg").read_bytes() == new
    assert "Not deleting modified conffile /etc/config/swdist" in node.run("opkg.sh remove swdist")
    assert (node.root / "etc/config/swdist").read_text() == CONFIG


@pytest.mark.slow
def test_upgrade_keeps_state_and_starts_the_new_daemons(node, packages, tmp_path):
    state = node.root / "usr/share/swdist/state/time"
    state.write_text("1790000000")
    old = daemons(node)
    node.install(newer(packages["swdist"], tmp_path))
    up(node)
    new = daemons(node)
    assert set(new) == set(old) == {"netd", "switchd"}
    assert not {pid for pid, _ in old.values()} & {pid for pid, _ in new.values()}
    assert state.exists()
    assert (node.root / "etc/passwd").read_text().count("swdist") == 2  # one line


def test_image_builder_starts_nothing_and_enables_it(tmp_path, packages, router):
    """opkg.sh -o, as in an image builder: the root below /image is another system's."""
    image = router.root / "image"
    (image / "etc/init.d").mkdir(parents=True)
    (image / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/ash\n")
    (image / "etc/group").write_text("root:x:0:\n")
    info = image / "usr/lib/opkg/info"
    info.mkdir(parents=True)
    (info / "micropython.control").write_text("Package: micropython\nVersion: 1\n")
    (info / "micropython.list").write_text("")
    about = "Package: micropython\nVersion: 1\nStatus: install ok installed\n\n"
    (info.parent / "status").write_text(about)
    before = router.files() - {n for n in router.files() if n.startswith("image")}
    for path in packages.values():
        (router.root / "tmp" / path.name).write_bytes(path.read_bytes())
    router.run("opkg.sh -o /image install /tmp/swdist_*.ipk /tmp/swdist-*.ipk && rm /tmp/*.ipk")
    assert router.processes() == []
    assert {n for n in router.files() if not n.startswith("image")} == before
    assert "swdist:*:471:471:" in (image / "etc/passwd").read_text()
    link = image / "etc/init.d/S99swdist"
    assert str(link.readlink()) == "../../usr/bin/swdist"
    assert (image / "etc/swdist/ca/network").exists()
    # Installed twice, the user is there once; with rc.common the links are those of rc.d.
    (image / "etc/rc.common").write_text("")
    link.unlink()
    newer(packages["swdist"], router.root / "tmp")
    router.run("opkg.sh -o /image install /tmp/swdist_*.ipk")
    assert (image / "etc/passwd").read_text().count("471:471") == 1
    assert str((image / "etc/rc.d/S99swdist").readlink()) == "../init.d/swdist"
    assert not link.exists()


def test_stop_spares_a_process_that_has_the_number_by_chance(node):
    number = daemons(node)["netd"][0]
    node.run(f"kill {number}; while kill -0 {number} 2>/dev/null; do sleep 1; done")
    node.run("sleep 1000 >/dev/null 2>&1 & echo $! >/var/run/swdist-netd.pid")
    node.run("swdist stop")
    assert "sleep 1000" in node.run("ps")
    assert daemons(node) == {}


@pytest.mark.slow
def test_daemon_that_hangs_is_ended_all_the_same(node):
    number = daemons(node)["netd"][0]
    node.run(f"kill -STOP {number}")
    node.run("swdist stop")
    assert daemons(node) == {}


def test_directories_that_sysupgrade_brings_back_as_root_s_are_given_to_the_network_side(node):
    node.run("swdist stop")
    node.run("cd /usr/share/swdist/store && mkdir kept && ln -s /etc link && ln /etc/passwd file")
    node.run("rm /var/run/swdist-boot && swdist start")  # as after a boot
    owners = node.run("cd /usr/share/swdist/store && ls -nd kept link file /etc")
    owners = {line.split()[8]: line.split()[2] for line in owners.splitlines()}
    assert owners == {"kept": "471", "link": "0", "file": "0", "/etc": "0"}


def test_start_twice_starts_once(node):
    before = daemons(node)
    node.run("swdist start")
    assert daemons(node) == before


@pytest.mark.slow
def test_module_in_the_run_folder_is_not_root_s_to_import(node):
    """RUN belongs to the network side's user, who may be taken over."""
    (node.root / "var/run/swdist/socket.py").write_text("open('/tmp/taken', 'w').close()")
    node.run("cd /var/run/swdist && swdist restart")
    up(node)
    assert not (node.root / "tmp/taken").exists()


def test_rpcd_plugin_answers_as_rpcd_asks(node, packages):
    node.install(packages["swdist-utils"])
    plugin = "/usr/libexec/rpcd/swdist"
    assert json.loads(node.run(f"{plugin} list")) == {"status": {}, "page": {}}
    said = json.loads(node.run(f"echo '{{}}' | {plugin} call status"))
    assert said["switch"]["active"]["version"] == "1.0.0"
    assert said["net"]
    node.run("swdist stop; rm -f /var/run/swdist/*.json")
    said = json.loads(node.run(f"echo '{{}}' | {plugin} call status"))
    assert said == {"net": None, "switch": None}


def test_commands_of_the_utils_package_answer_and_go_with_it(node, packages):
    with pytest.raises(Failed, match="with swdist-utils also clock"):
        node.run("swdist clock")
    node.install(packages["swdist-utils"])
    said = json.loads(node.run("swdist clock --json"))
    assert said["synced"] is False and said["neighbours"] == [] and said["error_us"] is None
    assert "NOT agreed" in node.run("swdist clock")
    assert node.run("swdist releases").startswith("runs 1.0.0-r0 (00000000)")
    assert figures(node.run("swdist metrics"))["swdist_releases"] == {(): 0}
    assert "usage: swdist COMMAND" in node.run("swdist --help")
    node.run("echo garbage > /tmp/x.swd")
    with pytest.raises(Failed, match="x.swd: is not a whole release file"):
        node.run("cd /tmp && swdist inject x.swd")
    node.run("opkg.sh remove swdist-utils")
    assert not list((node.root / "usr/lib/micropython/swdist").glob("tool*"))
    assert not list((node.root / "usr/libexec/rpcd").iterdir())
    assert set(daemons(node)) == {"netd", "switchd"}


def figures(text):
    """{name: {labels: value}}, as a real parser reads them; and promtool, where there is one."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation and family.type in ("gauge", "counter"), family
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            values = found.setdefault(sample.name, {})
            assert labels not in values
            values[labels] = sample.value
    if shutil.which("promtool"):
        words = ["promtool", "check", "metrics"]
        done = subprocess.run(words, input=text, capture_output=True, text=True)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return found


@pytest.mark.slow
def test_metrics_outlive_no_process_that_hangs_or_is_gone(node, packages):
    """In the file that a node exporter reads, too."""
    node.install(packages["swdist-utils"])
    file = node.root / "var/prometheus/swdist.prom"
    net, switch = (("side", "net"),), (("side", "switch"),)
    assert node.run("cd /var; swdist metrics prometheus/swdist.prom") == ""
    found = figures(file.read_text())
    assert found["swdist_up"] == {net: 1, switch: 1}
    assert found["swdist_active_release_info"][
        ("id", "0" * 64), ("revision", "0"), ("version", "1.0.0")
    ]
    assert 0 <= found["swdist_uptime_seconds"][net] < 60
    assert found["swdist_switches"] == {(): 0} and "swdist_last_switch_seconds" not in found
    # switchd hangs, and its status is ten minutes old.
    pid = daemons(node)["switchd"][0]
    node.run(
        f"kill -STOP {pid}; cd /var/run/swdist; "
        """c=$(sed -n 's/.*"counter_us": \\([0-9]*\\).*/\\1/p' switch.json); """
        'sed -i "s/us.: $c/us\\": $((c - 600000000))/" switch.json'
    )
    with pytest.raises(Failed, match="swdist-switchd has said nothing for 60[0-9] s"):
        node.run("swdist releases")
    node.run("swdist metrics /var/prometheus/swdist.prom")
    found = figures(file.read_text())
    assert found["swdist_up"] == {net: 1, switch: 0}
    assert "swdist_active_release_info" not in found and "swdist_neighbours" in found
    # Both are gone, though what they said is still there.
    node.run(f"kill -CONT {pid}; cp /var/run/swdist/*.json /tmp; swdist stop")
    node.run("cp /tmp/net.json /tmp/switch.json /var/run/swdist/")
    node.run("swdist metrics /var/prometheus/swdist.prom")
    assert figures(file.read_text()) == {"swdist_up": {net: 0, switch: 0}}
    assert [path.name for path in file.parent.iterdir()] == ["swdist.prom"]


def test_check_tells_what_is_wrong_with_the_configuration(node):
    node.run("swdist check")
    (node.root / "etc/config/swdist").write_text("config swdist\n\tlist interface 'no0'\n")
    with pytest.raises(Failed, match="no interface 'no0' now"):
        node.run("swdist check")


def test_release_injected_on_the_router_is_held_by_the_network_side(node, packages, release):
    node.install(packages["swdist-utils"])
    (node.root / "tmp/r.swd").write_bytes(release.read_bytes())
    said = node.run("cd /tmp && swdist inject r.swd")
    assert "held by the network side: 1.1.0-r0" in said
    # It says so when it is so.
    said = node.run("swdist releases | grep 1.1.0-r0")
    assert "slot" in said and "chunks" not in said
    assert "1.1.0" in node.wait("swdist log | grep 'prepared release'")
    held = node.run("find /usr/share/swdist/store -path '*/????????????????*' ! -user swdist")
    assert held == ""
    with pytest.raises(Failed, match="is in the store already"):
        node.run("swdist inject /tmp/r.swd")
    node.run("swdist stop; rm -r /usr/share/swdist/store/*")
    with pytest.raises(Failed, match="in the store; but swdist-netd does not run: swdist start"):
        node.run("swdist inject /tmp/r.swd")
    node.run("swdist start")
    node.wait("swdist releases 2>/dev/null | grep 1.1.0-r0")


@pytest.mark.slow
def test_older_feed_takes_the_source_instead(router, tmp_path, packages):
    give_runtime(router)
    source = make(tmp_path / "py", "--modules", "py")["swdist"]
    router.install(packages["swdist-keyring"], source)
    configure(router)
    assert set(daemons(router)) == {"netd", "switchd"}
    # Going over to the compiled package leaves no source behind, which would win.
    router.install(newer(packages["swdist"], tmp_path))
    assert not list((router.root / "usr/lib/micropython/swdist").glob("*.py"))


def test_zone_mesh_lets_neighbours_in_and_nobody_else(router):
    """The file as fw4 puts it into the zone's chain; the kernel says what it takes."""
    rule = ROOT / "files/usr/share/nftables.d/chain-pre/input_mesh/90-swdist.nft"
    (router.root / "tmp/90-swdist.nft").write_bytes(rule.read_bytes())
    rules = 'table inet fw4 {\n chain input_mesh {\n  include "/tmp/90-swdist.nft"\n  drop\n }\n}\n'
    (router.root / "tmp/rules").write_text(rules)
    router.put("/usr/sbin/nft", "usr/sbin/nft")
    router.run("/usr/sbin/nft -f /tmp/rules")
    listed = router.run("/usr/sbin/nft list ruleset")
    assert "ip6 saddr fe80::/10 ip6 daddr { fe80::/10, ff12::/16 } meta l4proto 17 accept" in listed
