"""swdist seed, status, watch: being with the nodes of the mesh."""

import contextlib
import time
from pathlib import Path

import click

from swdist_host import ca, dates, links, release, terminal, watch
from swdist_host.amounts import count
from swdist_host.commands_keys import as_json
from swdist_host.errors import Refused
from swdist_host.listen import Listener
from swdist_host.seed import Seeder, Unchecked

HEAR_US = 1_500_000  # by then who is there has answered a query
SOON_US = 5_000_000  # most say it sooner
BEACONS_US = 18_000_000  # and by then said what time it is
_PATH = click.Path(path_type=Path)
_interface = click.option(
    "--interface", "interfaces", metavar="IF", multiple=True, required=True,
    help="An interface on which nodes are; once for each.",
)  # fmt: skip
_network = click.option(
    "--ca", "ca_dir", metavar="DIR", type=_PATH, help="Only the network of this CA; else all."
)
_silent = click.option("--silent", is_flag=True, help="Send nothing; clocks are known less well.")
_duration = click.option(
    "--duration", metavar="S", type=click.IntRange(1), help="Stop after so many seconds."
)


@click.command(short_help="Offer a release, and show who has it.")
@click.argument("file", metavar="FILE.swd", type=_PATH)
@_interface
@click.option(
    "--ca", "ca_dir", metavar="DIR", type=_PATH, help="Verify it first, as the nodes will do."
)
@click.option(
    "--until-covered", "--once", "until_covered", metavar="N", type=click.IntRange(1),
    help="Stop as soon as N neighbours have all of it that they want.",
)  # fmt: skip
@_duration
@click.option(
    "--force", is_flag=True,
    help="Don't compare its times with this host's clock and the neighbours'.",
)  # fmt: skip
@as_json
def seed(file, interfaces, ca_dir, until_covered, duration, force, as_json):
    """Be a neighbour that offers a release, and show who has fetched what.

    One neighbour that has all of it is enough: the mesh passes it on. A neighbour takes what is for
    its board, and what others lack as far as it has room: of several payloads each has to find one.
    Ctrl-C stops. This host takes nothing from its neighbours, and no node counts its clock. Exit
    status 1 if a --duration is over before any neighbour has it, or before N have.

    \b
    Example:
      swdist seed 1.1.0.swd --interface wlan0 --ca ca --until-covered 2
    """
    swd = release.load(file)
    trust = _trust(swd, file, ca_dir)
    names = links.check(interfaces)
    if not force:
        _check_dates(file, swd.parsed, names)
    with Seeder(swd, trust, names, terminal.note) as seeder:
        if as_json:
            terminal.print_json({"event": "up", "id": swd.rid.hex(), "interfaces": names})
        watch.follow(seeder, duration, as_json, _until(seeder, until_covered))
        holders, of = seeder.holders(), len(seeder.mesh.rows())
        alone = seeder.left_alone()
    if as_json:
        terminal.print_json(
            {"event": "end", "complete": holders, "neighbours": of, "left_alone": alone}
        )
    else:
        terminal.say(f"{holders} of {count(of, 'neighbour')} have all of it that they want")
    if holders and alone:
        terminal.note(
            f"no neighbour has payload {', '.join(alone)}: whose board needs it gets it from here "
            "alone; seed longer, or beside one of these"
        )
    if until_covered is not None and holders < until_covered:
        raise Refused(
            f"{holders} of {count(until_covered, 'neighbour')} have it; seed longer, or from nearer"
        )
    if duration is not None and not holders:
        raise Refused(f"no neighbour has all of it after {duration} s; seed longer, or from nearer")


def _check_dates(file, m, interfaces):
    """By this host's clock; and by the mesh's, as far as neighbours are heard who say it."""
    now_s = int(time.time())
    dates.refuse(file, dates.complaints(m, now_s))
    listener = Listener(interfaces, m.network)
    began = listener.now()
    said = False

    def offsets():
        clocks = [row.clock(listener.wall_us()) for row in listener.mesh.rows() if row.synced]
        return [clock[0] for clock in clocks if clock is not None]

    def enough(now):
        """Who answers is there, and says the time with its next beacon."""
        nonlocal said
        rows = listener.mesh.rows()
        silent = [row for row in rows if row.version is None]
        if silent and not said and now - began >= SOON_US:
            said = True
            terminal.note("waiting for the neighbours to say what time it is (--force: don't)")
        return now - began >= (HEAR_US if not silent else BEACONS_US)

    try:
        listener.run(enough)
        dates.refuse(file, dates.of_mesh(m, now_s, offsets()))
    finally:
        listener.close()


def _trust(swd, file, ca_dir):
    if not swd.signatures:
        raise Refused(f"{file}: has no signatures; add one with swdist release sign")
    if ca_dir is None:
        release.check_payloads(swd)
        terminal.note("whether the nodes accept its signatures was not checked; give --ca DIR")
        return Unchecked(swd)
    trust = ca.load(ca_dir).trust
    try:
        release.verify(swd, trust)
    except Refused as e:
        raise Refused(f"{file}: not offered, no node would take it: {e}") from None
    return trust


def _until(seeder, wanted):
    told = False

    def done():
        nonlocal told
        later = None if told else seeder.superseded_by()
        if later is not None:
            told = True
            terminal.note(
                f"{later[0].address} says that it holds revision {later[1]} of this version, which "
                "replaces this one on all boards; if it is for others, build one release with the "
                f"payloads of all, --revision {later[1] + 1}, and give that one to --against"
            )
        return wanted is not None and seeder.holders() >= wanted

    return done


@contextlib.contextmanager
def _listener(interfaces, ca_dir, silent):
    network = None if ca_dir is None else ca.load(ca_dir).trust.network
    listener = Listener(links.check(interfaces), network, silent)
    try:
        yield listener
    finally:
        listener.close()


@click.command(short_help="Show the neighbourhood once.")
@_interface
@_network
@click.option(
    "--wait", metavar="S", type=click.IntRange(1), default=20, show_default=True,
    help="Listen so many seconds; nodes send beacons every 4 to 16 s.",
)  # fmt: skip
@_silent
@as_json
def status(interfaces, ca_dir, wait, silent, as_json):
    """Show the neighbourhood once: versions, progress, clocks, what comes next.

    The clock is that of the neighbour less that of this host, positive when the neighbour is ahead.
    "at least" means that no beacon of ours has been echoed yet.

    \b
    Example:
      swdist status --interface wlan0
    """
    with _listener(interfaces, ca_dir, silent) as listener:
        listener.run(lambda now: False, wait)
        rows = listener.mesh.rows()
        if as_json:
            now, wall_us = listener.now(), listener.wall_us()
            terminal.print_json([row.facts(now, wall_us) for row in rows])
        elif rows:
            console = terminal.console()
            console.print(watch.table(listener, console.width))
    if not rows:
        raise _nobody(interfaces, ca_dir, wait)


def _nobody(interfaces, ca_dir, seconds):
    return Refused(
        f"no node was heard on {', '.join(interfaces)} in {seconds} s; is it the right interface"
        f"{' and CA' if ca_dir else ''}, and does a firewall let UDP port 27182 in? Nodes send "
        "beacons every 4 to 16 s"
    )


@click.command("watch")
@_interface
@_network
@_duration
@_silent
@as_json
def watch_command(interfaces, ca_dir, duration, silent, as_json):
    """Show the neighbourhood live, until Ctrl-C. With --json a line for each change. Exit status 1
    if a --duration is over and nobody was heard.

    \b
    Example:
      swdist watch --interface wlan0
    """
    heard = False

    def look():
        nonlocal heard
        heard = heard or bool(listener.mesh.rows())
        return False

    with _listener(interfaces, ca_dir, silent) as listener:
        watch.follow(listener, duration, as_json, look)
    if duration is not None and not heard:
        raise _nobody(interfaces, ca_dir, duration)


COMMANDS = (seed, status, watch_command)
