"""The file of rejects as it goes out, and as it may come back corrected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from app.db.rows import JobRow, RejectRow
from app.errors import TerminalError
from app.formats.base import MAX_ROW_BYTES
from app.formats.csv import CsvDialect, CsvFormat
from app.formats.json import RECORD_SEPARATOR, JsonDialect
from app.formats.registry import Dialect, from_json
from app.jobs.formulas import GUARD, needs_guard
from app.sources.base import Sources

META_COLUMNS = ("_row", "_line", "_column", "_code", "_message")
RECORD_COLUMN = "_record"


def whole(sources: Sources, job: JobRow, row: RejectRow) -> RejectRow:
    """The reject with all of its bytes, as far as they still exist. Blocking; raises TransientError if they cannot be read
    now."""
    size = row.byte_end - row.byte_start
    if row.corrections or not len(row.raw) < size <= MAX_ROW_BYTES or job.storage_uri is None:
        return row
    with suppress(TerminalError):  # the bytes are gone for good: the beginning is better than nothing
        found = sources.read(job.storage_uri, row.byte_start, row.byte_end, job.etag)
        if found.startswith(row.raw):  # else the file was damaged meanwhile
            return msgspec.structs.replace(row, raw=found)
    return row


class Layout(Protocol):
    """Rejects as lines of a file, and as records of a correction: what is shown in the one is what stands in the other."""

    @property
    def columns(self) -> Sequence[str]:
        """Those that can be corrected."""

    @property
    def dialect(self) -> Dialect:
        """How the records of a correction are read."""

    @property
    def encoding(self) -> str: ...

    @property
    def end(self) -> bytes:
        """Behind each record of a correction."""

    def header(self) -> bytes: ...

    def line(self, row: RejectRow) -> bytes: ...

    def cells(self, row: RejectRow) -> list[str]:
        """What is shown of a reject, by column. Bytes that are no text are kept as surrogates."""

    def record(self, cells: Sequence[str]) -> bytes:
        """A record of a correction, without its end; raises UnicodeEncodeError if the file's encoding has no such text."""


def layout_of(job: JobRow, *, formula_guard: bool = False) -> Layout:
    """`formula_guard`: lines are written for a spreadsheet."""
    dialect = from_json(job.dialect)
    return CsvRejects(dialect, formula_guard) if isinstance(dialect, CsvDialect) else JsonRejects(formula_guard)


class CsvRejects:
    """Cells keep their bytes, even those that are no valid text. Where a row has more cells than the header, the last
    column holds all the rest as it stood, delimiters included; where it has fewer, the others are empty."""

    end = b"\n"

    def __init__(self, dialect: CsvDialect, formula_guard: bool) -> None:
        self._original = dialect
        self.columns = dialect.columns
        self.encoding = "utf-8" if dialect.encoding.startswith("utf-16") else dialect.encoding
        self.dialect = CsvDialect(
            encoding=self.encoding, columns=dialect.columns, header_rows=0, on_bad_row=dialect.on_bad_row
        )
        # Latin-1 reads and writes any byte unchanged, whatever encoding the bytes are in.
        delimiter = dialect.delimiter.encode(self.encoding).decode("latin-1")
        quote = dialect.quote.encode(self.encoding).decode("latin-1")
        changes = {"encoding": "latin-1", "on_bad_row": "keep"}
        self._form = CsvFormat(msgspec.structs.replace(dialect, delimiter=delimiter, quote=quote, **changes))
        self._corrected_form = CsvFormat(msgspec.structs.replace(self.dialect, **changes))
        self._delimiter = delimiter
        self._write = _Lines(self.encoding, formula_guard)

    def header(self) -> bytes:
        names = [name.encode(self.encoding, "replace") for name in self.columns]
        return self._write.line([*names, *(m.encode() for m in META_COLUMNS)])

    def line(self, row: RejectRow) -> bytes:
        return self._write.line([*self._cells(row), *_meta(row)])

    def cells(self, row: RejectRow) -> list[str]:
        return [cell.decode(self.encoding, "surrogateescape") for cell in self._cells(row)]

    def record(self, cells: Sequence[str]) -> bytes:
        line = b",".join(_quoted(cell.encode(self.encoding, "surrogateescape")) for cell in cells)
        return line or b'""'  # of a single column: a blank line is no record

    def _cells(self, row: RejectRow) -> list[bytes]:
        raw, form, delimiter = row.raw, self._form, self._delimiter
        if row.corrections:
            form, delimiter = self._corrected_form, ","
        elif self._original.encoding.startswith("utf-16"):
            raw = raw.decode(self._original.encoding, "replace").encode()
        width = len(self.columns)
        cells = [str(cell) for cell in form.split_record(raw.decode("latin-1"))]
        if len(cells) > width:
            cells[width - 1 :] = [delimiter.join(cells[width - 1 :])]
        return [cell.encode("latin-1") for cell in cells] + [b""] * (width - len(cells))


class JsonRejects:
    """JSON has no columns before it is understood: the record stands in one."""

    columns = (RECORD_COLUMN,)
    dialect = JsonDialect(root="sequence")
    encoding = "utf-8"
    end = RECORD_SEPARATOR

    def __init__(self, formula_guard: bool) -> None:
        self._write = _Lines(self.encoding, formula_guard)

    def header(self) -> bytes:
        return self._write.line([RECORD_COLUMN.encode(), *(m.encode() for m in META_COLUMNS)])

    def line(self, row: RejectRow) -> bytes:
        return self._write.line([row.raw, *_meta(row)])

    def cells(self, row: RejectRow) -> list[str]:
        return [row.raw.decode("utf-8", "surrogateescape")]

    def record(self, cells: Sequence[str]) -> bytes:
        # The separator would end the record. In its place stands another character that JSON does not allow either.
        return cells[0].encode("utf-8", "surrogateescape").replace(RECORD_SEPARATOR, b"\x1f").strip(b" \t\r\n")


def patched(layout: Layout, row: RejectRow, values: dict[str, msgspec.Raw]) -> list[str]:
    """The cells of a reject with some of them replaced by JSON values. Raises ValueError, with a sentence, if that
    cannot be."""
    if isinstance(layout, JsonRejects):
        try:
            record = msgspec.json.decode(row.raw, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeError):
            raise ValueError("is no JSON object; send the whole of it as `record`") from None
        return [msgspec.json.encode(record | values).decode()]
    cells = layout.cells(row)
    for name, value in values.items():
        if name not in layout.columns:
            raise ValueError(f"has no column {name[:60]!r}")
        try:
            cell = msgspec.json.decode(value, type=str | None)
        except msgspec.ValidationError:
            raise ValueError("has values that are no text; cells are strings") from None
        cells[list(layout.columns).index(name)] = cell or ""
    return cells


def is_whole(row: RejectRow) -> bool:
    return bool(row.corrections) or len(row.raw) == row.byte_end - row.byte_start


def unchanged(layout: Layout, row: RejectRow) -> Callable[[bytes], bool]:
    """Whether a record is what the download of the reject showed, line ends within cells apart: editors change them."""
    try:
        shown = layout.record(layout.cells(row)).replace(b"\r\n", b"\n")
    except UnicodeEncodeError:
        return lambda record: False
    return lambda record: record.replace(b"\r\n", b"\n") == shown


def _meta(row: RejectRow) -> list[bytes]:
    meta = (str(row.row_number), str(row.line), row.column_name or "", row.code, row.message)
    return [part.encode() for part in meta]


class _Lines:
    """CSV of cells that are bytes of an encoding, perhaps with a guard before what a spreadsheet would run."""

    def __init__(self, encoding: str, formula_guard: bool) -> None:
        self._encoding = encoding
        self._formula_guard = formula_guard
        self._guard = GUARD.encode(encoding)

    def line(self, cells: Sequence[bytes]) -> bytes:
        return b",".join(_quoted(self._guarded(cell)) for cell in cells) + b"\r\n"

    def _guarded(self, cell: bytes) -> bytes:
        if self._formula_guard and needs_guard(cell.decode(self._encoding, "surrogateescape")):
            return self._guard + cell
        return cell


def _quoted(cell: bytes) -> bytes:
    if any(c in cell for c in (b",", b'"', b"\n", b"\r")):
        return b'"' + cell.replace(b'"', b'""') + b'"'
    return cell
