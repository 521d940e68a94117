"""The host tool as an operator types it: what works, and one line for what does not."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from typed import good, swdist

from swdist import tool

BUILD = "release build -o r.swd --ca ca --version 1.1.0 --start +2h --payload tree".split()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A directory with a key, a CA, a tree and a signed release."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "tree").mkdir()
    (folder / "tree/a").write_text("hello\n" * 2000)
    good("keygen", "alice", "--no-passphrase", cwd=folder)
    good("keygen", "mallory", "--no-passphrase", cwd=folder)
    init = "network init ca --name x --key alice.pub --threshold 1".split()
    good(*init, cwd=folder)
    good(*BUILD, cwd=folder)
    shutil.copy(folder / "r.swd", folder / "unsigned.swd")
    good(*"release sign r.swd --key alice.sec --yes".split(), cwd=folder)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_signed_release_is_verified_by_the_device_s_own_code(folder):
    good("release", "verify", "r.swd", "--ca", "ca", cwd=folder)
    shown = json.loads(good("release", "show", "r.swd", "--json", cwd=folder))
    assert shown["version"] == "1.1.0"


def test_command_is_a_process_that_ends_with_its_status(folder):
    command = [sys.executable, "-m", "swdist_host"]
    for words, status in (("release verify r.swd --ca ca", 0), ("release show no.swd", 1)):
        done = subprocess.run([*command, *words.split()], cwd=folder, capture_output=True)
        assert done.returncode == status and b"Traceback" not in done.stderr


def test_secret_key_is_for_its_owner_alone_and_never_overwritten(folder):
    assert os.stat(folder / "alice.sec").st_mode & 0o777 == 0o600
    before = (folder / "alice.sec").read_bytes()
    done = swdist("keygen", "alice", "--no-passphrase", cwd=folder)
    assert done.returncode == 1 and "exists" in done.stderr
    assert (folder / "alice.sec").read_bytes() == before


def test_release_signed_by_hand_with_signify_is_accepted(folder):
    program = shutil.which("signify-openbsd")
    assert program, "signify-openbsd is missing: make setup installs it"
    good(*"release show unsigned.swd --manifest".split(), cwd=folder)
    manifest = subprocess.run(
        [sys.executable, "-c", "from swdist_host.cli import main; main()"]
        + "release show unsigned.swd --manifest".split(),
        cwd=folder, capture_output=True, check=True,
    ).stdout  # fmt: skip
    (folder / "m").write_bytes(manifest)
    subprocess.run(
        [program, "-G", "-n", "-p", "hand.pub", "-s", "hand.sec"], cwd=folder, check=True
    )
    good(*"network init ca2 --name x --key hand.pub --threshold 1".split(), cwd=folder)
    good(*[w.replace("ca", "ca2") if w == "ca" else w for w in BUILD[:3]], "hand.swd",
         *["--ca", "ca2", *BUILD[6:]], cwd=folder)  # fmt: skip
    out = good(*"release show hand.swd --manifest".split(), cwd=folder)
    (folder / "m").write_text(out)
    subprocess.run(
        [program, "-S", "-s", "hand.sec", "-m", "m", "-x", "m.sig"], cwd=folder, check=True
    )
    good(*"release sign hand.swd --signature m.sig --yes".split(), cwd=folder)
    good(*"release verify hand.swd --ca ca2".split(), cwd=folder)


def test_signature_made_here_is_accepted_by_signify(folder):
    out = good(*"release show r.swd --manifest".split(), cwd=folder)
    (folder / "m").write_text(out)
    tar = subprocess.run(
        ["tar", "xOf", "r.swd", "signatures"], cwd=folder, capture_output=True, check=True
    )
    (folder / "m.sig").write_bytes(tar.stdout)
    checked = subprocess.run(
        ["signify-openbsd", "-V", "-p", "alice.pub", "-x", "m.sig", "-m", "m"], cwd=folder
    )
    assert checked.returncode == 0


REFUSED = [
    ("release show nothing.swd", 1),
    ("release verify unsigned.swd --ca ca", 1),
    ("release verify r.swd --ca nowhere", 1),
    ("release sign r.swd --key alice.pub --yes", 1),
    ("release sign r.swd --key nobody.sec --yes", 1),
    ("release sign unsigned.swd --key alice.sec", 1),
    ("release sign unsigned.swd --key mallory.sec --ca ca --yes", 1),
    ("network init ca --name x --key alice.pub --threshold 1", 1),
    ("network init new --name x --key alice.pub --threshold 2", 2),
    ("network init new --name x --key alice.sec --threshold 1", 1),
    ("release build -o n.swd --ca ca --version 1.1 --start +2h --payload tree", 2),
    ("release build -o n.swd --ca ca --version 1.1.0 --start soon --payload tree", 2),
    ("release build -o n.swd --ca ca --version 1.1.0 --start +2h", 2),
    ("release build -o n.swd --ca ca --version 1.1.0 --start +2h --payload nothing", 1),
    ("release build -o n.swd --ca ca --version 1.1.0 --start +2h --end +3h --payload tree", 2),
    (
        "release build -o n.swd --ca ca --version 1.1.0 --experimental --start +2h --payload tree",
        2,
    ),
    (
        "release build -o n.swd --ca ca --version 1.1.0 --experimental --start +2h --end +1h"
        " --payload tree",
        2,
    ),
    ("seed r.swd --interface nowhere0 --ca ca", 2),
    ("seed nothing.swd --interface lo --ca ca", 1),
    ("status --interface nowhere0 --ca ca", 2),
    ("status --ca ca", 2),
    ("dance", 2),
]


@pytest.mark.parametrize("words,status", REFUSED)
def test_bad_input_gets_one_line_and_writes_nothing(folder, words, status):
    before = sorted(p.name for p in folder.iterdir())
    done = swdist(*words.split(), cwd=folder)
    assert done.returncode == status, done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("swdist: "), done.stderr
    assert sorted(p.name for p in folder.iterdir()) == before


def test_truncated_release_is_refused_wherever_it_is_cut(folder):
    data = (folder / "r.swd").read_bytes()
    for n in (0, 100, 512, 700, 1100, 2000, 2600, 3600, len(data.rstrip(b"\0")) - 1):
        (folder / "cut.swd").write_bytes(data[:n])
        done = swdist("release", "verify", "cut.swd", "--ca", "ca", cwd=folder)
        assert done.returncode == 1 and done.stderr.count("\n") == 1, n


def test_the_host_tool_in_one_file_lists_no_simulator_and_plans_without_a_map(folder):
    def run(*words):
        code = "import sys; sys.modules['swdist_host.sim'] = None; from swdist_host import cli"
        command = [sys.executable, "-c", f"{code}; cli.main()", *words]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True)

    listed = run("--help").stdout
    assert "\n  seed " in listed and "\n  sim " not in listed and "\n  swarm " not in listed
    plan = ("release", "plan", "r.swd", "--no-withdrawal")
    assert run(*plan).returncode == 0
    (folder / "map").write_text('"a" -> "b"[label="1.0"]\n')
    refused = run(*plan, "--map", "map")
    assert refused.returncode == 1 and "simulator is not part of this" in refused.stderr
    one = {"node": "1", "name": "", "board": "b", "version": "1.0.0", "state": "", "age_s": 9}
    (folder / "mesh.json").write_text(json.dumps({"rows": [one, one]}))
    told = run(*plan, "--mesh", "mesh.json")
    assert told.returncode == 0 and "mesh       2 nodes heard of" in told.stdout
    assert "not simulated: the simulator is not part of this" in told.stderr


def test_a_router_s_command_on_a_laptop_is_called_that(folder):
    for word in (*(set(tool.ASKED) - {"status", "mesh", "page"}), "inject", "log"):
        line = swdist(word, "r.swd", cwd=folder).stderr
        assert line == (
            f"swdist: {word} is a command of the router's swdist: ssh root@ROUTER swdist {word}"
            " See: swdist --help\n"
        )
    line = swdist("status", cwd=folder).stderr
    assert "swdist: Missing option '--interface'; there are: " in line and " lo" in line
    assert "of a router itself: ssh root@ROUTER swdist status." in line
    assert "ssh" not in swdist("watch", cwd=folder).stderr


def test_who_hears_nobody_is_told_so(folder):
    watched = swdist(*"watch --interface lo --duration 1".split(), cwd=folder)
    assert (watched.returncode, watched.stdout) == (1, "")
    assert watched.stderr.startswith("swdist: no node was heard on lo in 1 s; is it the right")
    watched = swdist(*"watch --interface lo --duration 1 --json --ca ca".split(), cwd=folder)
    assert (watched.returncode, watched.stdout) == (1, "") and "and CA, and does" in watched.stderr


def test_installation_without_the_simulator_says_so(tmp_path):
    (tmp_path / "networkx.py").write_text("raise ImportError(name='networkx')")
    done = subprocess.run(
        [sys.executable, "-m", "swdist_host", "sim", "--list"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "no networkx" in done.stderr and "make setup" in done.stderr


@pytest.mark.parametrize("words", ["", "network", "release"])
def test_what_a_command_is_for_is_said_to_its_end(folder, words):
    listed = good(*words.split(), "--help", cwd=folder).partition("\nCommands:")[2]
    assert listed and "..." not in listed
