"""Reads a corrected reject file, as editors write it, and sorts its rows, without holding it in
memory.
"""

from __future__ import annotations

import codecs
import csv
import re
import sys
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from app.db.corrections import CorrectionPart
from app.errors import CorrectionColumns, CorrectionInvalid
from app.formats.base import MAX_CHUNK_BYTES, MAX_ROW_BYTES, Span
from app.jobs.formulas import unguarded
from app.jobs.reject_files import META_COLUMNS, PLACE_COLUMN, Layout
from app.sources.places import Writer

# A cell may be as long as its row, which has a separate limit.
csv.field_size_limit(sys.maxsize)

DELIMITERS = ",;\t|"
"""Delimiters that editors write; some use the one of their locale."""
ROW_COLUMN = META_COLUMNS[0]
OWN_COLUMNS = (*META_COLUMNS, PLACE_COLUMN)
"""That a download of rejects has besides the cells."""
NO_ROW_COLUMN = f"The file has no column {ROW_COLUMN}, which tells the row of each line."
SEPARATOR_LINE = re.compile(r"(?i)sep=.?")
MAX_PROBLEMS = 20
MAX_PATCHES = 1_000
"""Limit of one request; larger corrections are sent as a file."""
BLOCK_BYTES = 1 << 20


class Problems:
    """Problems of single rows. One invalid row rejects the file, since the others may be misread
    too.
    """

    def __init__(self) -> None:
        self._problems: list[dict[str, str]] = []
        self.count = 0

    def add(self, row: object, code: str, detail: str) -> None:
        self.count += 1
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(
                {"code": code, "pointer": f"row/{str(row)[:40]}", "detail": detail}
            )

    def refuse(self) -> None:
        """Raises CorrectionInvalid if there are any."""
        if self.count:
            first = self._problems[0]
            rows = "1 row is" if self.count == 1 else f"{self.count} rows are"
            raise CorrectionInvalid(
                f"Nothing was corrected: {rows} wrong. First error: {first['detail']}",
                errors=self._problems,
            )


@dataclass(slots=True)
class Spool:
    """Records by row number, in a temporary file."""

    file: IO[bytes]
    numbers: array[int] = field(default_factory=lambda: array("q"))
    starts: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    end: int = 0

    def add(self, number: int, record: bytes) -> None:
        self.file.write(record)
        self.numbers.append(number)
        self.starts.append(self.end)
        self.sizes.append(len(record))
        self.end += len(record)

    def read(self, position: int) -> bytes:
        self.file.seek(self.starts[position])
        return self.file.read(self.sizes[position])

    def ordered(self, problems: Problems) -> list[int]:
        """Return the spool positions in the order of row numbers; a repeated number is a
        problem.
        """
        numbers = np.frombuffer(self.numbers, np.int64) if self.numbers else np.zeros(0, np.int64)
        order = np.argsort(numbers, kind="stable")
        twice = np.flatnonzero(np.diff(numbers[order]) == 0)
        for number in np.unique(numbers[order][twice])[:MAX_PROBLEMS].tolist():
            problems.add(number, "row_twice", f"Row {number} appears more than once.")
        return order.tolist()  # type: ignore[no-any-return]


def read_file(
    path: Path, layout: Layout, spool: Spool, problems: Problems, formula_guard: bool
) -> None:
    """Read the rows of a corrected reject file (CSV) into the spool; blocking.

    With `formula_guard`, apostrophes before formulas come from the download and are removed. Raises
    CorrectionColumns, CorrectionInvalid.
    """
    encoding = _encoding(path, layout.encoding)
    delimiter = _delimiter(path, encoding)
    with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
        rows = (
            [unguarded(cell) for cell in cells] if formula_guard else cells
            for cells in _rows(file, delimiter)
            if not _is_blank(cells)
        )
        header = next(rows, [])
        if header and SEPARATOR_LINE.fullmatch(header[0].strip()):
            header = next(rows, [])
        while header and not header[-1].strip():  # columns that an editor added
            header.pop()
        places, row_place = _places(header, layout.columns)
        for cells in rows:
            _take(cells, len(header), places, row_place, layout, spool, problems)
    spool.file.flush()


def _rows(file: Any, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise CorrectionInvalid(f"Line {reader.line_num} is not CSV: {error}.") from None


def _is_blank(cells: Sequence[str]) -> bool:
    return not any(cell.strip() for cell in cells)


def _encoding(path: Path, original: str) -> str:
    """Return the encoding of the text: from its byte order mark; UTF-8 if it is valid, since
    editors often convert to it; otherwise the file's.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        head = file.read(3)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if original == "utf-8" or head == codecs.BOM_UTF8:
            return "utf-8-sig"
        file.seek(0)
        try:
            while block := file.read(BLOCK_BYTES):
                decoder.decode(block)
            decoder.decode(b"", True)
        except UnicodeDecodeError:
            return original
    return "utf-8-sig"


def _delimiter(path: Path, encoding: str) -> str:
    """Return the delimiter that separates the column of row numbers."""
    with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
        head = file.read(BLOCK_BYTES)
    for delimiter in DELIMITERS:
        for cells in _first_rows(head, delimiter):
            if ROW_COLUMN in cells:
                return delimiter
    raise CorrectionColumns(NO_ROW_COLUMN)


def _first_rows(head: str, delimiter: str) -> Iterator[list[str]]:
    rows = csv.reader(head.splitlines(keepends=True), delimiter=delimiter)
    try:
        filled = (cells for cells in rows if not _is_blank(cells))
        yield from islice(filled, 2)  # the first line may be `sep=;`
    except csv.Error:
        return


def _places(header: Sequence[str], columns: Sequence[str]) -> tuple[list[int], int]:
    """Return the position of each column, in whatever order, and that of the row number."""
    names = list(header)
    if ROW_COLUMN not in names:
        raise CorrectionColumns(NO_ROW_COLUMN)
    row_place = (
        len(names) - 1 - names[::-1].index(ROW_COLUMN)
    )  # the file may have had a column of that name before the download's own
    others = {name: i for i, name in reversed(list(enumerate(names))) if i != row_place}
    missing = [name for name in columns if name not in others]
    unknown = [name for name in others if name not in columns and name not in OWN_COLUMNS]
    twice = len(others) < len(names) - 1 - sum(
        names.count(m) - 1 for m in OWN_COLUMNS if m in names
    )
    wrong = [
        f"{_listed(names)} {problem}"
        for names, problem in ((missing, "missing"), (unknown, "unknown"))
        if names
    ]
    if twice:
        wrong.append("a name appears twice")
    if wrong:
        raise CorrectionColumns(
            f"The columns differ from those of the rejects: {'; '.join(wrong)}."
        )
    return [others[name] for name in columns], row_place


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name[:60]}`" for name in names[:5]) + (", ..." if len(names) > 5 else "")


def _take(
    cells: list[str],
    width: int,
    places: Sequence[int],
    row_place: int,
    layout: Layout,
    spool: Spool,
    problems: Problems,
) -> None:
    number = cells[row_place].strip() if row_place < len(cells) else ""
    if not re.fullmatch(r"[0-9]{1,18}", number, re.ASCII):
        problem = f"`{number[:40]}` is not a row number" if number else "A line has no row number"
        problems.add(number, "no_row_number", f"{problem} in the column {ROW_COLUMN}.")
        return
    if not _is_blank(cells[width:]) or len(cells) <= max(places):
        problems.add(
            number, "column_count", f"Row {number} has {len(cells)} cells, the header {width}."
        )
        return
    add(int(number), [cells[position] for position in places], layout, spool, problems)


def add(
    number: int, cells: Sequence[str], layout: Layout, spool: Spool, problems: Problems
) -> None:
    try:
        record = layout.record(cells)
    except UnicodeEncodeError as error:
        character = error.object[error.start : error.start + 1].encode("utf-8", "replace").decode()
        detail = (
            f"Row {number} has the character {character!r}, which {layout.encoding}, the encoding"
            " of the file, lacks."
        )
        problems.add(number, "not_encodable", detail)
        return
    if len(record) > MAX_ROW_BYTES:
        problems.add(
            number,
            "row_too_large",
            f"Row {number} has {len(record)} bytes; at most {MAX_ROW_BYTES} are read.",
        )
        return
    spool.add(number, record)


@dataclass(slots=True)
class Written:
    """The stored file of a correction: its records in the order of their rows, cut at the chunks of
    the corrected job.
    """

    size: int = 0
    crc32: int = 0
    lines: int = 0
    spans: list[Span] = field(default_factory=list)
    parts: list[CorrectionPart] = field(default_factory=list)


def write_file(
    out: Writer,
    spool: Spool,
    positions: Sequence[int],
    seen: Sequence[int],
    starts: Sequence[tuple[int, int]],
    layout: Layout,
) -> Written:
    """Write the records at these spool positions; blocking.

    `seen` is how often each row had been corrected. `starts` are (first row, index) of the
    corrected job's chunks.
    """
    written = Written()
    first_rows = [first for first, _ in starts]
    block, rows, target = bytearray(), dict[int, int](), -1

    def cut() -> None:
        if rows:
            count = sum(len(part.seen) for part in written.parts)
            end, lines = written.size + len(block), block.count(b"\n")
            span = Span(
                written.size, end, count + 1, len(rows), written.lines + 1, zlib.crc32(block)
            )
            written.spans.append(span)
            written.parts.append(CorrectionPart(target, dict(rows)))
            out.write(block)
            written.crc32 = zlib.crc32(block, written.crc32)
            written.size, written.lines = end, written.lines + lines
            block.clear()
            rows.clear()

    for position, times in zip(positions, seen, strict=True):
        number = spool.numbers[position]
        record = spool.read(position) + layout.end
        index = starts[bisect_right(first_rows, number) - 1][1]
        if index != target or len(block) + len(record) > MAX_CHUNK_BYTES:
            cut()
            target = index
        block += record
        rows[number] = times
    cut()
    return written
