"""What the documents say people can type, typed; and what the device can say, looked up."""

import base64
import json
import os
import pty
import re
import select
import shlex
import sys
from pathlib import Path

import click
import pytest
import said
from test_kinds import GOOD, package
from test_release import package as swdist_package
from typed import good, swdist

from swdist import tool
from swdist.commands import words as states
from swdist.wiring import config
from swdist_host import cli, keys

ROOT = Path(__file__).resolve().parents[2]
PHRASE = b"correct horse\n"

# --- what the device says


def first_cells(document):
    """The quoted texts of the first column of all its tables."""
    found = set()
    for line in (ROOT / document).read_text().splitlines():
        if line.startswith("| `"):
            found |= set(re.findall("`([^`]+)`", line.split("|")[1]))
    return found


def test_each_text_and_each_word_has_an_entry_and_no_entry_is_stale():
    spoken = set(said.all_of_it()) | set(states.STATES)
    entries = first_cells("docs/troubleshooting.md")
    assert sorted(spoken - entries) == [], "said, and not explained"
    assert sorted(entries - spoken) == [], "explained, and said no more"


def test_what_people_can_see_is_found_in_the_source():
    """By hand, one of each way in which it is said."""
    assert {
        "confirmed release ...",  # a log line
        "release ... is dated N days ahead of all clocks here: that is not believed; withdraw it",
        "option ... is '...'; give a number N..N",  # returned as what is wrong
        "CA: .../N.manifest: ...",  # raised
        "sysupgrade has begun 3 times, and it is still the old image that runs",  # a constant
        "no neighbour is heard; see swdist log, option interface",  # collected
        "switchd ended N times",  # by the launcher
        "the CRC of its TRX is wrong",  # by those who flash
    } <= set(said.all_of_it())


def test_each_option_is_documented_with_its_default():
    rows = {}
    for line in (ROOT / "docs/node.md").read_text().splitlines():
        row = re.match(r"\| `(?:list )?([a-z_]+)` \| (?:`([^`]*)`)? *\| .", line)
        if row and row[1] in config._KEYS:
            rows[row[1]] = row[2]
    defaults = dict.fromkeys(config._KEYS)
    defaults |= {"board": config.BOARD_FILE, "factory_version": "0.0.0", "user": "swdist"}
    defaults |= config._PATHS | {key: str(n[0]) for key, n in config._NUMBERS.items()}
    defaults |= {key: some[0] for key, some in config._WORDS.items()}
    assert rows == defaults


# --- what people type

DOCUMENTS = ["README.md", "docs/operations.md", "docs/node.md", "docs/troubleshooting.md"]
RADIO = "it speaks with nodes on an interface: tests/host/test_seed.py, tests/mesh"
ROUTER = "it asks a router's processes: tests/device/test_tool.py, tests/package/test_scripts.py"
INSTALL = "it changes a router as root: tests/package/test_opkg.py, test_ipk.py, test_hooks.py"
# How the first words of a command that is not run here begin, and why it is not.
ELSEWHERE = {
    "swdist seed": RADIO,
    "swdist watch": RADIO,
    "swdist status": ROUTER,
    "swdist clock": ROUTER,
    "swdist releases": ROUTER,
    "swdist inject": ROUTER,
    "swdist metrics": ROUTER,
    "swdist log": ROUTER,
    "swdist check": ROUTER,
    "swdist restart": ROUTER,
    "* * * * * swdist metrics": ROUTER,
    "ssh root@router swdist status": ROUTER,
    "make": "it takes minutes: `make help` has it, and the test below looks there",
    "opkg": INSTALL,
    "apk": INSTALL,
    "vi /etc/config/swdist": INSTALL,
    "uci": INSTALL,
    "mkdir -p /usr/lib/swdist/hooks": INSTALL,
    "echo": INSTALL,
    "eval": "it is for a shell that stays: test_man.py asks for what it evaluates",
    "signify": "it signs on a machine without swdist: below the same bytes are signed here",
}
# A section that tests/mesh/test_newcomer.py types, on a mesh.
TYPED_THERE = r"^## First, on your desk\n.*?(?=^## )"


def blocks(document):
    """The lines of each block that shows what to type: drawings begin with a space, and what a
    router prints below a prompt is no command."""
    text = re.sub(TYPED_THERE, "", (ROOT / document).read_text(), flags=re.S | re.M)
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M):
        if block[0] == "#":
            yield [block.splitlines()[0].removeprefix("# ")]
        elif block[0] != " ":
            yield block.replace("\\\n", " ").splitlines()


def commands(document):
    return [line for block in blocks(document) for line in block if line.strip()]


def elsewhere(line):
    """Why it is not run here, or None."""
    for begin, why in ELSEWHERE.items():
        if line == begin or line.startswith(begin + " ") or line.startswith(begin + "/"):
            return why
    return None


def typed_words(line):
    return shlex.split(line, comments=True)


class Desk:
    """A laptop on which what the documents name lies ready."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("tree", "tree2", "tree-wrt", "tree-other"):
            (folder / name / "hooks").mkdir(parents=True)
            (folder / name / "hooks/activate").write_text(f"echo {name}\n")
        package(folder, "olsrd", "0.9_all")
        package(folder, "olsrd-mod", "0.9_all")
        (folder / "openwrt-wrt54gs.bin").write_bytes(GOOD)
        (folder / "build/ipk").mkdir(parents=True)
        modules = ["__init__.mpy", "netd.mpy", "switchd.mpy"]
        swdist_package(folder / "build/ipk/swdist_1.1.0-r1_all.ipk", modules)
        rows = [{"node": "0001", "name": "attic", "board": "a", "version": "1.0.0",
                 "state": "ready", "age_s": 60}]  # fmt: skip
        (folder / "mesh.json").write_text(json.dumps({"nodes": 1, "rows": rows}))
        links = [{"source": "a", "target": "b", "cost": 1.0}]
        graph = {"type": "NetworkGraph", "metric": "ETX", "nodes": [], "links": links}
        (folder / "meshviewer.json").write_text(json.dumps(graph))

    def type(self, line):
        """Runs a command as it stands there."""
        args = typed_words(line)[1:]
        for output in ("-o", "--output"):
            if output in args:  # of another day
                (self.folder / args[args.index(output) + 1]).unlink(missing_ok=True)
        for begin, prepare in BEFORE.items():
            if line.startswith(begin):
                prepare(self)
        if args[0] in ("keygen", "time") or args[:2] == ["release", "sign"]:
            status, text = at_a_terminal(args, self.folder)
        else:
            done = swdist(*args, cwd=self.folder)
            status, text = done.returncode, done.stdout + done.stderr
        assert status == 0, f"{line}\n{text}"
        return text

    def keys(self):
        for name in ("bob", "carol", "dora"):
            good("keygen", name, "--no-passphrase", cwd=self.folder)

    def earlier_release(self):
        words = "release build -o 1.0.0.swd --ca ca --version 1.0.0 --start now --payload tree2"
        good(words, cwd=self.folder)
        self.sign("1.0.0.swd", "bob", "carol")

    def sign(self, file, *names):
        """By signers at home."""
        for name in names:
            good(f"release sign {file} --key {name}.sec --yes", cwd=self.folder)

    def sign_by_hand(self):
        """What signify makes of the file m."""
        secret = keys.load_secret(self.folder / "bob.sec", None)
        data = b"Ed" + secret.key_id + secret.sign((self.folder / "m").read_bytes())
        text = "untrusted comment: by hand\n" + base64.b64encode(data).decode() + "\n"
        (self.folder / "m.sig").write_text(text)


# What others have done by then.
BEFORE = {
    "swdist network init": Desk.keys,
    "swdist release build -o 1.2.0-r1.swd": lambda desk: desk.sign("1.2.0.swd", "bob", "carol"),
    "swdist release plan 1.1.0.swd --ca ca --map meshviewer.json --against": Desk.earlier_release,
    "swdist release sign 1.1.0.swd --signature": Desk.sign_by_hand,
    "swdist network adopt": lambda desk: desk.sign("keys.swd", "carol"),
}


def at_a_terminal(args, folder):
    """(exit status, all that is shown) for somebody who says yes and knows the passphrase."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execv(sys.executable, [sys.executable, "-m", "swdist_host", *args])
    shown, answered = b"", 0
    try:
        while select.select([terminal], [], [], 60)[0] and (data := os.read(terminal, 4096)):
            shown += data
            if shown.endswith(b": "):
                yes = shown[answered:].endswith(b"[y/N]: ")
                os.write(terminal, b"y\n" if yes else PHRASE)
                answered = len(shown)
    except OSError:  # Linux: the other end is closed
        pass
    finally:
        os.close(terminal)  # which ends who still waits there
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_command_of_a_document_does_what_it_says(document, tmp_path):
    desk = Desk(tmp_path)
    for line in commands(document):
        if elsewhere(line) is None:
            assert line.startswith("swdist "), f"neither run nor said to run elsewhere: {line}"
            desk.type(line)


def test_no_reason_to_leave_a_command_out_is_stale():
    lines = [line for document in DOCUMENTS for line in commands(document)]
    for begin in ELSEWHERE:
        assert any(line.startswith(begin) for line in lines), begin


def test_commands_of_the_laptop_that_are_not_run_are_typed_rightly():
    for line in {line for document in DOCUMENTS for line in commands(document)}:
        words = typed_words(line)
        if words[:2] in (["swdist", "seed"], ["swdist", "watch"]):
            command = cli.cli.commands[words[1]]
            command.parse_args(click.Context(command), words[2:])


def test_commands_of_the_router_are_known_there():
    usage = tool.USAGE + (ROOT / "files/usr/bin/swdist").read_text()
    for line in {line for document in DOCUMENTS for line in commands(document)}:
        if elsewhere(line) == ROUTER:
            command, *rest = typed_words(line.partition("swdist ")[2])
            for word in (command, *(word for word in rest if word.startswith("-"))):
                assert re.search(rf"(?<![\w-]){word}\b", usage), line


def test_make_targets_of_the_documents_exist():
    makefile = (ROOT / "Makefile").read_text()
    for document in DOCUMENTS:
        for target in re.findall(r"[`\n]make ([a-z-]+)", (ROOT / document).read_text()):
            assert f"\n{target}: " in makefile, f"{document}: make {target}"


def test_changelog_has_the_form_of_keep_a_changelog_and_each_entry_once():
    text = (ROOT / "CHANGELOG.md").read_text()
    for version in re.split(r"^## ", text, flags=re.M)[1:]:
        assert re.match(r"\[(Unreleased|\d+\.\d+\.\d+)\]( - \d{4}-\d\d-\d\d)?\n", version)
        order = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
        sections = re.findall(r"^### (.*)$", version, re.M)
        assert sections == [name for name in order if name in sections]
        first, *parts = re.split(r"^### .*\n", version, flags=re.M)
        assert "\n- " not in first and all(part.lstrip().startswith("- ") for part in parts)
        entries = re.findall(r"^- (.*(?:\n  .*)*)", version, re.M)
        assert len(entries) == len(set(entries)) > 0
