"""Types that splitter, reader and processor share: Span, Rows, Reject. No I/O.

A *Format* knows two things about one kind of file. `scan` finds where records end, so that the
splitter can cut chunks; `read` turns the bytes of one chunk into rows and rejects. Both find the
same record boundaries, because `read` calls `scan` on its chunk: so their counts agree.
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
"""Most rows of a page. Larger pages compress a little better; smaller ones make single rows cheaper
to reach.
"""

PAGE_BYTES = 1 << 20
"""Bytes of a page, about, if these are fewer than PAGE_ROWS rows; a page has at least one row.
Every reader holds a whole page.
"""

MAX_COLUMNS = 16_384
"""Most columns of a file and of a job, and most cells of a row."""

MAX_ROW_BYTES = 16 << 20
"""Most bytes of a record. A longer one is rejected unread (`row_too_large`), so that one row cannot
take the memory of the process.
"""

MAX_REJECT_BYTES = 64 << 10
"""Most bytes of a rejected record that are copied to the rejects. The rest is in the file at its
byte range.
"""

MAX_CHUNK_BYTES = 2 << 20
"""Most bytes of a chunk, unless a single record has more. It bounds memory for rows of any width.
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
    """A row that was not accepted, with all that is needed to find and correct it. It is never
    changed, but not frozen: there may be very many, and freezing makes creation five times slower.
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

    def __reduce__(self) -> tuple[type[Reject], tuple[Any, ...]]:
        # Without it, pickling takes twice as long, and many come from other processes.
        return Reject, (
            self.row_number,
            self.line,
            self.byte_start,
            self.byte_end,
            self.raw,
            self.code,
            self.message,
            self.column,
            self.value,
            self.kind,
        )


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
    """How a reader holds rows, and passes them to functions of other processes."""

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
        """Whether each row has its own columns, so that those of the file are known only after all
        rows have been read.
        """

    def __len__(self) -> int: ...

    def pages(self) -> Iterator[Page]:
        """Yield the rows as stored: a JSON array of arrays (CSV) or of objects (JSON)."""

    def hash_sum(self) -> int:
        """Return the sum modulo 2^64 of the hashes of the rows, each seeded with its row number."""


class Rows(Results, Protocol):
    """A batch of rows between reader and destination. How the rows are held is up to the reader: a
    CSV chunk is stored without ever being split into cells.
    """

    @property
    def numbers(self) -> Sequence[int]:
        """Row numbers, ascending."""

    def records(self) -> list[Any]:
        """Return the rows as values: lists of cells for CSV, dicts for JSON."""

    def undecoded(self) -> list[Any]:
        """Return the rows without decoding JSON: as bytes, if they are objects."""

    def held(self, start: int, end: int) -> Held:
        """Return the rows at the positions [start, end) in the form in which they are held, without
        splitting them.
        """

    def select(self, keep: Sequence[int]) -> Rows:
        """Return only the rows at these positions."""


def row_hash_sum(rows: Sequence[bytes], numbers: Sequence[int]) -> int:
    """Return a sum that does not depend on the order: equal for equal sets of (row number,
    canonical bytes), on every machine, since XXH3 is a fixed algorithm.
    """
    return sum(map(xxhash.xxh3_64_intdigest, rows, numbers)) & MASK


def canonical_cells(cells: Sequence[str | None]) -> bytes:
    return CELL_END.join([NULL_CELL if c is None else c for c in cells]).encode(
        "utf-8", "surrogateescape"
    )


def unique_names(names: Sequence[str]) -> list[str]:
    """Return a unique name for each column: each name belongs to the first column that has it. A
    column whose name is taken gets the next number that makes it unique (`a_2`); one without a name
    is column_N by its position.
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
    """Return the names of the cells of a row, at least those of the columns. Cells beyond these
    (on_bad_row=keep) get generated names.
    """
    return (
        columns
        if width <= len(columns)
        else unique_names([*columns, *[""] * (width - len(columns))])
    )


def page_cuts(ends: Offsets) -> Iterator[tuple[int, int]]:
    """Yield (first, end) positions of the rows of each page. `ends` are the bytes up to the end of
    each row.
    """
    start, before = 0, 0
    while start < len(ends):
        fitting = int(np.searchsorted(ends, before + PAGE_BYTES, "right"))
        end = max(start + 1, min(start + PAGE_ROWS, fitting))
        yield start, end
        start, before = end, int(ends[end - 1])


def row_ends(rows: Sequence[bytes]) -> Offsets:
    """Return the bytes up to the end of each row."""
    return np.cumsum(np.fromiter(map(len, rows), np.int64, len(rows)))


def gaps(numbers: Sequence[int]) -> list[int] | None:
    """Return the row numbers of a page if some are missing between the first and the last, else
    None.
    """
    return None if numbers[-1] - numbers[0] + 1 == len(numbers) else list(numbers)


@dataclass(frozen=True, slots=True)
class CellRows:
    """Rows as lists of cells, as most processors return them."""

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
        """Yield one page, or halves of it until each is small enough: the size of the JSON is known
        only after encoding.
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
    """Rows as JSON objects, kept as the bytes they came in: no number is rounded and no key moves."""

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
    """Results that another process has prepared for storing."""

    columns: Sequence[str]
    are_objects: bool
    ready: list[Page]
    ready_hash_sum: int

    @classmethod
    def of(cls, rows: Results) -> PagedRows:
        return cls(rows.columns, rows.are_objects, list(rows.pages()), rows.hash_sum())

    def __len__(self) -> int:
        return sum(page.row_count for page in self.ready)

    def pages(self) -> Iterator[Page]:
        return iter(self.ready)

    def hash_sum(self) -> int:
        return self.ready_hash_sum


@dataclass(slots=True)
class Parsed:
    """Rows and rejects of one chunk. `row_count` is the reader's own count of records."""

    rows: Rows
    rejects: list[Reject] = field(default_factory=list)

    @property
    def row_count(self) -> int:
        return len(self.rows) + len(self.rejects)


class LineNumbers:
    """Line numbers of records of a chunk. Asked in the order of the chunk, it counts each byte
    once.
    """

    def __init__(self, first: int, count: Callable[[int, int], int]) -> None:
        """`count(start, end)` returns the number of line ends between two places of the chunk."""
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
        """Return the number of line ends in whole records."""

    def scan(self, window: bytes, *, eof: bool) -> Offsets:
        """Return the offsets just after each complete record of `window`, which begins at a record
        boundary.

        With `eof` nothing follows the window, so an incomplete record at its end counts too.
        """

    def skip(self, blocks: Iterable[bytes], at_least: int) -> int | None:
        """Return the length of the record that `blocks` begin with, which is longer than `at_least`
        bytes and cannot be held; None if it reaches to their end.
        """

    def read(self, data: bytes, span: Span) -> Parsed: ...

    def locate(
        self, data: bytes, span: Span, row_numbers: Sequence[int]
    ) -> list[tuple[int, int, int]]:
        """Return (byte start, byte end, line) in the file of each of these records of the chunk,
        given in ascending order.
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
