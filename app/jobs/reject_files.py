"""The file of rejects: as downloaded, and as uploaded again with corrections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from app.db.rows import JobRow, RejectRow
from app.decoders.places import Places
from app.errors import TerminalError
from app.formats.base import MAX_ROW_BYTES
from app.formats.registry import from_json, reject_layout
from app.formats.reject_layouts import RejectLayout, quoted
from app.jobs.formulas import GUARD, needs_guard
from app.sources.base import Sources

META_COLUMNS = ("_row", "_line", "_column", "_code", "_message")
PLACE_COLUMN = "_place"
"""Behind them, of a file whose rows come from elsewhere."""


def with_all_bytes(sources: Sources, job: JobRow, row: RejectRow) -> RejectRow:
    """Return the reject with all of its bytes, as far as they still exist. Blocking; raises
    TransientError if they cannot be read now.
    """
    size = row.byte_end - row.byte_start
    if row.corrections or not len(row.raw) < size <= MAX_ROW_BYTES or job.storage_uri is None:
        return row
    # The bytes are deleted: the stored beginning is better than nothing.
    with suppress(TerminalError):
        stored = sources.read(job.storage_uri, row.byte_start, row.byte_end, job.etag)
        if stored.startswith(row.raw):  # otherwise the file was damaged
            return msgspec.structs.replace(row, raw=stored)
    return row


class Layout:
    """Rejects as lines of a download and as records of a correction: the same cells in both."""

    def __init__(
        self, layout: RejectLayout, *, formula_guard: bool, places: Places | None = None
    ) -> None:
        self._layout = layout
        self._places = places
        self.columns = layout.columns
        """Columns that can be corrected."""
        self.dialect = layout.dialect
        """Dialect of the records of a correction."""
        self.encoding = layout.encoding
        self.end = layout.end
        """Bytes after each record of a correction."""
        self.record = layout.record
        self._write = _Lines(layout.encoding, formula_guard)

    def header(self) -> bytes:
        names = [name.encode(self.encoding, "replace") for name in self.columns]
        return self._write.line([*names, *(name.encode() for name in self._more_columns())])

    def line(self, row: RejectRow) -> bytes:
        more = [text.encode() for text in self._more(row)]
        return self._write.line([*self._cells(row), *more])

    def names(self) -> list[str]:
        """Return the columns of `texts`."""
        return [*self.columns, *self._more_columns()]

    def texts(self, row: RejectRow) -> list[str]:
        """Return what `line` writes as texts. Bytes that are not text are shown as `\\xff`."""
        cells = [cell.decode(self.encoding, "backslashreplace") for cell in self._cells(row)]
        return [*cells, *self._more(row)]

    def _more_columns(self) -> tuple[str, ...]:
        return META_COLUMNS if self._places is None else (*META_COLUMNS, PLACE_COLUMN)

    def _more(self, row: RejectRow) -> list[str]:
        more = [str(row.row_number), str(row.line), row.column_name or "", row.code, row.message]
        if self._places is not None:
            more.append(place_of(row, self.columns, self._places))
        return more

    def cells(self, row: RejectRow) -> list[str]:
        """Return the cells of a reject as shown, by column. Bytes that are not text are kept as
        surrogates.
        """
        return [cell.decode(self.encoding, "surrogateescape") for cell in self._cells(row)]

    def corrected(self, record: bytes, errors: str = "surrogateescape") -> list[str]:
        """Return the cells of a record of a correction, by column."""
        cells = self._layout.cells(record.removesuffix(self.end), is_corrected=True)
        return [cell.decode(self.encoding, errors) for cell in cells]

    def split(self, row: RejectRow) -> list[str]:
        """Return the cells that a reject has, be they fewer or more than the columns. U+FFFD stands
        for bytes that are not text.
        """
        cells = self._layout.split(row.raw, is_corrected=bool(row.corrections))
        return [cell.decode(self.encoding, "replace") for cell in cells]

    def uncertain(self, row: RejectRow) -> list[str]:
        """Return the columns whose cells are a guess, since the row has the wrong shape."""
        doubt = self._layout.doubt(row.raw, is_corrected=bool(row.corrections))
        return [] if doubt is None else list(doubt.columns)

    def patched(self, row: RejectRow, values: dict[str, msgspec.Raw]) -> list[str]:
        """Return the cells of a reject with some replaced by JSON values. Raises ValueError with a
        sentence for the user if that is impossible.
        """
        return self._layout.patched(row.raw, values, is_corrected=bool(row.corrections))

    def _cells(self, row: RejectRow) -> list[bytes]:
        return self._layout.cells(row.raw, is_corrected=bool(row.corrections))


def layout_of(job: JobRow, *, formula_guard: bool = False, places: Places | None = None) -> Layout:
    """Return the layout of a job's rejects. With `formula_guard`, lines are safe to open in a
    spreadsheet. With `places`, lines say where in the original file their row is.
    """
    layout = reject_layout(from_json(job.dialect))
    return Layout(layout, formula_guard=formula_guard, places=places)


def place_of(row: RejectRow, columns: Sequence[str], places: Places) -> str:
    """Return the location of a reject in the original file: the cell if the fault is in one,
    otherwise the row.
    """
    name, column = row.column_name, None
    if name is not None and name in columns:
        column = list(columns).index(name)
    return places.at(row.line, column, row.row_number)


def is_whole(row: RejectRow) -> bool:
    return bool(row.corrections) or len(row.raw) == row.byte_end - row.byte_start


def unchanged(layout: Layout, row: RejectRow) -> Callable[[bytes], bool]:
    """Return a test whether a record equals the downloaded reject. Line ends within cells are
    ignored, since editors change them.
    """
    try:
        shown = layout.record(layout.cells(row)).replace(b"\r\n", b"\n")
    except UnicodeEncodeError:
        return lambda record: False
    return lambda record: record.replace(b"\r\n", b"\n") == shown


class _Lines:
    """CSV of cells that are bytes of an encoding, with guarded formulas on request."""

    def __init__(self, encoding: str, formula_guard: bool) -> None:
        self._encoding = encoding
        self._formula_guard = formula_guard
        self._guard = GUARD.encode(encoding)

    def line(self, cells: Sequence[bytes]) -> bytes:
        return b",".join(quoted(self._guarded(cell)) for cell in cells) + b"\r\n"

    def _guarded(self, cell: bytes) -> bytes:
        if self._formula_guard and needs_guard(cell.decode(self._encoding, "surrogateescape")):
            return self._guard + cell
        return cell
