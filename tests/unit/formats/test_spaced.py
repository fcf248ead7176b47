"""Columns that runs of spaces keep apart, without a ruler: their cells are those that were printed,
long values are never cut in two, and a delimiter always wins.
"""

from __future__ import annotations

import random

import msgspec
import pytest

from app.errors import InvalidParameter
from app.features.preview.beginning import Beginning
from app.features.preview.look import preview
from app.formats.csv import CsvDialect
from app.formats.detect import Declared, detect, spaced_columns
from app.formats.fixed import FixedDialect
from tests.formats.reading import Setting, read_all

REPORT = """Stock of the day

ITEM            QTY     PRICE  CHANGED
Bolt M4         120      0.25  2024-02-03
Washer, small    40     12.50  2024-02-04
Nut            1200      0.10  2024-02-05
Wood screw        7    100.00  2024-02-06
Hammer            3     25.00  2024-02-06
Saw               5     15.00  2024-02-07
Nail 10 mm      900      0.01  2024-02-08
"""
WORDS = ("bolt", "wood screw", "a, b", "x", "Çelik", "two words here", "10 mm")


def read_as(text: str, **said: object) -> CsvDialect | FixedDialect:
    dialect = detect(text.encode(), complete=True, declared=Declared(**said))  # type: ignore[arg-type]
    assert isinstance(dialect, CsvDialect | FixedDialect)
    return dialect


def sure_of(text: str) -> float:
    return spaced_columns(text.encode(), complete=True, declared=Declared())


def printed(dice: random.Random, rows: int) -> tuple[list[list[str]], str]:
    """Return cells and the report that shows them, columns to the left or to the right."""
    columns = [
        [dice.choice(WORDS) for _ in range(rows)],
        [str(dice.randrange(100_000)) for _ in range(rows)],
        [f"{dice.random() * 1000:.2f}" for _ in range(rows)],
        [f"2024-0{dice.randrange(1, 9)}-1{dice.randrange(9)}" for _ in range(rows)],
    ]
    names = ["item", "quantity", "price each", "changed"]
    places = dice.sample(range(4), dice.randrange(2, 5))
    chosen = [[names[place], *columns[place]] for place in places]
    lines = ["" for _ in range(rows + 1)]
    for column in chosen:
        width = max(map(len, column)) + 2
        to_the_right = column[0] in ("quantity", "price each") and dice.random() < 0.7
        for number, cell in enumerate(column):
            lines[number] += cell.rjust(width) if to_the_right else "  " + cell.ljust(width - 2)
    return [list(row) for row in zip(*chosen, strict=True)], "\n".join(
        line[2:].rstrip() for line in lines
    )


def test_a_report_is_read_by_its_columns() -> None:
    dialect = read_as(REPORT)
    assert isinstance(dialect, FixedDialect)
    assert dialect.columns == ["ITEM", "QTY", "PRICE", "CHANGED"]
    assert [(skipped.why, skipped.lines) for skipped in dialect.skipped] == [("title", [1, 1])]
    rows, rejects = read_all(REPORT.encode(), dialect, Setting(3))
    assert rejects == []
    assert rows[1][1] == ["Washer, small", "40", "12.50", "2024-02-04"]
    assert len(rows) == 7


@pytest.mark.parametrize("seed", range(40))
def test_the_cells_are_those_that_were_printed(seed: int) -> None:
    dice = random.Random(seed)
    cells, text = printed(dice, dice.randrange(12, 40))
    dialect = read_as(text)
    assert isinstance(dialect, FixedDialect), text
    rows, rejects = read_all(text.encode(), dialect, Setting(5))
    assert rejects == []
    assert [dialect.columns, *(row for _, row in rows)] == cells


@pytest.mark.parametrize(
    "more", ["A washer of brass  ", "A washer, which is longer than the others "]
)
def test_a_longer_value_is_read_whole_or_refused(more: str) -> None:
    """Below the sample, a text has more characters than any in it."""
    line = f"{more}     7    100.00  2024-02-06\n"
    dialect = read_as(REPORT)
    assert isinstance(dialect, FixedDialect)
    rows, rejects = read_all((REPORT + line).encode(), dialect, Setting(3))
    assert len(rows) + len(rejects) == 8
    assert [reject.code for reject in rejects] == ["text_between_columns"]


@pytest.mark.parametrize(
    "text",
    [
        "item;qty;price\n" + "bolt  M4;  1;  2,50\n" * 8,
        "item,qty  ,price\n" + "bolt   ,120  ,0.25\n" * 8,
        "item\tqty\n" + "bolt  x\t12\n" * 8,
        "a  b | c  d\n" + "1  2 | 3  4\n" * 8,
    ],
)
def test_a_delimiter_wins(text: str) -> None:
    dialect = read_as(text)
    assert isinstance(dialect, CsvDialect)
    assert len(dialect.columns) > 1
    assert dialect.delimiter != " "


@pytest.mark.parametrize(
    "text",
    [
        "hello world\nthis is prose\nof some lines\n" * 4,
        "one\ntwo\nthree\n",
        "".join(f"{'x' * n}  {'y' * (30 - n)} z\n" for n in range(1, 29)),
        "2024-01-01 10:00:00  started\n2024-01-01 10:00:01  a  b  c\n" + "x\n" * 30,
    ],
)
def test_texts_without_columns_have_none(text: str) -> None:
    assert sure_of(text) < 0.5
    assert isinstance(read_as(text), CsvDialect)


def test_few_lines_are_no_proof_but_may_be_asked_for() -> None:
    few = "\n".join(REPORT.splitlines()[2:5]) + "\n"
    assert 0 < sure_of(few) < 0.9
    assert isinstance(read_as(few), CsvDialect)
    dialect = read_as(few, format="fixed")
    assert isinstance(dialect, FixedDialect)
    assert len(dialect.columns) == 4
    with pytest.raises(InvalidParameter, match="widths"):
        read_as("one\ntwo\n", format="fixed")


def test_the_preview_offers_the_other_reading() -> None:
    def look(text: str) -> dict[str, object]:
        answer = preview(Beginning(text.encode(), True), Declared(), 5)
        return dict(msgspec.json.decode(msgspec.json.encode(answer)))

    whole = look(REPORT)
    assert whole["dialect"]["kind"] == "fixed"  # type: ignore[index]
    assert whole["confidence"]["delimiter"] > 0.9  # type: ignore[index]
    settings = [reading["settings"] for reading in whole["readings"]]  # type: ignore[attr-defined]
    assert {"format": "csv"} in settings
    few = look("\n".join(REPORT.splitlines()[2:5]) + "\n")
    assert few["dialect"]["kind"] == "csv"  # type: ignore[index]
    (fixed,) = [each for each in few["readings"] if each["settings"] == {"format": "fixed"}]  # type: ignore[attr-defined]
    assert (fixed["column_count"], fixed["ok"]) == (4, 2)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ('a; b; c\n"x; y"; "1,50"; 2,5\n"z"; "2,00"; 3,5\n', ["x; y", "1,50", "2,5"]),
        ('a, b, c\n1, "x, y", 2\n2, "z", 3\n', ["1", "x, y", "2"]),
        ('name, price\n"A, B", "1,50"\n"C", "2,75"\n', ["A, B", "1,50"]),
        ('n;p\n "x; y"; 1,5\n "z"; 2,5\n "v; w"; 3,5\n "u"; 4,5\n', ["x; y", "1,5"]),
    ],
)
def test_quotes_may_begin_after_a_space_beside_decimal_commas(text: str, row: list[str]) -> None:
    rows, rejects = read_all(text.encode(), read_as(text), Setting(2))
    assert rejects == []
    assert rows[0][1] == row
