"""How the neighbourhood is shown: a live table, plain lines, or a line of JSON for each event."""

from rich.live import Live
from rich.table import Table

from swdist.formats.bits import version_text
from swdist_host import terminal
from swdist_host.times import span

SHOW_US = 400_000


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


def table(source):
    """source: a Listener or a Seeder."""
    now, wall_us = source.now(), source.wall_us()
    columns = ("neighbour", "runs", "releases", "payloads", "clock against this host", "next")
    made = Table(*columns, box=None)
    for row in source.mesh.rows():
        parts = runs(row), holds(row), progress(row, source.names)
        made.add_row(row.address, *parts, clock(row, wall_us), coming(row, now))
    return made


def line(row, names):
    return f"{row.address} runs {runs(row)}, holds {holds(row)}; payloads: {progress(row, names)}"


def follow(source, seconds, as_json, done=lambda: False):
    """Shows what changes until done() is true, the seconds are over, or Ctrl-C."""
    if as_json or not terminal.console().is_terminal:
        _lines(source, seconds, as_json, done)
        return
    with Live(console=terminal.console(), auto_refresh=False) as live:
        shown_at = -SHOW_US

        def turn(now):
            nonlocal shown_at
            if now - shown_at >= SHOW_US:
                shown_at = now
                source.mesh.forget(now)
                live.update(table(source), refresh=True)
            return done()

        source.run(turn, seconds)
        live.update(table(source), refresh=True)


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
