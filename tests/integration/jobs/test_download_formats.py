"""Downloads in every format: the same rows for readers that we did not write, a corrected workbook that
comes back, and files that would not fit are refused before the first byte.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import openpyxl
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.errors import RowsGone
from app.features.files import exports
from app.features.files.archive import Archives, Wanted
from app.jobs.users import LOCAL_OWNER
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


def unpacked(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_an_archive_has_everything_of_a_job(api: EngineApi) -> None:
    file_id = api.upload(gzip.compress(ROWS), name="../of/ten.csv.gz")["file_id"]
    api.finished(file_id)
    answer = api.client.get(f"/api/v1/files/{file_id}/archive")
    assert answer.headers["Granula-Complete"] == "true"
    assert answer.headers["Content-Type"] == "application/zip"
    files = unpacked(answer.content)
    for what in ("results", "rejects"):
        alone = api.client.get(f"/api/v1/{what}/{file_id}/download")
        assert files[f"{what}.csv"] == alone.content
    (original,) = (name for name in files if name.startswith("original/"))
    assert files[original] == ROWS
    assert ".." not in original
    assert json.loads(files["proof.json"])["closes"]
    assert json.loads(files["status.json"])["counts"]["rejected"] == 8
    contents = json.loads(files.pop("contents.json"))
    assert contents["complete"]
    assert contents["left_out"] == []
    assert {entry["name"]: entry["sha256"] for entry in contents["files"]} == {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items()
    }


@pytest.mark.one_database
def test_an_archive_says_what_is_left_out(engine: Engine, api: EngineApi) -> None:
    file_id = api.upload(ROWS)["file_id"]
    api.finished(file_id)
    for path in engine.storage.rglob("*"):
        if path.is_file() and path.stat().st_size == len(ROWS):
            path.unlink()
    answer = api.client.get(f"/api/v1/files/{file_id}/archive?format=parquet")
    files = unpacked(answer.content)
    contents = json.loads(files["contents.json"])
    assert not contents["complete"]
    assert [entry["name"] for entry in contents["left_out"]] == ["original"]
    assert polars.read_parquet(io.BytesIO(files["results.parquet"])).height == len(GOOD)


@pytest.mark.one_database
def test_an_archive_that_breaks_off_cannot_be_opened(
    engine: Engine, api: EngineApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = api.upload(ROWS)["file_id"]
    api.finished(file_id)

    async def gone(*_: Any) -> None:
        raise RowsGone("They are gone.")

    monkeypatch.setattr("app.features.files.archive.proof.prove", gone)
    received: list[bytes] = []
    services = engine.services

    async def receive() -> None:
        identifier = UUID(file_id)
        export = await exports.begin(
            services.database, services.destinations, identifier, LOCAL_OWNER, partial=False
        )
        archives = Archives(
            services.database, services.destinations, services.sources, services.statuses
        )
        wanted = Wanted(identifier, LOCAL_OWNER, "csv", True)
        async for piece in archives.pieces(export, wanted):
            received.extend((piece,))

    with pytest.raises(RowsGone):
        engine.run(receive())
    data = b"".join(received)
    assert b"results.csv" in data
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(data))


def read(api: EngineApi, file_id: str, format: str, **params: Any) -> pa.Table:
    answer = api.client.get(
        f"/api/v1/results/{file_id}/download", params={"format": format, **params}
    )
    if format == "arrow":
        return pa.ipc.open_stream(answer.content).read_all()
    return pq.read_table(io.BytesIO(answer.content))


def test_an_analysis_gives_columns_their_types(api: EngineApi) -> None:
    rows = b"".join(b"0%d,%d.25,2024-01-0%d,t%d\n" % (n, n, n, n) for n in range(1, 10))
    file_id = api.upload(b"code,amount,day,text\n" + rows)["file_id"]
    api.finished(file_id)
    assert set(read(api, file_id, "parquet").schema.types) == {pa.string()}
    analysis = api.client.post("/api/v1/jobs/analyze", json={"file_id": file_id})
    assert analysis.is_success, analysis.text
    api.finished(analysis.json()["job_id"])
    for format in ("parquet", "arrow"):
        table = read(api, file_id, format)
        assert [str(kind) for kind in table.schema.types] == [
            "string",
            "decimal128(3, 2)",
            "date32[day]",
            "string",
        ]
        assert table.column("amount").to_pylist()[0] == Decimal("1.25")
    assert set(read(api, file_id, "parquet", typed=False).schema.types) == {pa.string()}


@pytest.mark.one_database
def test_a_columnar_file_comes_back_with_its_types(api: EngineApi) -> None:
    table = pa.table(
        {
            "id": [2**60, None, 3],
            "price": pa.array([Decimal("1.20"), None, Decimal("3.00")], pa.decimal128(3, 2)),
            "share": [0.1, 1.0, 1e300],
            "ok": [True, None, False],
            "at": pa.array([1, None, 10**15], pa.timestamp("us", "UTC")),
            "name": ["a", "", None],
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    file_id = api.upload(out.getvalue(), name="t.parquet")["file_id"]
    api.finished(file_id)
    again = read(api, file_id, "parquet")
    assert again.to_pylist() == table.to_pylist()
    assert again.schema.types == table.schema.types
