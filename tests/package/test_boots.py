"""The power goes again and again while a release is on trial: the real launcher and real daemons,
on a router of its own. See test_self_update.py."""

import pytest
from test_self_update import code

# All at once, and what is in RAM is gone. (What procd or init would start again is not there.)
POWER_CUT = """
ps -o pid,args | awk '/[s]wdist supervise|[s]wdist[.](netd|switchd)/ { print $1 }' | xargs kill -9
rm -rf /var/run/swdist*
"""


@pytest.mark.soak
def test_release_that_is_on_trial_at_the_sixth_boot_is_left_until_there_is_power(
    field, packages, tmp_path
):
    router = field.router
    good = code(tmp_path / "good", packages["swdist"], {"__init__": 'VERSION = "1.0.1"\n'})
    before = field.hand_in("1.1.0", "--payload", good)
    field.wait(lambda: field.runs("1.0.1", before), "the good release")
    router.run("sed -i s/confirm_s.*/confirm_s\\ 300/ /etc/config/swdist; swdist restart")
    slow = code(tmp_path / "slow", packages["swdist"], {"__init__": 'VERSION = "1.0.2"\n'})
    (slow / "hooks").mkdir()
    (slow / "hooks/health").write_text("exit 1\n")
    rid = field.hand_in("1.2.0", "--payload", slow)

    def on(version, active):
        switch = field.status("switch") or {}
        return switch.get("swdist") == version and switch["active"]["id"] == active

    field.wait(lambda: on("1.0.2", rid), "the release on trial")
    for boot in range(1, 6):
        router.run(POWER_CUT)
        router.run("swdist boot")
        field.wait(lambda: on("1.0.2", rid), "the release on trial again")
        assert field.state("tries") == f"{rid}{'.' * boot}\n"
        assert field.state("failed") == ""
    router.run(POWER_CUT)
    router.run("swdist boot")
    field.wait(lambda: on("1.0.1", before), "the good release again")
    assert field.state("failed") == f"{rid} not confirmed in 5 boots\n"
    assert field.state("active") == field.state("confirmed") == before + "\n"
    assert [(s["to"], s["reason"]) for s in field.switches()] == [
        ("1.1.0-r0", "start"), ("1.2.0-r0", "start"), ("1.1.0-r0", "rollback"),
    ]  # fmt: skip
    router.run(POWER_CUT)
    router.run("swdist boot")
    field.wait(lambda: on("1.0.1", before), "still the good one")
    assert len(field.switches()) == 3
