"""Columns of fixed width: the cells agree with pandas, every line is a row or a reject with its
bytes, and a ruler counts only if the lines below it fit.
"""

from __future__ import annotations

import io
import random

import pandas
import pytest
from pydantic import TypeAdapter, ValidationError

from app.api.parameters import DialectOptions
from app.errors import InvalidParameter
from app.formats.csv import CsvDialect
from app.formats.detect import Declared, detect
from app.formats.fixed import FixedDialect
from app.formats.registry import from_json, reject_layout, to_json
from tests.formats.reading import Setting, read_all

RULED = """Report of the day

id   name       amount
---- ---------- ------
   1 Ada          1.50
   2 Bo Li       12.00
 003 Çelik         .10

(3 rows affected)
"""


def dialect_of(data: bytes, **said: object) -> FixedDialect:
    dialect = detect(data, complete=True, declared=Declared(**said))  # type: ignore[arg-type]
    assert isinstance(dialect, FixedDialect)
    assert from_json(to_json(dialect)) == dialect
    return dialect


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_a_ruler_line_gives_the_columns(newline: str, encoding: str) -> None:
    data = RULED.replace("\n", newline).encode(encoding)
    said = {"encoding": "cp1252"} if encoding == "cp1252" else {}
    dialect = dialect_of(data, **said)
    assert (dialect.columns, dialect.starts, dialect.ends) == (
        ["id", "name", "amount"],
        [0, 5, 16],
        [4, 15, 22],
    )
    assert [(skipped.why, skipped.lines) for skipped in dialect.skipped] == [
        ("title", [1, 1]),
        ("ruler", [4, 4]),
        ("count", [9, 9]),
    ]
    rows, rejects = read_all(data, dialect, Setting(2))
    assert rejects == []
    assert [cells for _, cells in rows] == [
        ["1", "Ada", "1.50"],
        ["2", "Bo Li", "12.00"],
        ["003", "Çelik", ".10"],
    ]


@pytest.mark.parametrize("seed", range(20))
def test_the_cells_agree_with_pandas(seed: int) -> None:
    dice = random.Random(seed)
    widths = [dice.randrange(1, 12) for _ in range(dice.randrange(1, 8))]
    words = ["", "a", "12", "x y", "ž", "日本", "00"]
    rows = [[dice.choice(words)[:width] for width in widths] for _ in range(dice.randrange(1, 30))]
    lines = [
        "".join(
            cell.ljust(w) if dice.random() < 0.5 else cell.rjust(w)
            for cell, w in zip(row, widths, strict=True)
        )
        for row in rows
    ]
    text = "\n".join(lines) + "\n"
    names = [f"c{n}" for n in range(len(widths))]
    dialect = dialect_of(text.encode(), widths=widths, columns=names, header_rows=0)
    found, rejects = read_all(text.encode(), dialect, Setting(dice.randrange(1, 9), 1 << 20, 16))
    frame = pandas.read_fwf(
        io.StringIO(text),
        widths=widths,
        header=None,
        dtype=str,
        keep_default_na=False,
        skip_blank_lines=False,
        delimiter=" ",
    )
    assert rejects == []
    assert [cells for _, cells in found] == frame.to_numpy().tolist()


def test_names_come_from_the_first_line_or_are_declared() -> None:
    text = "id name  \n 1 Ada   \n 2 Bob   \n12 Eve   \n31 Joe   \n"
    assert dialect_of(text.encode(), widths=[3, 6]).columns == ["id", "name"]
    declared = dialect_of(text.encode(), widths=[3, 6], columns=["a", "b"])
    assert (declared.columns, declared.header_rows) == (["a", "b"], 0)
    values = dialect_of(b"001  12\n002  13\n003  14\n", widths=[3, 4])
    assert (values.columns, values.header_rows) == (["column_1", "column_2"], 0)
    skipped = dialect_of(b"x\n" + text.encode(), widths=[3, 6], skip_rows=1, header_rows=1)
    assert (skipped.columns, skipped.data_line) == (["id", "name"], 3)


def test_lines_that_do_not_fit_are_rejected_with_their_bytes() -> None:
    data = b"aa bbb c\nAA BBB C\nA\nAA BBB C more\nAAxBBB C\n\nAA BBB \xff\nAA BBB C  \n"
    dialect = dialect_of(b"aa bbb c\n-- --- -\nAA BBB C\n")
    dialect = from_json({**to_json(dialect), "data_start": 9, "data_line": 2})  # type: ignore[assignment]
    rows, rejects = read_all(data, dialect)
    assert [number for number, _ in rows] == [1, 6]
    assert [(r.row_number, r.line, r.code, r.column) for r in rejects] == [
        (2, 3, "line_too_short", "bbb"),
        (3, 4, "line_too_long", None),
        (4, 5, "text_between_columns", "aa"),
        (5, 7, "invalid_utf8", "line"),
    ]
    for reject in rejects:
        assert data[reject.byte_start : reject.byte_end] == reject.raw
    layout = reject_layout(dialect)
    shown = [layout.cells(reject.raw, is_corrected=False) for reject in rejects]
    assert shown == [
        [b"A", b"", b""],
        [b"AA", b"BBB", b"C more"],
        [b"AAx", b"BBB", b"C"],
        [b"AA", b"BBB", b"\xff"],
    ]
    corrected = layout.record(["AA", "B,B", "C"])
    assert layout.cells(corrected, is_corrected=True) == [b"AA", b"B,B", b"C"]


def test_short_lines_are_padded_on_request_and_the_last_column_may_be_the_rest() -> None:
    data = b"AAABB\nAAABBCC and more\nAA\n"
    dialect = dialect_of(data, widths=[3, 2, 0], header_rows=0, on_bad_row="keep")
    rows, rejects = read_all(data, dialect)
    assert [cells for _, cells in rows] == [
        ["AAA", "BB", None],
        ["AAA", "BB", "CC and more"],
        ["AA", None, None],
    ]
    assert rejects == []


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n--,--\n1,2\n",
        "a b\n- -\nlonger text than that\nand more of it here\n",
        "-- --\n1 2\n",
        "a b\n\n",
        "title\n-----\ntext\n",
        "| a | b |\n|---|---|\n| 1 | 2 |\n",
    ],
)
def test_a_line_that_only_resembles_a_ruler_is_data(text: str) -> None:
    assert isinstance(detect(text.encode(), complete=True, declared=Declared()), CsvDialect)


def test_a_ruler_is_searched_only_if_nothing_indicates_csv() -> None:
    for said in ({"format": "csv"}, {"delimiter": " "}, {"header_rows": 1}):
        dialect = detect(RULED.encode(), complete=True, declared=Declared(**said))
        assert isinstance(dialect, CsvDialect)
    with pytest.raises(InvalidParameter, match="widths"):
        detect(b"a,b\n1,2\n", complete=True, declared=Declared(format="fixed"))
    with pytest.raises(InvalidParameter, match="read as csv"):
        detect(b"a,b\n1,2\n", complete=True, declared=Declared(format="csv", widths=[2, 2]))
    with pytest.raises(InvalidParameter, match="2 columns of fixed width, but 3 names"):
        detect(b"aabb\n", complete=True, declared=Declared(widths=[2, 2], columns=["a", "b", "c"]))


@pytest.mark.parametrize(
    ("text", "widths"),
    [("10,5,20", [10, 5, 20]), ("3, *", [3, 0]), ("7", [7]), ("*", [0]),
     ("", None), ("1,*,2", None), ("0,2", None), ("-1", None), ("1,x", None)],
)  # fmt: skip
def test_widths_are_written_with_commas(text: str, widths: list[int] | None) -> None:
    options = TypeAdapter(DialectOptions)
    for value in (text, [text]):
        if widths is None:
            with pytest.raises(ValidationError):
                options.validate_python({"widths": value})
        else:
            assert options.validate_python({"widths": value}).widths == widths
