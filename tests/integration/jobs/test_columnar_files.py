"""Parquet, Arrow and ORC as uploads: every row is a result or a reject with its row group, and what
cannot be read is refused with a sentence.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest

from app.decoders.columnar import decoder
from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi

ORDERS = pa.table(
    {
        "id": pa.array([2**60 + n for n in range(40)]),
        "amount": pa.array([Decimal(n) / 4 for n in range(40)], pa.decimal128(12, 2)),
        "score": pa.array([float("nan") if n in (7, 25) else n / 2 for n in range(40)]),
        "at": pa.array([datetime(2024, 1, 2, 3, 4, n) for n in range(40)], pa.timestamp("us")),
        "tags": pa.array([None if n == 3 else [f"t{n}"] for n in range(40)]),
    }
)


def parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def arrow(table: pa.Table, new: Callable[..., Any] = pa.ipc.new_file, **options: Any) -> bytes:
    out = io.BytesIO()
    with new(out, table.schema) as writer:
        writer.write_table(table, **options)
    return out.getvalue()


def orc_file(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    orc.write_table(table, out, **options)
    return out.getvalue()


@pytest.fixture
def api(engine: Engine) -> Iterator[EngineApi]:
    engine.start(MAX_UPLOAD_MB=4)
    with engine.api() as api:
        yield api


def upload(api: EngineApi, data: bytes, **params: Any) -> dict[str, Any]:
    return api.upload(data, name="orders.bin", type="application/octet-stream", **params)


def test_a_row_is_a_result_or_a_reject_with_its_row_group(api: EngineApi) -> None:
    answer = upload(api, parquet(ORDERS, row_group_size=20))
    (step,) = answer["decoding"]
    assert (step["decoder"], step["rows"], step["row_groups"]) == ("parquet", 40, 2)
    assert step["types"]["amount"] == "decimal128(12, 2)"
    status = api.finished(answer["file_id"])
    assert status["counts"] == {"loaded": 38, "rejected": 2, "failed": 0, "not_processed": 0}
    assert status["columns"] == ORDERS.column_names
    assert dict(api.rows(answer["file_id"]))[4] == [
        2**60 + 3, 0.75, 1.5, "2024-01-02T03:04:03", None]  # fmt: skip
    first, second = api.rejects(answer["file_id"])
    assert (first["place"], second["place"]) == ("row group 1, row 8", "row group 2, row 6")
    assert (first["code"], first["column"]) == ("json_syntax", "score")
    assert "NaN" in first["message"]
    assert api.proof(answer["file_id"])["closes"]
    download = api.client.get(f"/api/v1/rejects/{answer['file_id']}/download")
    assert "row group 2, row 6" in download.text


@pytest.mark.one_database
def test_the_same_table_in_every_kind_of_file_is_the_same_rows(api: EngineApi) -> None:
    out = io.BytesIO()
    polars.from_arrow(ORDERS).write_parquet(out)
    ways = {
        "parquet": parquet(ORDERS),
        "a writer that we do not use": out.getvalue(),
        "file": arrow(ORDERS, max_chunksize=15),
        "stream": arrow(ORDERS, pa.ipc.new_stream),
        "orc": orc_file(ORDERS),
    }
    lines = {}
    for what, data in ways.items():
        answer = upload(api, data)
        api.finished(answer["file_id"])
        lines[what] = api.client.get(f"/api/v1/files/{answer['file_id']}/download").text
    assert len(set(lines.values())) == 1, lines
    rows = [json.loads(line, parse_float=Decimal) for line in lines["orc"].splitlines()[:7]]
    table = ORDERS.slice(0, 7)
    oracle = duckdb.connect().from_arrow(table).fetchall()
    for row, (identifier, amount, score, at, tags) in zip(rows, oracle, strict=True):
        assert (row["id"], row["amount"], row["tags"]) == (identifier, amount, tags)
        assert (float(row["score"]), datetime.fromisoformat(row["at"])) == (score, at)


@pytest.mark.one_database
def test_columns_and_rows_at_the_edges(api: EngineApi) -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    answer = upload(api, parquet(twice))
    api.finished(answer["file_id"])
    assert api.status(answer["file_id"])["columns"] == ["a", "a_2"]
    assert api.rows(answer["file_id"]) == [(1, [1, 2])]
    for data in (parquet(ORDERS.slice(0, 0)), arrow(ORDERS.slice(0, 0)), arrow(pa.table({}))):
        answer = upload(api, data)
        status = api.finished(answer["file_id"])
        assert (status["status"], status["rows"]["total"]) == ("completed", 0)
    no_columns = ORDERS.slice(0, 2).select([])
    answer = upload(api, arrow(no_columns))
    assert api.finished(answer["file_id"])["rows"]["total"] == 2
    packed = gzip.compress(parquet(ORDERS))
    assert [step["decoder"] for step in upload(api, packed)["decoding"]] == ["gzip", "parquet"]


PARQUET = parquet(ORDERS)
STREAM = arrow(ORDERS, pa.ipc.new_stream)
FILES = {"parquet": PARQUET, "arrow": arrow(ORDERS), "orc": orc_file(ORDERS)}
ENCRYPTED = b"PARE" + PARQUET[4:-4] + b"PARE"
BAD = {
    "Parquet cut off": (PARQUET[:-50], 422, "corrupt_data_file"),
    "a footer that lies": (
        PARQUET[:-8] + (2**31 - 1).to_bytes(4, "little") + b"PAR1",
        422,
        "corrupt_data_file",
    ),
    "encrypted": (ENCRYPTED, 422, "encrypted_data_file"),
    "Arrow cut off": (arrow(ORDERS)[:-40], 422, "corrupt_data_file"),
    "a stream cut off": (STREAM[:-8], 422, "corrupt_data_file"),
    "a stream with more behind it": (STREAM + b"more", 422, "corrupt_data_file"),
    "ORC cut off": (orc_file(ORDERS)[:-10], 422, "corrupt_data_file"),
    "a name with a NUL": (arrow(pa.table({"a\0": [1]})), 422, "bad_header"),
}


@pytest.mark.one_database
def test_bad_files_are_refused_and_nothing_is_kept(api: EngineApi) -> None:
    for what, (data, status, code) in BAD.items():
        answer = api.client.post("/api/v1/upload", content=data)
        assert answer.status_code == status, (what, answer.text)
        assert_problem(answer, status, code)
    refused = api.client.post("/api/v1/upload?format=orc", content=PARQUET)
    assert "format=orc" in assert_problem(refused, 415, "content_mismatch")["detail"]
    refused = api.client.post("/api/v1/upload?format=parquet", content=b"a,b\n1,2\n")
    assert_problem(refused, 415, "content_mismatch")
    assert upload(api, PARQUET, format="parquet")["decoding"]


@pytest.mark.one_database
@pytest.mark.parametrize("kind", FILES)
def test_flipped_bits_are_an_answer(api: EngineApi, kind: str) -> None:
    data = FILES[kind]
    for place in range(5, len(data), len(data) // 3):
        flipped = data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]
        answer = api.client.post("/api/v1/upload", content=flipped)
        assert answer.status_code in (201, 413, 415, 422), (place, answer.text)


@pytest.mark.one_database
def test_a_bomb_is_refused(engine: Engine) -> None:
    engine.start(MAX_UPLOAD_MB=4)
    same = pa.array(["x" * 1000] * 100_000)
    with engine.api() as api:
        answer = api.client.post("/api/v1/upload", content=parquet(pa.table({"a": same})))
        assert_problem(answer, 413, "decompressed_too_large")


@pytest.mark.one_database
def test_a_process_that_dies_is_an_answer(api: EngineApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "PROGRAM", ("-c", "import os; os.kill(os.getpid(), 9)"))
    answer = api.client.post("/api/v1/upload", content=PARQUET)
    assert "ended" in assert_problem(answer, 413, "data_file_too_large")["detail"]


@pytest.mark.one_database
def test_a_missing_package_is_named(api: EngineApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.extras.is_installed", lambda extra: False)
    answer = api.client.post("/api/v1/upload", content=PARQUET)
    assert "granula[analysis]" in answer.json()["detail"]
    assert answer.status_code == 503
