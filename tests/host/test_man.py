"""The man pages, and what the shell completes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from swdist_host.cli import cli

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import man  # noqa: E402

PAGES = man.pages()


def commands(command=cli, path="swdist"):
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("man")
    man.main(out)
    return out


def formatted(page, folder):
    """What people read, if a formatter is here. What it warns of is an error."""
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("no groff here")
    words = [groff, "-man", "-Tascii", "-ww", "-rLL=100n", "-P-c", "-P-b", "-P-u", folder / page]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def test_each_command_has_a_page_and_each_option_is_in_it():
    assert set(PAGES) == {f"{path.replace(' ', '-')}.1" for path, _ in commands()}
    for path, command in commands():
        text = PAGES[f"{path.replace(' ', '-')}.1"].replace("\\-", "-")
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert all(option in text for option in parameter.opts), (path, parameter)


def test_pages_have_the_form_of_man_pages():
    for name, text in PAGES.items():
        lines = text.splitlines()
        assert lines[0].startswith(".TH ") and lines[1] == ".SH NAME" and " \\- " in lines[2], name
        requests = {line.split()[0] for line in lines if line.startswith((".", "'"))}
        assert requests <= {".TH", ".SH", ".PP", ".TP", ".nf", ".fi"}, name
        assert text.count("\n.nf\n") == text.count("\n.fi\n") and text.isascii(), name


@pytest.mark.parametrize("page", ["swdist.1", "swdist-release-build.1"])
def test_a_page_reads_as_the_help_does(page, folder):
    read = formatted(page, folder)
    command = dict(commands())[page.removesuffix(".1").replace("-", " ")]
    first = " ".join(command.help.split("\n\n")[0].split())
    assert first in " ".join(read.split())
    for line in command.help.split("\b\n")[1].splitlines():
        assert line.strip() in read


def test_formatters_have_nothing_to_warn_of(folder):
    """All pages in one go."""
    whole = folder / "all"
    whole.write_text("".join(PAGES.values()))
    formatted("all", folder)


def test_a_line_that_looks_like_a_request_is_text():
    assert man.roff(".so x\\") == "\\&.so x\\e" and man.roff("'x") == "\\&\\(aqx"


def completed(*words):
    """What bash is told for the last of the words."""
    environment = os.environ | {
        "_SWDIST_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", "from swdist_host import cli; cli.main()"],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_shell_completes_commands_and_options():
    assert completed("swdist", "release", "si") == ["plain,sign"]
    assert "plain,--threshold" in completed("swdist", "network", "init", "--th")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_the_manual_says_to_put_into_a_shell_is_given(shell):
    assert f"{shell}_source swdist" in PAGES["swdist.1"].replace("\\-", "-") or shell == "zsh"
    environment = os.environ | {"_SWDIST_COMPLETE": f"{shell}_source"}
    done = subprocess.run(
        [ROOT / ".venv/bin/swdist"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "_swdist_completion" in done.stdout, done.stderr
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True, timeout=60)
