"""The words between splitter, reader and processor: Span, Rows, Reject. No I/O here.

A *Format* knows two things about one kind of file. `scan` finds where records end, so that the
splitter can cut chunks; `read` turns the bytes of one chunk into rows and rejects. Both see the
same record boundaries, because `read` calls `scan` on its chunk: that is what makes their counts
agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

PAGE_ROWS = 500
"""Rows stored as one value. Larger pages compress a little better, smaller ones make single rows
cheaper to reach.
"""

PAGE_BYTES = 1 << 20
"""About so many bytes of rows are stored as one value, if these are fewer than PAGE_ROWS rows; one
row at least. Whoever reads rows holds a page, whatever he wants of it.
"""

MAX_COLUMNS = 16_384
"""Of a file and of a job, and cells of a row."""

MAX_ROW_BYTES = 16 << 20
"""A longer record is rejected unread (`row_too_large`), so that one row cannot take the memory of
the process.
"""

MAX_REJECT_BYTES = 64 << 10
"""Of a longer rejected record only the beginning is copied to the rejects; the rest is in the file
at its byte range.
"""

MAX_CHUNK_BYTES = 2 << 20
"""A chunk is cut here even if it has fewer rows than asked for: it bounds memory whatever the width
of the rows.
"""

MASK = (1 << 64) - 1
# as a byte 0xFF: never part of UTF-8 text, so that ["ab", "c"] and ["a", "bc"] hash differently
CELL_END = "\udcff"
NULL_CELL = "\udcfe"  # as a byte 0xFE: a missing cell is not an empty one

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Span:
    """One chunk: bytes [byte_start, byte_end) of the stored file, holding records first_row ..
    first_row + row_count - 1.

    Rows are numbered from 1 in the order of the file, the header not counted; lines from 1, the
    header counted.
    """

    byte_start: int
    byte_end: int
    first_row: int
    row_count: int
    first_line: int
    crc32: int

    @property
    def is_oversize(self) -> bool:
        return self.row_count == 1 and self.byte_end - self.byte_start > MAX_ROW_BYTES


@dataclass(slots=True)
class Reject:
    """A row that did not get through, with all that is needed to find and mend it. Never changed,
    but not frozen: there may be very many, and that takes five times as long to make.
    """

    row_number: int
    line: int
    byte_start: int
    byte_end: int
    raw: bytes
    code: str
    message: str
    column: str | None = None
    value: str | None = None
    kind: str = "invalid"
    """`invalid`: the row itself is wrong. `failed`: the row may be right, but it could not be
    processed.
    """


@dataclass(frozen=True, slots=True)
class Page:
    """Up to PAGE_ROWS results, and about PAGE_BYTES, as one JSON array; `numbers` lists their row
    numbers when they are not contiguous.
    """

    first_row: int
    row_count: int
    numbers: list[int] | None
    data: bytes


class Form(Enum):
    """In which rows are held by their reader, and handed to functions of other processes."""

    LINES = "(data, delimiter, whether cells are quoted, columns, row numbers): CSV in UTF-8"
    CELLS = "(cells of each row, columns, row numbers)"
    OBJECTS = "(JSON object of each row, row numbers)"


class Held(NamedTuple):
    form: Form
    arguments: tuple[Any, ...]


class Results(Protocol):
    """A batch of rows to be stored."""

    @property
    def columns(self) -> Sequence[str]: ...

    @property
    def are_objects(self) -> bool:
        """Whether each row has columns of its own, so that those of the file are known only when
        all of it has been read.
        """

    def __len__(self) -> int: ...

    def pages(self) -> Iterator[Page]:
        """The rows as stored: a JSON array of arrays (CSV) or of objects (JSON)."""

    def hash_sum(self) -> int:
        """Sum modulo 2^64 of the hashes of the rows, each seeded with its row number."""


class Rows(Results, Protocol):
    """A batch of rows on its way through. How the rows are held is the reader's business: a CSV
    chunk is stored without ever being taken apart into cells.
    """

    @property
    def numbers(self) -> Sequence[int]:
        """Row numbers, ascending."""

    def records(self) -> list[Any]:
        """The rows as values: lists of cells for CSV, dicts for JSON."""

    def undecoded(self) -> list[Any]:
        """The same without decoding JSON: its bytes, if the rows are objects."""

    def held(self, start: int, end: int) -> Held:
        """Those at the positions [start, end), in the form in which they are held: nothing is taken
        apart here.
        """

    def select(self, keep: Sequence[int]) -> Rows:
        """Only the rows at these positions."""


def row_hash_sum(rows: Sequence[bytes], numbers: Sequence[int]) -> int:
    """Order-free: equal for equal sets of (row number, canonical bytes), on every machine (XXH3 is
    a fixed algorithm).
    """
    return sum(map(xxhash.xxh3_64_intdigest, rows, numbers)) & MASK


def canonical_cells(cells: Sequence[str | None]) -> bytes:
    return CELL_END.join([NULL_CELL if c is None else c for c in cells]).encode(
        "utf-8", "surrogateescape"
    )


def unique_names(names: Sequence[str]) -> list[str]:
    """A name for each column, none twice, so that no column hides another: each name belongs to the
    first column that is called so. A column whose name is taken gets the next number that makes a
    free one (`a_2`), and one without a name is column_N by its place.
    """
    taken = set(filter(None, names))
    owned: set[str] = set()
    following: dict[str, int] = {}  # of a name that repeats, the number to try next
    unique = []
    for place, name in enumerate(names, 1):
        if name and name not in owned:
            owned.add(name)
            unique.append(name)
            continue
        base = free = name or f"column_{place}"
        number = following.get(base, 2)
        while free in taken:
            free, number = f"{base}_{number}", number + 1
        following[base] = number
        taken.add(free)
        unique.append(free)
    return unique


def cell_names(columns: Sequence[str], width: int) -> Sequence[str]:
    """The names of the cells of a row, at least those of the columns. Cells beyond these
    (on_bad_row=keep) have none of their own.
    """
    return (
        columns
        if width <= len(columns)
        else unique_names([*columns, *[""] * (width - len(columns))])
    )


def page_cuts(ends: Offsets) -> Iterator[tuple[int, int]]:
    """(first, behind the last) position of the rows of each page. `ends`: bytes up to the end of
    each row.
    """
    start, before = 0, 0
    while start < len(ends):
        fitting = int(np.searchsorted(ends, before + PAGE_BYTES, "right"))
        end = max(start + 1, min(start + PAGE_ROWS, fitting))
        yield start, end
        start, before = end, int(ends[end - 1])


def row_ends(rows: Sequence[bytes]) -> Offsets:
    """Bytes up to the end of each row."""
    return np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)))


def gaps(numbers: Sequence[int]) -> list[int] | None:
    """The row numbers of a page if some are missing between the first and the last, else None."""
    return None if numbers[-1] - numbers[0] + 1 == len(numbers) else list(numbers)


@dataclass(frozen=True, slots=True)
class CellRows:
    """Rows as lists of cells: what most processors give back."""

    columns: Sequence[str]
    numbers: Sequence[int]
    cells: list[list[str | None]]
    are_objects: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.cells)

    def records(self) -> list[list[str | None]]:
        return self.cells

    def undecoded(self) -> list[list[str | None]]:
        return self.cells

    def held(self, start: int, end: int) -> Held:
        return Held(
            Form.CELLS, (self.cells[start:end], self.columns, list(self.numbers[start:end]))
        )

    def pages(self) -> Iterator[Page]:
        for start in range(0, len(self.cells), PAGE_ROWS):
            yield from self._pages(start, min(start + PAGE_ROWS, len(self.cells)))

    def _pages(self, start: int, end: int) -> Iterator[Page]:
        """One page, or as many halves of it as it takes: how long the JSON is, is known when it is
        made.
        """
        data = msgspec.json.encode(self.cells[start:end])
        if len(data) > PAGE_BYTES and end - start > 1:
            middle = (start + end) // 2
            yield from self._pages(start, middle)
            yield from self._pages(middle, end)
        else:
            numbers = self.numbers[start:end]
            yield Page(numbers[0], len(numbers), gaps(numbers), data)

    def select(self, keep: Sequence[int]) -> CellRows:
        return CellRows(
            self.columns, [self.numbers[i] for i in keep], [self.cells[i] for i in keep]
        )

    def hash_sum(self) -> int:
        return row_hash_sum([canonical_cells(row) for row in self.cells], self.numbers)


@dataclass(frozen=True, slots=True)
class ObjectRows:
    """Rows as JSON objects, kept as the bytes they came in: no number is rounded, no key
    reordered.
    """

    columns: Sequence[str]
    numbers: Sequence[int]
    raw: list[bytes]
    are_objects: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.raw)

    def records(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(raw) for raw in self.raw]

    def undecoded(self) -> list[bytes]:
        return self.raw

    def held(self, start: int, end: int) -> Held:
        return Held(Form.OBJECTS, (self.raw[start:end], self.numbers[start:end]))

    def pages(self) -> Iterator[Page]:
        for start, end in page_cuts(row_ends(self.raw)):
            raw, numbers = self.raw[start:end], self.numbers[start:end]
            yield Page(numbers[0], len(raw), gaps(numbers), b"[" + b",".join(raw) + b"]")

    def select(self, keep: Sequence[int]) -> ObjectRows:
        return ObjectRows(
            self.columns, [self.numbers[i] for i in keep], [self.raw[i] for i in keep]
        )

    def hash_sum(self) -> int:
        return row_hash_sum(self.raw, self.numbers)


@dataclass(frozen=True, slots=True)
class PagedRows:
    """Results that another process has made ready to be stored."""

    columns: Sequence[str]
    are_objects: bool
    made: list[Page]
    made_hash_sum: int

    @classmethod
    def of(cls, rows: Results) -> PagedRows:
        return cls(rows.columns, rows.are_objects, list(rows.pages()), rows.hash_sum())

    def __len__(self) -> int:
        return sum(page.row_count for page in self.made)

    def pages(self) -> Iterator[Page]:
        return iter(self.made)

    def hash_sum(self) -> int:
        return self.made_hash_sum


@dataclass(slots=True)
class Parsed:
    """What the reader made of one chunk. `row_count` is the reader's own count of records."""

    rows: Rows
    rejects: list[Reject] = field(default_factory=list)

    @property
    def row_count(self) -> int:
        return len(self.rows) + len(self.rejects)


class LineNumbers:
    """Lines on which records of a chunk begin. Asked in the order of the chunk, it looks at each
    byte once.
    """

    def __init__(self, first: int, count: Callable[[int, int], int]) -> None:
        """`count(start, end)` is the number of line ends between two places of the chunk."""
        self._first, self._count = first, count
        self._place, self._line = 0, first

    def at(self, place: int) -> int:
        if place < self._place:
            self._place, self._line = 0, self._first
        self._line += self._count(self._place, place)
        self._place = place
        return self._line


class Format(Protocol):
    skip_footer: int
    """Records at the end of the file that are not rows."""
    line_end: bytes

    @property
    def data_end(self) -> int:
        """Place behind the last record; 0 if that is the end of the file."""

    def count_lines(self, data: bytes) -> int:
        """Line ends in whole records."""

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        """Offsets just after each complete record of `window`, which begins at a record boundary.

        With `eof` nothing follows the window, so an incomplete record at its end counts too.
        """

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        """Bytes of the record that `blocks` begin with, which is longer than `at_least` and cannot
        be held; None if it reaches to their end.
        """

    def read(self, data: bytes, span: Span) -> Parsed: ...

    def locate(
        self, data: bytes, span: Span, row_numbers: Sequence[int]
    ) -> list[tuple[int, int, int]]:
        """(byte start, byte end, line) in the file of each of these records of the chunk, given in
        ascending order.
        """


def skip_to_line_end(blocks: Iterable[bytes], at_least: int, line_end: bytes) -> int | None:
    """Return the place behind the first line end after `at_least` bytes, for formats whose records
    are lines; None if there is none.
    """
    offset, carried = 0, b""
    for block in blocks:
        text = carried + block
        place = text.find(line_end, max(0, at_least - offset))
        if place >= 0:
            return offset + place + len(line_end)
        kept = len(line_end) - 1  # the line end may straddle two blocks
        carried = text[len(text) - kept :] if kept else b""
        offset += len(text) - len(carried)
    return None


def oversize_reject(data: bytes, span: Span) -> Reject:
    size = span.byte_end - span.byte_start
    return Reject(
        span.first_row,
        span.first_line,
        span.byte_start,
        span.byte_end,
        data[:MAX_REJECT_BYTES],
        "row_too_large",
        f"The record has {size} bytes; at most {MAX_ROW_BYTES} are read.",
    )
