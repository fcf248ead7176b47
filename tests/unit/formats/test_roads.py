"""The two paths through a CSV chunk: all rows in bulk, and row by row. For any bytes and dialect,
both give the same rows, rejects and hash.
"""

from __future__ import annotations

import csv
import io
import json
import random
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.formats.base import CellRows, Form, Rows, Span
from app.formats.csv import CsvDialect, CsvFormat
from app.formats.text_rows import TextRows

LINE_ENDS = {"lf": "\n", "crlf": "\r\n", "cr": "\r", "any": "\n"}
DIALECTS = st.builds(
    CsvDialect,
    encoding=st.sampled_from(["utf-8", "utf-8", "latin-1", "cp1252"]),
    delimiter=st.sampled_from([",", ",", ",", ";", "\t", "|", "\x1f", " ", "\\", "||", "¦"]),
    quote=st.sampled_from(['"', '"', '"', "'", ""]),
    escape=st.sampled_from(["", "", "", "^"]),
    newline=st.sampled_from(["lf", "lf", "crlf", "cr", "any"]),
    skip_initial_space=st.booleans(),
    on_bad_row=st.sampled_from(["reject", "reject", "keep"]),
    columns=st.sampled_from([["a"], ["a", "b"], ["a", "b", "c"]]),
)
TOKENS = [
    *(
        "a",
        "a",
        "é",
        "😀",
        ",",
        ",",
        ",",
        ";",
        "\t",
        "|",
        "||",
        "¦",
        "\\",
        "^",
        "\x01",
        "\x1f",
        "\0",
    ),
    *('"', '"', '""', "'", "\n", "\n", "\n", "\r", "\r\n", "\n\n", " ", "  ", "\ufffd", "\u2028"),
    *('"a,b"', '"a\nb"', '"a""b"', '"a\r\nb"', 'a"', '"a', '" ', ' "', '",', ',"', '\n"', '"\n'),
]
DAMAGE = [b"\xff", b"\xfe", b"\xfd", b"\xfb", b"\xc3", b"\xed\xa0\x80", b"\xe2\x82", b"\x81", b"\0"]


def told(rows: Rows) -> list[Any]:
    """Everything that is stored and proved of rows."""
    pages = [(page.first_row, page.row_count, page.numbers, page.data) for page in rows.pages()]
    return [list(rows.numbers), rows.records(), rows.hash_sum(), pages]


def assert_same_by_both_roads(data: bytes, dialect: CsvDialect) -> int:
    """Assert it for a file that is one chunk; return how many rows were read in bulk."""
    form = CsvFormat(dialect)
    span = Span(0, len(data), 1, len(form.scan(data, eof=True)), 1, 0)
    careful, read = form._read_with_care(data, span), form.read(data, span)
    assert read.row_count == span.row_count
    assert read.rejects == careful.rejects
    assert told(read.rows) == told(careful.rows)
    cells = CellRows(dialect.columns, read.rows.numbers, read.rows.records())
    assert read.rows.hash_sum() == cells.hash_sum()
    if len(read.rows):
        assert_pages_are_those_of(cells, read.rows)
    assert_handed_over(read.rows)
    return 0 if form._read_at_once(data, span) is None else len(read.rows)


def assert_pages_are_those_of(cells: CellRows, rows: Rows) -> None:
    """Byte for byte, as an encoder of JSON writes them."""
    assert [page.data for page in rows.pages()] == [page.data for page in cells.pages()]
    for page in rows.pages():
        assert json.loads(page.data) == msgspec.json.decode(page.data)


def assert_handed_over(rows: Rows) -> None:
    """Processors get the same cells, judged by Python's csv."""
    assert isinstance(rows, TextRows)
    for start, end in ((0, len(rows)), (len(rows) // 2, len(rows))):
        form, arguments = rows.held(start, end)
        if form is Form.CELLS:
            cells, columns, numbers = arguments
        else:
            data, delimiter, is_quoted, columns, numbers = arguments
            quoting: Literal[1, 3] = csv.QUOTE_ALL if is_quoted else csv.QUOTE_NONE
            lines = io.StringIO(data.decode(), newline="")
            if not is_quoted:
                lines = io.StringIO(data.decode().replace("\n", "\r\n"), newline="")
            reader = csv.reader(lines, delimiter=delimiter.decode(), quoting=quoting, strict=True)
            cells = list(reader)
        assert cells == rows.records()[start:end]
        assert list(numbers) == list(rows.numbers)[start:end]
        assert columns == rows.columns


@given(
    text=st.lists(st.sampled_from(TOKENS), max_size=40).map("".join),
    damage=st.lists(st.tuples(st.integers(0, 80), st.sampled_from(DAMAGE)), max_size=2),
    dialect=DIALECTS,
)
@settings(max_examples=800)
@example('"a"\r', [], CsvDialect(columns=["a"]))
@example('a"b\n"c,d"\n"e\nf"\n', [], CsvDialect(columns=["a"]))
def test_both_paths_read_any_bytes_the_same(
    text: str, damage: list[tuple[int, bytes]], dialect: CsvDialect
) -> None:
    data = text.encode(dialect.encoding, "replace")
    for place, some in damage:
        data = data[:place] + some + data[place:]
    assert_same_by_both_roads(data, dialect)


def dirty_table(chance: random.Random, dialect: CsvDialect, rows: int) -> str:
    """Mostly regular rows, some quoted in part, some wrong."""
    end, quote, delimiter = LINE_ENDS[dialect.newline], dialect.quote, dialect.delimiter
    inner = ["", "x", f"a{delimiter}b", f"a{end}b", f"say {quote * 2}hi{quote * 2}", "C:\\dir"]
    lines = []
    for _ in range(rows):
        cells = [chance.choice(["", "7", "é", "C:\\dir", " x", "\x01"]) for _ in dialect.columns]
        for place in range(len(cells)):
            if quote and chance.random() < 0.4:
                cells[place] = quote + chance.choice(inner) + quote
        line = delimiter.join(cells)
        wrong = {
            0: line + delimiter,
            1: line + delimiter + "more",
            2: line[: len(line) // 2],
            3: line + '"x',
            4: '"' + line,
            5: "\0" + line,
            6: end + line,
            7: '5" disk',
        }
        lines.append(wrong.get(chance.randrange(80), line) + end)
    return "".join(lines)


@pytest.mark.parametrize("newline", LINE_ENDS)
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
@pytest.mark.parametrize("on_bad_row", ["reject", "keep"])
def test_a_table_with_some_bad_rows_is_read_in_bulk_with_the_same_result(
    newline: str, encoding: str, on_bad_row: str
) -> None:
    chance = random.Random(f"{newline} {encoding} {on_bad_row}")
    dialect = CsvDialect(
        newline=newline, encoding=encoding, on_bad_row=on_bad_row, columns=["a", "b", "c"]
    )
    for spaces in (False, True):
        dialect = msgspec.structs.replace(dialect, skip_initial_space=spaces)
        data = dirty_table(chance, dialect, 600).encode(encoding, "replace")
        if encoding == "utf-8":
            middle = data.index(b"\xc3\xa9", len(data) // 2)
            data = data[:middle] + b"\xff" + data[middle:]
        assert assert_same_by_both_roads(data, dialect) > 500


def test_quoted_and_escaped_rows_are_read_in_bulk() -> None:
    """No row of these needs care, so none is read separately."""
    form = CsvFormat(CsvDialect(columns=["a", "b"]))
    text = '"1","a ""b"" c"\r\n2,"x\ny"\n\n"3,4",C:\\dir\n5,\t\x01é\n'
    span = Span(0, len(text.encode()), 1, 4, 1, 0)
    form.split_record = None  # type: ignore[method-assign, assignment]
    assert form.read(text.encode(), span).rows.records() == [
        ["1", 'a "b" c'],
        ["2", "x\ny"],
        ["3,4", "C:\\dir"],
        ["5", "\t\x01é"],
    ]
