"""What the screen shows: a live table on a terminal, else one line for each change."""

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.table import Table

REFRESH_S = 0.5


class Report:
    """rows() gives what the table shows of each node, as tuples of text. Lines go to `file`."""

    HEADER = ("node", "hops", "runs", "holds", "clock", "neighbours", "refused")

    def __init__(self, rows, file=sys.stdout):
        self._rows = rows
        self._began = time.monotonic()
        self._console = Console(file=file, highlight=False, markup=False, soft_wrap=True)
        self._live = None
        self._shown = 0.0
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self):
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_):
        if self._live:
            self._live.stop()

    @property
    def live(self):
        return self._live is not None

    def seconds(self):
        return time.monotonic() - self._began

    def say(self, text):
        self._console.print(f"[{self.seconds():6.1f} s] {text}")

    def plain(self, text):
        self._console.print(text)

    def refresh(self):
        """Call it often: it draws twice a second, and only on a terminal."""
        if self._live is None or time.monotonic() - self._shown < REFRESH_S:
            return
        self._shown = time.monotonic()
        table = Table(*self.HEADER)
        for row in self._rows():
            table.add_row(*row)
        self._live.update(table, refresh=True)


def bar(share, width):
    return "|" + "#" * int(share * width) + " " * (width - int(share * width)) + "|"
