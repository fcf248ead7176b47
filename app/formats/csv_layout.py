"""Where the table stands in the beginning of a CSV file: between which
delimiters, in which quotes, below which lines.

Where this is unsure, it reads more, not less: no line is skipped, and what is not
clearly a table of several columns is a file of one column. A wrong guess then shows in
the columns or in the rejects, and costs no row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from app.formats.csv import BadCell, CsvDialect, CsvFormat

COMMON_DELIMITERS, RARE_DELIMITERS = (",", ";", "\t", "|"), (":", "^", "~", "\x1f", " ")
PUNCTUATION = (":", " ")
"""Text is full of them: what they separate is a table only if its
columns hold values of a kind below their names."""
NO_DELIMITER = "\x1f"
"""The delimiter of a file of one column whose text has commas: the
unit separator, which text does not hold."""
SCORED_CHARACTERS, SCORED_RECORDS = 64 << 10, 200

REGULAR_SHARE = 0.9
"""Of the records below skipped lines, so many have the width of the
table, to the end of the sample."""
TABLE_SHARE, PROSE_SHARE = 0.5, 0.75
"""Of the records of a table, so many have the width of the first; more where
each delimiter has a space behind it, as in text."""
EVIDENCE, STRONG_EVIDENCE = 4, 6
"""Cells that hold a value below a name, which lines above the table need to be skipped; more where
such a line could be the name of a single column, or a row."""
MAX_NAME, MAX_DIGITS = 100, 18

_VALUE = re.compile(
    r"[-+($€£¥.]*\d[-+\d.,:/'%$€£¥ )]*(?:[TZeE][-+\d.:Z]*)?"  # numbers, dates, times
    r"|[^@\s]+@[^@\s]+\.\w+|https?://\S+|(?i:true|false|yes|no)"
)
_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d+)*|[.,]\d+)(?:[eE][-+]?\d+)?%?")
_WORD = re.compile(r"#?[\w.-]+")
_COMMENT = re.compile(r"#(?:#*$|.*\s)")


@dataclass(frozen=True, slots=True)
class Record:
    text: str
    """With the blank lines before it and the line end behind it."""
    cells: list[str]
    is_bad: bool
    """Has quotes in wrong places."""

    @property
    def width(self) -> int:
        return len(self.cells)

    @property
    def filled(self) -> list[str]:
        return [cell.strip() for cell in self.cells if cell.strip()]

    @property
    def reach(self) -> int:
        """Number of cells without the empty ones at the end."""
        return next((i for i in range(len(self.cells), 0, -1) if self.cells[i - 1].strip()), 0)

    @property
    def stands_apart(self) -> bool:
        return self.text[:1] in ("\r", "\n")

    @property
    def is_comment(self) -> bool:
        """`# made by x`, but not `#tag`, which may be a value, nor `#id,name`."""
        return _COMMENT.match(self.text.strip("\r\n")) is not None

    def fits(self, width: int) -> bool:
        return self.width == width or self.reach <= width < self.width


@dataclass(frozen=True, slots=True)
class Layout:
    dialect: CsvDialect
    """With delimiter, quote, escape and skip_initial_space."""
    records: list[Record]
    skipped: list[str]
    """Why each of the first records is no part of the table."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is known about the layout before looking."""

    delimiter: str | None
    quote: str | None
    escape: str | None
    skip_initial_space: bool | None
    header_rows: int
    may_skip: bool
    one_column: bool = False


def find_layout(text: str, complete: bool, base: CsvDialect, wanted: Wanted) -> Layout:
    if wanted.delimiter is not None:
        with_delimiter = _trials(text, complete, base, wanted, wanted.delimiter)
        return max(with_delimiter, key=_Trial.rank).layout()
    if wanted.one_column:
        return _one_column(text, complete, base, wanted)
    for delimiters in (COMMON_DELIMITERS, RARE_DELIMITERS):
        trials: list[_Trial] = []
        for delimiter in delimiters:
            if delimiter in text:
                trials += _trials(text, complete, base, wanted, delimiter)
        tables = [trial for trial in trials if trial.is_table()]
        if tables:
            return max(tables, key=_Trial.rank).layout()
    return _one_column(text, complete, base, wanted)


def records_of(
    text: str, dialect: CsvDialect, complete: bool, *, all_of_it: bool = False
) -> list[Record]:
    """The first records of the sample, or all of them; not the last one where the sample cuts
    it.
    """
    form = CsvFormat(msgspec.structs.replace(dialect, encoding="utf-8", on_bad_row="keep"))
    strict = CsvFormat(msgspec.structs.replace(form.dialect, on_bad_row="reject"))
    size = len(text) if all_of_it else SCORED_CHARACTERS
    whole = complete and len(text) <= size
    data = text[:size].encode()
    ends = form.scan(data, eof=whole).tolist()
    if not ends and not whole:  # one long record: look at all there is
        data = text.encode()
        ends = form.scan(data, eof=complete).tolist()
    return [
        _record(data[start:end].decode(), form, strict)
        for start, end in pairwise([0, *(ends if all_of_it else ends[:SCORED_RECORDS])])
    ]


def _record(text: str, form: CsvFormat, strict: CsvFormat) -> Record:
    content = text.strip("\r\n")
    cells = [str(cell) for cell in form.split_record(content)]
    return Record(text, cells, _is_bad(content, strict))


def _is_bad(content: str, strict: CsvFormat) -> bool:
    try:
        strict.split_record(content)
    except BadCell:
        return True
    return False


# ---------------------------------------------------------------------- delimiters and quotes


@dataclass(frozen=True, slots=True)
class _Trial:
    """The sample read by one delimiter, quote and escape."""

    dialect: CsvDialect
    records: list[Record]
    skipped: list[str]
    header_rows: int

    def layout(self) -> Layout:
        return Layout(self.dialect, self.records, self.skipped)

    def table(self) -> list[Record]:
        return self.records[len(self.skipped) :]

    def share(self) -> float:
        """Of the records, how many have the width of the first one and no quotes in wrong
        places.
        """
        table = self.table()
        if not table:
            return 0.0
        good = sum(record.fits(table[0].width) and not record.is_bad for record in table)
        return good / len(table)

    def is_prose(self) -> bool:
        """Whether a space follows the delimiters, as it follows commas in text."""
        return not self.dialect.skip_initial_space and _is_prose(self.table())

    def cleanness(self) -> float:
        """Share of the cells that no other delimiter would take apart."""
        others = "".join(mark for mark in COMMON_DELIMITERS if mark != self.dialect.delimiter)
        inside = re.compile(rf"[{re.escape(others)}](?! )")
        cells = [cell for record in self.table() for cell in record.cells]
        clean = sum(not inside.search(cell) or is_value(cell) for cell in cells)
        return clean / max(1, len(cells))

    def rank(self) -> tuple[float, int, int, bool]:
        quality = self.share() * self.cleanness()
        if self.is_prose():
            quality *= PROSE_SHARE
        width = self.table()[0].width if self.table() else 0
        escape, skips = self.dialect.escape, self.dialect.skip_initial_space
        return (round(quality, 2), width, -len(escape), not skips)

    def is_table(self) -> bool:
        """Whether the delimiter makes a table of several columns, and
        is not just a character of the text."""
        table = self.table()
        if not table or table[0].width < 2:
            return False
        if self.dialect.delimiter in PUNCTUATION:
            if not self._is_even():
                return False
            columns = value_columns(table, self.header_rows)
            return 2 * len(columns) > table[0].width
        if self.dialect.delimiter in RARE_DELIMITERS:
            return self._is_even() and len(table) > 1
        if self.is_prose():
            return self.share() >= PROSE_SHARE
        if self.share() >= TABLE_SHARE:
            return True
        if not self.header_rows:
            several = sum(record.width > 1 for record in table) / len(table)
            return several >= TABLE_SHARE
        return is_header(table[0].cells) and not _is_prose(table[:1])

    def _is_even(self) -> bool:
        table = self.table()
        return all(record.width == table[0].width for record in table)


def _trials(
    text: str, complete: bool, base: CsvDialect, wanted: Wanted, delimiter: str
) -> list[_Trial]:
    """The delimiter with each escape, and with and without spaces before
    cells, that the text gives reason to try."""
    quote = wanted.quote
    if quote is None:
        quote = "'" if _has_single_quotes(text[:SCORED_CHARACTERS], delimiter) else '"'
    escapes = [wanted.escape]
    if wanted.escape is None:
        escapes = ["", "\\"] if quote and f"\\{quote}" in text else [""]
    # An escape that is the quote is how PostgreSQL and others say that
    # quotes are doubled, which is so without it.
    escapes = ["" if quote and escape == quote else escape for escape in escapes]
    spaces = [bool(wanted.skip_initial_space)]
    if wanted.skip_initial_space is None and quote and quote != " " and not delimiter.endswith(" "):
        d, q = re.escape(delimiter), re.escape(quote)
        if re.search(f"{d} +{q}|{q} +{d}", text):
            spaces.append(True)
    trials = []
    for escape in escapes:
        for space in spaces:
            if wanted.delimiter is None and delimiter in (quote, escape):
                continue
            dialect = msgspec.structs.replace(
                base,
                delimiter=delimiter,
                quote=quote,
                escape=escape or "",
                skip_initial_space=space,
            )
            trials.append(_trial(text, complete, dialect, wanted))
    return trials


def _trial(text: str, complete: bool, dialect: CsvDialect, wanted: Wanted) -> _Trial:
    records = records_of(text, dialect, complete)
    skipped: list[str] = []
    if (
        wanted.may_skip
        and dialect.delimiter not in RARE_DELIMITERS
        and find_start(records, wanted.header_rows)
    ):
        # Whether that holds, all of the sample must say.
        skipped = find_start(
            records_of(text, dialect, complete, all_of_it=True), wanted.header_rows
        )
    return _Trial(dialect, records, skipped, wanted.header_rows)


def _is_prose(records: Sequence[Record]) -> bool:
    behind = [cell for record in records for cell in record.cells[1:] if cell.strip()]
    return 2 * sum(cell.startswith(" ") for cell in behind) > len(behind)


def _has_single_quotes(text: str, delimiter: str) -> bool:
    """Whether apostrophes quote cells: each that begins a cell is closed at the end of one, and
    either some cell needs its quotes, or there is one in each row of a table."""
    d, text = re.escape(delimiter), text.replace("\r\n", "\n").replace("\r", "\n")
    opened = len(re.findall(rf"(?:^|{d})'", text, re.MULTILINE))
    quoted = re.findall(rf"(?:^|(?<={d}))'((?:[^']++|'')*+)'(?={d}|$)", text, re.MULTILINE)
    if len(quoted) < 2 or len(quoted) < opened or re.search(rf'(?:^|{d})"', text, re.MULTILINE):
        return False
    if any(delimiter in cell or "''" in cell or "\n" in cell for cell in quoted):
        return True
    rows = text.count("\n", 0, -1)
    return delimiter in text and len(quoted) >= rows > 1


def _one_column(text: str, complete: bool, base: CsvDialect, wanted: Wanted) -> Layout:
    """Each record is one cell. The comma is the delimiter where it
    makes no difference, to the end of the file."""
    quote = '"' if wanted.quote is None else wanted.quote
    escape = "" if wanted.escape is None or wanted.escape == quote else wanted.escape
    dialect = msgspec.structs.replace(
        base,
        delimiter=",",
        quote=quote,
        escape=escape,
        skip_initial_space=bool(wanted.skip_initial_space),
    )
    if {quote, escape} & {","}:
        return Layout(dialect, [], [])
    if not complete or any(
        record.width > 1 for record in records_of(text, dialect, complete, all_of_it=True)
    ):
        dialect = msgspec.structs.replace(dialect, delimiter=NO_DELIMITER)
    return Layout(dialect, records_of(text, dialect, complete), [])


# ---------------------------------------------------------------------- header and lines above it


def is_value(cell: str) -> bool:
    """A number, a date, a time, an address, yes or no: what names of columns are not."""
    return len(cell) <= MAX_NAME and _VALUE.fullmatch(cell.strip()) is not None


def is_header(cells: Sequence[str]) -> bool:
    names = [cell.strip() for cell in cells]
    return (
        all(names)
        and len(set(names)) == len(names)
        and not any(is_value(name) for name in names)
        and max(map(len, names)) <= MAX_NAME
    )


def is_numbers_alone(records: Sequence[Record]) -> bool:
    """Whether the first record holds numbers, and so does every other: then it is a row, not the
    header. Numbers at equal steps, as 0, 1, 2 or 2010, 2020, 2030, may be names."""
    if len(records) < 2 or not all(record.fits(records[0].width) for record in records):
        return False
    if not all(
        _NUMBER.fullmatch(cell.strip())
        for record in records
        for cell in record.cells
        if cell.strip()
    ):
        return False
    first = [cell.strip() for cell in records[0].cells]
    if not all(first):
        return False
    if len(first) > 1 and all(
        cell.isascii() and cell.isdigit() and len(cell) <= MAX_DIGITS for cell in first
    ):
        steps = {int(b) - int(a) for a, b in pairwise(first)}
        return len(steps) > 1 or min(steps) <= 0
    return True


def value_columns(table: Sequence[Record], header_rows: int) -> list[int]:
    """For each column that holds values, two at least, below a name: how many."""
    width = table[0].width
    counts: list[int] = []
    if not is_header(table[0].cells):
        return counts
    rows = [record.cells for record in table[max(1, header_rows) :] if record.fits(width)]
    for column in range(width):
        filled = [cell for cells in rows if (cell := cells[column].strip())]
        values = sum(is_value(cell) for cell in filled)
        if values >= 2 and values >= REGULAR_SHARE * len(filled):
            counts.append(values)
    return counts


def find_start(records: Sequence[Record], header_rows: int) -> list[str]:
    """Why each of the first records is no part of the table below it; empty where that is not sure.

    What is skipped cannot be a row, for it has fewer cells than the table; and what is below it is
    a table to the end of the sample: a header, and rows alike, more than there are lines above.
    Comments need no more. Titles need values of a kind below the names of the columns, so that the
    first row of all is not taken for the header.
    """
    wide = Counter(record.width for record in records if record.width > 1)
    if not wide:
        return []
    width = max(wide, key=lambda width: (wide[width], width))
    start = _first_of_table(records, width, header_rows)
    above, table = records[:start], records[start:]
    if not above or len(table) < 2 or _regular_share(table) < REGULAR_SHARE:
        return []
    titles = [record for record in above if record.filled and not record.is_comment]
    comments = sum(record.is_comment for record in above)
    if not is_header(table[0].cells) and (titles or comments < 2 or not is_numbers_alone(table)):
        return []
    if titles and not _are_titles(titles, above, table, header_rows):
        return []
    return [_why(record) for record in above]


def _regular_share(table: Sequence[Record]) -> float:
    return sum(record.fits(table[0].width) for record in table) / len(table)


def _first_of_table(records: Sequence[Record], width: int, header_rows: int) -> int:
    """Index of the first record that reaches to the last column and is no
    comment; 0 if there is none below others."""
    for index, record in enumerate(records):
        if record.is_comment and (
            record.width != width or _go_on(records[index + 1 :], width, header_rows)
        ):
            continue
        if record.reach >= width:
            is_commented = any(above.is_comment for above in records[:index])
            if is_commented and any(_begins_with_sharp(row) for row in records[index:]):
                return 0
            return index
    return 0


def _begins_with_sharp(record: Record) -> bool:
    return record.text.strip("\r\n").startswith("#")


def _go_on(below: Sequence[Record], width: int, header_rows: int) -> bool:
    """Whether another comment, or the header of a table, is below a
    comment that is as wide as the table."""
    if not below or below[0].is_comment:
        return bool(below)
    return below[0].reach >= width and bool(value_columns(below, header_rows))


def _are_titles(
    titles: Sequence[Record], above: Sequence[Record], table: Sequence[Record], header_rows: int
) -> bool:
    """Whether these lines, of those above the table, cannot be rows: not
    of the table, nor of a file of one column."""
    names, rows = table[0].cells, table[1:]
    if len(rows) < 2 or len(table) <= len(above) or _recurs(names, rows):
        return False
    singles = [record.filled[0] for record in titles if len(record.filled) == 1]
    pairs = [record.filled for record in titles if len(record.filled) > 1]
    if any(is_value(pair[0]) for pair in pairs):
        return False
    marked = all(pair[0].endswith(":") for pair in pairs)
    if not marked and len(pairs) > 1 and is_header(pairs[0]) and len(set(map(len, pairs))) == 1:
        return False  # a table above the table
    apart = table[0].stands_apart or not above[-1].filled
    has_values = any(map(is_value, singles))
    if has_values and not apart:
        return False
    counts = value_columns(table, header_rows)
    evidence = sum(counts)
    is_word = len(titles[0].filled) == 1 and _WORD.fullmatch(titles[0].filled[0]) is not None
    if is_word and not apart and 2 * len(counts) <= len(names):
        return False  # a row of words among rows that mix words and numbers
    if is_word or has_values or _is_prose(table) or not (marked or apart):
        return evidence >= STRONG_EVIDENCE
    return evidence >= EVIDENCE or (
        len(titles) == len(above) == 1 and apart and _is_full_table(table)
    )


def _recurs(names: Sequence[str], rows: Sequence[Record]) -> bool:
    """Whether what looks like a header is a row like others."""
    return any(
        name == row.cells[i] for row in rows for i, name in enumerate(names) if i < row.width
    )


def _is_full_table(table: Sequence[Record]) -> bool:
    """Whether so many columns and rows without a gap can be nothing
    else, even if all of it is text."""
    width = table[0].width
    return (
        width > 2
        and len(table) > 4
        and all(len(record.filled) == record.width == width for record in table)
    )


def _why(record: Record) -> str:
    if record.is_comment:
        return "comment"
    if len(record.filled) > 1:
        return "metadata"
    return "title" if record.filled else "empty"
