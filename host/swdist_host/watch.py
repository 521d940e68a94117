"""How the neighbourhood is shown: a live table, plain lines, or a line of JSON for each event."""

from rich.live import Live
from rich.table import Table

from swdist.bits import version_text
from swdist_host import terminal

SHOW_US = 400_000


def span(seconds):
    """For people: 12 s, 3 min 05 s, 4 h 10 min, 2 d 3 h."""
    s = int(seconds)
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02} s"
    if s < 86400:
        return f"{s // 3600} h {s // 60 % 60:02} min"
    return f"{s // 86400} d {s // 3600 % 24} h"


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
    marks = [m for m, on in (("experimental", row.experimental), ("!", row.failed)) if on]
    return " ".join([name(row.version, row.revision), *marks])


def holds(row):
    parts = []
    for held in row.releases.values():
        state = "withdrawn" if held.withdrawn else f"{held.percent} %"
        failed = ", failed there" if held.failed else ""
        parts.append(f"{name(held.version, held.revision)} {state}{failed}")
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
    made = Table("neighbour", "runs", "holds", "clock against this host", "next", box=None)
    for row in source.mesh.rows():
        made.add_row(row.address, runs(row), holds(row), clock(row, wall_us), coming(row, now))
    return made


def line(row):
    return f"{row.address} runs {runs(row)}, holds {holds(row)}"


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
                    terminal.say(line(row))
        return done()

    source.run(turn, seconds)
