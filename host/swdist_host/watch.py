"""How the neighbourhood is shown: a live table, plain lines, or a line of JSON for each event."""

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from swdist.commands import words
from swdist.commands.words import STATES
from swdist.formats.bits import version_text
from swdist_host import terminal
from swdist_host.times import span

SHOW_US = 400_000
WIDE = 140  # columns
MAX_LINES = 8  # of releases
OLD_US = 300_000_000  # a word that was told so long ago says so


def _duration(us):
    if abs(us) < 1_000_000:
        return f"{us / 1e3:+.1f} ms"
    if abs(us) < 100_000_000:
        return f"{us / 1e6:+.3f} s"
    return ("-" if us < 0 else "+") + span(abs(us) / 1e6)


def name(version, revision):
    return version_text(version) + (f"-r{revision}" if revision else "")


def runs(row):
    """What runs there, and what its beacon says of it."""
    if row.version is None:
        return "?"
    run = name(row.version, row.revision) + (" experimental" if row.experimental else "")
    marks = [(STATES[words.HELD], row.on_hold), (f"one {STATES[words.FAILED]}", row.failed)]
    return ", ".join([run, *(mark for mark, on in marks if on)])


def holds(row, now):
    """What it holds, each with its own word for it as far as that is known."""
    parts = []
    about = row.told["release"] if row.told and row.told["release"].strip("0") else None
    for held in row.releases.values():
        word = held.word()
        if about and held.rid.hex().startswith(about):
            word = word or its_word(row, now)
            about = None
        parts.append(" ".join(filter(None, (name(held.version, held.revision), word))))
    if about:  # what it has said more of has not come here
        parts.append(f"{about} {its_word(row, now)}")
    return "; ".join(parts) or "-"


def its_word(row, now):
    """As "fetching 57 %", and how long ago it said so if that is long."""
    word = row.told["state"]
    if row.fetches:
        word += f" {row.percent} %"
    age_us = now - row.told["at"]
    return word if age_us < OLD_US else f"{word}, told {span(age_us / 1e6)} ago"


def progress(row, names):
    """names: {payload id: what it is called}."""
    parts = []
    for p in row.payloads.values():
        waits = f", {STATES[words.NOBODY]}" if p.starved else ""
        parts.append(f"{names.get(p.pid) or p.pid.hex()[:8]} {p.percent} %{waits}")
    return "; ".join(parts) or "-"


def clock(row, wall_us):
    known = row.clock(wall_us)
    if known is None:
        return "?"
    offset, bound = known
    if bound is None:
        text = f"at least {_duration(offset)}"
    else:
        text = f"{_duration(offset)} +-{_duration(bound).lstrip('+')}"
    return text if row.synced else f"{text}, {STATES[words.CLOCK]}"


def coming(row, now):
    if row.pending is None:
        return "-"
    version, revision, at, percent = row.pending
    return f"{name(version, revision)} in {span(max(at - now, 0) / 1e6)}, {percent} %"


def who(row, between=" "):
    """Name and address."""
    return between.join(filter(None, (row.name, row.address)))


def table(source, width):
    """source: a Listener or a Seeder; width: columns of the screen. Narrow ones have what a
    neighbour holds below what it runs."""
    now, wall_us = source.now(), source.wall_us()
    wide = width >= WIDE
    columns = ["runs", "clock against this host", "next"]
    if wide:
        columns[1:1] = ["releases", "payloads"]
    style = "none" if terminal.no_color() else "bold"
    made = Table(box=None, header_style=style, padding=(0, 2, 0, 0))
    # The interface behind the % tells two links apart: it is never cut.
    made.add_column("neighbour", no_wrap=True)
    for column in columns:
        made.add_column(column)
    for row in source.mesh.rows():
        parts = [runs(row), holds(row, now), progress(row, source.names)]
        if not wide:
            parts = ["\n".join(part for part in parts if part != "-")]
        first = Text(who(row, " " if wide else "\n"))
        made.add_row(first, *parts, clock(row, wall_us), coming(row, now))
    return made


def screen(source, console):
    """All of the live view: how many know what, then the neighbours."""
    rows = source.mesh.rows()
    known = {}
    for row in rows:
        for held in row.releases.values():
            known.setdefault(held.order(), []).append(held.failed)
    lines = [f"{len(rows)} neighbours   Ctrl-C ends this"]
    for (version, revision, _), failed in sorted(known.items(), reverse=True)[:MAX_LINES]:
        bad = f", {STATES[words.FAILED]}: {sum(failed)}" if any(failed) else ""
        lines.append(f"{name(version, revision):12} known to {len(failed)} of {len(rows)}{bad}")
    return Group(*lines, "", table(source, console.width))


def line(row, names, now):
    holding = f"holds {holds(row, now)}; payloads: {progress(row, names)}"
    return f"{who(row)} runs {runs(row)}; {holding}"


def follow(source, seconds, as_json, done=lambda: False):
    """Shows what changes until done() is true, the seconds are over, or Ctrl-C."""
    if as_json or not terminal.console().is_terminal:
        _lines(source, seconds, as_json, done)
        return
    console = terminal.console()
    with Live(console=console, auto_refresh=False, screen=True) as live:
        shown_at = -SHOW_US

        def turn(now):
            nonlocal shown_at
            if now - shown_at >= SHOW_US:
                shown_at = now
                source.mesh.forget(now)
                live.update(screen(source, console), refresh=True)
            return done()

        source.run(turn, seconds)
    console.print(screen(source, console))  # what was last seen stays


def _lines(source, seconds, as_json, done):
    last = {}

    def turn(now):
        for row in source.mesh.forget(now):
            last.pop((row.address, row.network), None)
            if as_json:
                terminal.print_json({"event": "gone", "address": row.address})
            else:
                terminal.say(f"{row.address} is silent")
        for row in source.mesh.rows():
            news = row.news()
            if last.get((row.address, row.network)) != news:
                last[(row.address, row.network)] = news
                if as_json:
                    facts = row.facts(now, source.wall_us())
                    terminal.print_json({"event": "neighbour", **facts})
                else:
                    terminal.say(line(row, source.names, now))
        return done()

    source.run(turn, seconds)
