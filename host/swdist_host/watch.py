"""How the neighbourhood is shown: a live table, plain lines, or a line of JSON for each event."""

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from swdist.formats.bits import version_text
from swdist_host import terminal
from swdist_host.times import span

SHOW_US = 400_000
WIDE = 140  # columns
MAX_LINES = 8  # of releases


def _duration(us):
    if abs(us) < 1_000_000:
        return f"{us / 1e3:+.1f} ms"
    if abs(us) < 100_000_000:
        return f"{us / 1e6:+.3f} s"
    return ("-" if us < 0 else "+") + span(abs(us) / 1e6)


def name(version, revision):
    return version_text(version) + (f"-r{revision}" if revision else "")


def runs(row):
    if row.version is None:
        return "?"
    marks = [
        ("experimental", row.experimental),
        ("!", row.failed),
        ("held by its owner", row.on_hold),
    ]
    return " ".join([name(row.version, row.revision), *(mark for mark, on in marks if on)])


def holds(row):
    parts = []
    for held in row.releases.values():
        marks = [("withdrawn", held.withdrawn), ("failed there", held.failed)]
        parts.append(
            " ".join([name(held.version, held.revision), *(mark for mark, on in marks if on)])
        )
    return "; ".join(parts) or "-"


def progress(row, names):
    """names: {payload id: what it is called}."""
    parts = []
    for p in row.payloads.values():
        waits = ", finds no more" if p.starved else ""
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
    return text if row.synced else text + ", not synchronised"


def coming(row, now):
    if row.pending is None:
        return "-"
    version, revision, at, percent = row.pending
    return f"{name(version, revision)} in {span(max(at - now, 0) / 1e6)}, {percent} %"


def who(source, row):
    """Name and address. The interface behind the % tells two links apart: it is never cut."""
    return Text(" ".join(filter(None, (source.mesh.name(row), row.address))), no_wrap=True)


def table(source, width):
    """source: a Listener or a Seeder; width: columns of the screen. Narrow ones have what a
    neighbour holds below what it runs."""
    now, wall_us = source.now(), source.wall_us()
    wide = width >= WIDE
    columns = ["neighbour", "runs", "clock against this host", "next"]
    if wide:
        columns[2:2] = ["releases", "payloads"]
    style = "none" if terminal.no_color() else "bold"
    made = Table(*columns, box=None, header_style=style, padding=(0, 2, 0, 0))
    for row in source.mesh.rows():
        parts = [runs(row), holds(row), progress(row, source.names)]
        if not wide:
            parts = ["\n".join(part for part in parts if part != "-")]
        made.add_row(who(source, row), *parts, clock(row, wall_us), coming(row, now))
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
        bad = f", failed on {sum(failed)}" if any(failed) else ""
        lines.append(f"{name(version, revision):12} known to {len(failed)} of {len(rows)}{bad}")
    return Group(*lines, "", table(source, console.width))


def line(row, names):
    return f"{row.address} runs {runs(row)}, holds {holds(row)}; payloads: {progress(row, names)}"


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
                    terminal.say(line(row, source.names))
        return done()

    source.run(turn, seconds)
