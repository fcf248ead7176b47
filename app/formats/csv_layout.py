"""Detection of the layout of a CSV file: between which delimiters, in which quotes and below which
lines its table is.

Where this is unsure, it reads more, not less: no line is skipped, and what is not
clearly a table of several columns is a file of one column. A wrong guess then shows in
the columns or in the rejects, and costs no row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import msgspec

from app.formats.calibration import DELIMITER, calibrated
from app.formats.cell_kinds import CellKind, kind_of, main_kind
from app.formats.csv import BadCell, CsvDialect, CsvFormat
from app.formats.csv_header import SURE, header_evidence, is_year

COMMON_DELIMITERS, RARE_DELIMITERS = (",", ";", "\t", "|"), ("^", "~", "\x1f")
DOUBLED = ("|", ":", "^", "~", "#", "$")
PUNCTUATION = (":", " ")
"""Marks that are common in text. They separate cells only if columns have values of a kind below
their names, or if there are many columns and nothing with colons of its own is split.
"""
NO_DELIMITER = "\x1f"
"""Delimiter of a file of one column whose text has commas: the unit separator, which text does not
have.
"""
SCORED_CHARACTERS, SCORED_RECORDS = 64 << 10, 200

WEIGHT_POWER, ONE_COLUMN_WEIGHT = 4, 0.05
REGULAR_SHARE = 0.9
"""Share of the records below skipped lines that must have the width of the table, to the end of the
sample.
"""
APART_SHARE = 0.6
"""The same share below a blank line, or below MANY_VALUES: rows may be short."""
MANY_VALUES = 12
TABLE_SHARE, PROSE_SHARE = 0.5, 0.75
"""Share of the records of a table that must have the width of the first; the second if each
delimiter has a space behind it, as in text.
"""
FULL_SHARE = 0.75
"""Share of columns that must be filled somewhere, or the delimiter is suspect."""
MANY_COLUMNS = 3
ENOUGH_ROWS, WIDE_ROWS = 2, 10
EVIDENCE, STRONG_EVIDENCE = 4, 6
"""Cells with a value below a name that are needed to skip lines above the table; the second if such
a line could be the name of a single column, or a row.
"""
MAX_NAME = 100

_VALUE = re.compile(
    r"[-+($€£¥.]*\d[-+\d.,:/'%$€£¥ )]*(?:[TZeE][-+\d.:Z]*)?"  # numbers, dates, times
    r"|[^@\s]+@[^@\s]+\.\w+|https?://\S+|(?i:true|false|yes|no)"
)
_WORD = re.compile(r"#?[\w.-]+")
_TIME_OR_ADDRESS = re.compile(r"(?<![\w:])\d{1,2}:\d{2}(?::\d{2})?(?![\w:])|://")
_QUOTED = re.compile(r"\"[^\"]*+\"|'[^']*+'")
_COUNT = re.compile(
    r"\W*(?:total |count:? )?\d[\d,. ]* (?:rows?|records?|lines?|results?|zeilen|lignes|filas)\b.*",
    re.IGNORECASE,
)
_NOTE = re.compile(
    r"[*†‡(©\[]|\d+\)|(?:sources?|notes?|footnotes?|quelle|anmerkung|hinweis|stand|fuente|nota|bron"
    r"|kilde|disclaimer|generated|created|updated|downloaded|extracted|report|copyright)\b",
    re.IGNORECASE,
)
_METADATA = re.compile(
    r"(?:title|data ?source|source|publisher|author|creator|contact|licen[cs]e|date|last updated|updated"
    r"|created|version|unit|units|period|table|notes?|description|subject|frequency|language|reference"
    r"|titel|quelle|stand|herausgeber|einheit|zeitraum|fuente|fonte|titre|unité)\b",
    re.IGNORECASE,
)
"""Names of metadata that files have at the beginning of a cell."""
_COMMENT = re.compile(r"#(?:#*$|.*\s)")


@dataclass(frozen=True, slots=True)
class Record:
    text: str
    """Text of the record, with the blank lines before it and the line end behind it."""
    cells: list[str]
    is_bad: bool
    """Whether it has quotes in wrong places."""

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
        """Whether it is a comment: `# made by x`, but not `#tag`, which may be a value, nor
        `#id,name`.
        """
        return _COMMENT.match(self.text.strip("\r\n")) is not None

    def fits(self, width: int) -> bool:
        return self.width == width or self.reach <= width < self.width


@dataclass(frozen=True, slots=True)
class Layout:
    dialect: CsvDialect
    """Dialect with delimiter, quote, escape and skip_initial_space."""
    records: list[Record]
    skipped: list[str]
    """Reason for each of the first records that is not part of the table."""
    footer: list[tuple[Record, str]]
    """Last records of the file that are not rows, with the reasons."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Facts about the layout that are known before detection."""

    delimiter: str | None
    quote: str | None
    escape: str | None
    skip_initial_space: bool | None
    header_rows: int
    may_skip: bool
    may_skip_footer: bool
    one_column: bool = False


def find_layout(text: str, complete: bool, base: CsvDialect, wanted: Wanted) -> Layout:
    if wanted.delimiter is not None:
        with_delimiter = _trials(text, complete, base, wanted, wanted.delimiter)
        return max(with_delimiter, key=_Trial.rank).layout()
    if wanted.one_column:
        return _one_column(text, complete, base, wanted)
    for delimiters in (_marks_in(text), PUNCTUATION):
        trials: list[_Trial] = []
        for delimiter in delimiters:
            if delimiter in text:
                trials += _trials(text, complete, base, wanted, delimiter)
        tables = [trial for trial in trials if trial.is_table()]
        if tables:
            return max(tables, key=_Trial.rank).layout()
    return _one_column(text, complete, base, wanted)


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to split a file into cells."""

    dialect: CsvDialect
    """Dialect with delimiter, quote, escape and skip_initial_space."""
    confidence: float
    """Probability that it is right. Those of all readings of a file add up to 1."""


def find_readings(text: str, complete: bool, base: CsvDialect, wanted: Wanted) -> list[Reading]:
    """Return a reading for each delimiter in the text, and for none, the likeliest first. The first
    is the one that `find_layout` chooses.
    """
    chosen = find_layout(text, complete, base, wanted).dialect
    if wanted.delimiter is not None or wanted.one_column:
        return [Reading(chosen, 1.0)]
    one_column = _one_column(text, complete, base, wanted).dialect
    by_delimiter = {one_column.delimiter: (ONE_COLUMN_WEIGHT, one_column)}
    for delimiter in (*_marks_in(text), *PUNCTUATION):
        trials = _trials(text, complete, base, wanted, delimiter) if delimiter in text else []
        if trials:
            trial = max(trials, key=_Trial.rank)
            least, _ = by_delimiter.get(delimiter, (0.0, None))
            by_delimiter[delimiter] = (max(least, trial.weight()), trial.dialect)
    most = max(weight for weight, _ in by_delimiter.values())
    by_delimiter[chosen.delimiter] = (most, chosen)
    total = sum(weight for weight, _ in by_delimiter.values())
    ranked = sorted(by_delimiter.values(), key=lambda each: (-each[0], each[1] is not chosen))
    shares = [(weight / total, dialect) for weight, dialect in ranked if weight]
    if len(shares) == 1:
        return [Reading(chosen, 1.0)]
    best = shares[0][0]
    is_right = calibrated(best, DELIMITER)
    others = (1 - is_right) / (1 - best)
    return [
        Reading(dialect, is_right if dialect is chosen else share * others)
        for share, dialect in shares
    ]


def _marks_in(text: str) -> list[str]:
    """Return the delimiters to try. A mark that always comes twice or more is doubled."""
    beginning = text[:SCORED_CHARACTERS]
    doubled = []
    for mark in DOUBLED:
        runs = re.findall(rf"{re.escape(mark)}+", beginning)
        if runs and all(len(run) % 2 == 0 for run in runs):
            doubled.append(mark * 2)
    return [*COMMON_DELIMITERS, *RARE_DELIMITERS, *doubled]


def records_of(
    text: str, dialect: CsvDialect, complete: bool, *, all_of_it: bool = False
) -> list[Record]:
    """Return the first records of the sample, or all of them, without the last one if the sample
    cuts it.
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
    """The sample as one delimiter, quote and escape split it."""

    dialect: CsvDialect
    records: list[Record]
    skipped: list[str]
    header_rows: int
    footer: list[tuple[Record, str]]
    is_whole: bool
    """Whether the records are all records of the file."""
    was_spaced: bool = False
    """Whether it was read with a space before each cell at first."""

    def layout(self) -> Layout:
        return Layout(self.dialect, self.records, self.skipped, self.footer)

    def table(self) -> list[Record]:
        end = len(self.records) - len(self.footer) if self.is_whole else len(self.records)
        return self.records[len(self.skipped) : end]

    def share(self) -> float:
        """Return the share of the records that have the width of the first one and no quotes in
        wrong places.
        """
        table = self.table()
        if not table:
            return 0.0
        good = sum(record.fits(table[0].width) and not record.is_bad for record in table)
        return good / len(table)

    def is_prose(self) -> bool:
        """Whether a space follows the delimiters, as it follows commas in text."""
        if self.was_spaced:
            return True
        return not self.dialect.skip_initial_space and _is_prose(self.table())

    def is_spaced(self) -> bool:
        """Whether a space follows each delimiter, and so belongs to it."""
        table = self.table()
        if self.dialect.skip_initial_space or self.dialect.delimiter in ("\t", " "):
            return False
        behind = [cell for record in table for cell in record.cells[1:] if cell]
        return len(table) > 1 and bool(behind) and all(cell[0] == " " for cell in behind)

    def cleanness(self) -> float:
        """Return the share of the cells that no other delimiter would split."""
        others = "".join(mark for mark in COMMON_DELIMITERS if mark != self.dialect.delimiter)
        inside = re.compile(rf"[{re.escape(others)}](?! )")
        cells = [cell for record in self.table() for cell in record.cells]
        clean = sum(not inside.search(cell) or is_value(cell) for cell in cells)
        return clean / max(1, len(cells))

    def fullness(self) -> float:
        """Return the share of the columns that are filled somewhere."""
        table = self.table()
        if not table:
            return 0.0
        filled = {i for record in table for i, cell in enumerate(record.cells) if cell.strip()}
        width = table[0].width
        return len([i for i in filled if i < width]) / width

    def rank(self) -> tuple[float, bool, int, int, bool]:
        quality = self.share() * self.cleanness()
        if self.fullness() < FULL_SHARE:
            quality *= self.fullness()
        if self.is_prose():
            quality *= PROSE_SHARE
        width = self.table()[0].width if self.table() else 0
        is_common = self.dialect.delimiter in COMMON_DELIMITERS
        escape, skips = self.dialect.escape, self.dialect.skip_initial_space
        return (round(quality, 2), is_common, width, -len(escape), not skips)

    def weight(self) -> float:
        """Return the weight beside other readings: the quality, to a power that fits how often the
        best one is right.
        """
        table = self.table()
        if not table:
            return 0.0
        quality = self.rank()[0]
        if table[0].width < 2:  # a table may stand below it
            quality = self._commonest_share()
        if not self.is_table():
            quality /= 2
        elif self.dialect.delimiter in PUNCTUATION:
            quality *= PROSE_SHARE
        return quality**WEIGHT_POWER * len(table) / (len(table) + 1)

    def _commonest_share(self) -> float:
        """Return the share of the records that have the width of most of those with several cells."""
        widths = Counter(record.width for record in self.table() if record.width > 1)
        return max(widths.values(), default=0) / len(self.table())

    def is_table(self) -> bool:
        """Whether the delimiter makes a table of several columns, and
        is not just a character of the text."""
        table = self.table()
        if not table or table[0].width < 2:
            return False
        if self.dialect.delimiter in PUNCTUATION:
            return self._is_table_by_punctuation()
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

    def _is_table_by_punctuation(self) -> bool:
        if not self._is_even():
            return False
        table = self.table()
        width = table[0].width
        if 2 * len(value_columns(table, self.header_rows)) > width:
            return True
        if self.dialect.delimiter != ":" or width < MANY_COLUMNS or len(table) < MANY_COLUMNS:
            return False
        return not self.is_prose() and not any(map(_has_colons_inside, table))

    def _is_even(self) -> bool:
        """Whether all records have the width of the first; of many columns, most."""
        share = self.share()
        return share == 1 or (self.table()[0].width >= MANY_COLUMNS and share >= REGULAR_SHARE)


def _trials(
    text: str, complete: bool, base: CsvDialect, wanted: Wanted, delimiter: str
) -> list[_Trial]:
    """Return trials of the delimiter with each escape, and with and without spaces before cells,
    that the text gives reason to try.
    """
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
        if re.search(f"{d} +{q}|{q} +{d}|^ +{q}", text, re.MULTILINE):
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
            trial = _trial(text, complete, dialect, wanted)
            if wanted.delimiter is None and wanted.skip_initial_space is None and trial.is_spaced():
                without_spaces = msgspec.structs.replace(dialect, skip_initial_space=True)
                trial = replace(_trial(text, complete, without_spaces, wanted), was_spaced=True)
            trials.append(trial)
    return trials


def _trial(text: str, complete: bool, dialect: CsvDialect, wanted: Wanted) -> _Trial:
    records = records_of(text, dialect, complete)
    is_whole = complete and sum(len(record.text) for record in records) >= len(text.rstrip("\r\n"))
    everything = records if is_whole else None
    skipped: list[str] = []
    footer: list[tuple[Record, str]] = []
    if wanted.may_skip_footer and complete and _ends_with_one_cell(text, dialect):
        everything = everything or records_of(text, dialect, complete, all_of_it=True)
        footer = find_end(everything, wanted.header_rows)
    beginning = records[: len(records) - len(footer)] if is_whole else records
    if wanted.may_skip and dialect.delimiter != " " and find_start(beginning, wanted.header_rows):
        # Whether that holds, all of the sample must say.
        everything = everything or records_of(text, dialect, complete, all_of_it=True)
        skipped = find_start(everything[: len(everything) - len(footer)], wanted.header_rows)
    return _Trial(dialect, records, skipped, wanted.header_rows, footer, is_whole)


def _ends_with_one_cell(text: str, dialect: CsvDialect) -> bool:
    """Whether the last line seems to be no row, so that a closer look is worth its time."""
    last = text.rstrip("\r\n")
    last = last[max(last.rfind("\n"), last.rfind("\r")) + 1 :]
    if _NOTE.match(last) is not None and f"{dialect.delimiter} " in last:
        return True
    return dialect.delimiter not in last.rstrip(dialect.delimiter + " ")


def _has_colons_inside(record: Record) -> bool:
    """Whether cells are what colons have made of a time or an address."""
    if _TIME_OR_ADDRESS.search(_QUOTED.sub("", record.text)) is None:
        return False
    return any(
        (before[-1:].isdigit() and after[:2].isdigit() and len(after) >= 2)
        or after.startswith("//")
        for before, after in pairwise(record.cells)
    )


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
    """Return the layout of one column. The comma is its delimiter if that makes no difference to
    the end of the file.
    """
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
        return Layout(dialect, [], [], [])
    if not complete or any(
        record.width > 1 for record in records_of(text, dialect, complete, all_of_it=True)
    ):
        dialect = msgspec.structs.replace(dialect, delimiter=NO_DELIMITER)
    return Layout(dialect, records_of(text, dialect, complete), [], [])


# ---------------------------------------------------------------------- header and lines above it


def is_value(cell: str) -> bool:
    """Whether a cell is a number, a date, a time, an address, yes or no: what names of columns are
    not.
    """
    return len(cell) <= MAX_NAME and _VALUE.fullmatch(cell.strip()) is not None


def is_header(cells: Sequence[str]) -> bool:
    names = [cell.strip() for cell in cells]
    return (
        bool(names)
        and all(names)
        and len(set(names)) == len(names)
        and not any(is_value(name) for name in names)
        and max(map(len, names)) <= MAX_NAME
    )


def _begins_with_names(table: Sequence[Record]) -> bool:
    """Whether the first record is a header: of names alone, or of names, years and gaps that stand
    above values.
    """
    names = table[0].filled
    if is_header(table[0].cells):
        return True
    are_names = 2 * len(names) > table[0].width and not any(map(is_value, names))
    if are_names and max(map(len, names)) <= MAX_NAME and _is_full_table(table):
        return True
    evidence = header_evidence(table_cells(table))
    return not evidence.against and evidence.odds >= SURE and evidence.values >= STRONG_EVIDENCE


def table_cells(records: Sequence[Record]) -> list[list[str]]:
    """Return the cells of the records that are as wide as the first one."""
    if not records:
        return []
    width = records[0].width
    below = [record for record in records[1:] if record.fits(width) and not record.is_bad]
    return [record.cells[:width] for record in [records[0], *below]]


def value_columns(table: Sequence[Record], header_rows: int) -> list[int]:
    """Return, for each column that has at least two values below a name, their number."""
    width = table[0].width
    counts: list[int] = []
    if not _begins_with_names(table):
        return counts
    rows = [record.cells for record in table[max(1, header_rows) :] if record.fits(width)]
    for column in range(width):
        if is_value(table[0].cells[column]) and not is_year(table[0].cells[column]):
            continue
        filled = [cell for cells in rows if (cell := cells[column].strip())]
        values = sum(is_value(cell) for cell in filled)
        if values >= 2 and values >= REGULAR_SHARE * len(filled):
            counts.append(values)
    return counts


def find_start(records: Sequence[Record], header_rows: int) -> list[str]:
    """Return why each of the first records is not part of the table below it; empty if that is unsure.

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
    if start and _is_part_of_header(records[start - 1], records[start:]):
        start -= 1
    above, table = records[:start], records[start:]
    if not above or len(table) < 2:
        return []
    is_sure = _stands_apart(above, table) or _has_many_values(table)
    if _regular_share(table) < (APART_SHARE if is_sure else REGULAR_SHARE):
        return []
    if _is_wide_table(above, table):
        return [_why(record) for record in above]
    titles = [record for record in above if record.filled and not record.is_comment]
    comments = sum(record.is_comment for record in above)
    is_below_comments = not titles and comments >= 2
    if not _begins_with_names(_from_last_names(table)) and not is_below_comments:
        return []
    if titles and not _are_titles(titles, above, table, header_rows):
        return []
    return [_why(record) for record in above]


def _stands_apart(above: Sequence[Record], table: Sequence[Record]) -> bool:
    """Whether a blank line, or a row of delimiters alone, is between these."""
    return table[0].stands_apart or not above[-1].filled


def _has_many_values(table: Sequence[Record]) -> bool:
    """Whether names stand above so many values that the short rows below are rows of it, too."""
    evidence = header_evidence(table_cells(_from_last_names(table)))
    is_sure = evidence.odds >= SURE and not evidence.against
    return is_sure and table[0].width > MANY_COLUMNS and evidence.values >= MANY_VALUES


def _is_part_of_header(record: Record, below: Sequence[Record]) -> bool:
    """Whether the record, which has gaps, stands over the names as an upper row of the header: it
    is as wide, names several columns, not just the first two, and holds no values but years.
    """
    width = below[0].width
    filled = record.filled
    if record.width != width or len(filled) < 2 or record.is_comment:
        return False
    if record.cells[0].strip() and len(filled) < MANY_COLUMNS:
        return False
    if any(is_value(cell) and not is_year(cell) for cell in filled):
        return False
    return header_evidence(table_cells(below)).odds >= SURE


def _from_last_names(table: Sequence[Record]) -> Sequence[Record]:
    """Return the table without the upper row of the header."""
    if len(table) > 2 and _is_part_of_header(table[0], table[1:]):
        return table[1:]
    return table


def _is_wide_table(above: Sequence[Record], table: Sequence[Record]) -> bool:
    """Whether so many rows have so many columns that the one line above, which has values, in half
    of the columns at most, is none of them: the table may begin without a header.
    """
    width = table[0].width
    return (
        len(above) == 1
        and 2 * above[0].reach <= width
        and any(map(is_value, above[0].filled))
        and width >= 2 * MANY_COLUMNS
        and len(table) >= WIDE_ROWS
        and all(record.width == width for record in table)
        and not _is_prose(table)
    )


def _regular_share(table: Sequence[Record]) -> float:
    return sum(record.fits(table[0].width) for record in table) / len(table)


def _first_of_table(records: Sequence[Record], width: int, header_rows: int) -> int:
    """Return the index of the first record that reaches to the last column, or almost, and is no
    comment; 0 if there is none below others.
    """
    full = min(width, _usual_reach(records, width))
    for index, record in enumerate(records):
        if record.is_comment and (
            record.width != width or _go_on(records[index + 1 :], width, header_rows)
        ):
            continue
        if record.reach >= full or _is_almost_full(record, width):
            is_commented = any(above.is_comment for above in records[:index])
            if is_commented and any(_begins_with_sharp(row) for row in records[index:]):
                return 0
            return index
    return 0


def _usual_reach(records: Sequence[Record], width: int) -> int:
    """Return the column to which most records of this width reach: those behind it are empty, as
    spreadsheets write them. A table has MANY_COLUMNS, or its whole width.
    """
    reaches = Counter(record.reach for record in records if record.width == width)
    most = max(reaches, key=lambda reach: (reaches[reach], reach))
    return most if most >= MANY_COLUMNS else width


def _is_almost_full(record: Record, width: int) -> bool:
    """Whether it has gaps, as a header may have, but too few for a title or for metadata."""
    filled = len(record.filled)
    return record.width == width and filled >= MANY_COLUMNS and 2 * filled > width


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
    apart = _stands_apart(above, table)
    table = _from_last_names(table)
    names, rows = table[0].cells, table[1:]
    if len(rows) < 2 or len(table) <= len(above) or _recurs(names, rows):
        return False
    sentences = [record for record in titles if _is_sentence(record, table)]
    singles = [
        record.filled[0] for record in titles if len(record.filled) == 1 or record in sentences
    ]
    pairs = [
        record.filled for record in titles if len(record.filled) > 1 and record not in sentences
    ]
    if any(is_value(pair[0]) for pair in pairs):
        return False
    marked = all(pair[0].endswith(":") for pair in pairs) or _are_metadata(pairs)
    if not marked and _are_like_a_table(titles, pairs):
        return False
    has_values = any(map(is_value, singles))
    if has_values and not apart:
        return False
    counts = value_columns(table, header_rows)
    evidence = sum(counts)
    is_word = len(titles[0].filled) == 1 and _WORD.fullmatch(titles[0].filled[0]) is not None
    if not pairs and not has_values and _is_large_table(table):
        return True
    if is_word and not apart and 2 * len(counts) <= len(names):
        return False  # a row of words among rows that mix words and numbers
    if is_word or has_values or _is_prose(table) or not (marked or apart):
        return evidence >= STRONG_EVIDENCE
    return evidence >= EVIDENCE or (apart and _is_full_table(table))


def _is_sentence(record: Record, table: Sequence[Record]) -> bool:
    """Return whether the delimiters of this line are the commas of a sentence: a space follows
    each, unlike in the table.
    """
    behind = [cell for cell in record.cells[1:] if cell.strip()]
    is_text = bool(behind) and all(cell.startswith(" ") for cell in behind)
    has_words = len(record.cells[0].split()) > 1
    return is_text and has_words and not _is_prose(table)


def _are_metadata(pairs: Sequence[Sequence[str]]) -> bool:
    """Return whether at least half of these lines have a usual name of metadata and its value."""
    usual = sum(len(pair) == 2 and _METADATA.match(pair[0]) is not None for pair in pairs)
    return 2 * usual >= len(pairs) > 1


def _are_like_a_table(titles: Sequence[Record], pairs: Sequence[Sequence[str]]) -> bool:
    """Return whether these lines of several cells may be a table of their own: names and then rows
    of the same width, without a blank line before each.
    """
    if len(pairs) < 2 or not is_header(pairs[0]) or len(set(map(len, pairs))) > 1:
        return False
    return not all(record.stands_apart for record in titles[1:])


def _recurs(names: Sequence[str], rows: Sequence[Record]) -> bool:
    """Whether what looks like a header is a row like others."""
    return any(
        name == row.cells[i]
        for row in rows
        for i, name in enumerate(names)
        if i < row.width and name.strip()
    )


def _is_large_table(table: Sequence[Record]) -> bool:
    """Whether so many rows have so many cells each, and names above them, that no text of one
    column looks like it.
    """
    width = table[0].width
    return (
        width >= 2 * MANY_COLUMNS
        and len(table) >= WIDE_ROWS
        and _regular_share(table) >= REGULAR_SHARE
        and not _is_prose(table)
        and header_evidence(table_cells(table)).odds >= SURE
    )


def _is_full_table(table: Sequence[Record]) -> bool:
    """Whether so many columns and rows of one width can be nothing else, even if all of it is
    text: a few, where no cell is empty.
    """
    width = table[0].width
    if width < MANY_COLUMNS or not all(record.width == width for record in table):
        return False
    if all(len(record.filled) == width for record in table):
        return len(table) > 4 or width > 2 * MANY_COLUMNS
    return len(table) > 2 and width > MANY_COLUMNS


# ---------------------------------------------------------------------- lines below the table


def find_end(records: Sequence[Record], header_rows: int) -> list[tuple[Record, str]]:
    """Return the last records of a whole file that cannot be rows, and why: a row count, or notes.

    They have one cell where all rows have more, and what that says is none of the values of the
    first column: a sentence, or text below numbers.
    """
    width = Counter(record.width for record in records).most_common(1)[0][0] if records else 0
    is_row = [record.reach > 1 and not _is_note(record, width) for record in records]
    first = next((i for i in range(len(records), 0, -1) if is_row[i - 1]), 0)
    above, below = records[:first], [_with_one_cell(record) for record in records[first:]]
    if not below or len(above) <= header_rows or above[-1].width < 2:
        return []
    footer: list[tuple[Record, str]] = []
    is_apart = False
    rows = _rows_alike(above)
    values = [cell for record in rows if (cell := record.cells[0].strip())]
    if any(record.filled and record.reach < 2 for record in rows):
        return []
    for record in below:
        is_apart = is_apart or record.stands_apart or not record.filled
        why = _why_below(record, values, is_apart)
        if why:
            footer.append((record, why))
        else:
            footer.clear()
    is_counted = any(why == "count" for _, why in footer)
    has_rows = len(rows) > len(footer) and (is_counted or len(rows) > ENOUGH_ROWS)
    return footer if has_rows and any(record.filled for record, _ in footer) else []


def _is_note(record: Record, width: int) -> bool:
    """Return whether the record is a marked sentence whose commas pass for delimiters: it has fewer
    cells than the table, and a space behind each delimiter.
    """
    behind = record.cells[1 : record.reach]
    is_sentence = record.reach < width and all(cell.startswith(" ") for cell in behind)
    return is_sentence and _NOTE.match(record.text.strip("\r\n")) is not None


def _with_one_cell(record: Record) -> Record:
    """Return a record of several cells as one text."""
    if record.reach < 2:
        return record
    return replace(record, cells=[record.text.strip("\r\n")])


def _rows_alike(above: Sequence[Record]) -> list[Record]:
    """Return the rows of the table that the last of these records belongs to."""
    width = above[-1].width
    first = next((i for i, record in enumerate(above) if record.reach >= width), 0)
    return list(above[first + 1 :])


def _why_below(record: Record, values: Sequence[str], is_apart: bool) -> str | None:
    """Return why a record of one cell is not a row below these values of the first column; None if
    it may be one.
    """
    if not record.filled:
        return "empty"
    (text,) = record.filled
    if _COUNT.fullmatch(text):
        return "count"
    words, letters = len(text.split()), sum(map(str.isalpha, text))
    if letters < 3 or record.is_bad:
        return None
    kind, share = main_kind([kind_of(value) for value in values])
    is_other_kind = kind is not CellKind.TEXT and share >= REGULAR_SHARE
    is_other_kind = is_other_kind and kind_of(text) is CellKind.TEXT
    is_longer = len(text) > max(map(len, values), default=0)
    is_marked = _NOTE.match(text) is not None and words > 1
    if is_other_kind and (words > 1 or is_apart or record.width == 1):
        return "note"
    if is_marked and (is_longer or is_apart):
        return "note"
    if is_longer and words > 1 and (words > 3 or is_apart):
        return "note"
    return None


def _why(record: Record) -> str:
    if record.is_comment:
        return "comment"
    if len(record.filled) > 1:
        return "metadata"
    return "title" if record.filled else "empty"
