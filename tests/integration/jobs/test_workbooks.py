"""Workbooks as uploads: every row of a sheet is a result or a reject with its cell, and what cannot be
read is refused with a sentence.
"""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from app.decoders.spreadsheets import workbook
from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi

FIXTURES = Path(__file__).parents[2] / "unit" / "decoders"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def written(fill: Callable[[Any], None], **options: Any) -> bytes:
    """A workbook by XlsxWriter."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, options) as book:
        fill(book)
    return out.getvalue()


def orders(book: Any) -> None:
    """A title, a table from B4 on, and two cells without a value."""
    sheet = book.add_worksheet("Orders 2024")
    day = book.add_format({"num_format": "dd.mm.yyyy"})
    sheet.write("B2", "Orders of the first quarter")
    sheet.write_row("B4", ["id", "name", "amount", "day"])
    for n in range(1, 21):
        sheet.write_row(3 + n, 1, [n, f"00{n}", n / 4])
        sheet.write_datetime(3 + n, 4, datetime(2024, 1, n), day)
    sheet.write_formula("D10", "=NA()", None, "#N/A")
    sheet.write_formula("C12", '=IF(A1,"x,y",2)', None, "")


ORDERS = written(orders)


@pytest.fixture
def api(engine: Engine) -> Iterator[EngineApi]:
    engine.start(MAX_UPLOAD_MB=4)
    with engine.api() as api:
        yield api


def upload(api: EngineApi, data: bytes, **params: Any) -> dict[str, Any]:
    return api.upload(data, name="orders.xlsx", type=XLSX, **params)


def test_a_sheet_becomes_rows_and_rejects_with_their_cells(api: EngineApi) -> None:
    answer = upload(api, ORDERS)
    assert answer["decoding"] == [{"decoder": "xlsx", "sheet": "Orders 2024", "sheets": 1}]
    assert answer["columns"] == ["id", "name", "amount", "day"]
    status = api.finished(answer["file_id"])
    assert status["counts"] == {"loaded": 18, "rejected": 2, "failed": 0, "not_processed": 0}
    rows = dict(api.rows(answer["file_id"]))
    assert rows[1] == ["1", "001", "0.25", "2024-01-01"]
    assert rows[20] == ["20", "0020", "5", "2024-01-20"]
    error, formula = api.rejects(answer["file_id"])
    assert (error["place"], error["code"]) == ("'Orders 2024'!D10", "cell_error")
    assert (error["column"], error["value"], error["row_number"]) == ("amount", "#N/A", 6)
    assert error["raw"] == "6,006,#N/A,2024-01-06"
    assert (formula["place"], formula["code"]) == ("'Orders 2024'!C12", "formula_without_value")
    assert (formula["column"], formula["value"]) == ("name", '=IF(A1,"x,y",2)')
    assert api.proof(answer["file_id"])["closes"]


def test_a_workbook_cannot_be_read_again_without_stored_bytes(api: EngineApi) -> None:
    book = upload(api, ORDERS)
    refused = api.client.post(f"/api/v1/read-again?file_id={book['file_id']}")
    assert "xlsx" in assert_problem(refused, 409, "stored_bytes_gone")["detail"]


def test_only_the_rejects_are_corrected(api: EngineApi) -> None:
    file_id = upload(api, ORDERS)["file_id"]
    api.finished(file_id)
    download = api.client.get(f"/api/v1/rejects/{file_id}/download")
    rows = list(csv.DictReader(io.StringIO(download.text)))
    assert [row["_place"] for row in rows] == ["'Orders 2024'!D10", "'Orders 2024'!C12"]
    assert [row["amount"] for row in rows] == ["#N/A", "2"]
    rows[0]["amount"], rows[1]["name"] = "1.5", "008"
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    sent = api.client.post(
        f"/api/v1/files/{file_id}/corrections",
        content=out.getvalue(),
        headers={"Content-Type": "text/csv"},
    )
    assert sent.status_code == 202, sent.text
    api.finished(sent.json()["file_id"])
    assert api.status(file_id)["counts"]["loaded"] == 20
    assert dict(api.rows(file_id))[6] == ["6", "006", "1.5", "2024-01-06"]
    assert api.proof(file_id)["closes"]


@pytest.mark.one_database
def test_a_workbook_is_accepted_on_every_endpoint(api: EngineApi) -> None:
    raw = api.client.post(
        "/api/v1/upload", content=gzip.compress(ORDERS), headers={"Content-Encoding": "gzip"}
    )
    assert [step["decoder"] for step in raw.json()["decoding"]] == ["gzip", "xlsx"]
    created = api.client.post(
        "/api/v1/uploads",
        content=ORDERS,
        headers={
            "Tus-Resumable": "1.0.0",
            "Upload-Length": str(len(ORDERS)),
            "Content-Type": "application/offset+octet-stream",
            "Upload-Metadata": "sheet MQ==",
        },
    )
    assert created.status_code == 201, created.text
    resumable = created.headers["Granula-File-Id"]
    for file_id in (raw.json()["file_id"], resumable):
        assert api.finished(file_id)["rows"]["total"] == 20


def several(book: Any) -> None:
    for name in ("First", "Second", "Blank", "Hidden"):
        sheet = book.add_worksheet(name)
        if name != "Blank":
            sheet.write_row(0, 0, ["sheet", "n"])
            sheet.write_row(1, 0, [name, 1])
        if name == "Hidden":
            sheet.hide()


@pytest.mark.one_database
def test_a_sheet_is_chosen_by_name_or_number(api: EngineApi) -> None:
    data = written(several)
    for wanted, name in (("Second", "Second"), ("second", "Second"), ("4", "Hidden")):
        answer = upload(api, data, sheet=wanted)
        assert answer["decoding"][0]["sheet"] == name
        assert answer["decoding"][0]["hidden_sheets"] == ["Hidden"]
        api.finished(answer["file_id"])
        assert api.rows(answer["file_id"]) == [(1, [name, "1"])]
    # The same bytes, read in another way, are another file.
    first = upload(api, data, sheet="First", on_duplicate="existing")
    again = upload(api, data, sheet="1", on_duplicate="existing")
    other = upload(api, data, sheet="Second", on_duplicate="existing")
    assert first["file_id"] == again["file_id"] != other["file_id"]
    refused = api.client.post("/api/v1/upload", params={"sheet": "x"}, content=data)
    assert "no sheet 'x'" in assert_problem(refused, 422, "sheet_not_found")["detail"]
    # A batch is one list of texts.
    refused = api.client.post("/batch/upload", files={"file": ("a.csv", data, "text/csv")})
    assert "2 sheets with rows: `First`, `Second`" in refused.text


def test_each_sheet_with_rows_is_a_part(api: EngineApi) -> None:
    def fill(book: Any) -> None:
        several(book)
        sheet = book.add_worksheet("Broken")
        sheet.write_row(0, 0, ["a", "b"])
        sheet.write_formula(1, 0, "=NA()", None, "#N/A")

    data = written(fill)
    answer = upload(api, data, on_duplicate="existing")
    assert (answer["format"], answer["status"]) == ("objects", "processing")
    status = api.finished(answer["file_id"])
    assert status["status"] == "completed_with_errors"
    assert status["counts"] == {"loaded": 2, "rejected": 1, "failed": 0, "not_processed": 0}
    assert status["parts"]["total"] == len(answer["parts"]) == 3
    assert api.proof(answer["file_id"])["closes"]
    first, second, broken = answer["parts"]
    for part, name in ((first, "First"), (second, "Second")):
        assert api.rows(part) == [(1, [name, "1"])]
        assert api.status(part)["filename"] == f"orders.xlsx#{name}"
        assert api.status(part)["decoding"][0]["sheet"] == name
    assert [reject["place"] for reject in api.rejects(broken)] == ["Broken!A2"]
    again = upload(api, data, on_duplicate="existing")
    assert again["file_id"] == answer["file_id"]
    assert api.client.delete(f"/api/v1/files/{answer['file_id']}").is_success
    assert api.client.get(f"/api/v1/status/{first}").status_code == 404


@pytest.mark.one_database
def test_a_sheet_that_cannot_be_read_is_a_failed_part(api: EngineApi) -> None:
    def fill(book: Any) -> None:
        several(book)
        book.add_worksheet("Wide").write_row(0, 0, ["x" * 2_000, "y"])

    answer = upload(api, written(fill))
    status = api.finished(answer["file_id"])
    assert status["parts"]["failed"] == 1
    assert [error["filename"] for error in status["errors"]] == ["orders.xlsx#Wide"]
    assert status["errors"][0]["error"]["code"] == "bad_header"
    assert status["counts"]["loaded"] == 2


def without(data: bytes, *names: str, **replaced: bytes) -> bytes:
    """The archive without some members, and with others in the place of some."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            if info.filename not in names:
                key = info.filename.rpartition("/")[2].partition(".")[0]
                new.writestr(info, replaced.get(key, old.read(info)), zipfile.ZIP_DEFLATED)
    return out.getvalue()


SHEET = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + SHEET
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
BAD = {
    "a password": (
        OLE + bytes(1000) + "EncryptedPackage".encode("utf-16-le") + bytes(1000),
        422,
        "encrypted_workbook",
    ),
    "truncated": (ORDERS[:-300], 422, "corrupt_workbook"),
    "a sheet missing": (without(ORDERS, "xl/worksheets/sheet1.xml"), 422, "corrupt_workbook"),
    "XML cut off": (
        without(ORDERS, sheet1=SHEET + b"<row r='1'><c r='A1'>"),
        422,
        "corrupt_workbook",
    ),
    "entities": (without(ORDERS, sheet1=LAUGHS), 422, "corrupt_workbook"),
    "rows backwards": (
        without(ORDERS, sheet1=SHEET + b'<row r="2"/><row r="1"/></sheetData></worksheet>'),
        422,
        "corrupt_workbook",
    ),
    "a text that is not there": (
        without(
            ORDERS, sheet1=SHEET + b'<row><c t="s"><v>99999</v></c></row></sheetData></worksheet>'
        ),
        422,
        "corrupt_workbook",
    ),
    "a column beyond XFD": (
        without(
            ORDERS, sheet1=SHEET + b'<row><c r="XFE1"><v>1</v></c></row></sheetData></worksheet>'
        ),
        422,
        "corrupt_workbook",
    ),
    "no workbook": (without(ORDERS, "[Content_Types].xml"), 415, "content_mismatch"),
    "nothing in it": (
        without(ORDERS, sheet1=SHEET + b"</sheetData></worksheet>"),
        422,
        "empty_file",
    ),
}


@pytest.mark.one_database
def test_bad_workbooks_are_refused_and_removed(engine: Engine, api: EngineApi) -> None:
    for what, (data, status, code) in BAD.items():
        answer = api.client.post("/api/v1/upload", content=data)
        assert answer.status_code == status, (what, answer.text)
        assert_problem(answer, status, code)
    damaged = 0
    for place in range(30, len(ORDERS), len(ORDERS) // 40):
        data = ORDERS[:place] + bytes([ORDERS[place] ^ 0x55]) + ORDERS[place + 1 :]
        answer = api.client.post("/api/v1/upload", content=data)
        assert answer.status_code in (201, 415, 422), answer.text
        damaged += answer.status_code != 201
        if answer.status_code == 201:
            api.finished(answer.json()["file_id"])
            assert api.client.delete(f"/api/v1/files/{answer.json()['file_id']}").is_success
    assert damaged > 10


@pytest.mark.one_database
def test_binary_workbooks_have_the_same_rows_and_rejects(api: EngineApi) -> None:
    rows = []
    for ending in ("xls", "xlsb"):
        data = (FIXTURES / f"orders.{ending}").read_bytes()
        answer = api.upload(data, name=f"orders.{ending}", type="application/vnd.ms-excel")
        step = {"decoder": ending, "sheet": "Orders", "sheets": 2, "hidden_sheets": ["Hidden"]}
        assert answer["decoding"] == [step]
        api.finished(answer["file_id"])
        places = [reject["place"] for reject in api.rejects(answer["file_id"])]
        assert places == ["Orders!C11", "Orders!C13"]
        rows.append(api.rows(answer["file_id"]))
    assert rows[0] == rows[1]
    assert len(rows[0]) == 28


@pytest.mark.one_database
def test_a_single_distant_cell_is_a_row(api: EngineApi) -> None:
    def fill(book: Any) -> None:
        sheet = book.add_worksheet("Far")
        sheet.write("A1", "near")
        sheet.write("XFD1048576", "far")

    answer = upload(api, written(fill), header_rows=0)
    api.finished(answer["file_id"])
    assert api.status(answer["file_id"])["rows"]["total"] == 2


@pytest.mark.one_database
def test_a_bomb_ends_only_its_own_process(engine: Engine) -> None:
    engine.start(SPREADSHEET_MEMORY_MB=64)
    texts = b"<sst>" + b"<si><t>" + b"x" * 1000 + b"</t></si>"
    bomb = without(ORDERS, sharedStrings=texts * 1 + texts[5:] * 300_000 + b"</sst>")
    with engine.api() as api:
        assert_problem(api.client.post("/api/v1/upload", content=bomb), 413, "workbook_too_large")
        assert upload(api, ORDERS)["decoding"]


@pytest.mark.one_database
def test_a_process_that_dies_or_hangs_is_reported(
    api: EngineApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    for script in ("import os; os.kill(os.getpid(), 9)", "import sys; sys.stdout.write('D')"):
        monkeypatch.setattr(workbook, "PROGRAM", ("-c", script))
        answer = api.client.post("/api/v1/upload", content=ORDERS)
        assert "ended" in assert_problem(answer, 413, "workbook_too_large")["detail"]


@pytest.mark.one_database
def test_a_process_that_hangs_is_ended(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.start(SPREADSHEET_SECONDS=0.5)
    monkeypatch.setattr(workbook, "PROGRAM", ("-c", "import time; time.sleep(600)"))
    with engine.api() as api:
        answer = api.client.post("/api/v1/upload", content=ORDERS)
        assert "no row for 0.5 s" in assert_problem(answer, 413, "workbook_too_large")["detail"]
