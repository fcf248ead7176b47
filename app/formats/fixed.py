"""Text with columns of fixed width: each line is a row, and a column is at the same characters of each.

Lines are found, decoded and refused as those of a CSV file with a single column.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import msgspec

from app.formats.base import (
    CELL_END,
    MAX_REJECT_BYTES,
    NULL_CELL,
    Parsed,
    Reject,
    Span,
)
from app.formats.csv import CsvDialect, CsvFormat, Skipped
from app.formats.reject_layouts import CsvRejects, Doubt
from app.formats.text_rows import ROW_BYTE, TextRows

NO_DELIMITER = "\x1f"
"""Delimiter of the lines when they are read as CSV with one column."""
ROW_END = ROW_BYTE.decode("utf-8", "surrogateescape")


class FixedDialect(msgspec.Struct, frozen=True, kw_only=True, tag="fixed", tag_field="kind"):
    """How a file with columns of fixed width is read, as stored with it and shown to the user."""

    format_name: ClassVar[str] = "fixed"
    REPORTS: ClassVar[tuple[str, ...]] = ("skipped", "header_confidence")
    ADDED: ClassVar[dict[str, Any]] = {}

    encoding: str = "utf-8"
    starts: list[int]
    """Position of the first character of each column, from 0."""
    ends: list[int]
    """Character behind each column; 0 for a last column that reaches to the end of the line."""
    newline: str = "lf"
    skip_rows: int = 0
    skipped: list[Skipped] = []
    header_rows: int = 0
    header_confidence: float = 1.0
    skip_footer: int = 0
    columns: list[str] = []
    on_bad_row: str = "reject"
    data_start: int = 0
    data_line: int = 1
    decoded_from: str = ""

    def of_size(self, size: int) -> FixedDialect:
        return self

    @property
    def as_lines(self) -> CsvDialect:
        """The lines as rows of a single column."""
        return CsvDialect(
            encoding=self.encoding,
            delimiter=NO_DELIMITER,
            quote="",
            newline=self.newline,
            header_rows=0,
            skip_footer=self.skip_footer,
            columns=["line"],
            data_start=self.data_start,
            data_line=self.data_line,
            decoded_from=self.decoded_from,
        )


class BadLine(Exception):
    """Why a line does not fit the columns."""

    def __init__(self, code: str, message: str, column: int | None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.column = column


class Slicer:
    """Takes lines apart."""

    def __init__(self, starts: Sequence[int], ends: Sequence[int], *, pads: bool) -> None:
        """`pads`: whether columns behind the end of a line are missing cells, not a mistake."""
        self._slices = [slice(start, end or None) for start, end in zip(starts, ends, strict=True)]
        self._starts = starts
        self._end = ends[-1]
        self._gaps = list(_gaps(starts, ends))
        self._pads = pads

    def cells(self, line: str) -> list[str | None]:
        """Return the cells without the blanks around them; raises BadLine."""
        size = len(line)
        if self._end and size > self._end and line[self._end :].strip():
            raise BadLine(
                "line_too_long",
                f"The line has {len(line.rstrip())} characters; the columns end at {self._end}.",
                None,
            )
        for start, end, column in self._gaps:
            if line[start:end].strip():
                message = f"There is text between the columns, at character {start + 1}."
                raise BadLine("text_between_columns", message, column)
        if size > self._starts[-1]:
            return [line[part].strip() for part in self._slices]
        return self._short(line, size)

    def _short(self, line: str, size: int) -> list[str | None]:
        missing = next(place for place, start in enumerate(self._starts) if start >= size)
        if not self._pads:
            message = f"The line has {size} characters and ends before column {missing + 1}."
            raise BadLine("line_too_short", message, missing)
        cells: list[str | None] = [line[part].strip() for part in self._slices[:missing]]
        return cells + [None] * (len(self._starts) - missing)

    def doubtful(self, line: str) -> list[int]:
        """Return the columns whose text is a guess: of a line that ends before them, or that has
        text between columns or behind the last.
        """
        doubtful = {column or 0 for start, end, column in self._gaps if line[start:end].strip()}
        if self._end and line[self._end :].strip():
            doubtful.add(len(self._starts) - 1)
        doubtful |= {place for place, start in enumerate(self._starts) if start >= len(line)}
        return sorted(doubtful)

    def shown(self, line: str) -> list[str]:
        """Return the cells of any line: what is beyond the last column belongs to it, and what is
        between two columns to the one before.
        """
        bounds = [0, *self._starts[1:], len(line)]
        return [line[start:end].strip() for start, end in pairwise(bounds)]


def _gaps(starts: Sequence[int], ends: Sequence[int]) -> Iterable[tuple[int, int, int | None]]:
    """Yield (start, end, column before) of the characters that belong to no column."""
    before, column = 0, None
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if start > before:
            yield before, start, column
        before, column = end, place


class FixedFormat:
    data_end = 0

    def __init__(self, dialect: FixedDialect) -> None:
        self.dialect = dialect
        self.columns = dialect.columns
        self.data_start = dialect.data_start
        self._lines = CsvFormat(dialect.as_lines)
        self.skip_footer = dialect.skip_footer
        self.line_end = self._lines.line_end
        self._slicer = Slicer(dialect.starts, dialect.ends, pads=dialect.on_bad_row == "keep")
        self.scan = self._lines.scan
        self.skip = self._lines.skip
        self.count_lines = self._lines.count_lines
        self.locate = self._lines.locate

    def read(self, data: bytes, span: Span) -> Parsed:
        parsed = self._lines.read(data, span)
        lines = parsed.rows
        assert isinstance(lines, TextRows)
        # The text of rows is valid, so only the marks become surrogates.
        texts = lines.data.decode("utf-8", "surrogateescape").split(ROW_END)[:-1]
        rows, numbers, bad = [], [], []
        is_ragged = False
        for number, line in zip(lines.numbers, texts, strict=True):
            try:
                cells = self._slicer.cells(line)
            except BadLine as error:
                bad.append((number, error))
                continue
            if cells[-1] is None:
                is_ragged = True
                rows.append(CELL_END.join([NULL_CELL if cell is None else cell for cell in cells]))
            else:
                rows.append(CELL_END.join(cells))  # type: ignore[arg-type]
            numbers.append(number)
        text = ROW_END.join([*rows, ""]).encode("utf-8", "surrogateescape")
        kept = TextRows.of(self.columns, numbers, text, is_ragged=is_ragged)
        rejects = [*parsed.rejects, *self._rejects(bad, data, span)]
        return Parsed(kept, sorted(rejects, key=lambda reject: reject.row_number))

    def _rejects(
        self, bad: Sequence[tuple[int, BadLine]], data: bytes, span: Span
    ) -> Iterable[Reject]:
        if not bad:
            return
        places = self.locate(data, span, [number for number, _ in bad])
        for (number, error), (start, end, line) in zip(bad, places, strict=True):
            raw = data[start - span.byte_start : end - span.byte_start]
            column = None if error.column is None else self.columns[error.column]
            value = raw[:200].decode(self.dialect.encoding, "replace")
            yield Reject(
                number,
                line,
                start,
                end,
                raw[:MAX_REJECT_BYTES],
                error.code,
                error.message,
                column,
                value,
            )


class FixedRejects(CsvRejects):
    """Rejects by column, and corrections as CSV."""

    def __init__(self, dialect: FixedDialect) -> None:
        lines = msgspec.structs.replace(
            dialect.as_lines, columns=dialect.columns, on_bad_row=dialect.on_bad_row
        )
        super().__init__(lines)
        self._slicer = Slicer(dialect.starts, dialect.ends, pads=True)

    def split(self, raw: bytes, *, is_corrected: bool) -> list[bytes]:
        if is_corrected:
            return super().split(raw, is_corrected=True)
        shown = self._slicer.shown(self._line(raw))
        return [cell.encode(self.encoding, "surrogateescape") for cell in shown]

    def doubt(self, raw: bytes, *, is_corrected: bool) -> Doubt | None:
        if is_corrected:
            return None
        doubtful = self._slicer.doubtful(self._line(raw))
        if not doubtful:
            return None
        return Doubt("does not fit the columns", [self.columns[place] for place in doubtful])

    def _line(self, raw: bytes) -> str:
        return raw.decode(self.encoding, "surrogateescape")


def bounds_of(widths: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return (starts, ends) of columns of these widths; a last width of 0 is the rest of the
    line.
    """
    starts, ends, place = [], [], 0
    for width in widths:
        starts.append(place)
        place += width
        ends.append(place if width else 0)
    return starts, ends


def cells_of(line: str, starts: Sequence[int], ends: Sequence[int]) -> list[str]:
    """Return the cells of any line, such as the header."""
    return Slicer(starts, ends, pads=True).shown(line)
