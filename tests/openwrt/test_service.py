"""The service under procd: what is said is true, and what is asked lasts."""

import time

from openwrt.node import Node
from openwrt.router import wait_for

RC = "/etc/init.d/swdist"
QUIET_S = 20


def test_installed_it_runs_with_keys_and_interface_and_is_enabled(node):
    assert sorted(node.daemons()) == ["netd", "switchd"]
    node.run(f"{RC} enabled")
    status, text = node.call(f"{RC} status")
    assert status == 0 and text.count("running") == 2
    owners = node.run("ps w | grep '[s]wdist.netd' | awk '{print $2}'")
    assert owners == "swdist"


def test_stop_ends_both_and_status_says_so(node):
    node.run(f"{RC} stop")
    wait_for(lambda: not node.daemons(), "both ended", 10)
    status, text = node.call(f"{RC} status")
    assert status != 0 and "running" not in text.replace("not running", "")
    assert node.call("swdist status")[0] != 0
    assert node.call("ls /var/run/swdist/*.json")[0] != 0


def test_stop_lasts_over_ifup(node):
    node.run(f"{RC} stop")
    wait_for(lambda: not node.daemons(), "both ended", 10)
    node.run("ifup mesh")
    node.wait("ifstatus mesh | grep -q '\"up\": true'")
    time.sleep(5)
    assert not node.daemons()


def test_start_and_restart_and_reload(node):
    before = node.daemons()
    node.run(f"{RC} start")  # what runs is left alone
    assert node.daemons() == before
    node.run(f"{RC} restart")
    wait_for(
        lambda: (
            len(node.daemons()) == 2 and not set(node.daemons().values()) & set(before.values())
        ),
        "new ones",
    )
    before = node.daemons()
    node.run("uci add_list swdist.@swdist[0].interface=lo; uci commit swdist; " + f"{RC} reload")
    wait_for(
        lambda: (
            len(node.daemons()) == 2 and not set(node.daemons().values()) & set(before.values())
        ),
        "reloaded",
    )


def test_commit_through_ubus_reloads(node):
    before = node.daemons()
    node.run(
        'uci set swdist.@swdist[0].log_level=debug; ubus call uci commit \'{"config":"swdist"}\''
    )
    wait_for(
        lambda: (
            len(node.daemons()) == 2 and not set(node.daemons().values()) & set(before.values())
        ),
        "reloaded",
    )


def test_disabled_it_stays_off_over_a_reboot_and_enabled_it_comes_up(node):
    node.run(f"{RC} disable")
    node.reboot()
    time.sleep(3)
    assert not node.daemons()
    node.run(f"{RC} enable")
    node.reboot()
    node.up()


def test_daemon_that_ends_is_started_again(node):
    for name in ("switchd", "netd"):
        before = node.daemons()[name]
        node.run(f"kill -9 {before}")
        wait_for(lambda n=name, b=before: node.daemons().get(n, b) != b, f"another {name}", 20)
    assert node.call(f"{RC} status")[0] == 0


def test_status_tells_that_one_side_does_not_run(node):
    node.run(f"mv /usr/lib/micropython/swdist/netd.mpy /tmp/; kill -9 {node.daemons()['netd']}")
    wait_for(lambda: "netd" not in node.daemons(), "no netd")
    status, text = node.call(f"{RC} status")
    assert status != 0 and "netd" in text


def quiet(node, said):
    """Nothing runs, and the reason stands in the log as often as it has changed: once."""
    node.said(said)
    time.sleep(5)
    before = len([line for line in node.log() if "swdist" in line])
    time.sleep(QUIET_S)
    lines = [line for line in node.log() if "swdist" in line]
    assert len(lines) - before <= 1, "\n".join(lines)
    status, text = node.call(f"{RC} status")
    assert status != 0 and said in text, text


def test_without_keys_nothing_runs_and_the_log_says_it_once(made, tmp_path):
    with Node(made, tmp_path, mesh=False) as node:
        quiet(node, "/etc/swdist/ca")
        assert not node.daemons()


def test_without_interface_the_log_says_it_once_and_ifup_heals(made, tmp_path):
    with Node(made, tmp_path) as node:
        node.up()
        node.run("uci set network.@device[0].name=br-other; uci set network.mesh.device=br-other; uci commit network;"
                 "/etc/init.d/network reload; sleep 2; " + RC + " restart")  # fmt: skip
        quiet(node, "br-mesh")
        node.run("uci set network.@device[0].name=br-mesh; uci set network.mesh.device=br-mesh; uci commit network;"
                 "/etc/init.d/network reload")  # fmt: skip
        wait_for(lambda: len(node.daemons()) == 2, "both run", 30)
        node.up()


STRAYS = ("network.apk-new", "threshold-opkg", ".network.swp", "alice.pub~", "0123456789abcdef.bak")


def test_stray_files_beside_the_keys_are_named_and_skipped(node):
    node.run("cd /etc/swdist/ca; key=$(ls | grep '^[0-9a-f]*$'); " + "".join(
        f"sed s/RW/RX/ $key >{name}; " for name in STRAYS) + f"mkdir folder.pub; {RC} restart")  # fmt: skip
    for name in (*STRAYS, "folder.pub"):
        node.said(f"/{name} is not a public key")
    node.up()
    status, text = node.call("swdist check")
    assert status == 0 and all(name in text for name in (*STRAYS, "folder.pub")), text
