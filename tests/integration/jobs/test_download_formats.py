"""Downloads in every format: the same rows for readers that we did not write, a corrected workbook that
comes back, and files that would not fit are refused before the first byte.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import openpyxl
import polars
import pyarrow as pa
import pytest

from app.features.files import exports
from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi

ROWS = b"id,name,amount\n" + b"".join(
    b'%03d,"=n%d",%d.5\n' % (n, n, n) if n % 5 else b"%03d,short\n" % n for n in range(1, 41)
)
GOOD = [[f"{n:03}", f"=n{n}", f"{n}.5"] for n in range(1, 41) if n % 5]
FORMATS = ("csv", "jsonl", "parquet", "arrow", "xlsx")


@pytest.fixture
def api(engine: Engine) -> Iterator[EngineApi]:
    engine.start()
    with engine.api() as api:
        yield api


def download(api: EngineApi, what: str, file_id: str, format: str, **params: Any) -> list[Any]:
    """All rows below the header, by another reader, and the header."""
    answer = api.client.get(
        f"/api/v1/{what}/{file_id}/download", params={"format": format, **params}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["Granula-Complete"] == "true"
    assert f".{what}.{format}" in answer.headers["Content-Disposition"]
    if format == "csv":
        return list(csv.reader(io.StringIO(answer.text)))
    if format == "jsonl":
        lines = [json.loads(line) for line in answer.text.splitlines()]
        return [list(lines[0]), *(list(line.values()) for line in lines)]
    if format == "xlsx":
        book = openpyxl.load_workbook(io.BytesIO(answer.content), read_only=True)
        return [[cell or "" for cell in row] for row in book.active.iter_rows(values_only=True)]
    frame = (
        polars.read_parquet(io.BytesIO(answer.content))
        if format == "parquet"
        else polars.from_arrow(pa.ipc.open_stream(answer.content).read_all())
    )
    return [frame.columns, *([cell or "" for cell in row] for row in frame.rows())]


def test_results_and_rejects_are_the_same_in_every_format(api: EngineApi) -> None:
    file_id = api.upload(ROWS)["file_id"]
    api.finished(file_id)
    for format in FORMATS:
        rows = download(api, "results", file_id, format, formula_guard=False)
        assert rows == [["id", "name", "amount"], *GOOD], format
    rejects = [download(api, "rejects", file_id, format) for format in FORMATS]
    assert len(rejects[0]) == 9
    assert all(rows == rejects[0] for rows in rejects)
    assert rejects[0][1][:5] == ["005", "short", "", "5", "6"]


def test_rejects_come_back_as_a_corrected_workbook(api: EngineApi) -> None:
    file_id = api.upload(b"a,b\n=1,2\n=2\n'=3,x,y\n")["file_id"]
    api.finished(file_id)
    answer = api.client.get(f"/api/v1/rejects/{file_id}/download?format=xlsx")
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    sheet = book.active
    assert [row[0] for row in sheet.values] == ["a", "'=2", "''=3"]
    assert all(cell.data_type in "sn" for row in sheet.iter_rows() for cell in row)
    sheet["B2"], sheet["B3"] = "two", "three"
    out = io.BytesIO()
    book.save(out)
    sent = api.client.post(f"/api/v1/files/{file_id}/corrections", content=out.getvalue())
    assert sent.status_code == 202, sent.text
    api.finished(sent.json()["file_id"])
    assert [row for _, row in api.rows(file_id)] == [["=1", "2"], ["=2", "two"], ["'=3", "three"]]
    assert api.proof(file_id)["closes"]


@pytest.mark.one_database
def test_what_no_sheet_holds_is_refused_before_the_first_byte(
    api: EngineApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = api.upload(b"a\n" + b"x" * 32_768 + b"\n\xff" + b"y" * 40_000 + b"\n")["file_id"]
    api.finished(long)
    for what in ("results", "rejects"):
        refused = api.client.get(f"/api/v1/{what}/{long}/download?format=xlsx")
        detail = assert_problem(refused, 422, "cell_too_long")["detail"]
        assert "a worksheet holds 32767" in detail
    monkeypatch.setattr(exports, "MAX_ROWS", 2)
    many = api.upload(b"a,b\n1,1\n2,2\n3,3\n4\n5\n6\n")["file_id"]
    api.finished(many)
    for what in ("results", "rejects"):
        refused = api.client.get(f"/api/v1/{what}/{many}/download?format=xlsx")
        assert "3 " in assert_problem(refused, 422, "too_many_rows")["detail"]
