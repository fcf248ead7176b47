"""Bars on standard error. Standard output is never touched by them: what is asked for goes where it
was sent, at once and as it is, whether the bars are on the same terminal, on another one, or
nowhere.
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
    """A bar for each key, drawn from the first to the last; nothing is left of them. May be called
    from several threads.
    """

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        # Drawn only by our own calls: a thread that draws on its own would draw into what is
        # written meanwhile.
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
        """`percent`: None if nobody knows."""
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
        """The bar of this key goes, if there is one."""
        with self._lock:
            task = self._tasks.pop(key, None)
            if task is None:
                return
            self._progress.remove_task(task)
            self._draw()
            if not self._tasks:
                self._progress.stop()

    def say(self, text: str) -> None:
        """A line on standard error, above the bars."""
        with self._lock:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def put(self, text: str) -> None:
        """A line on standard output; bars on the same terminal make way while it is written."""
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
