"""Whether a table has a header, and of how many rows; and how often that is right."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from app.formats.csv import CsvDialect
from app.formats.csv_header import find_header
from app.formats.detect import Declared
from scripts.generate_tables import make_table, make_untidy_table
from scripts.measure_detection import judge
from tests.formats.reading import detected, read_all

TABLES = 400

HEADERS: dict[str, tuple[str, int]] = {
    # text, rows of the header
    "names_above_numbers": ("id,price\n1,2.50\n2,3.75\n3,1.20\n", 1),
    "rows_with_numbers_in_all": ("Ann,31,1.5\nBob,42,2.5\nEve,53,3.5\nIda,64,4.5\n", 0),
    "rows_with_dates": ("2026-01-01,Bonn\n2026-01-02,Oslo\n2026-01-03,Riga\n2026-01-04,Rome\n", 0),
    "years_as_names": ("country,2010,2011,2012\nChile,5.1,6.2,7\nPeru,1,2,3\nCuba,4,5,6\n", 1),
    "steps_as_names": ("0,1,2\n5,9,1\n7,7,3\n1,8,8\n", 1),
    "a_row_of_years_among_others": ("1990\n1995\n2001\n1987\n2010\n", 0),
    "words_alone": ("red\nblue\ngreen\n", 1),
    "codes_alone": ("AB-123\nAB-456\nCD-789\nEF-100\nGH-200\nGH-207\nKL-001\nMN-305\n", 0),
    "a_category_that_recurs": (
        "open,Ann\nclosed,Bob\nopen,Eve\nopen,Ida\nclosed,Joe\nopen,Kim\nclosed,Lea\n", 0,
    ),
    "a_name_above_categories": (
        "state,who\nopen,Ann\nclosed,Bob\nopen,Eve\nopen,Ida\nclosed,Joe\nopen,Kim\nclosed,Lea\n", 1,
    ),
    "units_below_the_names": ("what,height,weight\n,(m),(kg)\n" + "".join(f"x{i},{i},{i}.5\n" for i in range(6)), 2),
    "merged_cells_above_the_names": ("2024,,2025,\nQ1,Q2,Q1,Q2\n" + "".join(f"{i},{i},{i},{i}\n" for i in range(6)), 2),
    "two_rows_of_names": ("net,gross,net\nEUR,EUR,USD\n" + "".join(f"{i},{i}.1,{i}.2\n" for i in range(6)), 2),
    "a_first_row_with_words_for_missing": ("a,b\nn/a,-\n" + "".join(f"{i},{i}\n" for i in range(6)), 1),
    "a_first_row_of_words_in_one_column": ("a,b,c\nred,2,3\n" + "".join(f"{i},{i},x\n" for i in range(6)), 1),
    "names_written_as_the_words_below": (
        "ash,elm,fir,oak,yew,box,bay\n" + "".join(f"{a}ed,{a}ing,{a}er,{a}s,{a}y,re{a},un{a}\n" for a in "bcdfghjk"), 1,
    ),
    "years_behind_two_names": (
        "country,code,2000,2005,2020\n" + "".join(f"Land {a},{a},{i}.5,{i},{i * 3}\n" for i, a in enumerate("QRSTU")), 1,
    ),
    "rows_with_two_years": (
        "Ann,1990,1995\nBob,1980,2001\nEve,1970,1999\nIda,1985,1986\nJoe,2001,2020\n", 0,
    ),
    "a_header_alone": ("a,b\n", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_is_recognised_by_its_difference_from_the_rows(name: str) -> None:
    text, rows = HEADERS[name]
    dialect = detected(text.encode())
    assert isinstance(dialect, CsvDialect)
    assert dialect.header_rows == rows
    kept, rejects = read_all(text.encode(), dialect)
    assert len(kept) + len(rejects) == text.count("\n") - rows


def test_an_uncertain_header_is_one_row_and_marked_uncertain() -> None:
    sure = find_header([["id", "price"], *([str(i), f"{i}.5"] for i in range(20))])
    unsure = find_header([["red", "blue"], ["green", "grey"], ["black", "white"]])
    assert (sure.rows, unsure.rows) == (1, 1)
    assert sure.confidence > 0.99
    assert unsure.confidence < 0.8


def test_a_declared_header_is_certain() -> None:
    for rows in (0, 1, 2):
        dialect = detected(b"a,b\n1,2\n3,4\n", Declared(header_rows=rows))
        assert isinstance(dialect, CsvDialect)
        assert (dialect.header_rows, dialect.header_confidence) == (rows, 1.0)


@pytest.fixture(scope="module")
def verdicts() -> Counter[str]:
    """Of generated tables: how many were read as they were meant."""
    counts: Counter[str] = Counter()
    for seed in range(TABLES):
        verdict = judge(make_table(Random(seed)))
        counts["header"] += verdict.header
        counts["width"] += verdict.width
        counts["edges"] += verdict.edges
        counts["lost"] += verdict.lost
    return counts


@pytest.fixture(scope="module")
def untidy() -> Counter[str]:
    counts: Counter[str] = Counter()
    for seed in range(TABLES // 2):
        verdict = judge(make_untidy_table(Random(seed)))
        counts["header"] += verdict.header
        counts["width"] += verdict.width
        counts["lost"] += verdict.lost
    return counts


@pytest.mark.parametrize(("what", "share"), [("header", 0.96), ("width", 0.94)])
def test_untidy_tables_are_found_among_surrounding_lines(
    untidy: Counter[str], what: str, share: float
) -> None:
    assert untidy["lost"] == 0
    assert untidy[what] >= share * TABLES / 2


def test_no_row_of_a_generated_table_is_lost(verdicts: Counter[str]) -> None:
    assert verdicts["lost"] == 0


@pytest.mark.parametrize(("what", "share"), [("header", 0.99), ("width", 0.97), ("edges", 0.96)])
def test_generated_tables_are_read_as_intended(
    verdicts: Counter[str], what: str, share: float
) -> None:
    assert verdicts[what] >= share * TABLES
