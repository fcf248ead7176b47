"""Properties: the expected reading of random tables, texts and bytes for any cut, judged by
Python's csv and json and by a second implementation of the grammar, character by character.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import RequestError
from app.formats.csv import CsvDialect
from app.formats.detect import Declared
from app.formats.json import JsonDialect
from tests.formats.reading import Setting, detected, read_all

SETTINGS = st.builds(
    Setting,
    chunk_rows=st.integers(1, 5),
    chunk_bytes=st.sampled_from([1, 10, 50, 1 << 20]),
    window_bytes=st.integers(1, 60),
    budget=st.sampled_from([1, 20, 1 << 40]),
)
CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
NASTY = st.sampled_from(list(",;\t|\"'\\\r\n \u2028\x85\ufeff😀\u0a0a\u2c22"))
CELLS = st.text(CHARACTERS | NASTY, max_size=8)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=8)
)


@given(
    table=TABLES,
    delimiter=st.sampled_from(",;\t|"),
    quote=st.sampled_from("\"'"),
    escape=st.sampled_from(["", "\\"]),
    newline=st.sampled_from(["lf", "crlf", "cr", "any"]),
    quote_all=st.booleans(),
    encoding=st.just("utf-8"),
    setting=SETTINGS,
)
@settings(max_examples=250)
def test_output_of_pythons_csv_is_read_back_identical(
    table: list[list[str]],
    delimiter: str,
    quote: str,
    escape: str,
    newline: str,
    quote_all: bool,
    encoding: str,
    setting: Setting,
) -> None:
    terminator = {"lf": "\n", "crlf": "\r\n", "cr": "\r", "any": "\r\n"}[newline]
    # Where it is free to choose, csv.writer leaves a CR or LF that is not its own terminator
    # without quotes.
    quoting: Literal[0, 1] = (
        csv.QUOTE_ALL if quote_all or len(terminator) == 1 else csv.QUOTE_MINIMAL
    )
    out = io.StringIO(newline="")
    csv.writer(
        out,
        delimiter=delimiter,
        quotechar=quote,
        escapechar=escape or None,
        doublequote=not escape,
        lineterminator=terminator,
        quoting=quoting,
    ).writerows(table)
    columns = [f"c{i}" for i in range(len(table[0]) if table else 1)]
    dialect = CsvDialect(
        encoding=encoding,
        delimiter=delimiter,
        quote=quote,
        escape=escape,
        newline=newline,
        columns=columns,
    )

    rows, rejects = read_all(out.getvalue().encode(encoding), dialect, setting)

    assert rejects == []
    assert rows == list(enumerate(table, 1))


def line_end_at(text: str, at: int, newline: str) -> int:
    """Length of the line end that begins here, or 0."""
    ends = {"lf": ["\r\n", "\n"], "crlf": ["\r\n"], "cr": ["\r"], "any": ["\r\n", "\n", "\r"]}[
        newline
    ]
    return next((len(end) for end in ends if text.startswith(end, at)), 0)


def behind_spaces(text: str, at: int, d: CsvDialect) -> int:
    while d.skip_initial_space and text[at : at + 1] == " ":
        at += 1
    return at


def quoted_cell(text: str, at: int, d: CsvDialect) -> tuple[str, int] | None:
    """Return the cell whose opening quote is here, and its end; None if it is not properly
    closed.
    """
    value, at = "", at + 1
    while at < len(text):
        if d.escape and text[at] == d.escape and at + 1 < len(text):
            value, at = value + text[at + 1], at + 2
        elif text.startswith(d.quote * 2, at):
            value, at = value + d.quote, at + 2
        elif text[at] == d.quote:
            at = behind_spaces(text, at + 1, d)
            ends = (
                at == len(text)
                or text.startswith(d.delimiter, at)
                or line_end_at(text, at, d.newline)
            )
            return (value, at) if ends else None
        else:
            value, at = value + text[at], at + 1
    return None


def record_at(text: str, at: int, d: CsvDialect) -> tuple[list[str], bool, int]:
    """The cells of the record that begins here, whether any of them has a bad quote, and where its
    content ends.
    """
    cells, bad = [], False
    while True:
        at = behind_spaces(text, at, d)
        if d.quote and text.startswith(d.quote, at) and (closed := quoted_cell(text, at, d)):
            value, at = closed
        else:
            value = ""
            while (
                at < len(text)
                and not text.startswith(d.delimiter, at)
                and not line_end_at(text, at, d.newline)
            ):
                if d.escape and text[at] == d.escape and at + 1 < len(text):
                    at += 1
                else:
                    bad |= text[at] == d.quote
                value, at = value + text[at], at + 1
        cells.append(value)
        if not text.startswith(d.delimiter, at):
            return cells, bad, at
        at += len(d.delimiter)


def table_of(text: str, d: CsvDialect) -> list[list[str] | str]:
    """Return how the grammar reads the text: cells, or why the row is refused."""
    found: list[list[str] | str] = []
    at = 0
    while at < len(text):
        cells, bad, end = record_at(text, at, d)
        if text[at:end].strip("\r\n"):
            width = len(d.columns)
            if any(cells[:width]) and not any(cells[width:]) and len(cells) > width:
                cells = cells[:width]
            found.append("quote" if bad else cells if len(cells) == width else "column_count")
        at = end + line_end_at(text, end, d.newline)
    return found


TOKENS = [
    "a",
    "a",
    ",",
    ",",
    '"',
    '"',
    "\n",
    "\n",
    "\r",
    "\r\n",
    "\\",
    "|",
    "||",
    '""',
    '"a\na"',
    '"a\nb\r\nc"',
    'a"',
    '\n"',
    '"\n',
    " ",
    '" "',
]


@given(
    text=st.lists(st.sampled_from(TOKENS), max_size=16).map("".join),
    newline=st.sampled_from(["lf", "lf", "crlf", "cr", "any"]),
    delimiter=st.sampled_from([",", ",", "||"]),
    quote=st.sampled_from(['"', '"', ""]),
    escape=st.sampled_from(["", "", "\\"]),
    width=st.integers(1, 3),
    encoding=st.just("utf-8"),
    setting=SETTINGS,
    spaces=st.booleans(),
)
@settings(max_examples=600)
@example('a"\n"a\nb\nc"\r\n', "lf", ",", '"', "", 1, "utf-8", Setting(1, window_bytes=1), False)
@example('a"\n"a\nb\nc"||"\n', "lf", "||", '"', "", 2, "utf-8", Setting(1, window_bytes=1), False)
@example("a\n\r\r\na\n\r", "lf", ",", '"', "", 1, "utf-8", Setting(1, window_bytes=1), False)
@example('\r""","\n"', "lf", ",", '"', "", 1, "utf-8", Setting(), False)
@example('"\n"\r', "lf", ",", '"', "", 1, "utf-8", Setting(), False)
@example('"\\', "lf", ",", '"', "\\", 1, "utf-8", Setting(), False)
def test_any_text_is_read_by_the_grammar(
    text: str,
    newline: str,
    delimiter: str,
    quote: str,
    escape: str,
    width: int,
    encoding: str,
    setting: Setting,
    spaces: bool,
) -> None:
    columns = [f"c{i}" for i in range(width)]
    dialect = CsvDialect(
        encoding=encoding,
        delimiter=delimiter,
        quote=quote,
        escape=escape,
        newline=newline,
        columns=columns,
        skip_initial_space=spaces,
    )

    rows, rejects = read_all(text.encode(encoding), dialect, setting)

    found: dict[int, Any] = dict(rows)
    found |= {
        reject.row_number: reject.code.replace("csv_bad_", "").replace("csv_unclosed_", "")
        for reject in rejects
    }
    assert [found[number] for number in sorted(found)] == table_of(text, dialect)


JSON_TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\[]{},:\n'), max_size=6
)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | JSON_TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(JSON_TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(JSON_TEXTS, JSON_VALUES, max_size=4)


@given(
    objects=st.lists(OBJECTS, min_size=1, max_size=6),
    root=st.sampled_from(["array", "lines", "object"]),
    indent=st.sampled_from([None, 0, 3]),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")]),
    ascii_only=st.booleans(),
    setting=SETTINGS,
)
@settings(max_examples=100)
def test_output_of_pythons_json_is_read_back_identical(
    objects: list[dict[str, Any]],
    root: str,
    indent: int | None,
    separators: tuple[str, str],
    ascii_only: bool,
    setting: Setting,
) -> None:
    def dumps(value: Any, indent: int | None) -> str:
        return json.dumps(value, indent=indent, separators=separators, ensure_ascii=ascii_only)

    if root == "array":
        text = dumps(objects, indent)
    elif root == "object":
        objects = objects[:1]
        text = dumps(objects[0], indent)
    else:
        text = "\n".join(dumps(value, None) for value in objects)
    data = text.encode()
    dialect = JsonDialect(root=root, data_start=int(root == "array"), data_end=len(data))

    rows, rejects = read_all(data, dialect, setting)

    assert rejects == []
    assert [(number, json.loads(raw)) for number, raw in rows] == list(enumerate(objects, 1))
    assert all(raw in data for _, raw in rows)


@pytest.mark.parametrize("format", [None, "csv", "json", "jsonl"])
@given(
    data=st.binary(max_size=80)
    | st.text(st.sampled_from('{}[]",:\\ 1a\n'), max_size=60).map(str.encode)
    | st.text(st.sampled_from("a1,;\t|\"'\\\r\n #=\x0b\xa0é"), max_size=60).map(
        lambda text: text.encode("latin-1")
    ),
    setting=SETTINGS,
)
@settings(max_examples=150)
@example(b"\x0b", Setting())
@example(b"\xc2\xa0[1", Setting())
@example(b"[,1]", Setting(chunk_rows=1))
@example(b"[ ,,1]", Setting(chunk_rows=1))
@example(b'{"a":1}\n' + b" " * 65, Setting())
@example(b'{"a":1}' + b" " * 65, Setting())
def test_random_bytes_are_refused_or_fully_counted_and_never_crash(
    format: str | None, data: bytes, setting: Setting
) -> None:
    try:
        dialect = detected(data, Declared(format))
    except RequestError:
        return
    assert read_all(data, dialect, setting) == read_all(data, dialect)
