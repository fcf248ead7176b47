"""Counts the rows of a file while its bytes arrive, with the scanner that splits it later."""

from __future__ import annotations

from collections.abc import Callable

from app.formats.base import MAX_ROW_BYTES, Format
from app.formats.detect import SAMPLE_BYTES
from app.formats.registry import Dialect, open_format
from app.pipeline.cutter import WINDOW_BYTES


class RowCounter:
    """Takes the bytes of a file in order. Holds one window of them, or one record if that is
    longer.

    Record ends do not depend on the windows, so the count equals that of `cut`. The two may differ
    only for records too long to hold, whose quotes are not parsed; the split counts then.
    """

    def __init__(
        self,
        detect: Callable[[bytes, bool], Dialect],
        *,
        window_bytes: int = WINDOW_BYTES,
        row_bytes: int = MAX_ROW_BYTES,
    ) -> None:
        """`detect(sample, complete)` returns the dialect of a file that begins with `sample`."""
        self._detect = detect
        self._window_bytes = window_bytes
        self._row_bytes = row_bytes
        self._form: Format | None = None
        self._pending = bytearray()
        self._wanted = window_bytes
        self._skip = 0
        """Bytes to skip: the header, or the first `row_bytes` of a record that is too long to hold.
        """
        self._is_in_long_record = False
        self._rows = 0

    def feed(self, piece: bytes) -> None:
        """Take the next bytes; raises the errors of `detect`."""
        self._pending += piece
        if self._form is None:
            if len(self._pending) <= SAMPLE_BYTES:
                return
            self._open(complete=False)
        self._advance(eof=False)

    def finish(self) -> int:
        """End the input and return the number of rows; raises the errors of `detect`."""
        if self._form is None:
            self._open(complete=True)
        self._advance(eof=True)
        assert self._form is not None
        return max(0, self._rows - self._form.skip_footer)

    def _open(self, *, complete: bool) -> None:
        dialect = self._detect(bytes(self._pending[:SAMPLE_BYTES]), complete)
        self._form = open_format(dialect)
        self._skip = dialect.data_start

    def _advance(self, *, eof: bool) -> None:
        """Scan whole windows. More than a window must be pending: only then is it known that the
        file continues after it.
        """
        form = self._form
        assert form is not None
        while self._pass_skipped(form, eof=eof):
            last = eof and len(self._pending) <= self._wanted
            if not last and len(self._pending) <= self._wanted:
                return
            window = bytes(self._pending[: self._wanted])
            ends = form.scan(window, eof=last)
            self._rows += len(ends)
            if last:
                self._pending.clear()
                return
            consumed = int(ends[-1]) if len(ends) else 0
            if not consumed and len(window) > self._row_bytes:
                self._rows += 1
                self._skip, self._is_in_long_record = self._row_bytes, True
                self._wanted = self._window_bytes
                continue
            del self._pending[:consumed]
            self._wanted = max(self._window_bytes, 2 * (len(window) - consumed))

    def _pass_skipped(self, form: Format, *, eof: bool) -> bool:
        """Drop skipped bytes; return whether a record begins at the first pending byte."""
        passed = min(self._skip, len(self._pending))
        del self._pending[:passed]
        self._skip -= passed
        if self._skip:
            return False
        if self._is_in_long_record:
            end = self._line_end(form)
            keep = len(form.line_end) - 1  # the line end may be split between two pieces
            if end < 0 and len(self._pending) > keep:
                del self._pending[: len(self._pending) - keep]
            if end < 0:
                if eof:
                    self._pending.clear()
                return False
            del self._pending[:end]
            self._is_in_long_record = False
        return bool(self._pending)

    def _line_end(self, form: Format) -> int:
        end = self._pending.find(form.line_end)
        return end + len(form.line_end) if end >= 0 else -1
