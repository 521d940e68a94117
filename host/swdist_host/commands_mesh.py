"""swdist seed, status, watch: being a neighbour of the mesh."""

import time
from pathlib import Path

import click
from rich.live import Live
from rich.table import Table

from swdist_host import links, release, terminal
from swdist_host.laptop import Laptop

_PATH = click.Path(path_type=Path)
_interface = click.option(
    "--interface", "interfaces", metavar="IF", multiple=True, required=True,
    help="An interface on which nodes are; once for each.",
)  # fmt: skip
_ca = click.option(
    "--ca", "ca_dir", metavar="DIR", type=_PATH, required=True, help="The network's CA directory."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
SHOW_S = 0.5


def _table(facts):
    table = Table("neighbour", "runs", "holds", "clock", "next")
    for f in facts:
        holds = ", ".join(f"{r['version']} {r['percent']} %" for r in f["releases"])
        clock = "-"
        if f["offset_us"] is not None:
            clock = f"{f['offset_us'] / 1e6:+.3f} s{'' if f['synced'] else ', not synchronised'}"
        p = f["pending"]
        soon = f"{p['version']} in {p['seconds']} s, {p['percent']} %" if p else "-"
        table.add_row(f["address"], f["version"] or "-", holds or "-", clock, soon)
    return table


def _facts(laptop):
    return sorted((s.facts() for s in laptop.seen.values()), key=lambda f: f["address"])


def _follow(laptop, seconds, as_json, done=lambda: False):
    """A live table on a terminal; else one JSON line, or one plain line, for each change."""
    if not as_json and terminal.console().is_terminal:
        with Live(_table([]), console=terminal.console(), auto_refresh=False) as live:
            shown = 0.0

            def tick():
                nonlocal shown
                if time.monotonic() - shown > SHOW_S:
                    shown = time.monotonic()
                    live.update(_table(_facts(laptop)), refresh=True)
                return done()

            laptop.run(seconds, tick)
        return
    last = {}

    def changes():
        for f in _facts(laptop):
            key = (f["version"], f["synced"], str(f["releases"]))
            if last.get(f["address"]) != key:
                last[f["address"]] = key
                if as_json:
                    terminal.print_json(f)
                else:
                    holds = ", ".join(f"{r['version']} {r['percent']} %" for r in f["releases"])
                    terminal.say(f"{f['address']} runs {f['version']}, holds {holds or 'nothing'}")
        return done()

    laptop.run(seconds, changes)


@click.command()
@click.argument("file", metavar="FILE.swd", type=_PATH)
@_interface
@_ca
@click.option("--until-covered", metavar="N", type=click.IntRange(1), help="Stop once N have it.")
@click.option("--duration", metavar="S", type=click.IntRange(1), help="Stop after so many seconds.")
@_json
def seed(file, interfaces, ca_dir, until_covered, duration, as_json):
    """Be a neighbour that offers a release, and show who has fetched what.

    The release is verified first, as a node does it. One neighbour that has all of it is enough:
    the mesh passes it on. Ctrl-C stops.

    \b
    Example:
      swdist seed 1.1.0.swd --interface wlan0 --ca ca --until-covered 2
    """
    swd = release.load(file)
    names = links.check(interfaces)
    with Laptop(ca_dir, names, [swd]) as laptop:
        _follow(
            laptop, duration, as_json,
            lambda: until_covered is not None and laptop.covered() >= until_covered,
        )  # fmt: skip
        count = laptop.covered()
    if not as_json:
        terminal.say(f"{count} of {len(laptop.seen)} neighbours have all of it")
    if until_covered is not None and count < until_covered:
        raise click.ClickException(
            f"{count} of the {until_covered} neighbours have it; seed longer, or look nearer"
        )


@click.command()
@_interface
@_ca
@click.option("--wait", metavar="S", type=click.IntRange(1), default=6, show_default=True)
@_json
def status(interfaces, ca_dir, wait, as_json):
    """Show the neighbourhood once: versions, progress, clocks, what comes next.

    \b
    Example:
      swdist status --interface wlan0 --ca ca
    """
    with Laptop(ca_dir, links.check(interfaces)) as laptop:
        laptop.run(wait, lambda: False)
        facts = _facts(laptop)
    if as_json:
        terminal.print_json(facts)
    elif facts:
        terminal.console().print(_table(facts))
    else:
        raise click.ClickException(
            f"no node was heard in {wait} s; is it the right interface, and the right CA?"
        )


@click.command()
@_interface
@_ca
@click.option("--duration", metavar="S", type=click.IntRange(1), help="Stop after so many seconds.")
@_json
def watch(interfaces, ca_dir, duration, as_json):
    """Show the neighbourhood live, until Ctrl-C. With --json a line for each change.

    \b
    Example:
      swdist watch --interface wlan0 --ca ca
    """
    with Laptop(ca_dir, links.check(interfaces)) as laptop:
        _follow(laptop, duration, as_json)


COMMANDS = (seed, status, watch)
