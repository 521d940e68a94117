"""What the mesh says of itself: the JSON that `swdist status --mesh --json` prints on a router.
Any liar can write in it: it is told, and decides nothing."""

import json
from collections import Counter
from dataclasses import dataclass

from swdist.commands.rollcall import SILENT_S
from swdist.formats.bits import version as parse_version
from swdist.formats.bits import version_text
from swdist_host import files
from swdist_host.amounts import count
from swdist_host.errors import BadValue

MAX_BYTES = 1 << 23
MAX_NODES = 10_000
MAX_NAME = 64  # characters
TOLD_NAME = 12  # of a node's name that it tells (docs/protocol.md, section 3.6)
LEAST_BOARD = 4  # characters of a board's name that mean one, where it was cut on its way

TOLD = {  # states as routers name them: what they mean for a release to come
    "no room": "without room for what they are to fetch",
    "held by its owner": "held by their owners",
    "clock not synchronised": "without time yet",
}


@dataclass(frozen=True)
class Row:
    name: str
    board: str
    version: tuple
    state: str
    age_s: int

    def is_for(self, line):
        """Could its board be one of a payload's? Long names are cut on their way."""
        if line.boards is None or not self.board:
            return True
        cut = len(self.board) >= LEAST_BOARD
        return any(b == self.board or (cut and b.startswith(self.board)) for b in line.boards)


def read(path):
    """[Row] of a file; BadValue where it is another."""
    try:
        data = json.loads(files.read(path, MAX_BYTES))
        rows = [_row(row) for row in data["rows"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        why = "is not what swdist status --mesh --json prints on a router"
        raise BadValue(f"{path}: {why}") from None
    if not rows or len(rows) > MAX_NODES:
        raise BadValue(
            f"{path}: tells of {count(len(rows), 'node')}; give one with 1 to {MAX_NODES}"
        )
    return rows


def _row(row):
    text = {key: str(row[key])[:MAX_NAME] for key in ("node", "name", "board", "state")}
    version = parse_version(str(row["version"]))
    if version is None or not 0 <= row["age_s"] < 1 << 31:
        raise ValueError
    return Row(text["name"] or text["node"], text["board"], version, text["state"], row["age_s"])


def summary(rows):
    """A line: how many, how many of them silent, and of which boards."""
    boards = Counter(row.board or "?" for row in rows)
    told = ", ".join(f"{n} {board}" for board, n in boards.most_common(6))
    more = f" and {len(boards) - 6} more" if len(boards) > 6 else ""
    silent = sum(row.age_s >= SILENT_S for row in rows)
    quiet = f", {silent} of them silent" if silent else ""
    return f"{count(len(rows), 'node')} heard of{quiet}; boards: {told}{more}"


def heard(rows):
    """Those that are not silent."""
    return [row for row in rows if row.age_s < SILENT_S]


def fits(m, rows):
    """{number of a row: id of the payload for its board}, of those that have one."""
    found = {n: [p.pid for p in m.payloads if row.is_for(p)] for n, row in enumerate(rows)}
    return {n: pids[0] for n, pids in found.items() if pids}


def located(m, names, rows):
    """({node of a map: id of the payload for its board}, nodes that no row is of): by what people
    call them, as far as nodes tell it. names: {node: name}."""
    found = fits(m, rows)
    numbers = {row.name[:TOLD_NAME].casefold(): n for n, row in enumerate(rows)}
    of = {node: numbers.get(name[:TOLD_NAME].casefold()) for node, name in names.items()}
    known = {node: found[n] for node, n in of.items() if n in found}
    return known, [node for node, n in of.items() if n is None]


def complaints(m, rows, names):
    """Whom a release would not reach, by what they say, in sentences. names(list): of nodes."""
    if m.is_keys or m.withdrawn:
        return
    silent = [row for row in rows if row.age_s >= SILENT_S]
    there = heard(rows)
    told = [([r for r in there if r.state == state], what) for state, what in TOLD.items()]
    for found, what in (
        ([r for r in rows if not any(map(r.is_for, m.payloads))], "of a board that it is not for"),
        (
            [r for r in rows if r.version > m.version],
            f"with more than {version_text(m.version)}",
        ),
        *told,
        (silent, "silent, to get it when they come back"),
    ):
        if found:
            of = f"{len(found)} of {count(len(rows), 'node')}"
            yield f"{what}: {names([r.name for r in found])} ({of})"
