"""Hooks of releases and of the operator, on a router whose busybox has no `timeout`."""

import pytest
from test_install import node  # noqa: F401 - a fixture

HANGS = """
(trap '' TERM; sleep 7654 & sleep 7654) &
(setsid sh -c 'sleep 7654; :' &)
(sleep 7654 &)
echo "asking olsrd"
sleep 7654
"""
RUN = """micropython -c "
from swdist.core import run
print(run(('sh', '/tmp/hook'), 1, False, '/tmp/said'))
" """


def test_hook_that_hangs_ends_in_time_with_all_that_it_has_started(node):  # noqa: F811
    (node.root / "tmp/hook").write_text(HANGS)
    assert "not found" in node.run("timeout 1 true", check=False)
    assert node.run(f"export LD_PRELOAD=/lib/libsetlbf.so; {RUN} 2>/dev/null").endswith("137\n")
    assert (node.root / "tmp/said").read_text() == "asking olsrd"
    node.wait("ps | grep -q '[s]leep 7654' || echo gone")
    (node.root / "tmp/hook").write_text('echo "$LD_PRELOAD"; exit 3\n')
    said = node.run(f"export LD_PRELOAD=/lib/libsetlbf.so; {RUN} 2>/dev/null")
    assert said == "3\n"


@pytest.mark.slow
def test_what_a_health_hook_says_is_the_reason_that_people_see(field, tmp_path):
    (tmp_path / "tree/hooks").mkdir(parents=True)
    (tmp_path / "tree/hooks/health").write_text("echo olsrd not running; exit 1\n")
    rid = field.hand_in("1.1.0", "--payload", tmp_path / "tree")
    field.wait(lambda: rid in field.state("failed"), "the failure")
    assert field.state("failed") == f"{rid} health: olsrd not running\n"
    field.wait(lambda: rid in field.status("switch")["failed"], "its status")
    assert field.status("switch")["why"] == ["health: olsrd not running"]
    assert '"why": ["health: olsrd not running"]' in field.router.run("swdist status")
    assert "olsrd not running" in field.router.run("swdist log")


@pytest.mark.soak
def test_hook_that_hangs_at_each_start_does_not_keep_switchd_from_coming_up(field):
    hooks = field.router.root / "usr/lib/swdist/hooks/activate.d"
    hooks.mkdir(parents=True)
    (hooks / "50-hangs").write_text(HANGS)
    field.router.run("swdist restart")
    field.wait(
        lambda: "activate.d/50-hangs: more than 20 s" in field.router.run("swdist log"), "it"
    )
    field.wait(lambda: field.status("switch"), "switchd")
    field.router.wait("ps | grep -q '[s]leep 7654' || echo gone")
