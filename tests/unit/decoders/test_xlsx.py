"""Workbooks by XlsxWriter and openpyxl, read by us: each cell equals the written one, as complete
text.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.decoders.places import SheetPlaces
from app.decoders.spreadsheets import xlsx
from app.decoders.spreadsheets.book import Sheet, chosen, open_book
from app.decoders.spreadsheets.errors import NoSheet
from app.decoders.spreadsheets.values import Kind, kind_of, moment, number
from app.decoders.unreadable import Damaged


def written(fill: Callable[[Any], None], **options: Any) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, options) as book:
        fill(book)
    return out.getvalue()


def read(data: bytes, wanted: str | None = None) -> tuple[str, Sheet]:
    _, book = open_book(io.BytesIO(data))
    sheet = Sheet(book, chosen(book, wanted)[0])
    return "".join(sheet.pieces()), sheet


def cells(text: str) -> list[list[str]]:
    """Read by Python's csv, without blank lines."""
    return [row for row in csv.reader(io.StringIO(text, newline="")) if row]


# ---------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ("1", "1"),
        ("1.0", "1"),
        ("-3.50", "-3.5"),
        ("0.10000000000000001", "0.1"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("84.739999999999995", "84.74"),
        ("1E+16", "10000000000000000"),
        ("1.2345678901234568E+16", "12345678901234568"),
        ("12345678901234567890", "12345678901234567890"),
        ("123456789012345678.25", "123456789012345678.25"),
        ("1.0000000000000001E-5", "0.00001"),
        ("1E+300", "1e300"),
        ("-0.0", "0"),
    ],
)
def test_numbers_keep_all_their_digits(stored: str, text: str) -> None:
    assert number(stored) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_its_binary_value(value: float) -> None:
    for stored in (repr(value), f"{value:.17g}"):
        assert float(number(stored)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**14)))
def test_decimals_of_fifteen_digits_are_exact(value: Decimal) -> None:
    if len(value.normalize().as_tuple().digits) <= 15:
        assert Decimal(number(f"{value:f}")) == value


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("General", Kind.NUMBER),
        ("", Kind.NUMBER),
        ("0.00", Kind.NUMBER),
        ('#,##0 "days"', Kind.NUMBER),
        ("0.00E+00", Kind.NUMBER),
        ("[Red]-0", Kind.NUMBER),
        ("[$USD-409] 0", Kind.NUMBER),
        ("@", Kind.NUMBER),
        (r"0\d", Kind.NUMBER),
        ("yyyy-mm-dd", Kind.DATE),
        ("[$-409]d mmm yy;@", Kind.DATE),
        ("mmm", Kind.DATE),
        ("dd.mm.yyyy hh:mm", Kind.DATE_TIME),
        ("m/d/yy h:mm AM/PM", Kind.DATE_TIME),
        ("h:mm AM/PM", Kind.TIME),
        ("mm:ss.0", Kind.TIME),
        ("[h]:mm:ss", Kind.ELAPSED),
        ("[mm]:ss", Kind.ELAPSED),
    ],
)
def test_a_number_format_gives_the_type_of_a_number(code: str, kind: Kind) -> None:
    assert kind_of(code) is kind


def test_dates_of_both_epochs() -> None:
    assert moment("60", Kind.DATE, False) == "1900-02-29"  # as Excel shows it
    assert moment("1", Kind.DATE, False) == "1900-01-01"
    assert moment("61", Kind.DATE, False) == "1900-03-01"
    assert moment("0", Kind.DATE, True) == "1904-01-01"
    assert moment("2958465", Kind.DATE, False) == "9999-12-31"
    assert moment("2958466", Kind.DATE, False) == "2958466"
    assert moment("-1", Kind.DATE, False) == "-1"
    assert moment("0.5", Kind.TIME, False) == "12:00:00"
    assert moment("45000.5", Kind.TIME, False) == "2023-03-15T12:00:00"
    assert moment("1.75", Kind.ELAPSED, False) == "42:00:00"
    assert moment("0.99999999999", Kind.DATE_TIME, False) == "1900-01-01T00:00:00"


@given(
    st.datetimes(min_value=datetime(1900, 3, 1), max_value=datetime(9999, 12, 31)), st.booleans()
)
def test_dates_equal_those_of_openpyxl(value: datetime, is_1904: bool) -> None:
    from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900, to_excel

    if is_1904 and value < datetime(1904, 1, 2):
        return
    value = value.replace(microsecond=value.microsecond // 1000 * 1000)
    epoch = CALENDAR_MAC_1904 if is_1904 else CALENDAR_WINDOWS_1900
    text = moment(repr(to_excel(value, epoch)), Kind.DATE_TIME, is_1904)
    assert datetime.fromisoformat(text) == value


# ---------------------------------------------------------------------- workbooks

TEXTS = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufffe\uffff")
    | st.sampled_from('\n\t,"; _x000D_='),
    max_size=20,
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**15), 10**15),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    TEXTS,
    st.dates(date(1900, 3, 1)),
    st.datetimes(datetime(1900, 3, 1)).map(lambda value: value.replace(microsecond=0)),
    st.times().map(lambda value: value.replace(microsecond=0)),
)


def as_text(value: Any) -> str:
    """Return the expected text of a value, by its type."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)


def is_same(value: Any, text: str) -> bool:
    if isinstance(value, float):
        return float(text) == float(f"{value:.16g}")  # the digits that both programs write
    return text == as_text(value)


def by_xlsxwriter(rows: list[list[Any]], **options: Any) -> bytes:
    def fill(book: Any) -> None:
        sheet = book.add_worksheet()
        formats = {
            date: book.add_format({"num_format": "yyyy-mm-dd"}),
            datetime: book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}),
            time: book.add_format({"num_format": "hh:mm:ss"}),
        }
        for row, values in enumerate(rows):
            for column, value in enumerate(values):
                if type(value) in formats:
                    sheet.write_datetime(row, column, value, formats[type(value)])
                elif isinstance(value, str):
                    sheet.write_string(row, column, value)
                elif value is not None:
                    sheet.write(row, column, value)

    return written(fill, **options)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.lists(VALUES, min_size=1, max_size=6), min_size=1, max_size=12),
    st.fixed_dictionaries({"constant_memory": st.booleans(), "date_1904": st.booleans()}),
)
def test_random_sheets_of_xlsxwriter_round_trip(
    rows: list[list[Any]], options: dict[str, bool]
) -> None:
    if options["date_1904"]:
        rows = [[None if isinstance(v, date) and v.year < 1905 else v for v in row] for row in rows]
    text, sheet = read(by_xlsxwriter(rows, **options))
    compare(rows, text, sheet)


def compare(rows: list[list[Any]], text: str, sheet: Sheet) -> None:
    """Return each row that is not blank, by its position."""
    lines = iter(text.split("\r\n"))
    filled = [(n, row) for n, row in enumerate(rows, 1) if any(v not in (None, "") for v in row)]
    found = cells(text)
    assert len(found) == len(filled)
    first = min(
        (column for _, row in filled for column, v in enumerate(row) if v not in (None, "")),
        default=0,
    )
    line = 1
    for (number_, row), texts in zip(filled, found, strict=True):
        while next(lines) == "":
            line += 1
        assert sheet.places.at(line, 0).endswith(f"{number_}")
        line += 1
        expected = row[first:]
        for column, value in enumerate(texts):
            if column < len(expected):
                assert is_same(expected[column], value), (expected[column], value)
            else:
                assert value == ""


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(VALUES, min_size=1, max_size=6), min_size=1, max_size=12))
def test_random_sheets_of_openpyxl_round_trip(rows: list[list[Any]]) -> None:
    book = openpyxl.Workbook()
    try:
        for row in rows:
            # Texts that begin with `=` would be formulas.
            book.active.append([None if isinstance(v, str) and v[:1] == "=" else v for v in row])
    except openpyxl.utils.exceptions.IllegalCharacterError:
        return
    out = io.BytesIO()
    book.save(out)
    rows = [[None if isinstance(v, str) and v[:1] == "=" else v for v in row] for row in rows]
    text, sheet = read(out.getvalue())
    compare(rows, text, sheet)


def by_the_parser_alone(data: bytes) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xlsx, "plain_tokens", lambda rows: None)
        return read(data)[0]


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.lists(VALUES, min_size=1, max_size=6), min_size=1, max_size=12),
    st.fixed_dictionaries({"constant_memory": st.booleans()}),
)
def test_the_fast_path_for_usual_rows_agrees_with_the_parser(
    rows: list[list[Any]], options: dict[str, bool]
) -> None:
    data = by_xlsxwriter(rows, **options)
    assert read(data)[0] == by_the_parser_alone(data)


ODD_ROWS = [
    '<row r="1"><c r="A1" t="str"><f>B1</f><v/></c><c r="B1"><f>1</f><v/></c></row>',
    '<row r="1"><c r="A1"><!-- x --><v>1</v></c></row>',
    '<row r="1" spans="1:2"/><row r="3"><c r="B3"><v> 7 </v></c><c r="A3"><v>1</v></c></row>',
    '<row><c><v>1</v></c><c t="inlineStr"><is><r><t>a&#65;</t></r><r><t>&amp;</t></r></is></c></row>',
    '<row r="1"><c r="A1" t="inlineStr"><is><t xml:space="preserve"> &lt;b&gt; &amp;amp; </t></is></c></row>',
    '<row r="1"><c r="A1"><f t="shared" ref="A1:A2" si="0">B1&amp;"x"</f></c><c r="B1"><f t="shared" si="0"/></c></row>',
    '<row r="1" ht="15"><c r="A1" s="0" t="b"><v>1</v></c><c r="C1" t="e"><v>#N/A</v></c></row>\n',
    '<row r="1"><c r="A1" t="str"><f>B1</f><v>x\r\ny</v></c></row>',
    '<row r="1"><c r="A1"><v><![CDATA[5]]></v></c></row>',
    '<row r="1"><c r="A1" cm="1"><v>5</v></c></row>',
]


@pytest.mark.parametrize("rows", ODD_ROWS)
def test_unusual_rows_are_left_to_the_parser(rows: str) -> None:
    data = with_sheet(f"{SHEET}{rows}</sheetData></worksheet>".encode())
    assert read(data)[0] == by_the_parser_alone(data) != ""


def test_sheets_in_other_encodings_are_left_to_the_parser() -> None:
    row = '<row r="1"><c r="A1" t="str"><v>\xc3\xa9</v></c></row></sheetData></worksheet>'
    for encoding in ("iso-8859-1", "utf-16"):
        text = f"<?xml version='1.0' encoding='{encoding}'?>{SHEET}{row}"
        assert read(with_sheet(text.encode(encoding)))[0] == "\xc3\xa9\r\n"


SHEET = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'


def with_sheet(sheet: bytes) -> bytes:
    """A workbook with this XML as its sheet."""
    template = io.BytesIO(written(lambda book: book.add_worksheet().write(0, 0, 1)))
    out = io.BytesIO()
    with zipfile.ZipFile(template) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            new.writestr(info, sheet if "sheet1" in info.filename else data)
    return out.getvalue()


def test_formulas_have_their_cached_value_or_a_mark() -> None:
    def fill(book: Any) -> None:
        sheet = book.add_worksheet()
        sheet.write_formula("A1", "=1+1", None, 2)
        sheet.write_formula("B1", '="a"&"b"', None, "ab")
        sheet.write_formula("C1", "=1/0", None, "#DIV/0!")
        sheet.write_formula("D1", "=TRUE()", None, True)

    assert cells(read(written(fill))[0]) == [["2", "ab", "\udcf8#DIV/0!", "TRUE"]]
    book = openpyxl.Workbook()  # which computes nothing
    book.active["A1"], book.active["B1"] = "=SUM(B1:C1)", "#N/A"
    out = io.BytesIO()
    book.save(out)
    assert cells(read(out.getvalue())[0]) == [["\udcf9=SUM(B1:C1)", "\udcf8#N/A"]]


def test_text_that_looks_like_another_type_stays_text() -> None:
    texts = ["007", "1e5", "TRUE", "#N/A", "2024-01-01", " x ", "_x000D_", "a_x0041_", "\U0001f600"]

    def fill(book: Any) -> None:
        sheet = book.add_worksheet()
        for column, text in enumerate(texts):
            sheet.write_string(0, column, text)
        sheet.write_rich_string(0, len(texts), "ri", book.add_format({"bold": True}), "ch")

    assert cells(read(written(fill))[0]) == [[*texts, "rich"]]
    assert cells(read(written(fill, constant_memory=True))[0]) == [[*texts, "rich"]]


def test_rounding_by_a_spreadsheet_is_noted() -> None:
    def fill(book: Any) -> None:
        sheet = book.add_worksheet("Cards")
        sheet.write_number("B2", 1234567890123456.0)
        sheet.write_number("B3", 4.2e18)
        sheet.write_number("B4", 123456789012345)

    text, sheet = read(written(fill))
    assert text == "1234567890123456\r\n4200000000000000000\r\n123456789012345\r\n"
    (note,) = sheet.report()["notes"]
    assert (note["cells"], note["first"]) == (2, "Cards!B2")


def test_blank_rows_merged_cells_and_hidden_rows() -> None:
    def fill(book: Any) -> None:
        sheet = book.add_worksheet()
        sheet.merge_range("A1:B1", "merged")
        sheet.write_row("A5", ["x", "y"])
        sheet.write_row("A1000", ["z", "z"])
        sheet.set_row(999, None, None, {"hidden": True})

    text, sheet = read(written(fill))
    assert text == "merged,\r\n\r\n\r\n\r\nx,y\r\n\r\nz,z\r\n"
    assert sheet.places.at(5, 1) == "Sheet1!B5"
    assert sheet.places.at(7, None) == "Sheet1!1000:1000"


def test_a_table_begins_at_its_first_column_even_if_a_cell_far_below_is_left_of_it() -> None:
    def fill(book: Any, also: bool = False) -> None:
        sheet = book.add_worksheet()
        for row in range(2, 2002):
            sheet.write_row(row, 3, [row, "x"])
        if also:
            sheet.write(1999, 1, "left")

    assert read(written(fill))[0].startswith("2,x\r\n")
    text, sheet = read(written(lambda book: fill(book, True)))
    assert text.startswith(",,2,x\r\n")
    assert "left,,1999,x\r\n" in text
    assert sheet.places.at(1, 0) == "Sheet1!B3"


def test_line_ends_within_cells_do_not_shift_the_locations_of_rows() -> None:
    book = openpyxl.Workbook()
    for value in ("a\r\nb", "c", "d\ne", "f"):
        book.active.append([value, 1])
    out = io.BytesIO()
    book.save(out)
    text, sheet = read(out.getvalue())
    starts = [text[: text.index(f"{first}")].count("\r\n") + 1 for first in "acdf"]
    assert [sheet.places.at(line, 0) for line in starts] == [f"Sheet!A{row}" for row in range(1, 5)]


def test_locations_are_written_as_in_spreadsheets() -> None:
    places = SheetPlaces("It's", 25, [(1, 3), (10, 100)])
    assert places.at(2, 0) == "'It''s'!Z4"
    assert places.at(9, 1) == "'It''s'!AA11"
    assert places.at(12, None) == "'It''s'!102:102"
    assert SheetPlaces("A1", 0, [(1, 1)]).at(1, 16383) == "'A1'!XFD1"


def test_a_dtd_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(
            "xl/workbook.xml", '<!DOCTYPE a [<!ENTITY b "c">]><workbook>&b;</workbook>'
        )
    with pytest.raises(Damaged, match="document type"):
        read(out.getvalue())


def test_the_available_sheets_are_named() -> None:
    def fill(book: Any) -> None:
        for name in ("A", "B"):
            book.add_worksheet(name).write(0, 0, 1)

    with pytest.raises(NoSheet, match="`A`, `B`"):
        read(written(fill))
