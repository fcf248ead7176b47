"""The fast path and the careful one store and hash the same; and the proof notices every change."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.formats.base import (
    MASK,
    PAGE_BYTES,
    PAGE_ROWS,
    CellRows,
    Form,
    ObjectRows,
    Page,
    Rows,
    Span,
    page_cuts,
)
from app.formats.csv import CsvDialect, CsvFormat
from app.formats.stored_pages import marked_cells, stored_hash_sum
from app.formats.text_rows import TextRows
from tests.formats.reading import Setting, cut_all

ROWS = 2 * PAGE_ROWS + 7


def span_of(data: bytes, dialect: CsvDialect) -> Span:
    """The file as one chunk that is not the first: its rows begin with number 1001."""
    (span,) = cut_all(data, dialect, Setting(chunk_rows=ROWS))
    return replace(span, first_row=1001)


def both_ways(data: bytes, dialect: CsvDialect) -> tuple[TextRows, CellRows]:
    """Return the rows read in bulk, and their cells read one by one."""
    form, span = CsvFormat(dialect), span_of(data, dialect)
    at_once, careful = form._read_at_once(data, span), form._read_with_care(data, span)
    assert at_once is not None
    assert not at_once.rejects
    assert not careful.rejects
    assert isinstance(at_once.rows, TextRows)
    cells = CellRows(careful.rows.columns, careful.rows.numbers, careful.rows.records())
    return at_once.rows, cells


def decoded(rows: Rows) -> list[tuple[int, int, list[int] | None, Any]]:
    return [
        (page.first_row, page.row_count, page.numbers, msgspec.json.decode(page.data))
        for page in rows.pages()
    ]


def numbers_of(page: Page) -> list[int]:
    return page.numbers or list(range(page.first_row, page.first_row + page.row_count))


def sum_of_pages(pages: list[Page]) -> tuple[int, int]:
    """(rows, hash sum) of pages as stored."""
    sums = [stored_hash_sum(page.data.decode(), numbers_of(page)) for page in pages]
    return sum(count for count, _ in sums), sum(hashed for _, hashed in sums) & MASK


@pytest.mark.parametrize(
    "dialect",
    [
        CsvDialect(),
        CsvDialect(newline="crlf"),
        CsvDialect(newline="cr"),
        CsvDialect(delimiter=";", quote="'"),
        CsvDialect(delimiter="\t", quote=""),
        CsvDialect(delimiter="\x1f"),
        CsvDialect(delimiter=" ", escape="\\"),
        CsvDialect(encoding="cp1252"),
        CsvDialect(newline="crlf", delimiter="|"),
    ],
    ids=lambda d: f"{d.encoding}-{d.newline}-{d.delimiter!r}-{d.quote}",
)
@pytest.mark.parametrize("columns", [["a"], ["a", "b", "c"]], ids=len)
def test_the_fast_path_stores_and_hashes_the_same_as_the_careful_one(
    dialect: CsvDialect, columns: list[str]
) -> None:
    dialect = msgspec.structs.replace(dialect, columns=columns)
    words = ["é", "x/y", "[1]", "", "\x7f", "0042", "{}"] + (
        ["\u2028", "😀", "\ufeff"] if dialect.encoding != "cp1252" else []
    )
    table = [
        [f"{words[(i + j) % len(words)]}{i % 11 or ''}" for j in range(len(columns))]
        for i in range(ROWS)
    ]
    if len(columns) == 1:
        table = [[cells[0] or "-"] for cells in table]  # an empty line would be no row
    end = {"lf": "\n", "crlf": "\r\n", "cr": "\r"}[dialect.newline]
    text = end.join(dialect.delimiter.join(cells) for cells in table)

    for data in (text.encode(dialect.encoding), (text + end).encode(dialect.encoding)):
        plain, careful = both_ways(data, dialect)

        assert plain.records() == careful.records() == table
        assert decoded(plain) == decoded(careful)
        assert [row for *_, rows in decoded(plain) for row in rows] == table
        assert list(plain.numbers) == list(careful.numbers) == list(range(1001, 1001 + ROWS))
        assert plain.hash_sum() == careful.hash_sum()
        assert sum_of_pages(list(plain.pages())) == (ROWS, plain.hash_sum())
        assert sum_of_pages(list(careful.pages())) == (ROWS, careful.hash_sum())
        keep = range(0, ROWS, 3)
        assert decoded(plain.select(keep)) == decoded(careful.select(keep))
        assert plain.select(keep).hash_sum() == careful.select(keep).hash_sum()


CELL_ROWS = CellRows(["a", "b"], [7, 8, 9], [["1", "Ann"], ["2", "Bob"], ["3", None]])
OBJECT_ROWS = ObjectRows(["a"], [7, 8, 9], [b'{"a":1.10}', b'{"a":"Bob"}', b'{"a" : null}'])


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


@pytest.mark.parametrize(
    ("rows", "change"),
    [
        (CELL_ROWS, replaced("Ann", "Anm")),
        (CELL_ROWS, replaced('"1","Ann"', '"1A","nn"')),
        (CELL_ROWS, replaced('"1","Ann"', '"1","Ann",""')),
        (CELL_ROWS, replaced("null", '""')),
        (CELL_ROWS, replaced('["1","Ann"],["2","Bob"]', '["2","Bob"],["1","Ann"]')),
        (CELL_ROWS, replaced('["1","Ann"],', "")),
        (OBJECT_ROWS, replaced("1.10", "1.1")),
        (OBJECT_ROWS, replaced("Bob", "Bop")),
        (OBJECT_ROWS, replaced(" : ", ":")),
        (OBJECT_ROWS, replaced('{"a":1.10},{"a":"Bob"}', '{"a":"Bob"},{"a":1.10}')),
    ],
)
def test_the_proof_of_a_page_notices_every_change_and_every_swap(
    rows: CellRows | ObjectRows, change: Callable[[str], str]
) -> None:
    (page,) = rows.pages()
    text = page.data.decode()
    numbers = numbers_of(page)

    assert stored_hash_sum(text, numbers) == (3, rows.hash_sum())
    assert stored_hash_sum(change(text), numbers) != (3, rows.hash_sum())
    assert stored_hash_sum(text, [number + 1 for number in numbers]) != (3, rows.hash_sum())


def test_pages_say_which_rows_are_missing_between_the_first_and_the_last() -> None:
    objects = ObjectRows(["a"], list(range(1, ROWS + 1)), [b'{"a":%d}' % i for i in range(ROWS)])
    kept = [i for i in range(ROWS) if i != 3]
    for rows in (
        objects.select(kept),
        CellRows(["a"], [i + 1 for i in range(ROWS)], [["x"]] * ROWS).select(kept),
    ):
        pages = list(rows.pages())
        assert [numbers_of(page) for page in pages] == [
            [1, 2, 3, *range(5, PAGE_ROWS + 2)],
            list(range(PAGE_ROWS + 2, 2 * PAGE_ROWS + 2)),
            list(range(2 * PAGE_ROWS + 2, ROWS + 1)),
        ]
        assert [page.numbers is None for page in pages] == [False, True, True]
        assert sum_of_pages(pages) == (ROWS - 1, rows.hash_sum())
    assert objects.select(kept).records()[3] == {"a": 4}


def test_pages_are_also_bounded_by_bytes() -> None:
    """Reading some rows holds about a megabyte; a single longer row has a page of its own."""
    sizes = [10, PAGE_BYTES // 3, PAGE_BYTES // 3, PAGE_BYTES // 3, 3 * PAGE_BYTES, 10, 10]
    numbers = list(range(1, len(sizes) + 1))
    lines = [b"x" * size for size in sizes]
    data = b"".join(line + b"\xfd" for line in lines)
    every: list[Rows] = [
        TextRows.of(["a"], numbers, data),
        CellRows(["a"], numbers, [[line.decode()] for line in lines]),
        ObjectRows(["a"], numbers, [b'{"a":"%s"}' % line for line in lines]),
    ]
    for rows in every:
        pages = list(rows.pages())
        assert [number for page in pages for number in numbers_of(page)] == numbers
        for page in pages:
            assert page.row_count == 1 or len(page.data) < PAGE_BYTES + 100 * page.row_count
        assert 4 <= len(pages) < len(numbers)
        assert sum_of_pages(pages) == (len(numbers), rows.hash_sum())


@given(st.lists(st.integers(1, PAGE_BYTES), max_size=2 * PAGE_ROWS), st.sampled_from([1, 400]))
@settings(max_examples=100)
def test_every_row_is_in_one_page_and_pages_are_full(sizes: list[int], scale: int) -> None:
    sizes = [max(1, size // scale) for size in sizes]
    cuts = list(page_cuts(np.cumsum(sizes, dtype=np.int64)))
    assert [place for start, end in cuts for place in range(start, end)] == list(range(len(sizes)))
    for start, end in cuts:
        assert end - start == 1 or (
            end - start <= PAGE_ROWS and sum(sizes[start:end]) <= PAGE_BYTES
        )
    for (start, end), _ in pairwise(cuts):
        assert end - start == PAGE_ROWS or sum(sizes[start : end + 1]) > PAGE_BYTES


def test_a_slice_of_rows_keeps_their_form() -> None:
    text, cells = both_ways(b"1,Ann\n2,Bob\n3,Eve\n", CsvDialect(columns=["a", "b"], header_rows=0))
    assert text.held(1, 3) == (
        Form.LINES,
        (b"2\x1fBob\n3\x1fEve\n", b"\x1f", False, text.columns, range(1002, 1004)),
    )
    assert cells.held(1, 3) == (
        Form.CELLS,
        ([["2", "Bob"], ["3", "Eve"]], cells.columns, [1002, 1003]),
    )
    objects = ObjectRows(["a"], [5, 9], [b'{"a":1.0}', b'{"a":2}'])
    assert objects.held(1, 2) == (Form.OBJECTS, ([b'{"a":2}'], [9]))


NASTY_CELLS = st.one_of(
    st.sampled_from(
        [
            "",
            ",",
            '"',
            "\\",
            '",',
            '","',
            '"],["',
            "],[",
            ",]",
            '\\"',
            '",\\',
            "\n",
            "\x03",
            "\x04",
            "é",
        ]
    ),
    st.text(st.sampled_from('",[]\\ \n\x01\x02\x03\x04\xff/u'), max_size=6),
    st.text(max_size=4),
)


@given(cells=st.lists(st.lists(NASTY_CELLS, min_size=1, max_size=4), min_size=1, max_size=8))
@settings(max_examples=1000)
def test_the_hash_of_a_stored_page_is_that_of_its_cells(
    cells: list[list[str]],
) -> None:
    rows = CellRows(["a"], range(7, 7 + len(cells)), [list(row) for row in cells])
    (page,) = rows.pages()

    assert stored_hash_sum(page.data.decode(), rows.numbers) == (len(cells), rows.hash_sum())


@given(cells=st.lists(st.lists(NASTY_CELLS, min_size=1, max_size=3), min_size=1, max_size=4))
@settings(max_examples=500)
def test_cells_are_split_exactly_as_json_splits_them(cells: list[list[str]]) -> None:
    marked = marked_cells(msgspec.json.encode(cells))

    if marked is None:
        assert any("],[" in cell for row in cells for cell in row)  # looks like the end of a row
        return
    found = [
        [
            json.loads(b'"' + cell.replace(b"\x01", b"\\\\").replace(b"\x02", b'\\"') + b'"')
            for cell in row.split(b"\x04")
        ]
        for row in marked.split(b"\x03")
    ]
    assert found == cells


@pytest.mark.parametrize(
    "text",
    [
        '[["1","a"],["2","b"]]x',
        '[["1","a"],["2","b"]',
        '[["1","a"] ["2","b"]]',
        '[["1","a\x04b"]]',
        '[["1","a\x03b"]]',
        '[["1","a\x02b"]]',
        '[["1\nb"]]',
        '[["]]',
        '[["a\\"]]',
        '[["1",],["2"]]',
    ],
)
def test_a_damaged_page_is_not_read_as_rows(text: str) -> None:
    assert marked_cells(text.encode()) is None
    with pytest.raises(msgspec.DecodeError):
        stored_hash_sum(text, range(1, 9))


@pytest.mark.parametrize(
    "text", ["[]", "[[]]", '[[null,"a"]]', '[["a",null],["b","c"]]', '[["a", "b"]]']
)
def test_a_page_with_other_values_than_text_is_decoded(text: str) -> None:
    rows = json.loads(text)
    assert marked_cells(text.encode()) is None
    assert stored_hash_sum(text, range(1, 9)) == (
        len(rows),
        CellRows([], range(1, 9), rows).hash_sum(),
    )
