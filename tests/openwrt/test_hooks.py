"""The operator's hooks, on this busybox, as procd's children."""

import pytest

from openwrt.test_mesh import tree

HOOKS = "/usr/lib/swdist/hooks"
HANGS = """#!/bin/sh
echo waiting for the uplink
(trap '' TERM; sleep 4321) &
setsid sleep 4321 &
sleep 4321
"""


def lay(node, name, text):
    path = f"{HOOKS}/{name}"
    node.run(f"mkdir -p $(dirname {path}); cat >{path}; chmod 755 {path}", data=text.encode())


@pytest.mark.parametrize("when", ["prepare.d", "confirm.d"])
def test_hook_that_hangs_is_ended_with_all_it_started_and_its_last_word_is_the_reason(
    made, mesh, tmp_path, when
):
    node = mesh.add(tmp_path)
    node.run("! command -v timeout")
    lay(node, f"{when}/10-hang", HANGS)
    mesh.hand_in(made.release("1.1.0", "--payload", tree(made, "tree")))
    why = node.said(f"{when}/10-hang: more than 20 s: waiting for the uplink", 90)
    assert "swdist-switchd[" in why
    node.wait("! pgrep -f '[s]leep 4321' >/dev/null", 30)
    node.run("/etc/init.d/swdist status")


def test_last_line_of_a_health_hook_is_the_reason_that_people_see(made, mesh, tmp_path):
    node = mesh.add(tmp_path)
    lay(node, "confirm.d/10-olsrd", "#!/bin/sh\necho looking\necho olsrd not running\nexit 1\n")
    mesh.hand_in(made.release("1.1.0", "--payload", tree(made, "tree")))
    why = node.fails()
    assert "olsrd not running" in str(why)
    node.runs("1.0.0")


def test_hooks_get_no_library_preloaded(made, mesh, tmp_path):
    node = mesh.add(tmp_path)
    lay(node, "prepare.d/10-env", "#!/bin/sh\nenv >/tmp/env\n")
    mesh.hand_in(made.release("1.1.0", "--payload", tree(made, "tree")))
    node.runs("1.1.0")
    assert "LD_PRELOAD" not in node.run("cat /tmp/env")
