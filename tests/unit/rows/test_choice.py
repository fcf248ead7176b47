"""Chosen rows and their order, against plain Python over the decoded pages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.db.rows import PageRow
from app.features.rows.cells import cells_of_page
from app.features.rows.choice import choose, numbers_of_page, parse_ranges
from app.features.rows.order import FirstRows, FoundText

COLUMNS = ("id", "name", "note")
texts = st.one_of(
    st.sampled_from(
        ["", "1", "20", "3.5", "abc", "ABC d", 'say "hi"', "back\\slash", "é", "\n", "\x00"]
    ),
    st.text(max_size=4),
)
cell_rows = st.lists(
    st.lists(st.one_of(texts, st.none()), min_size=1, max_size=4), min_size=1, max_size=8
)
text_rows = st.lists(st.lists(texts, min_size=3, max_size=3), min_size=1, max_size=8)
values = st.one_of(texts, st.none(), st.integers(), st.booleans(), st.lists(st.integers()))
object_rows = st.lists(st.dictionaries(st.sampled_from(COLUMNS), values), min_size=1, max_size=8)


def page_of(rows: list[Any], *, escapes: bool = False, first: int = 11) -> PageRow:
    data = json.dumps(rows, ensure_ascii=escapes, separators=(",", ":"))
    return PageRow(first, len(rows), None, data)


def text_of(value: Any) -> str | None:
    return (
        value
        if value is None or isinstance(value, str)
        else json.dumps(value, separators=(",", ":"))
    )


def cells_of(row: Any) -> list[str | None]:
    """Return the cells of a row in the order of the columns."""
    if isinstance(row, dict):
        return [text_of(row.get(name)) for name in COLUMNS]
    return [row[place] if place < len(row) else None for place in range(3)]


rows_of_any_kind = st.one_of(cell_rows, text_rows, object_rows)


@given(rows_of_any_kind, st.booleans())
def test_the_cells_of_a_page_are_those_of_its_rows(rows: list[Any], escapes: bool) -> None:
    columns = cells_of_page(page_of(rows, escapes=escapes), COLUMNS, (2, 0))
    assert columns == [[cells_of(row)[place] for row in rows] for place in (2, 0)]


@example([["é"]], True, "é")
@given(
    rows_of_any_kind,
    st.booleans(),
    st.one_of(texts.filter(bool), st.sampled_from([",", "[", "u00"])),
)
def test_a_search_looks_at_every_cell(rows: list[Any], escapes: bool, needle: str) -> None:
    everything = [
        list(map(text_of, row.values())) if isinstance(row, dict) else row for row in rows
    ]
    expected = [
        place
        for place, cells in enumerate(everything)
        if any(needle.casefold() in cell.casefold() for cell in cells if cell)
    ]
    choice = choose(COLUMNS, search=needle)
    assert list(choice.positions(page_of(rows, escapes=escapes))) == expected


@given(rows_of_any_kind, st.sets(st.integers(9, 20), min_size=1))
def test_a_page_of_chosen_rows_and_columns(rows: list[Any], numbers: set[int]) -> None:
    choice = choose(
        COLUMNS, where="name is not empty", rows=",".join(map(str, numbers)), shown="note,id"
    )
    page = choice.of_page(page_of(rows))
    expected = {
        number: cells_of(row)
        for number, row in enumerate(rows, 11)
        if number in numbers and cells_of(row)[1]
    }
    if page is None:
        assert not expected
        return
    assert list(numbers_of_page(page)) == list(expected)
    for row, cells in zip(json.loads(page.data), expected.values(), strict=True):
        shown = [row.get("note"), row.get("id")] if isinstance(row, dict) else row
        assert list(map(text_of, shown)) == [cells[2], cells[0]]


@given(
    st.lists(st.one_of(st.none(), st.just(""), st.integers(-9, 9).map(str), st.just("2.5"))),
    st.booleans(),
    st.integers(1, 6),
)
def test_the_first_rows_of_numbers(column: list[str | None], descending: bool, most: int) -> None:
    first = FirstRows(most, descending=descending, as_numbers=True)
    for start in range(0, len(column), 3):
        some = column[start : start + 3]
        first.add(some, range(start, start + len(some)))
    sign = -1 if descending else 1
    order = sorted(
        range(len(column)),
        key=lambda place: (1, 0.0) if not column[place] else (0, sign * float(str(column[place]))),
    )
    assert first.numbers() == order[:most]


@given(st.lists(texts), st.integers(1, 6))
def test_the_first_rows_of_texts(column: list[str], most: int) -> None:
    first = FirstRows(most, descending=False, as_numbers=False)
    for start in range(0, len(column), 3):
        some = column[start : start + 3]
        first.add(some, range(start, start + len(some)))
    order = sorted(
        range(len(column)), key=lambda place: (not column[place], column[place].casefold())
    )
    assert first.numbers() == order[:most]


def test_a_code_with_leading_zeros_makes_a_column_of_texts() -> None:
    for odd in ("01234", "1\n2", "x"):
        first = FirstRows(5, descending=False, as_numbers=True)
        with pytest.raises(FoundText):
            first.add(["1", odd], [1, 2])


@given(st.sets(st.integers(0, 40), min_size=1))
def test_ranges_hold_their_numbers(numbers: set[int]) -> None:
    ranges = parse_ranges(", ".join(f"{number}-{number}" for number in sorted(numbers)))
    assert [number for number in range(42) if number in ranges] == sorted(numbers)
    assert ranges.count == len(numbers)
    for start in range(42):
        later = [number for number in numbers if number >= start]
        assert ranges.next_from(start) == (min(later) if later else None)
