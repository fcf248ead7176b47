"""CSV in all its dialects: the content of the records that `app.formats.csv_scan` finds.

Rows are read all at once, by passes over the bytes of their chunk: separators become bytes that
text never has, quotes are dropped, and no cell becomes a Python string. A row that cannot be read
so (a quote in the wrong place, invalid bytes, more or fewer cells than columns) is taken out and
read with care, by the expressions of `csv_grammar`.

The grammar: a quote opens a quoted cell only as the first character of the cell, and closes it only
before a delimiter, a line end or the end of the file; with `skip_initial_space` there may be spaces
around the quotes. Any other quote is bad, and its record ends at the next line end, so that one
stray quote costs one row and never swallows its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import msgspec
import numpy as np

from app.errors import UnsupportedEncoding
from app.formats import csv_grammar as grammar
from app.formats.base import (
    MAX_COLUMNS,
    MAX_REJECT_BYTES,
    Offsets,
    Parsed,
    Reject,
    Span,
    canonical_cells,
    oversize_reject,
    skip_to_line_end,
)
from app.formats.blocks import NO_OFFSETS, Codes, Mask
from app.formats.csv_rows import read_at_once
from app.formats.csv_scan import CR, LF, Scan, Scanner
from app.formats.encodings import UNDECODED_BYTE
from app.formats.faults import FAULTS
from app.formats.text_rows import ROW_BYTE, TextRows, row_ends_in

LINE_ENDS = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r", "any": b"\n"}
REPLACED = re.compile("\ufffd".encode())


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """Lines above or below the table that are no rows."""

    lines: list[int]
    """Numbers of the first and the last line."""
    why: str
    """delimiter (`sep=;`), comment, title, metadata (a name and a value), empty (delimiters alone);
    below the table: count (of the rows), note, empty."""
    text: str


class OtherTable(msgspec.Struct, frozen=True, kw_only=True):
    """A further table, which seems to begin below a blank line. Its rows are read like all rows."""

    line: int
    """Line of its header."""
    columns: list[str]


class CsvDialect(msgspec.Struct, frozen=True, kw_only=True, tag="csv", tag_field="kind"):
    """How a CSV file is read, as stored with it and shown to the user."""

    format_name: ClassVar[str] = "csv"
    REPORTS: ClassVar[tuple[str, ...]] = (
        "skipped",
        "header_confidence",
        "blank_lines",
        "other_tables",
    )
    ADDED: ClassVar[dict[str, Any]] = {
        "skip_initial_space": False,
        "cell_faults": False,
        "decoded_from": "",
    }

    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    newline: str = "lf"
    """lf (a CR before it belongs to the line end), crlf, cr, or any of them."""
    skip_initial_space: bool = False
    """Whether spaces before a cell are dropped, so that a quote may follow them."""
    skip_rows: int = 0
    skipped: list[Skipped] = []
    """Lines that detection skipped, and why."""
    header_rows: int = 1
    header_confidence: float = 1.0
    """Confidence in `header_rows`, from 0 to 1."""
    blank_lines: int = 0
    """Number of blank lines in the beginning of a file of one column. They are not rows, but may be
    meant as empty values.
    """
    other_tables: list[OtherTable] = []
    skip_footer: int = 0
    columns: list[str] = []
    on_bad_row: str = "reject"
    data_start: int = 0
    data_line: int = 1
    cell_faults: bool = False
    """Whether the text comes from a spreadsheet, so that cells may be marked as errors."""
    decoded_from: str = ""
    """Encoding in which the text was received, if it was decoded before it was stored."""

    def of_size(self, size: int) -> CsvDialect:
        return self


Cells = list[str | None]


class Place(NamedTuple):
    """Place of a record: its bytes within those of its chunk, and its line in the file."""

    start: int
    end: int
    line: int


class BadCell(Exception):
    """A record that the grammar refuses, with the cell and the reason."""

    def __init__(self, index: int, code: str, message: str, value: str) -> None:
        super().__init__(message)
        self.index, self.code, self.message, self.value = index, code, message, value


class CsvFormat:
    data_end = 0

    def __init__(self, dialect: CsvDialect) -> None:
        self.dialect = dialect
        self.columns = dialect.columns
        self.data_start = dialect.data_start
        self.skip_footer = dialect.skip_footer
        if dialect.encoding.startswith("utf-16"):
            raise UnsupportedEncoding(
                "The file is stored in UTF-16, as an earlier version of Granula did; upload it again."
            )
        self.line_end = LINE_ENDS[dialect.newline].decode().encode(dialect.encoding)
        # A space that means something else is not skipped.
        marks = dialect.delimiter + dialect.quote + dialect.escape
        self._spaces = dialect.skip_initial_space and " " not in marks
        self._scanner = self._scanner_of(dialect.encoding)
        line_end = grammar.line_end(dialect.newline)
        self._blank_lines = re.compile(rb"(?:[\r\n]*" + line_end + rb")?")

    def _scanner_of(self, encoding: str) -> Scanner:
        dialect = self.dialect
        marks = (dialect.delimiter, dialect.quote, dialect.escape)
        delimiter, quote, escape = (mark.encode(encoding) for mark in marks)
        return Scanner(delimiter, quote, escape, dialect.newline, spaces=self._spaces)

    @cached_property
    def _utf8_scanner(self) -> Scanner:
        return self._scanner if self.dialect.encoding == "utf-8" else self._scanner_of("utf-8")

    # ------------------------------------------------------------------ where records end

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        return self._scanner.scan(window, eof=eof).ends

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        return skip_to_line_end(blocks, at_least, self.line_end)

    def count_lines(self, data: bytes) -> int:
        return self._scanner.count_line_ends(data)

    # ------------------------------------------------------------------ what is in them

    def read(self, data: bytes, span: Span) -> Parsed:
        if span.is_oversize:
            return Parsed(TextRows.of(self.columns, [], b""), [oversize_reject(data, span)])
        return self._read_at_once(data, span) or self._read_with_care(data, span)

    def _read_at_once(self, data: bytes, span: Span) -> Parsed | None:
        """Read all rows at once except those that need care; None if that is impossible."""
        scanner = self._utf8_scanner
        if len(scanner.delimiter) > 1 or len(scanner.quote) > 1:
            return None
        text = data
        if self.dialect.encoding != "utf-8":
            # A character for each byte or unit that is none, so that no record is lost.
            text = data.decode(self.dialect.encoding, "replace").encode()
        if scanner.has_escapes(text):
            return None
        scan = scanner.scan(text, eof=True)
        if len(scan.ends) != span.row_count:
            return None
        unreadable = self._unreadable(text, scan)
        width = len(self.columns)
        rows, needs_care, cells = read_at_once(
            text, scan, scanner, width, unreadable=unreadable, spaces=self._spaces
        )
        if not needs_care.any():
            numbers = range(span.first_row, span.first_row + span.row_count)
            return Parsed(TextRows.of(self.columns, numbers, rows))
        if text is not data:
            scan = self._scanner.scan(data, eof=True)
            if len(scan.ends) != span.row_count:
                return None
        counts = None
        if cells is not None and text is data and self.dialect.on_bad_row != "keep":
            counts = cells[needs_care].tolist()
        return self._spliced(rows, needs_care, counts, data, scan, span)

    def _unreadable(self, text: bytes, scan: Scan) -> Offsets:
        """Return the place of an invalid byte in each record that has one."""
        if text.isascii():
            return NO_OFFSETS
        if self.dialect.encoding != "utf-8":
            return np.array([at.start() for at in REPLACED.finditer(text)], np.int64)
        places = []
        view, start = memoryview(text), 0
        while True:
            try:
                str(view[start:], "utf-8")
            except UnicodeDecodeError as error:
                places.append(start + error.start)
                start = int(scan.ends[np.searchsorted(scan.ends, places[-1], "right")])
            else:
                return np.array(places, np.int64)

    def _spliced(
        self,
        others: bytes,
        needs_care: Mask,
        counts: Sequence[int] | None,
        data: bytes,
        scan: Scan,
        span: Span,
    ) -> Parsed:
        """Read the records that need care one by one, and put them between the others, which are as
        TextRows hold them. `counts` is as in `_read_each`.
        """
        careful = np.flatnonzero(needs_care)
        kept, rejects = self._read_each(careful.tolist(), data, scan, span, counts)
        is_kept = ~needs_care
        is_kept[[row for row, _ in kept]] = True
        numbers: Sequence[int] = range(span.first_row, span.first_row + span.row_count)
        if rejects:
            numbers = (np.flatnonzero(is_kept) + span.first_row).tolist()
        if kept:
            others_before = np.cumsum(~needs_care)
            ends = [0, *(row_ends_in(others)).tolist()]
            parts, place = [], 0
            for row, cells in kept:
                before = ends[int(others_before[row])]
                parts += [others[place:before], canonical_cells(cells), ROW_BYTE]
                place = before
            others = b"".join([*parts, others[place:]])
        return Parsed(self._rows(numbers, others, kept), rejects)

    def _rows(
        self, numbers: Sequence[int], data: bytes, read_with_care: Sequence[tuple[int, Cells]]
    ) -> TextRows:
        width = len(self.columns)
        is_ragged = any(len(cells) != width or None in cells for _, cells in read_with_care)
        return TextRows.of(self.columns, numbers, data, is_ragged=is_ragged)

    def _read_with_care(self, data: bytes, span: Span) -> Parsed:
        """Read all rows one by one."""
        scan = self._scanner.scan(data, eof=True)
        kept, rejects = self._read_each(range(len(scan.ends)), data, scan, span)
        numbers = [span.first_row + row for row, _ in kept]
        rows = b"".join([canonical_cells(cells) + ROW_BYTE for _, cells in kept])
        return Parsed(self._rows(numbers, rows, kept), rejects)

    def _read_each(
        self,
        rows: Sequence[int],
        data: bytes,
        scan: Scan,
        span: Span,
        counts: Sequence[int] | None = None,
    ) -> tuple[list[tuple[int, Cells]], list[Reject]]:
        """Return (position among the records of the chunk, cells) of those of these records that
        are valid, and the rejects. `scan` is that of the data itself. `counts`: number of cells of
        each record with which nothing else can be wrong; 0 for others.
        """
        kept: list[tuple[int, Cells]] = []
        rejects: list[Reject] = []
        width, keep = len(self.columns), self.dialect.on_bad_row == "keep"
        wrong_widths: dict[int, BadCell] = {}
        counts = counts if counts is not None else [0] * len(rows)
        places = self._places(rows, data, scan, span)
        for row, count, place in zip(rows, counts, places, strict=True):
            raw = data[place.start : place.end]
            # Of a row that ends with a value, no cell behind the last column can be left out.
            if count and (count < width or raw[-1] not in self._ends_of_empty_cells):
                bad = wrong_widths.get(count)
                if bad is None:  # one for many rows, as is its message
                    bad = wrong_widths[count] = self._wrong_width(count)
                rejects.append(self._reject(bad, raw, span.first_row + row, span, place))
                continue
            try:
                cells = self.split_record(self._decoded(raw, span.byte_start + place.start))
                if len(cells) != width:
                    cells = self._fit(cells, keep)
            except BadCell as bad:
                rejects.append(self._reject(bad, raw, span.first_row + row, span, place))
            else:
                kept.append((row, cells))
        return kept, rejects

    def _places(self, rows: Sequence[int], data: bytes, scan: Scan, span: Span) -> Iterator[Place]:
        """Yield the places of these records of the chunk, in ascending order."""
        wanted = np.asarray(rows, np.int64)
        starts, ends = self._content_bounds(data, scan, wanted)
        lines = np.searchsorted(scan.line_ends, starts) + span.first_line
        return map(Place, starts.tolist(), ends.tolist(), lines.tolist())

    def _content_bounds(self, data: bytes, scan: Scan, wanted: Offsets) -> tuple[Offsets, Offsets]:
        """Return the starts and ends of records without the blank lines before them and the line
        ends after them.
        """
        ends = scan.ends[wanted]
        starts = np.where(wanted > 0, scan.ends[wanted - 1], 0)
        if self._scanner.has_escapes(data):
            is_unusual = np.ones(len(ends), np.bool_)
        else:
            is_unusual = np.isin(scan.codes[starts], (LF, CR))
        usual = ~is_unusual
        ends[usual] -= self._line_end_lengths(scan.codes, starts[usual], ends[usual])
        for i in np.flatnonzero(is_unusual).tolist():
            starts[i], ends[i] = self._bounds_with_care(data, int(starts[i]), int(ends[i]))
        return starts, ends

    def _line_end_lengths(self, codes: Codes, starts: Offsets, ends: Offsets) -> Offsets:
        """Return the lengths of the line ends of records that have other content and no escape."""
        newline = self.dialect.newline
        last = codes[ends - 1]
        is_pair = (ends - starts > 1) & (last == LF) & (codes[ends - 2] == CR)
        lengths: Offsets
        if newline == "crlf":
            lengths = is_pair * 2
        elif newline == "cr":
            lengths = (last == CR) * 1
        elif newline == "lf":
            lengths = (last == LF) * 1 + is_pair
        else:
            lengths = ((last == LF) | (last == CR)) * 1 + is_pair
        return lengths

    def _bounds_with_care(self, data: bytes, start: int, end: int) -> tuple[int, int]:
        """Return start and end of a record that begins with blank lines, or that may have escapes."""
        blank = self._blank_lines.match(data, start, end)
        assert blank is not None  # it takes nothing, too
        first, last = blank.end(), end
        newline = self.dialect.newline
        content = data[first:end]
        if newline == "cr":
            last -= content.endswith(b"\r")
        elif content.endswith(b"\r\n"):
            last -= 2
        elif newline == "any":
            last -= content.endswith((b"\n", b"\r"))
        elif newline == "lf":
            last -= content.endswith(b"\n")
        escape = self._scanner.escape
        if escape and last < end:
            before = data[first:last]
            escapes = len(before) - len(before.rstrip(escape))
            if escapes % 2:  # an escaped line end is text
                last = end if newline == "crlf" else last + 1
        return first, last

    def _decoded(self, raw: bytes, byte_start: int) -> str:
        """Return the text of a record that begins at this byte of the file; raises BadCell."""
        encoding = self.dialect.encoding
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError as error:
            mark = raw[error.start : error.start + 1]
            if self.dialect.cell_faults and mark in FAULTS:
                raise self._faulty(raw, error.start) from None
            if self.dialect.decoded_from and mark == UNDECODED_BYTE:
                raise self._undecoded(raw, error.start) from None
            code = "invalid_utf8" if encoding == "utf-8" else "invalid_encoding"
            message = (
                f"Byte {byte_start + error.start} of the file is not valid {encoding}; "
                "if the file has another encoding, declare it or convert the file to UTF-8."
            )
            marked = raw.decode(encoding, "backslashreplace")
            index = self._cell_at(raw[: error.start].decode(encoding, "replace"))
            raise BadCell(index, code, message, marked) from None
        if "\0" in text:
            index = self._cell_at(text[: text.index("\0")])
            raise BadCell(index, "nul_character", "The row holds a NUL character.", text)
        return text

    def _undecoded(self, raw: bytes, place: int) -> BadCell:
        """Return the fault of a cell with a byte that was invalid in the encoding of the received
        file.
        """
        encoding = self.dialect.decoded_from
        byte = raw[place + 1 : place + 3].decode("ascii", "replace")
        message = (
            f"The row has the byte 0x{byte}, which is not valid {encoding} there; if the file has"
            " another encoding, declare it or convert the file to UTF-8."
        )
        index = self._cell_at(raw[:place].decode())
        value = raw.replace(UNDECODED_BYTE, b"\\x").decode("utf-8", "replace")
        return BadCell(index, "invalid_encoding", message, value)

    def _faulty(self, raw: bytes, place: int) -> BadCell:
        """Return the fault of the cell whose mark is at this place of a record."""
        code, message = FAULTS[raw[place : place + 1]]
        before = raw[:place].decode()
        index = self._cell_at(before.removesuffix(self.dialect.quote))
        cell = self.split_record(raw.decode("utf-8", "surrogateescape"))[index] or ""
        value = cell[1:].encode("utf-8", "replace").decode()
        return BadCell(index, code, message.format(value[:60]), value)

    @cached_property
    def _text_cell(self) -> re.Pattern[str]:
        dialect = self.dialect
        marks = (dialect.delimiter.encode(), dialect.quote.encode(), dialect.escape.encode())
        cell = grammar.cell(*marks, dialect.newline, spaces=self._spaces, groups=True)
        return re.compile(cell.decode())

    @cached_property
    def _text_unclosed(self) -> re.Pattern[str]:
        quote, escape = self.dialect.quote.encode(), self.dialect.escape.encode()
        return re.compile(grammar.unclosed(quote, escape).decode())

    @cached_property
    def _special(self) -> Callable[[str], object]:
        """Return a search for characters that need more than splitting at the delimiters."""
        return re.compile(
            "[" + re.escape(self.dialect.quote + self.dialect.escape) + r"\r\n]"
        ).search

    def split_record(self, text: str) -> list[str | None]:
        """Return the cells of one record by the grammar; raises BadCell unless bad quotes are to be
        kept.
        """
        dialect = self.dialect
        if not self._special(text):
            plain = text.split(dialect.delimiter)
            if self._spaces:
                plain = [cell.lstrip(" ") for cell in plain]
            return [*plain]
        quote, has_escapes = dialect.quote, dialect.escape != "" and dialect.escape in text
        refuses_quotes = quote != "" and dialect.on_bad_row == "reject"
        next_cell, delimiter_size, size = self._text_cell.match, len(dialect.delimiter), len(text)
        cells: list[str | None] = []
        start = 0
        while True:
            match = next_cell(text, start)
            assert match is not None
            quoted, cell = match.group("quoted", "plain")
            if quoted is not None:
                cell = quoted.replace(quote * 2, quote)
            else:
                cell = self._without_spaces(cell)
                if refuses_quotes and quote in cell and quote in self._without_escapes(cell):
                    raise self._bad_quote(cell, len(cells), text[start:])
            cells.append(self._unescape(cell) if has_escapes else cell)
            start = match.end()
            if start >= size:
                return cells
            start += delimiter_size

    def _without_spaces(self, cell: str) -> str:
        return cell.lstrip(" ") if self._spaces else cell

    def _unescape(self, cell: str) -> str:
        escape = self.dialect.escape
        if not escape or escape not in cell:
            return cell
        return re.sub(re.escape(escape) + r"([\s\S])", r"\1", cell)

    def _without_escapes(self, cell: str) -> str:
        escape = self.dialect.escape
        if not escape:
            return cell
        return re.sub(re.escape(escape) + r"[\s\S]", "", cell)

    def _bad_quote(self, cell: str, index: int, text: str) -> BadCell:
        """Return what is wrong with the quotes of a cell; `text` is the record from there on."""
        quote = self.dialect.quote
        if self._text_unclosed.match(self._without_spaces(text)):
            message = "The quote that opens this cell is never closed."
            return BadCell(index, "csv_unclosed_quote", message, cell)
        if cell.startswith(quote):
            return BadCell(index, "csv_bad_quote", "There is text after the closing quote.", cell)
        return BadCell(index, "csv_bad_quote", "There is a quote inside an unquoted cell.", cell)

    def _fit(self, row: list[str | None], keep: bool) -> list[str | None]:
        """Return a row of another width as it is stored. With `keep`, a short row is padded with
        nulls and a long one stays; otherwise empty cells behind the last column are dropped, as
        spreadsheets write them. Raises BadCell.
        """
        width = len(self.columns)
        if keep and len(row) > MAX_COLUMNS:  # each cell is a column to whoever asks for names
            message = f"At most {MAX_COLUMNS} cells are kept, found {len(row)}."
            raise BadCell(width, "too_many_columns", message, "")
        if keep:
            return row + [None] * (width - len(row))
        if any(row[:width]) and len(row) > width and not any(row[width:]):
            return row[:width]
        raise self._wrong_width(len(row))

    def _wrong_width(self, count: int) -> BadCell:
        width = len(self.columns)
        message = f"Expected {width} cells, found {count}."
        return BadCell(min(count, width), "column_count", message, "")

    @cached_property
    def _ends_of_empty_cells(self) -> bytes:
        """Bytes that can end a record whose last cell is empty."""
        dialect = self.dialect
        return f"{dialect.delimiter}{dialect.quote}{dialect.escape} \r\n".encode()

    def locate(
        self, data: bytes, span: Span, row_numbers: Sequence[int]
    ) -> list[tuple[int, int, int]]:
        scan = self._scanner.scan(data, eof=True)
        rows = [number - span.first_row for number in row_numbers]
        return [
            (span.byte_start + place.start, span.byte_start + place.end, place.line)
            for place in self._places(rows, data, scan, span)
        ]

    # ------------------------------------------------------------------ rejects

    def _cell_at(self, before: str) -> int:
        """Return the index of the cell in which the text before some place ends."""
        index, start = 0, 0
        while (cell := self._text_cell.match(before, start)) and cell.end() < len(before):
            index += 1
            start = cell.end() + len(self.dialect.delimiter)
        return index

    def _reject(self, bad: BadCell, raw: bytes, number: int, span: Span, place: Place) -> Reject:
        start, end, line = place
        return Reject(
            number,
            line,
            span.byte_start + start,
            span.byte_start + end,
            raw[:MAX_REJECT_BYTES],
            bad.code,
            bad.message,
            self.columns[bad.index] if bad.index < len(self.columns) else None,
            bad.value and bad.value.replace("\0", "\\x00")[:200],
        )
