"""Progress of files and jobs: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from app.cli.common import as_json, print_result, print_status
from app.cli.text import FINAL, duration, quantity, rows_text, shown, size, state_text, waits_for
from app.jobs.time_left import SHORT_SECONDS, Pace, paced, seconds_run

if TYPE_CHECKING:
    from app.terminal import Bars


class Board(Protocol):
    """Shows the progress of files, each under a key of the caller's. Called from several
    threads.
    """

    def uploading(self, key: str, name: str, done: int, total: int | None, speed: float) -> None:
        """Show that `done` of `total` bytes are sent, at `speed` bytes a second."""

    def working(self, key: str, name: str, status: dict[str, Any]) -> None:
        """Show the status of a job."""

    def over(self, key: str, text: str = "") -> None:
        """End the display of this file; `text` is the outcome."""

    def print_status(self, text: str) -> None:
        """Print a line on standard error."""

    def print_result(self, text: str) -> None:
        """Print a line on standard output."""

    def print_json(self, value: Any) -> None:
        """Print a line of JSON on standard output."""


class Silent:
    def uploading(self, key: str, name: str, done: int, total: int | None, speed: float) -> None:
        pass

    def working(self, key: str, name: str, status: dict[str, Any]) -> None:
        pass

    def over(self, key: str, text: str = "") -> None:
        pass

    def print_status(self, text: str) -> None:
        print_status(text)

    def print_result(self, text: str) -> None:
        print_result(text)

    def print_json(self, value: Any) -> None:
        self.print_result(as_json(value))


class Lines(Silent):
    """Prints a line at each change of state: for logs and pipes."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def working(self, key: str, name: str, status: dict[str, Any]) -> None:
        if status["status"] not in FINAL and self._last.get(key) != status["status"]:
            self._last[key] = status["status"]
            print_status(f"{shown(name)}: {status['status']}")

    def over(self, key: str, text: str = "") -> None:
        if text:
            print_status(text)


class OnTerminal(Silent):
    """Shows a bar for each file: first its bytes, then its rows."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._paces: dict[str, Pace | None] = {}

    def uploading(self, key: str, name: str, done: int, total: int | None, speed: float) -> None:
        note = f"{size(done)}{f' of {size(total)}' if total else ''} up, {size(speed)}/s"
        self._bars.show(
            key, shown(name, 30), None if total is None else 100 * done / max(total, 1), note
        )

    def working(self, key: str, name: str, status: dict[str, Any]) -> None:
        done = status["counts"]["loaded"] + status["counts"]["rejected"]
        if status["status"] == "queued":
            note = f"queued, priority {status['priority']}"
        else:
            note = quantity(done, "row")
            if seconds_run(status) >= SHORT_SECONDS:
                note += f", {status['rows_per_second']:,.0f}/s"
            if status["counts"]["failed"]:
                note += f", {status['counts']['failed']:,} failed"
            pace = paced(self._paces.get(key), status, time.monotonic())
            self._paces[key] = pace
            if pace is not None and pace.left is not None:
                note += f", {duration(pace.left)} left"
        if status["waiting_on"]:
            note += f", waiting for {waits_for(status)}"
        self._bars.show(key, shown(name, 30), status["progress_percent"], note)

    def over(self, key: str, text: str = "") -> None:
        self._bars.drop(key)
        self._paces.pop(key, None)
        if text:
            self.print_status(text)

    def print_status(self, text: str) -> None:
        self._bars.say(text)

    def print_result(self, text: str) -> None:
        self._bars.put(text)


@contextmanager
def board(quiet: bool) -> Iterator[Board]:
    """Yield the board that fits standard error."""
    if quiet:
        yield Silent()
        return
    if not sys.stderr.isatty():
        yield Lines()
        return
    from app.terminal import Bars

    with Bars() as bars:
        yield OnTerminal(bars)


def outcome(name: str, status: dict[str, Any]) -> str:
    """Return a final status in one line or two."""
    text = f"{shown(name)}: {state_text(status)}, {rows_text(status)}"
    if status["rows_per_second"]:
        text += f", {status['rows_per_second']:,.0f} rows/s"
    if status["error"]:
        text += f"\n  {shown(str(status['error'].get('message', '')))}"
    return text


LONGEST_CELL = 60
NARROWEST = 8
"""Characters below which no column is cut."""
GAP = 2


def fitted(widths: Sequence[int], room: int, whole: Collection[int] = ()) -> list[int]:
    """Return widths of columns that fit into `room` with gaps between them. The widest are cut to
    one width, and narrow ones, and those with the indexes `whole`, stay as they are. Columns at
    the end that do not fit then are left out.
    """
    fitting: list[int] = []
    needed = -GAP
    for place, width in enumerate(widths):
        needed += GAP + (width if place in whole else min(width, NARROWEST))
        if needed > room:
            break
        fitting.append(width)
    left = room - GAP * (len(fitting) - 1)
    while sum(fitting) > left:
        widest = max(width for place, width in enumerate(fitting) if place not in whole)
        fitting[_last(fitting, widest, whole)] -= 1
    return fitting


def _last(widths: Sequence[int], width: int, whole: Collection[int]) -> int:
    """Return the index of the last column of this width that may be cut."""
    return max(place for place, each in enumerate(widths) if each == width and place not in whole)


def table(
    headings: tuple[str, ...], rows: list[tuple[Any, ...]], right: frozenset[int] = frozenset()
) -> None:
    """Print a table on standard output. On a terminal it fits the width: long cells are cut, and
    columns that have no room are counted. `right`: indexes of the right-aligned columns, whose
    numbers are never cut.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    texts = [
        ["" if cell is None else shown(str(cell), LONGEST_CELL) for cell in row] for row in rows
    ]
    lines = [[shown(heading) for heading in headings], *texts]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else 1_000_000, highlight=False)
    if is_terminal:
        widths = fitted(widths, console.width, right)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for index, width in enumerate(widths):
        grid.add_column(
            Text(lines[0][index]),
            justify="right" if index in right else "left",
            width=width,
            no_wrap=True,
            overflow="ellipsis",
        )
    for line in texts:
        grid.add_row(*map(Text, line[: len(widths)]))
    console.print(grid)
    missing = len(headings) - len(widths)
    if missing:
        print_status(f"{quantity(missing, 'more column')} not shown here; --json has all.")
