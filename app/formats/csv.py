"""CSV in all its dialects: where records end, and what is in them.

Two roads lead through a chunk. Clean text (no quote, no escape, every row as wide as the header:
nearly all CSV by volume) is checked by a few numpy passes and stored without ever becoming Python
strings. Everything else is read record by record: by Python's `csv` where it agrees with this
grammar, by the expressions of `csv_grammar` where quotes are wrong.

The grammar: a quote opens a quoted cell only as the first character of the cell, and closes it only
before a delimiter, a line end or the end of the file; with `skip_initial_space` there may be spaces
around the quotes. A quote that fails this is bad, and its record ends at the next line end, so that
one stray quote costs one row and never swallows its neighbours.
"""

from __future__ import annotations

import csv
import re
import sys
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import msgspec
import numpy as np

from app.formats import csv_grammar as grammar
from app.formats.base import (
    MASK,
    MAX_COLUMNS,
    MAX_REJECT_BYTES,
    MAX_ROW_BYTES,
    CellRows,
    Form,
    Held,
    LineNumbers,
    Offsets,
    Page,
    Parsed,
    Reject,
    Span,
    oversize_reject,
    page_cuts,
    row_hash_sum,
    skip_to_line_end,
)

# Rows are bounded by MAX_ROW_BYTES; a second limit would only truncate the message.
csv.field_size_limit(sys.maxsize)

LF, CR, QUOTE, BACKSLASH = 10, 13, 34, 92
HASHED_AT_ONCE = 2_000
LINE_ENDS = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r", "any": b"\n"}


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """Lines above the table that are no rows, as found from the beginning of the file."""

    lines: list[int]
    """First and last."""
    why: str
    """delimiter (`sep=;`), comment, title, metadata (a name and a
    value), empty (delimiters alone)."""
    text: str


class CsvDialect(msgspec.Struct, frozen=True, kw_only=True, tag="csv", tag_field="kind"):
    """Everything needed to read the file again, as stored with it and shown to the user."""

    format_name: ClassVar[str] = "csv"
    REPORTS: ClassVar[tuple[str, ...]] = ("skipped", "blank_lines")
    ADDED: ClassVar[dict[str, Any]] = {"skip_initial_space": False}

    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    newline: str = "lf"
    """lf (a CR before it belongs to the line end), crlf, cr, or any of them."""
    skip_initial_space: bool = False
    """Spaces before a cell are no part of it, so that a quote may follow them."""
    skip_rows: int = 0
    skipped: list[Skipped] = []
    """Why lines were skipped that the user did not name."""
    header_rows: int = 1
    blank_lines: int = 0
    """In the beginning of a file of one column: lines that are no
    rows, and could be meant as empty values."""
    skip_footer: int = 0
    columns: list[str] = []
    on_bad_row: str = "reject"
    data_start: int = 0
    data_line: int = 1

    def of_size(self, size: int) -> CsvDialect:
        return self


@dataclass(frozen=True, slots=True)
class PlainRows:
    """Rows of a clean chunk, still as bytes: UTF-8, one line a row,
    nothing quoted, nothing that JSON would escape."""

    columns: Sequence[str]
    numbers: range
    data: bytes
    delimiter: bytes
    ends: Offsets
    are_objects: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.ends)

    def pages(self) -> Iterator[Page]:
        between_cells, between_rows = b'","', b'"],["'
        start = 0
        for first, behind in page_cuts(self.ends):
            last = behind - 1
            end = int(self.ends[last])
            body = self.data[start : end - 1]
            data = (
                b'[["'
                + body.replace(self.delimiter, between_cells).replace(b"\n", between_rows)
                + b'"]]'
            )
            yield Page(self.numbers[first], last - first + 1, None, data)
            start = end

    def records(self) -> list[list[str | None]]:
        delimiter = self.delimiter.decode()
        lines = self.data[:-1].decode().split("\n")
        return [line.split(delimiter) for line in lines]  # type: ignore[misc]

    def undecoded(self) -> list[list[str | None]]:
        return self.records()

    def held(self, start: int, end: int) -> Held:
        data = self.data
        if end - start < len(self):
            first = int(self.ends[start - 1]) if start else 0
            behind = int(self.ends[end - 1]) if end else 0
            data = data[first:behind]
        return Held(
            Form.LINES,
            (data, self.delimiter, self.columns, self.numbers[start] if end > start else 0),
        )

    def select(self, keep: Sequence[int]) -> CellRows:
        cells = self.records()
        return CellRows(self.columns, [self.numbers[i] for i in keep], [cells[i] for i in keep])

    def hash_sum(self) -> int:
        """In pieces: one call over the whole chunk would keep the interpreter
        lock, and so the event loop, for too long."""
        cell_end = bytes.maketrans(self.delimiter, b"\xff")
        total, start = 0, 0
        for first in range(0, len(self.ends), HASHED_AT_ONCE):
            last = min(first + HASHED_AT_ONCE, len(self.ends))
            end = int(self.ends[last - 1])
            rows = self.data[start : end - 1].translate(cell_end).split(b"\n")
            total += row_hash_sum(rows, self.numbers[first:last])
            start = end
        return total & MASK


class BadCell(Exception):
    """A record that the grammar refuses: which cell, and why."""

    def __init__(self, index: int, code: str, message: str, value: str) -> None:
        super().__init__(message)
        self.index, self.code, self.message, self.value = index, code, message, value


class CsvFormat:
    def __init__(self, dialect: CsvDialect) -> None:
        self.dialect = dialect
        self.columns = dialect.columns
        self.data_start = dialect.data_start
        self.skip_footer = dialect.skip_footer
        # Scanning sees one byte per code unit, so that UTF-16 needs no scanner of its own.
        self._unit = np.dtype({"utf-16-le": "<u2", "utf-16-be": ">u2"}.get(dialect.encoding, "u1"))
        self.unit = self._unit.itemsize
        self.line_end = LINE_ENDS[dialect.newline].decode().encode(dialect.encoding)
        scanned = "latin-1" if self.unit == 2 else dialect.encoding
        self._delimiter, self._quote, self._escape = (
            part.encode(scanned) for part in (dialect.delimiter, dialect.quote, dialect.escape)
        )
        self._newline_byte = CR if dialect.newline == "cr" else LF
        # A space that means something else is not skipped.
        marks = dialect.delimiter + dialect.quote + dialect.escape
        self._spaces = dialect.skip_initial_space and " " not in marks
        known = (self._delimiter, self._quote, self._escape, dialect.newline)
        line_end = {b"N": grammar.line_end(dialect.newline)}
        record = grammar.record(*known, spaces=self._spaces)
        self._record = re.compile(record + rb"(?:%(N)s|\Z)" % line_end)
        self._blank_lines = re.compile(rb"(?:[\r\n]*%(N)s)?" % line_end)
        self._cell = re.compile(grammar.cell(*known, spaces=self._spaces))
        self._open: re.Pattern[bytes] | None = None
        if self._quote:
            self._open = re.compile(grammar.undecided(*known, spaces=self._spaces))

    # ------------------------------------------------------------------ where records end

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        return self._record_ends(self._skeleton(window), eof)[0] * self.unit

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        return skip_to_line_end(blocks, at_least, self.line_end, self.unit)

    def count_lines(self, data: bytes) -> int:
        return self._lines_in(self._skeleton(data))

    def _lines_in(self, skeleton: bytes, start: int = 0, end: int | None = None) -> int:
        # bytes.count takes ten times as long where there are many.
        codes = np.frombuffer(skeleton, np.uint8)[start:end]
        count = int(np.count_nonzero(codes == self._newline_byte))
        if self.dialect.newline == "any":
            count += skeleton.count(b"\r", start, end) - skeleton.count(b"\r\n", start, end)
        return count

    def _skeleton(self, data: bytes) -> bytes:
        if self.unit == 1:
            return data
        units = np.frombuffer(data[: len(data) // 2 * 2], self._unit)
        return bytes(np.minimum(units, 255).astype(np.uint8).data)

    def _record_ends(self, text: bytes, eof: bool) -> tuple[Offsets, bool]:
        """Ends of the complete records, and whether every quote was where the grammar wants it.

        A blank line ends nothing: it belongs to the record after it and is not a row.
        """
        ends = self._ends_at_a_glance(text, eof)
        if ends is not None:
            return ends, True
        return self._ends_one_by_one(text, eof), False

    def _ends_at_a_glance(self, text: bytes, eof: bool) -> Offsets | None:
        """All ends by counting quotes before each line end; None where that could be wrong."""
        if self.dialect.newline == "any" or (self._escape and self._escape in text):
            return None
        codes = np.frombuffer(text, np.uint8)
        newlines = np.flatnonzero(codes == self._newline_byte)
        if self.dialect.newline == "crlf":
            line_feeds = len(newlines)
            newlines = newlines[(newlines > 0) & (codes[newlines - 1] == CR)]
            if line_feeds != len(newlines):
                return None
        if self._quote and self._quote in text:
            if len(self._delimiter) > 1:
                return None
            quotes = np.flatnonzero(codes == self._quote[0])
            if not self._quotes_are_regular(codes, quotes, eof):
                return None
            newlines = newlines[np.searchsorted(quotes, newlines) % 2 == 0]
            finished = int(newlines[-1]) + 1 if len(newlines) else 0
            unfinished = len(text) - finished
            if len(quotes) % 2 and (eof or unfinished > MAX_ROW_BYTES):
                return None
        ends = newlines + 1
        if eof and len(text) and (not len(ends) or ends[-1] != len(text)):
            ends = np.append(ends, len(text))
        return self._filled(text, ends)

    def _filled(self, text: bytes, ends: Offsets) -> Offsets:
        """The ends of those pieces that hold more than CR and LF."""
        blank = self._is_blank(text, ends)
        full: Offsets = ends[~blank] if blank.any() else ends
        return full

    def _is_blank(self, text: bytes, ends: Offsets) -> np.ndarray:
        lengths = np.diff(ends, prepend=0)
        if self.dialect.newline == "lf" and b"\r" not in text:
            # As in most files: an LF alone, but for what ends the text.
            only: np.ndarray = lengths == 1
            if len(ends) and text[ends[-1] - 1] != LF:
                only[-1] = False
            return only
        codes = np.frombuffer(text, np.uint8)
        starts = ends - lengths
        begins_blank = _IS_LINE_END[codes[starts]]
        blank: np.ndarray = begins_blank & (lengths <= 2) & _IS_LINE_END[codes[ends - 1]]
        # Rare: CR CR LF, or a lone CR before a cell.
        for i in np.flatnonzero(begins_blank & (lengths > 2)):
            blank[i] = _IS_LINE_END[codes[starts[i] : ends[i]]].all()
        return blank

    def _quotes_are_regular(self, codes: np.ndarray, quotes: Offsets, eof: bool) -> bool:
        """Whether each opening quote begins a cell and each closing
        one ends it, doubled quotes included.

        If so, reading quotes as alternately opening and closing is exact, not a guess.
        """
        opening, closing = quotes[0::2], quotes[1::2]
        inner = opening[1:] if opening[0] == 0 else opening
        if not self._may_precede[codes[inner - 1]].all():
            return False
        followed = closing[closing + 1 < len(codes)]
        after = codes[followed + 1]
        if not self._may_follow[after].all():
            return False
        if self._newline_byte == LF:  # a CR may follow only as the first half of CR LF
            at = followed[after == CR] + 2
            known = at < len(codes)
            return bool((codes[at[known]] == LF).all() and (known.all() or not eof))
        return True

    @cached_property
    def _may_precede(self) -> np.ndarray:
        return _table(self._delimiter[-1], self._quote[0], self._newline_byte)

    @cached_property
    def _may_follow(self) -> np.ndarray:
        return _table(self._delimiter[0], self._quote[0], self._newline_byte, CR)

    def _ends_one_by_one(self, text: bytes, eof: bool) -> Offsets:
        """All ends by the grammar. Lines before the next quote need
        none: they end where they seem to."""
        ends: list[int] = []
        seeming = self._seeming_ends(text)
        match, start, size = self._record.match, 0, len(text)
        while start < size:
            if seeming is not None:
                quote = text.find(self._quote, start) if self._quote else -1
                before = quote if quote >= 0 else size
                certain = seeming[bisect(seeming, start) : bisect(seeming, before)]
                if certain:
                    ends += certain
                    start = certain[-1]
                    continue
            if seeming is not None and text.find(self._quote, quote + 1) < 0:
                # No other quote can close this one. An expression would look for it as long, and
                # hold the interpreter.
                place = bisect(seeming, quote)
                end = seeming[place] if place < len(seeming) else size
            else:
                record = match(text, start)
                assert record is not None  # the grammar takes anything
                end = record.end()
            if not eof and (end == size or self._is_open(text, start, end)):
                break
            ends.append(end)
            start = end
        return self._filled(text, np.array(ends, np.int64))

    def _seeming_ends(self, text: bytes) -> list[int] | None:
        """Where lines end, whatever the quotes; None where a line end is
        more than one byte or may be escaped."""
        if self.dialect.newline not in ("lf", "cr") or (self._escape and self._escape in text):
            return None
        codes = np.frombuffer(text, np.uint8)
        ends: list[int] = (np.flatnonzero(codes == self._newline_byte) + 1).tolist()
        return ends

    def _is_open(self, text: bytes, start: int, end: int) -> bool:
        """Whether a quote of this record may yet be closed by bytes that are not in the window."""
        if self._open is None or len(text) - start > MAX_ROW_BYTES:
            return False
        if text.find(self._quote, start, end) < 0:
            return False
        while start < end:
            if self._open.match(text, start):
                return True
            cell = self._cell.match(text, start)
            assert cell is not None
            start = cell.end() + len(self._delimiter)
        return False

    # ------------------------------------------------------------------ what is in them

    def read(self, data: bytes, span: Span) -> Parsed:
        if span.is_oversize:
            return Parsed(CellRows(self.columns, [], []), [oversize_reject(data, span)])
        return self._read_plain(data, span) or self._read_with_care(data, span)

    def _read_plain(self, data: bytes, span: Span) -> Parsed | None:
        """The chunk as PlainRows, or None if anything in it needs care."""
        if self.dialect.newline == "any" or len(self._delimiter) != 1:
            return None
        if self._delimiter[0] in (BACKSLASH, QUOTE):
            return None
        if not (self._delimiter + self._quote + self._escape).isascii():
            return None  # in UTF-8, which the cells will be in, it is another byte
        if self.dialect.encoding != "utf-8":
            try:
                data = data.decode(self.dialect.encoding).encode()
            except UnicodeDecodeError:
                return None
        if self.dialect.newline in ("crlf", "cr"):
            in_line_ends = data.count(b"\r\n") if self.dialect.newline == "crlf" else 0
            if data.count(b"\n") != in_line_ends:
                return None  # an LF alone is text
        if b"\r" in data:
            # In a file that ends lines by LF, a CR that remains is a
            # control character and needs care.
            data = data.replace(b"\r\n" if self._newline_byte == LF else b"\r", b"\n")
        if not data.endswith(b"\n"):
            data += b"\n"
        if self._spaces and b" " in data:
            before_cell = b"(?:^|[\n" + re.escape(self._delimiter) + b"]) "
            if re.search(before_cell, data):
                return None
        codes = np.frombuffer(data, np.uint8)
        line_ends = codes == LF
        if np.count_nonzero(line_ends) != span.row_count:
            return None
        if not self._is_plain(data, codes, span.row_count):
            return None
        separators = np.flatnonzero(line_ends | (codes == self._delimiter[0]))
        width = len(self.columns)
        if len(separators) != span.row_count * width:
            return None
        ends = separators[width - 1 :: width] + 1
        # If so, each line end stands where one should, for there are no more of them.
        if not line_ends[ends - 1].all():
            return None
        if width == 1 and (np.diff(ends, prepend=0) == 1).any():
            return None
        numbers = range(span.first_row, span.first_row + span.row_count)
        return Parsed(PlainRows(self.columns, numbers, data, self._delimiter, ends))

    def _is_plain(self, data: bytes, codes: np.ndarray, line_ends: int) -> bool:
        """Whether the cells may be stored by replacing separators: valid UTF-8,
        nothing quoted, nothing JSON escapes."""
        if any(mark and mark in data for mark in (b"\\", b'"', self._quote, self._escape)):
            return False
        allowed = line_ends
        if self._delimiter[0] < 32:
            allowed += data.count(self._delimiter)
        if int(np.count_nonzero(codes < 32)) != allowed:
            return False
        if data.isascii():
            return True
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
        return True

    def _read_with_care(self, data: bytes, span: Span) -> Parsed:
        skeleton = self._skeleton(data)
        ends, regular = self._record_ends(skeleton, True)
        bounds = self._content_bounds(skeleton, ends)
        rejects: list[Reject] = []
        numbers, texts, starts = [], [], []
        lines = LineNumbers(span.first_line, partial(self._lines_in, skeleton))
        clean = b"\0" not in skeleton and self._decodes(data)
        for number, (start, end) in enumerate(bounds, span.first_row):
            raw = self._raw(data, skeleton, start, end)
            if not clean and (reject := self._undecodable(raw, number, span, lines, start)):
                rejects.append(reject)
                continue
            numbers.append(number)
            texts.append(raw.decode(self.dialect.encoding))
            starts.append(start)
        cells = None
        if regular and not self._spaces and self._newline_byte == LF and not _has_bare_cr(skeleton):
            cells = self._parse_regular(texts)
        kept_numbers, kept_cells = [], []
        width, keep = len(self.columns), self.dialect.on_bad_row == "keep"
        for i, number in enumerate(numbers):
            try:
                row = cells[i] if cells is not None else self.split_record(texts[i])
                if len(row) != width:
                    row = self._fit(row, keep)
            except BadCell as bad:
                raw = texts[i].encode(self.dialect.encoding)
                rejects.append(self._reject(bad, raw, number, span, lines, starts[i]))
                continue
            kept_numbers.append(number)
            kept_cells.append(row)
        rejects.sort(key=lambda reject: reject.row_number)
        return Parsed(CellRows(self.columns, kept_numbers, kept_cells), rejects)

    def _content_bounds(self, skeleton: bytes, ends: Offsets) -> list[tuple[int, int]]:
        """(start, end) of each record without the blank lines before it and
        the line end after it, in code units."""
        bounds, start = [], 0
        for end in ends.tolist():
            blank = self._blank_lines.match(skeleton, start, end)
            assert blank is not None  # it takes nothing, too
            first, last = blank.end(), end
            content = skeleton[first:end]
            if self._newline_byte == CR:
                last -= content.endswith(b"\r")
            elif content.endswith(b"\r\n"):
                last -= 2
            elif self.dialect.newline == "any":
                last -= content.endswith((b"\n", b"\r"))
            elif self.dialect.newline == "lf":
                last -= content.endswith(b"\n")
            if self._escape and last < end:
                before = skeleton[first:last]
                escapes = len(before) - len(before.rstrip(self._escape))
                if escapes % 2:  # an escaped line end is text
                    last = end if self.dialect.newline == "crlf" else last + 1
            bounds.append((first, last))
            start = end
        return bounds

    def _raw(self, data: bytes, skeleton: bytes, start: int, end: int) -> bytes:
        """The bytes of a record. Half a character at the end of the data belongs to the last
        one.
        """
        last = end * self.unit if end < len(skeleton) else None
        return data[start * self.unit : last]

    def _decodes(self, data: bytes) -> bool:
        try:
            data.decode(self.dialect.encoding)
        except UnicodeDecodeError:
            return False
        return True

    def _parse_regular(self, texts: list[str]) -> list[list[str | None]] | None:
        """All records by Python's csv, or None if it stumbles. Each
        record is one item, so rows cannot shift."""
        dialect = self.dialect
        if len(dialect.delimiter) > 1:
            return None
        quoting = {"quotechar": dialect.quote} if dialect.quote else {"quoting": csv.QUOTE_NONE}
        reader = csv.reader(
            texts,
            delimiter=dialect.delimiter,
            escapechar=dialect.escape or None,
            strict=True,
            **quoting,
        )
        try:
            rows = list(reader)
        except csv.Error:
            return None
        return rows if len(rows) == len(texts) else None  # type: ignore[return-value]

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
        """Finds what a record must have for its cells not to be
        simply what stands between the delimiters."""
        return re.compile(
            "[" + re.escape(self.dialect.quote + self.dialect.escape) + r"\r\n]"
        ).search

    def split_record(self, text: str) -> list[str | None]:
        """The cells of one record by the grammar; raises BadCell unless
        bad quotes are to be kept as they are."""
        dialect = self.dialect
        if not self._special(text):
            return [self._without_spaces(cell) for cell in text.split(dialect.delimiter)]
        quote = dialect.quote
        cells: list[str | None] = []
        start = 0
        while True:
            match = self._text_cell.match(text, start)
            assert match is not None
            quoted = match["quoted"]
            if quoted is not None:
                cells.append(self._unescape(quoted.replace(quote * 2, quote)))
            else:
                cell = self._without_spaces(match["plain"])
                if (
                    quote
                    and dialect.on_bad_row == "reject"
                    and quote in self._without_escapes(cell)
                ):
                    raise self._bad_quote(cell, len(cells), text[start:])
                cells.append(self._unescape(cell))
            if match.end() >= len(text):
                return cells
            start = match.end() + len(dialect.delimiter)

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
        """What is wrong with the quotes of a cell; `text` is the record from there on."""
        quote = self.dialect.quote
        if self._text_unclosed.match(self._without_spaces(text)):
            message = "The quote that opens this cell is never closed."
            return BadCell(index, "csv_unclosed_quote", message, cell)
        if cell.startswith(quote):
            return BadCell(index, "csv_bad_quote", "There is text after the closing quote.", cell)
        return BadCell(index, "csv_bad_quote", "There is a quote inside an unquoted cell.", cell)

    def _fit(self, row: list[str | None], keep: bool) -> list[str | None]:
        """With `keep`, a short row padded with nulls and a long one as it is, or a BadCell
        if that is too long; else a long one without what is empty behind the last column,
        as spreadsheets write it, or a BadCell."""
        width = len(self.columns)
        if keep and len(row) > MAX_COLUMNS:  # each cell is a column to whoever asks for names
            message = f"At most {MAX_COLUMNS} cells are kept, found {len(row)}."
            raise BadCell(width, "too_many_columns", message, "")
        if keep:
            return row + [None] * (width - len(row))
        if any(row[:width]) and len(row) > width and not any(row[width:]):
            return row[:width]
        message = f"Expected {width} cells, found {len(row)}."
        raise BadCell(min(len(row), width), "column_count", message, "")

    def locate(
        self, data: bytes, span: Span, row_numbers: Sequence[int]
    ) -> list[tuple[int, int, int]]:
        skeleton = self._skeleton(data)
        bounds = self._content_bounds(skeleton, self._record_ends(skeleton, True)[0])
        lines = LineNumbers(span.first_line, partial(self._lines_in, skeleton))
        places = []
        for number in row_numbers:
            start, end = bounds[number - span.first_row]
            byte_start = span.byte_start + start * self.unit
            byte_end = byte_start + len(self._raw(data, skeleton, start, end))
            places.append((byte_start, byte_end, lines.at(start)))
        return places

    # ------------------------------------------------------------------ rejects

    def _undecodable(
        self, raw: bytes, number: int, span: Span, lines: LineNumbers, start: int
    ) -> Reject | None:
        encoding = self.dialect.encoding
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError as error:
            code = "invalid_utf8" if encoding == "utf-8" else "invalid_encoding"
            offset = span.byte_start + start * self.unit + error.start
            message = (
                f"Byte {offset} of the file is not valid {encoding}; "
                "if the file has another encoding, declare it or convert the file to UTF-8."
            )
            marked = raw.decode(encoding, "backslashreplace")
            index = self._cell_at(raw[: error.start].decode(encoding, "replace"))
            return self._reject(
                BadCell(index, code, message, marked), raw, number, span, lines, start
            )
        if "\0" not in text:
            return None
        index = self._cell_at(text[: text.index("\0")])
        bad = BadCell(index, "nul_character", "The row holds a NUL character.", text)
        return self._reject(bad, raw, number, span, lines, start)

    def _cell_at(self, before: str) -> int:
        """Index of the cell in which the text before some place ends."""
        index, start = 0, 0
        while (cell := self._text_cell.match(before, start)) and cell.end() < len(before):
            index += 1
            start = cell.end() + len(self.dialect.delimiter)
        return index

    def _reject(
        self,
        bad: BadCell,
        raw: bytes,
        number: int,
        span: Span,
        lines: LineNumbers,
        start: int,
    ) -> Reject:
        byte_start = span.byte_start + start * self.unit
        column = self.columns[bad.index] if bad.index < len(self.columns) else None
        value = bad.value.replace("\0", "\\x00")[:200]
        return Reject(
            number,
            lines.at(start),
            byte_start,
            byte_start + len(raw),
            raw[:MAX_REJECT_BYTES],
            bad.code,
            bad.message,
            column,
            value,
        )


def _has_bare_cr(skeleton: bytes) -> bool:
    return skeleton.count(b"\r") != skeleton.count(b"\r\n")


def _table(*codes: int) -> np.ndarray:
    table = np.zeros(256, bool)
    table[list(codes)] = True
    return table


_IS_LINE_END = _table(LF, CR)
