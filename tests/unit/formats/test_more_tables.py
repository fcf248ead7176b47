"""A second table in a file is named, and no row is left out because of it."""

from __future__ import annotations

import pytest

from app.formats.csv import CsvDialect
from app.formats.detect import Declared, detect
from tests.formats.reading import read_all

TOWNS = "town,people,area\n" + "".join(f"Town {n},{n * 10},{n}.5\n" for n in range(1, 9))
YEARS = "year,births\n" + "".join(f"{1990 + n},{n * 7}\n" for n in range(1, 6))
RIVERS = "river,length,flow\n" + "".join(f"River {n},{n * 9},{n}.2\n" for n in range(1, 5))


def others(text: str) -> list[tuple[int, list[str]]]:
    dialect = detect(text.encode(), complete=True, declared=Declared())
    assert isinstance(dialect, CsvDialect)
    rows, rejects = read_all(text.encode(), dialect)
    lines = [line for line in text.splitlines() if line.strip(",")]
    left_out = dialect.header_rows + len(dialect.skipped)
    assert len(rows) + len(rejects) + left_out >= len(lines)
    return [(table.line, table.columns) for table in dialect.other_tables]


@pytest.mark.parametrize("gap", ["\n", "\n\n\n", "\nYears\n"])
def test_a_table_of_another_width_is_named(gap: str) -> None:
    line = (TOWNS + gap).count("\n") + 1
    assert others(TOWNS + gap + YEARS) == [(line, ["year", "births"])]


def test_a_table_of_the_same_width_is_named() -> None:
    assert others(TOWNS + "\n" + RIVERS) == [(11, ["river", "length", "flow"])]
    several = TOWNS + "\n" + RIVERS + "\n" + YEARS
    assert [line for line, _ in others(several)] == [11, 17]


def test_a_line_of_delimiters_stands_between_tables_of_a_spreadsheet() -> None:
    padded = "".join(f"{line},\n" for line in YEARS.splitlines())
    assert others(TOWNS + ",,\n" + padded) == [(11, ["year", "births", ""])]


@pytest.mark.parametrize(
    "text",
    [
        TOWNS,
        TOWNS + "\n" + "".join(f"Town {n},{n},1.5\n" for n in range(20, 25)),
        TOWNS + "\nSource: the towns\n",
        "word,other\n" + "a,b\nc,d\n" * 4 + "\ne,f\ng,h\ni,j\nk,l\n",
        "Title\n\n" + TOWNS,
        "a\n1\n2\n\nb\n3\n4\n",
    ],
)
def test_rows_below_a_blank_line_are_no_table(text: str) -> None:
    assert others(text) == []
