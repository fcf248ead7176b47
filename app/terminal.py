"""Progress bars on standard error. Data on standard output stays unchanged and unbuffered, whether
the bars are on the same terminal, on another one, or nowhere.
"""

from __future__ import annotations

import sys
import time
from threading import RLock
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

REDRAW_SECONDS = 0.1


class Bars:
    """One bar for each key; all are removed at the end. May be called from several threads."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        # Drawn only by our own calls: a background thread would draw into other output.
        self._progress = Progress(
            *columns,
            console=Console(stderr=True),
            transient=True,
            auto_refresh=False,
            redirect_stdout=False,
        )
        self._tasks: dict[str, TaskID] = {}
        self._lock = RLock()
        self._drawn = float("-inf")

    def __enter__(self) -> Bars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with self._lock:
            self._progress.stop()

    def show(self, key: str, description: str, percent: float | None, note: str) -> None:
        """Show a bar; `percent` is None if unknown."""
        with self._lock:
            is_new = key not in self._tasks
            if is_new:
                self._progress.start()
                self._tasks[key] = self._progress.add_task(description, total=100, note="")
            self._progress.update(
                self._tasks[key], total=percent and 100, completed=percent or 0, note=note
            )
            if is_new or time.monotonic() - self._drawn >= REDRAW_SECONDS:
                self._draw()

    def drop(self, key: str) -> None:
        """Remove the bar of this key, if there is one."""
        with self._lock:
            task = self._tasks.pop(key, None)
            if task is None:
                return
            self._progress.remove_task(task)
            self._draw()
            if not self._tasks:
                self._progress.stop()

    def say(self, text: str) -> None:
        """Print a line on standard error, above the bars."""
        with self._lock:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def put(self, text: str) -> None:
        """Print a line on standard output; bars on the same terminal are hidden while it is
        written.
        """
        with self._lock:
            if sys.stdout.isatty():
                self._set_visible(False)
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
            if sys.stdout.isatty():
                self._set_visible(True)

    def _set_visible(self, is_visible: bool) -> None:
        for task in self._tasks.values():
            self._progress.update(task, visible=is_visible)
        self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        self._progress.refresh()
