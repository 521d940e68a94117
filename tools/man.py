"""Man pages of the host tool, made from its help: build/man/swdist.1, swdist-release-build.1, ...

python tools/man.py [OUT]
"""

import inspect
import re
import sys
from pathlib import Path

import click

from swdist import VERSION
from swdist_host.cli import cli

OUT = Path(__file__).resolve().parent.parent / "build/man"
_ESCAPES = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
_STATUS = "0: done. 1: refused, and one line on standard error says why. 2: typed wrongly."
_COMPLETION = """\
Bash and zsh complete commands, options and files after this line in ~/.bashrc or ~/.zshrc:

\b
  eval "$(_SWDIST_COMPLETE=bash_source swdist)"     # zsh_source in zsh

Fish does after this, once:

\b
  _SWDIST_COMPLETE=fish_source swdist > ~/.config/fish/completions/swdist.fish"""


def roff(text):
    """A line of text that roff takes for nothing else."""
    text = "".join(_ESCAPES.get(c, c) for c in text)
    return r"\&" + text if text.startswith((".", r"\(aq")) else text


def paragraphs(text):
    """Help as click has it: a paragraph that begins with \\b is left as it stands."""
    for part in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = part.splitlines()
        yield ".PP"
        if lines[0].strip() == "\b":
            yield from (".nf", *(roff(line) for line in lines[1:]), ".fi")
        else:
            yield roff(" ".join(line.strip() for line in lines))


def page(context, others):
    """The lines of a command's page. others: names of the pages beside it."""
    command, name = context.command, context.command_path.replace(" ", "-")
    short = command.get_short_help_str(limit=300).rstrip(".")
    yield f'.TH "{roff(name.upper())}" 1 "" "swdist {VERSION}" "swdist"'
    yield from (".SH NAME", rf"{roff(name)} \- {roff(short)}")
    yield ".SH SYNOPSIS"
    usage = " ".join(command.collect_usage_pieces(context))
    yield rf"\fB{roff(context.command_path)}\fR {roff(usage)}"
    yield ".SH DESCRIPTION"
    yield from paragraphs(command.help or short)
    records = [p.get_help_record(context) for p in command.get_params(context)]
    yield ".SH OPTIONS"
    for option, about in filter(None, records):
        yield from (".TP", rf"\fB{roff(option)}\fR", roff(about) or r"\&")
    if context.parent is None:
        yield from (".SH COMPLETION", *paragraphs(_COMPLETION))
    yield from (".SH EXIT STATUS", roff(_STATUS))
    if others:
        yield ".SH SEE ALSO"
        yield ",\n".join(rf"\fB{roff(other)}\fR(1)" for other in others)


def name_of(context):
    return context.command_path.replace(" ", "-")


def contexts(command, name, parent=None):
    """One for each command, groups first."""
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield context
    for below in sorted(getattr(command, "commands", {})):
        yield from contexts(command.commands[below], below, context)


def pages():
    """{file's name: its text}"""
    found = list(contexts(cli, "swdist"))
    made = {}
    for context in found:
        others = [name_of(c) for c in found if context in (c.parent, c) and c is not context]
        if context.parent is not None:
            others.insert(0, name_of(context.parent))
        made[f"{name_of(context)}.1"] = "\n".join(page(context, others)) + "\n"
    return made


def main(out=OUT):
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("swdist*.1"):
        old.unlink()
    for name, text in pages().items():
        (out / name).write_text(text)
    print(f"{out}: swdist.1 and {len(pages()) - 1} more; man -l {out}/swdist.1")


if __name__ == "__main__":
    main(*sys.argv[1:])
