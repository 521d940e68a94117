"""Talking with the operator: terminals, colours, questions."""

import json
import os
import sys

import click
from rich.console import Console

from swdist_host.errors import Refused

MAX_PASSPHRASE = 1024
PLAIN_WIDTH = 400  # where no terminal says how wide it is: nothing is folded


def no_color():
    """no-color.org: neither colour nor what stands in for it."""
    return bool(os.environ.get("NO_COLOR"))


def console(stderr=False):
    """rich's console; it is plain where there is no terminal, or NO_COLOR is set."""
    made = Console(stderr=stderr, highlight=False, markup=False)
    if not made.is_terminal:
        made.width = PLAIN_WIDTH
    return made


def plain(text):
    """The text with what a terminal would obey in place of showing it, as escapes: file names,
    packages' fields and an image's first bytes come from strangers, and end where people sign."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def line(text):
    """The same of what is to stay in one line."""
    return plain(text.replace("\n", "\\n"))


def say(text):
    click.echo(plain(text))


def note(text):
    """What is worth knowing, but is no result."""
    click.echo(plain(f"swdist: {text}"), err=True)


def print_json(value):
    click.echo(json.dumps(value))


def passphrase(prompt="passphrase", confirm=False):
    """From the terminal; one line of standard input where that is no terminal, as signify."""
    if sys.stdin.isatty():
        return click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    text = sys.stdin.buffer.readline(MAX_PASSPHRASE + 1).removesuffix(b"\n")
    if len(text) > MAX_PASSPHRASE:
        raise Refused(f"the passphrase is longer than {MAX_PASSPHRASE} bytes; take a shorter one")
    return text.decode("utf-8", "surrogateescape")


def harden():
    """A core dump could hold a key."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass
