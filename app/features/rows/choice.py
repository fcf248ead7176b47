"""The rows that a person wants: those that fulfil conditions, have a text in a cell, or have certain
numbers.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from app.api.errors import invalid
from app.db.rows import PageRow
from app.errors import InvalidParameter
from app.features.rows.cells import all_cells_of_page, cells_of_page
from app.features.rows.conditions import Condition, ConditionError, parse_conditions, parse_names
from app.formats.base import gaps

_RANGES = re.compile(r"\s*[0-9]{1,18}(?:-[0-9]{1,18})?\s*(?:,\s*[0-9]{1,18}(?:-[0-9]{1,18})?\s*)*")


@dataclass(frozen=True, slots=True)
class Ranges:
    """Row numbers as ascending ranges that do not touch, both ends included."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self.starts, number) - 1
        return place >= 0 and number <= self.ends[place]

    def next_from(self, number: int) -> int | None:
        """Return the first number of these that is not below `number`."""
        place = bisect_right(self.starts, number) - 1
        if place >= 0 and number <= self.ends[place]:
            return number
        return self.starts[place + 1] if place + 1 < len(self.starts) else None

    @property
    def count(self) -> int:
        return sum(self.ends) - sum(self.starts) + len(self.starts)


def ranges_of(numbers: Iterable[int]) -> Ranges:
    return _merged([(number, number) for number in numbers])


def parse_ranges(text: str) -> Ranges:
    """Return the row numbers of `3,10-12`. Raises ConditionError."""
    if not _RANGES.fullmatch(text):
        raise ConditionError("Row numbers are written as 3,10-12.")
    pairs: list[tuple[int, int]] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        start, end = int(first), int(last or first)
        if start > end:
            raise ConditionError(f"The range {start}-{end} has its ends the wrong way round.")
        pairs.append((start, end))
    return _merged(pairs)


def _merged(pairs: Sequence[tuple[int, int]]) -> Ranges:
    starts: list[int] = []
    ends: list[int] = []
    for start, end in sorted(pairs):
        if ends and start <= ends[-1] + 1:
            ends[-1] = max(ends[-1], end)
        else:
            starts.append(start)
            ends.append(end)
    return Ranges(tuple(starts), tuple(ends))


@dataclass(frozen=True, slots=True)
class Choice:
    """Rows must fulfil all of it. What is empty or None chooses all rows."""

    columns: tuple[str, ...]
    """All columns of the job."""
    conditions: tuple[Condition, ...] = ()
    search: str = ""
    """Text that one of the cells has, in either case."""
    rows: Ranges | None = None
    shown: tuple[int, ...] = ()
    """Indexes of the columns to show, in this order; all if empty."""
    commas: frozenset[int] = frozenset()
    """Indexes of the compared columns whose numbers have decimal commas."""

    @property
    def chooses_rows(self) -> bool:
        return bool(self.conditions or self.search or self.rows)

    @property
    def shown_columns(self) -> tuple[str, ...]:
        return tuple(self.columns[place] for place in self.shown) or self.columns

    def positions(self, page: PageRow) -> Sequence[int]:
        """Return the positions of the chosen rows in a page."""
        chosen: Sequence[int] = range(page.row_count)
        if self.rows is not None:
            numbers = numbers_of_page(page)
            chosen = [place for place in chosen if numbers[place] in self.rows]
        if self.search and chosen:
            has_text = self._searched(page)
            chosen = [place for place in chosen if has_text[place]]
        for condition in self.conditions:
            if not chosen:
                break
            (cells,) = cells_of_page(page, self.columns, (condition.column,))
            results = condition.results(cells)
            chosen = [place for place in chosen if results[place]]
        return chosen

    def of(self, pages: Sequence[PageRow]) -> list[PageRow]:
        """Return the pages with the chosen rows and shown columns only, without empty pages."""
        return [page for page in map(self.of_page, pages) if page is not None]

    def of_page(self, page: PageRow) -> PageRow | None:
        """Return the page with the chosen rows and shown columns only; None if no row is chosen."""
        positions = self.positions(page) if self.chooses_rows else range(page.row_count)
        if not positions:
            return None
        rows = msgspec.json.decode(page.data, type=list[msgspec.Raw])
        kept = [self.projected(rows[place]) for place in positions]
        numbers = [numbers_of_page(page)[place] for place in positions]
        data = b"[" + b",".join(map(bytes, kept)) + b"]"
        return PageRow(numbers[0], len(kept), gaps(numbers), data.decode())

    def projected(self, row: msgspec.Raw) -> msgspec.Raw:
        """Return a row with the shown columns only."""
        if not self.shown:
            return row
        if bytes(memoryview(row)[:1]) == b"{":
            values = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
            named = {name: values[name] for name in self.shown_columns if name in values}
            return msgspec.Raw(msgspec.json.encode(named))
        cells = msgspec.json.decode(row, type=list[msgspec.Raw])
        nothing = msgspec.Raw(b"null")
        picked = [cells[place] if place < len(cells) else nothing for place in self.shown]
        return msgspec.Raw(msgspec.json.encode(picked))

    def _searched(self, page: PageRow) -> list[bool]:
        needle = self.search.casefold()
        # JSON without escapes has all texts as they are, so that one look finds most pages to have
        # none.
        if (
            "\\" not in page.data
            and not _needs_escape(needle)
            and needle not in page.data.casefold()
        ):
            return [False] * page.row_count
        rows = all_cells_of_page(page)
        return [any(needle in cell.casefold() for cell in row if cell) for row in rows]


def choose(
    columns: Sequence[str], *, where: str = "", search: str = "", rows: str = "", shown: str = ""
) -> Choice:
    """Return the choice that the parameters of a request make. Raises InvalidParameter."""
    conditions: tuple[Condition, ...] = ()
    chosen_rows: Ranges | None = None
    parameter = "where"
    try:
        conditions = parse_conditions(where, columns)
        parameter = "rows"
        chosen_rows = parse_ranges(rows) if rows else None
        parameter = "columns"
        shown_columns = parse_names(shown, columns)
    except ConditionError as error:
        raise refused(parameter, error) from None
    return Choice(tuple(columns), conditions, search, chosen_rows, shown_columns)


def refused(parameter: str, message: ConditionError | str) -> InvalidParameter:
    """Return the error of a parameter."""
    return invalid([{"loc": (parameter,), "type": "value_error", "msg": str(message)}])


def numbers_of_page(page: PageRow) -> Sequence[int]:
    return page.row_numbers or range(page.first_row, page.first_row + page.row_count)


def _needs_escape(text: str) -> bool:
    return any(character in '"\\' or character < " " for character in text)
