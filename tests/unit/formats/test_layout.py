"""The position of the table in a file: no row is ever skipped as a line above the table, and true
titles are found.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable

import pytest

from app.formats.csv import CsvDialect
from app.formats.detect import SAMPLE_BYTES, Declared, detect
from tests.formats.reading import detected, read_all

WORDS = "ash birch cedar elm fir hazel juniper larch maple oak pine rowan spruce willow yew".split()
NAMES = [
    "id",
    "name",
    "full name",
    "amount",
    "city",
    "note",
    "date",
    "text",
    "Review (en)",
    "e-mail",
    "x1",
    "Größe",
]


def sentence(random: random.Random) -> str:
    words = [random.choice(WORDS) for _ in range(random.randint(2, 9))]
    for place in range(len(words) - 1):
        if random.random() < 0.3:
            words[place] += random.choice([",", ";", ":", " -", " |"])
    text = " ".join(words).capitalize() + random.choice([".", "!", "", ""])
    return f'"{text}" she said' if random.random() < 0.05 else text


def joined(random: random.Random) -> str:
    return random.choice([",", ";", "|", ":", "\t", ", ", "; "]).join(
        random.choices(WORDS, k=random.randint(2, 4))
    )


def number(random: random.Random) -> str:
    return str(random.randint(0, 999))


def word(random: random.Random) -> str:
    return random.choice(WORDS)


def cell(random: random.Random) -> str:
    kind = random.randrange(10)
    if kind < 2:
        return str(random.randint(0, 99999))
    if kind == 2:
        return f"{random.randint(0, 9999)}.{random.randint(0, 99):02}"
    if kind == 3:
        return f"20{random.randint(10, 29)}-0{random.randint(1, 9)}-1{random.randint(0, 9)}"
    if kind == 4:
        return random.choice(
            ["", "'tis", "it's", "'so'", "#tag", "# of it", "N/A", "{x}", "[y]", "12:30", "a=b"]
        )
    if kind < 7:
        return sentence(random)
    return joined(random) if kind == 7 else random.choice(WORDS)


def of_one_column(random: random.Random) -> list[str]:
    """Unquoted lines, with characters that are delimiters elsewhere."""
    style = random.choice([cell, sentence, joined, cell])
    header = random.choice([*NAMES, *WORDS, sentence(random)])
    lines = [style(random) for _ in range(random.randint(1, 60))]
    if random.random() < 0.4:  # the last ones alike
        delimiter, width = random.choice([",", ";", "|", ", "]), random.randint(2, 4)
        lines += [
            delimiter.join(random.choices(WORDS, k=width)) for _ in range(random.randint(1, 12))
        ]
    return [header, *lines]


def of_several_columns(random: random.Random) -> list[str]:
    """A header and rows, of which the first may be short, and any may be ragged; quoted where
    necessary.
    """
    width, delimiter = random.randint(2, 7), random.choice([",", ";", "\t", "|"])
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    header = random.sample([*NAMES, *WORDS], width)
    kinds = [random.choice([cell, sentence, number, word])] * width
    rows = [[kind(random) for kind in kinds] for _ in range(random.randint(1, 40))]
    for place in range(random.choice([0, 0, 1, 2, 5])):
        if place < len(rows):
            rows[place] = rows[place][: random.randint(1, width)]
    if random.random() < 0.3:
        header = header[: random.randint(1, width)]
    if random.random() < 0.4:
        for row in random.sample(rows, len(rows) // 3):
            row[:] = row[: random.randint(1, width)] if random.random() < 0.5 else [*row, "more"]
    writer.writerows([header, *rows])
    return out.getvalue().rstrip("\n").split("\n")


# In parts of 100 tables, so that none comes near the time limit of a test on a busy machine.
@pytest.mark.parametrize("first_seed", range(0, 1000, 100))
@pytest.mark.parametrize("make", [of_one_column, of_several_columns])
def test_no_row_of_two_thousand_tables_is_skipped_above_the_table(
    make: Callable[[random.Random], list[str]], first_seed: int
) -> None:
    for seed in range(first_seed, first_seed + 100):
        lines = make(random.Random(seed))
        data = "\n".join(lines).encode() + b"\n"
        if not data.strip():
            continue
        dialect = detected(data, Declared(format="csv"))
        assert isinstance(dialect, CsvDialect)
        assert (dialect.skip_rows, dialect.skipped) == (0, []), (seed, lines)
        rows, rejects = read_all(data, dialect)
        header = data[: dialect.data_start].decode().strip("\n")
        assert (
            header == ""
            if dialect.header_rows == 0
            else data.decode().lstrip("\n").startswith(header)
        )
        if make is of_one_column and dialect.columns == [lines[0].strip()]:
            # Only quotes and blank lines may make a difference to reading line by line.
            assert len(rows) + len(rejects) == sum(line != "" for line in lines[1:]), (seed, lines)


TABLE = "city,people,since\nBonn,330000,1989\nOslo,700000,1048\nRiga,610000,1201\n"
FOUND: dict[str, tuple[str, list[tuple[list[int], str]]]] = {
    # text, (lines, why) of what is skipped
    "a_title": ("Cities of the north\n" + TABLE, [([1, 1], "title")]),
    "a_title_of_one_word": ("Cities\n" + TABLE, [([1, 1], "title")]),
    "a_title_and_a_blank_line": ("Cities\n\n" + TABLE, [([1, 1], "title")]),
    "a_title_with_commas": ("Cities, by age\n\n" + TABLE, [([1, 1], "metadata")]),
    "two_titles": (
        "Cities of the north\nas of this year\n" + TABLE,
        [([1, 1], "title"), ([2, 2], "title")],
    ),
    "a_padded_title": ("Cities of the north,,\n" + TABLE, [([1, 1], "title")]),
    "a_padded_title_and_an_empty_row": (
        "Cities,,\n,,\n" + TABLE,
        [([1, 1], "title"), ([2, 2], "empty")],
    ),
    "a_comment": ("# made by hand\n" + TABLE, [([1, 1], "comment")]),
    "comments_with_delimiters": (
        "# a, b, c\n#\n" + TABLE,
        [([1, 1], "comment"), ([2, 2], "comment")],
    ),
    "comments_and_a_title": (
        "# by hand\n\nCities of old\n" + TABLE,
        [([1, 1], "comment"), ([3, 3], "title")],
    ),
    "metadata": (
        "Owner:,Ann\nFrom:,2024-01-01\n" + TABLE,
        [([1, 1], "metadata"), ([2, 2], "metadata")],
    ),
    "metadata_in_other_words": ("Owner,123\n\n" + TABLE, [([1, 1], "metadata")]),
    "padded_metadata": ("Owner:,Ann,\n\n" + TABLE, [([1, 1], "metadata")]),
    "a_title_over_two_lines": ('"Cities\nof the north"\n' + TABLE, [([1, 2], "title")]),
    "a_title_above_text": (
        (
            "Who lives"
            " where\n\nname,city,mood\nAnn,Bonn,good\nBob,Oslo,bad\nEve,Riga,odd\nIda,Rome,new\n"
        ),
        [([1, 1], "title")],
    ),
    "a_title_above_a_ragged_row": (
        "Cities of the north\n"
        + TABLE
        + "".join(f"City {i},{i},{i}\n" for i in range(10))
        + "Total\n",
        [([1, 1], "title")],
    ),
    "a_title_above_semicolons": (
        "Cities of the north\n" + TABLE.replace(",", ";"),
        [([1, 1], "title")],
    ),
    "a_title_above_years": (
        "Cities of the north\ncity,1990,2000,2010\n"
        + "".join(f"Town {i},{i}5,{i}1,{i}7\n" for i in range(4)),
        [([1, 1], "title")],
    ),
    "a_title_above_names_that_repeat": (
        "Cities of the north\n\ncity,name,name,\n" + "".join(f"Town {i},a,b,c\n" for i in range(4)),
        [([1, 1], "title")],
    ),
    "a_line_that_names_the_delimiter": (
        "sep=|\n" + TABLE.replace(",", "|"),
        [([1, 1], "delimiter")],
    ),
}


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_lines_above_a_table_are_skipped_and_reported(name: str, end: str) -> None:
    text, expected = FOUND[name]
    data = text.replace("\n", end).encode()

    dialect = detected(data)

    assert isinstance(dialect, CsvDialect)
    assert [(each.lines, each.why) for each in dialect.skipped] == expected
    lines = text.split("\n")
    for each in dialect.skipped:
        assert each.text.replace(end, "\n") == "\n".join(lines[each.lines[0] - 1 : each.lines[1]])
    assert dialect.skip_rows == sum(why != "delimiter" for _, why in expected)
    rows, rejects = read_all(data, dialect)
    header = next(i for i, line in enumerate(lines) if line.startswith(("city", "name")))
    assert len(rows) + len(rejects) == len([line for line in lines[header + 1 :] if line])


UNSURE = {
    "a_word_above_two_columns": "id\n1\n2\n3,x\n4,y\n5,z\n",
    "names_with_commas": "name\nMadonna\nCher\nDoe, Jane\nRoe, Rick\nPoe, Ed\nLow, Al\n",
    "lines_that_are_more_than_the_table": "".join(f"line {i}\n" for i in range(9)) + TABLE,
    "numbers_in_all_rows": "prices of May\n1,20\n2,30\n4,50\n",
    "text_in_all_rows": "full name\nred,blue\ngreen,grey\nblack,white\n",
    "a_header_that_recurs": "all of them\na,b\n1,2\na,b\n3,4\n5,6\n",
    "tags_with_numbers_in_one_row": "tags\nred,blue\n1,2\nx,y\n3,4\n",
    "a_table_above_the_table": "name,age\nAnn,30\nBob,40\n\n" + TABLE,
    "a_row_of_words_among_numbers": "ash\nbirch,yew\n85,6\n37,14\n78,9\n26,77\n95,3\n73,cedar\n",
    "hashtags": "#news\n#old\nred,blue\ngreen,grey\n",
    "a_header_of_numbers_with_commas": "# of items\n1,000\n2,000\n",
    "a_name_with_a_mark": "#city,people\nBonn,1\nOslo,2\n",
    "a_table_that_ends_too_soon": "Cities of the north\n" + TABLE + "and\nmany\nmore\nlines\n",
}


@pytest.mark.parametrize("name", UNSURE)
def test_nothing_is_skipped_where_it_could_be_a_row(name: str) -> None:
    data = UNSURE[name].encode()
    dialect = detected(data)
    assert isinstance(dialect, CsvDialect)
    assert (dialect.skip_rows, dialect.skipped) == (0, [])
    rows, rejects = read_all(data, dialect)
    lines = [line for line in UNSURE[name].split("\n") if line]
    assert len(rows) + len(rejects) == len(lines) - dialect.header_rows


def test_the_lines_below_skipped_ones_must_form_a_table() -> None:
    table = "Cities of the north\n" + TABLE + "Bergen,290000,1070\n" * 2000
    for tail, skip in [("", 1), ("just a line\n" * 3000, 0)]:
        data = (table + tail).encode()
        assert len(data) < SAMPLE_BYTES
        assert detected(data).skip_rows == skip  # type: ignore[union-attr]


@pytest.mark.parametrize(("rows", "skipped"), [(12, 1), (8, 0)])
def test_a_line_above_a_wide_long_table_is_skipped(rows: int, skipped: int) -> None:
    """Counts above a table without a header."""
    table = "".join(f"{n}.5,{n}.25,{n}.125,{n},{n},x{n},{n}\n" for n in range(rows))
    dialect = detected(f"{rows},6,first\n{table}".encode())
    assert isinstance(dialect, CsvDialect)
    assert dialect.skip_rows == skipped
    if skipped:
        assert (dialect.header_rows, len(dialect.columns)) == (0, 7)


LAST = "Bergen,290000,1070\n"
BELOW: dict[str, tuple[str, list[tuple[list[int], str]]]] = {
    # text below the table, (lines, why) of what is skipped
    "a_count": ("(4 rows affected)\n", [([6, 6], "count")]),
    "a_count_behind_a_blank_line": ("\n4 rows selected.\n\n", [([7, 7], "count")]),
    "a_source": ("\nSource: the office of towns\n", [([7, 7], "note")]),
    "padded_notes": (
        ",,\n* not all of the people,,\n** as of this year only,,\n",
        [([6, 6], "empty"), ([7, 7], "note"), ([8, 8], "note")],
    ),
    "a_note_over_two_lines": ('\n"Note: people\nof the town"\n', [([7, 8], "note")]),
    "a_note_without_a_line_end": ("\nSource: the office of towns", [([7, 7], "note")]),
}


@pytest.mark.parametrize("name", BELOW)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_lines_below_a_table_are_skipped_and_reported(name: str, end: str) -> None:
    below, expected = BELOW[name]
    data = (TABLE + LAST + below).replace("\n", end).encode()

    dialect = detected(data)

    assert isinstance(dialect, CsvDialect)
    assert [(each.lines, each.why) for each in dialect.skipped] == expected
    assert dialect.skip_footer == len(expected)
    rows, rejects = read_all(data, dialect)
    assert (len(rows), rejects) == (4, [])
    assert detected(data, Declared(skip_footer=0)).skip_footer == 0


MAY_BE_ROWS = {
    "a_row_that_is_cut": "Rig",
    "a_row_without_values": "Riga,,\n",
    "a_name_behind_a_blank_line": "\nRiga\n",
    "a_total": "Total,1930000,\n",
    "numbers": "\n17\n",
}


@pytest.mark.parametrize("name", MAY_BE_ROWS)
def test_nothing_below_is_skipped_where_it_could_be_a_row(name: str) -> None:
    data = (TABLE + LAST + MAY_BE_ROWS[name]).encode()
    dialect = detected(data)
    assert isinstance(dialect, CsvDialect)
    assert (dialect.skip_footer, dialect.skipped) == (0, [])
    rows, rejects = read_all(data, dialect)
    assert len(rows) + len(rejects) == 5


def test_notes_are_rows_in_a_table_of_one_column() -> None:
    data = (TABLE + "Bergen,,\n" + LAST + "Source: the office of towns,,\n").encode()
    assert detected(data).skip_footer == 0


def test_lines_below_the_table_are_kept_in_a_file_longer_than_the_sample() -> None:
    data = (TABLE + LAST * 20 + "(23 rows affected)\n").encode()
    assert detect(data, complete=False, declared=Declared()).skip_footer == 0
    assert detect(data, complete=True, declared=Declared()).skip_footer == 1


COLUMNS: dict[str, tuple[str, Declared, str, int]] = {
    # text, declared, delimiter, number of columns
    "text_with_some_commas": ("text\nred\nred, blue\nred, blue, green\n", Declared(), "\x1f", 1),
    "text_with_commas_in_the_header": ("what, and why\nred\nred, blue\na, b, c\nd\n", Declared(), "\x1f", 1),
    "two_words_a_line": ("full name\nAda Lovelace\nAlan Turing\nGrace Hopper\n", Declared(), ",", 1),
    "spaces_before_numbers": ("city people\nBonn 3\nOslo 7\n", Declared(), ",", 1),
    "spaces_before_numbers_alone": ("a b\n1 2\n3 4\n", Declared(), " ", 2),
    "times": ("12:30\n13:45\n14:10\n", Declared(), ",", 1),
    "addresses": ("https://a.example/x\nhttps://b.example/y\n", Declared(), ",", 1),
    "colons": ("a:b\n1:2\n3:4\n", Declared(), ":", 2),
    "two_colons_a_line": ("a:b:c\n1:x:y\n2:z:w\n3:u:v\n", Declared(), ":", 3),
    "times_of_the_day": ("00:01:10\n00:02:20\n10:03:30\n", Declared(), ",", 1),
    "doubled_bars": ("a||b||c\n1||||x|y\n2||u||z\n", Declared(), "|", 5),
    "bars_that_are_always_doubled": ("a||b||c\n1||||x\n2||u||z\n", Declared(), "||", 3),
    "carets_before_commas": ("a^b\n1^x, y\n2^z\n3^1,5\n", Declared(), "^", 2),
    "carets_and_text": ("name^city\nAnn^Rome\nBob^Oslo\n", Declared(), "^", 2),
    "a_header_with_ragged_rows": ("a,b,c\n1\n2,3\n4,5,6,7\n", Declared(), ",", 3),
    "commas_with_spaces": ("a, b, c\n1, 2, 3\n4, 5, 6\n", Declared(), ",", 3),
    "decimal_commas": ("1,5;2,5\n3,5;4,25\n", Declared(header_rows=0), ";", 2),
    "names_with_commas_before_semicolons": ("Doe,Jane;1;x\nRoe,Rick;2;y\n", Declared(header_rows=0), ";", 3),
    "dates_with_commas_before_semicolons": (
        "May 5, 2023;40;25.00;Ann;\nMay 4, 2023;41;25.00;Bob;\nMay 3, 2023;42;25.00\n", Declared(), ";", 5,
    ),
    "one_name_is_declared": ("red, blue\ngreen\n", Declared(columns=["text"], header_rows=0), "\x1f", 1),
    "a_tab_in_text": ("note\nred\tblue\ngreen\n", Declared(), ",", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_the_delimiter_is_the_one_that_gives_a_table(name: str) -> None:
    text, declared, delimiter, columns = COLUMNS[name]
    dialect = detected(text.encode(), declared)
    assert isinstance(dialect, CsvDialect)
    assert (dialect.delimiter, len(dialect.columns)) == (delimiter, columns)


def test_a_single_column_may_have_any_delimiter_beyond_the_sample() -> None:
    data = b"text\n" + b"a line of text\n" * (SAMPLE_BYTES // 14) + b"red, green; and | blue\n"
    dialect = detect(data[:SAMPLE_BYTES], complete=False, declared=Declared())
    rows, rejects = read_all(data, dialect)
    assert rejects == []
    assert rows[-1][1] == ["red, green; and | blue"]


QUOTES: dict[str, tuple[str, str, list[list[str]]]] = {
    # text, quote, rows
    "words_that_begin_with_an_apostrophe": ("text\n'tis\n'twas\n", '"', [["'tis"], ["'twas"]]),
    "words_that_end_with_one": (
        "text\n'tis\nthe boys'\n'so'\n",
        '"',
        [["'tis"], ["the boys'"], ["'so'"]],
    ),
    "quoted_words_of_a_text": ("text\n'so'\n'yes'\n", '"', [["'so'"], ["'yes'"]]),
    "two_quoted_parts": (
        "text\n'so' and 'so'\n'a' or 'b'\n",
        '"',
        [["'so' and 'so'"], ["'a' or 'b'"]],
    ),
    "cells_that_need_quotes": ("a,b\n'x, y',1\n'z',2\n", "'", [["x, y", "1"], ["z", "2"]]),
    "doubled_apostrophes": ("a,b\n'O''Neil',1\n'z',2\n", "'", [["O'Neil", "1"], ["z", "2"]]),
    "quotes_in_each_row": ("'a','b'\n'x','y'\n'z','w'\n", "'", [["x", "y"], ["z", "w"]]),
    "one_line_in_apostrophes": (
        "a,b\n'x',1\ny,2\nz,3\n",
        '"',
        [["'x'", "1"], ["y", "2"], ["z", "3"]],
    ),
}


@pytest.mark.parametrize("name", QUOTES)
def test_apostrophes_are_quotes_only_with_evidence_in_the_cells(name: str) -> None:
    text, quote, expected = QUOTES[name]
    dialect = detected(text.encode())
    assert isinstance(dialect, CsvDialect)
    assert dialect.quote == quote
    assert [row for _, row in read_all(text.encode(), dialect)[0]] == expected


SPACES: dict[str, tuple[str, list[list[str]]]] = {
    "before_all": ('"a", "b"\n"1", "x, y"\n', [["1", "x, y"]]),
    "before_some": ('a,b,c\n1, "x, y",2\n3,"z", 4\n', [["1", "x, y", "2"], ["3", "z", "4"]]),
    "several": ('a;  b\n"1";   "x; y"\n', [["1", "x; y"]]),
    "behind": ('a,b\n"1" ,"x, y"\n', [["1", "x, y"]]),
    "around": ('a,b\n"1" , "x, y" \n "2" ,"z\nz"\n', [["1", "x, y"], ["2", "z\nz"]]),
}


@pytest.mark.parametrize("name", SPACES)
def test_spaces_around_quotes_are_detected_and_reported(name: str) -> None:
    text, expected = SPACES[name]
    dialect = detected(text.encode())
    assert isinstance(dialect, CsvDialect)
    assert dialect.skip_initial_space
    rows, rejects = read_all(text.encode(), dialect)
    assert (rows, rejects) == (list(enumerate(expected, 1)), [])


def test_a_space_after_each_delimiter_belongs_to_it() -> None:
    dialect = detected(b"a, b\n1, 2\n3, \n")
    assert isinstance(dialect, CsvDialect)
    assert dialect.skip_initial_space
    assert dialect.columns == ["a", "b"]
    assert read_all(b"a, b\n1, 2\n3, \n", dialect)[0] == [(1, ["1", "2"]), (2, ["3", ""])]


@pytest.mark.parametrize(
    ("data", "declared"),
    [
        (b"a, b\n1,2\n", Declared()),
        (b"a, b\n1, 2\n", Declared(delimiter=",")),
        (b"a, b\n1, 2\n", Declared(skip_initial_space=False)),
    ],
    ids=["not_behind_each", "declared_delimiter", "declared_spaces"],
)
def test_other_spaces_are_kept_in_the_cells(data: bytes, declared: Declared) -> None:
    dialect = detected(data, declared)
    assert isinstance(dialect, CsvDialect)
    assert not dialect.skip_initial_space
    row = data.decode().split("\n")[1].split(",")
    assert read_all(data, dialect)[0] == [(1, row)]


NUMBERS: dict[str, tuple[str, int, list[str]]] = {
    "numbers_alone": ("399.19,74.3\n401.12,73.7\n", 0, ["column_1", "column_2"]),
    "one_column_of_numbers": ("5\n7\n9\n", 0, ["column_1"]),
    "names_that_are_numbers": ("2010,2020,2030\n5,6,7\n", 1, ["2010", "2020", "2030"]),
    "numbers_below_a_name": ("5,a\n6,7\n", 1, ["5", "a"]),
    "a_text_below": ("5,2\n6,x\n", 1, ["5", "2"]),
    "numbers_of_many_digits": (
        "7" * 900 + ",8\n" + "7" * 900 + ",9\n",
        0,
        ["column_1", "column_2"],
    ),
    "a_header_alone": ("5,2\n", 1, ["5", "2"]),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_file_of_only_numbers_has_no_header(name: str) -> None:
    text, header_rows, columns = NUMBERS[name]
    dialect = detected(text.encode())
    assert isinstance(dialect, CsvDialect)
    assert (dialect.header_rows, dialect.columns) == (header_rows, columns)
    assert detected(text.encode(), Declared(header_rows=1)).columns != ["column_1", "column_2"]
