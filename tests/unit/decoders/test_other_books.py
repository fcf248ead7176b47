"""Workbooks that are not .xlsx. The fixtures are by xlwt (.xls) and pyxlsbwriter (.xlsb); the two
errors of the latter, which it cannot write, were put into its records.
"""

from __future__ import annotations

import csv
import io
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odf.opendocument import OpenDocumentSpreadsheet
from odf.style import Style, TableProperties
from odf.table import CoveredTableCell, Table, TableCell, TableRow
from odf.text import P

from app.decoders.spreadsheets.book import Sheet, chosen, open_book
from app.decoders.unreadable import Unreadable

HERE = Path(__file__).parent
FIXTURES = [HERE / "orders.xls", HERE / "orders.xlsb"]


def read(data: bytes, wanted: str | None = None) -> tuple[str, Sheet]:
    _, book = open_book(io.BytesIO(data))
    sheet = Sheet(book, chosen(book, wanted)[0])
    return "".join(sheet.pieces()), sheet


def cells(text: str) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(text, newline="")) if row]


def orders() -> list[list[str]]:
    rows = [["id", "name", "amount", "day", "moment", "ok"]]
    errors = {10: "\udcf8#N/A", 12: "\udcf8#DIV/0!"}
    for n in range(1, 31):
        amount = errors.get(n, f"{n / 4:g}")
        day = f"2024-01-{n:02}"
        rows.append([str(n), f"00{n}", amount, day, f"{day}T13:05:06", str(n % 2 == 0).upper()])
    return rows


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.suffix)
def test_binary_workbooks_have_the_same_rows_and_their_errors(path: Path) -> None:
    kind, book = open_book(io.BytesIO(path.read_bytes()))
    assert f".{kind}" == path.suffix
    assert book.sheets == [("Orders", True), ("Hidden", False)]
    text, sheet = read(path.read_bytes())
    assert cells(text) == orders()
    assert sheet.places.at(11, 2) == "Orders!C11"
    assert cells(read(path.read_bytes(), "Hidden")[0]) == [["x"]]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.suffix)
def test_damaged_binary_workbooks_are_refused_or_read(path: Path) -> None:
    data = path.read_bytes()
    refused = 0
    for place in range(0, len(data), len(data) // 60):
        for broken in (data[:place], data[:place] + b"\xff\xff" + data[place + 2 :]):
            try:
                read(broken)
            except Unreadable:
                refused += 1
    assert refused > 30


# ---------------------------------------------------------------------- .ods


def document(*tables: Any) -> bytes:
    book = OpenDocumentSpreadsheet()
    style = Style(name="hidden", family="table")
    style.addElement(TableProperties(display="false"))
    book.automaticstyles.addElement(style)
    for table in tables:
        book.spreadsheet.addElement(table)
    out = io.BytesIO()
    book.write(out)
    return out.getvalue()


def table(rows: list[list[Any]], name: str = "Orders", **attributes: Any) -> Any:
    made = Table(name=name, **attributes)
    for row in rows:
        line = TableRow()
        for cell in row:
            line.addElement(cell if hasattr(cell, "addElement") else ods_cell(cell))
        made.addElement(line)
    return made


def ods_cell(value: Any) -> Any:
    """A cell in the form of odfpy."""
    if value is None:
        return TableCell()
    if isinstance(value, bool):
        return TableCell(valuetype="boolean", booleanvalue="true" if value else "false")
    if isinstance(value, int | float):
        return TableCell(valuetype="float", value=repr(value))
    if isinstance(value, datetime | date):
        return TableCell(valuetype="date", datevalue=value.isoformat())
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        text = f"PT{seconds // 3600}H{seconds // 60 % 60}M{seconds % 60}S"
        return TableCell(valuetype="time", timevalue=text)
    cell = TableCell(valuetype="string")
    for line in value.split("\n"):
        cell.addElement(P(text=line))
    return cell


def as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return str(value)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**15), 10**15),
    st.floats(-1e9, 1e9, allow_nan=False).filter(lambda x: abs(x) > 1e-3 and x != 0),
    st.text(st.characters(categories=["L", "N", "P"]) | st.sampled_from('\n,"'), max_size=12),
    st.dates(),
    st.datetimes().map(lambda value: value.replace(microsecond=0)),
    st.timedeltas(timedelta(0), timedelta(days=9)).map(lambda v: timedelta(seconds=v.seconds)),
)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(VALUES, min_size=1, max_size=6), min_size=1, max_size=10))
def test_random_sheets_of_odfpy_round_trip(rows: list[list[Any]]) -> None:
    found = cells(read(document(table(rows)))[0])
    texts = [[as_text(value) for value in row] for row in rows]
    filled = [row for row in texts if any(row)]
    first = min((next(i for i, cell in enumerate(row) if cell) for row in filled), default=0)
    assert [row[: len(row)] for row in found] == [
        (row[first:] + [""] * len(found[0]))[: len(found[0])] for row in filled
    ]


def test_repeated_covered_and_error_cells_and_formulas_without_a_value() -> None:
    error = TableCell(valuetype="string", formula="of:=NA()")
    error.setAttrNS(
        "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0",
        "value-type",
        "error",
    )
    error.addElement(P(text="#N/A"))
    rows: list[list[Any]] = [
        ["a", "b", "c", "d"],
        [TableCell(valuetype="float", value="7", numbercolumnsrepeated="2"), error],
        ["merged", CoveredTableCell(), TableCell(formula="of:=SUM([.A1])")],
        [TableCell(numbercolumnsrepeated="16384")],
    ]
    made = table(rows)
    repeated = TableRow(numberrowsrepeated="3")
    repeated.addElement(ods_cell("again"))
    made.addElement(repeated)
    blank = TableRow(numberrowsrepeated="1048000")
    blank.addElement(TableCell(numbercolumnsrepeated="16384"))
    made.addElement(blank)
    text, sheet = read(document(made))
    assert cells(text) == [
        ["a", "b", "c", "d"],
        ["7", "7", "\udcf8#N/A", ""],
        ["merged", "", "\udcf9=SUM([.A1])", ""],
        *[["again", "", "", ""]] * 3,
    ]
    assert sheet.places.at(7, 0) == "Orders!A7"


def test_hidden_tables_are_read_only_if_they_are_named() -> None:
    data = document(table([["x"]], "Hidden", stylename="hidden"), table([["y"]], "Seen"))
    assert read(data)[0] == "y\r\n"
    assert read(data, "Hidden")[0] == "x\r\n"


def test_too_many_rows_and_columns_are_refused() -> None:
    for attributes in (
        {"numbercolumnsrepeated": "16385"},
        {"numbercolumnsrepeated": "99999999999"},
    ):
        cell = TableCell(valuetype="float", value="1", **attributes)
        with pytest.raises(Unreadable):
            read(document(table([[cell]])))
    line = TableRow(numberrowsrepeated="1048577")
    line.addElement(ods_cell(1))
    far = Table(name="T")
    far.addElement(line)
    with pytest.raises(Unreadable):
        read(document(far))
