"""The main path on both databases: a file is uploaded, its rows are read back, and the counts add
up.
"""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest

from app.formats.base import MAX_COLUMNS
from tests.forks import Server
from tests.harness import Api, Parameter, query

CSV = b'id,name,value\n1,Alice,10\n2,"Smith, Bob",20\n3,short\n4,"two\nlines",40\n'


def test_the_documented_curl_command_gives_the_documented_status_and_results(api: Api) -> None:
    answer = api.client.post(
        "/api/v1/upload?priority=5",
        files={"file": ("sample.csv", b"id,name,value\n1,A,2\n", "text/csv")},
    )
    assert answer.status_code == 201
    file_id = answer.json()["file_id"]
    status = api.finished(file_id)
    seed = {"file_id": file_id, "status": "completed", "total_chunks": 1, "processed_chunks": 1, "failed_chunks": 0,
            "progress_percent": 100.0}  # fmt: skip
    assert seed.items() <= status.items()
    page = api.client.get(f"/api/v1/results/{file_id}?limit=100&offset=0").json()
    assert page["total"] == 1
    assert page["limit"] == 100
    assert page["offset"] == 0
    item = page["items"][0]
    assert item["chunk_index"] == 0
    assert item["data"] == {"row": ["1", "A", "2"]}
    assert len(item["id"]) == 36


def test_every_row_is_in_results_or_rejects_and_the_proof_is_valid(api: Api) -> None:
    status = api.run(CSV)
    file_id = status["file_id"]
    assert status["status"] == "completed_with_errors"
    assert status["rows"] == {"total": 4, "ok": 3, "invalid": 1, "failed": 0, "unprocessed": 0}
    assert api.rows(file_id) == [
        (1, ["1", "Alice", "10"]),
        (2, ["2", "Smith, Bob", "20"]),
        (4, ["4", "two\nlines", "40"]),
    ]
    (reject,) = api.rejects(file_id)
    assert (reject["row_number"], reject["line"], reject["code"], reject["column"]) == (
        3,
        4,
        "column_count",
        "value",
    )
    assert reject["raw"] == "3,short"
    cut = api.client.get(
        f"/api/v1/files/{file_id}/bytes",
        params={"start": reject["byte_start"], "end": reject["byte_end"]},
    )
    assert cut.content == b"3,short"
    assert api.proof(file_id)["closes"]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE result_pages SET data = REPLACE(data, 'Alice', 'Alicf')",
        "UPDATE result_pages SET data = REPLACE(data, '\"1\"', '1')",
        "DELETE FROM result_pages",
        "DELETE FROM rejects",
        "UPDATE result_pages SET first_row = first_row + 1",
        (
            "INSERT INTO result_pages SELECT job_id, first_row + 100, row_count, row_numbers, data"
            " FROM result_pages"
        ),
    ],
)
def test_the_proof_fails_if_a_stored_row_is_altered_removed_or_doubled(
    api: Api, server: Server, damage: str
) -> None:
    file_id = api.run(CSV)["file_id"]
    job_id = api.status(file_id)["job_id"]
    assert api.proof(file_id)["closes"]
    key = f"'{job_id.replace('-', '')}'" if server.url.startswith("sqlite") else f"'{job_id}'"
    query(server.url, f"{damage} WHERE job_id = {key}")
    proof = api.proof(file_id)
    assert not proof["closes"]
    assert proof["problems"]


def test_a_raw_body_a_gzipped_one_and_a_form_give_the_same_rows(api: Api) -> None:
    bodies = {
        "raw": api.client.put("/api/v1/upload/big.csv", content=CSV),
        "gzip": api.client.post(
            "/api/v1/upload",
            content=gzip.compress(CSV),
            headers={"Content-Type": "application/gzip"},
        ),
        "form": api.client.post(
            "/api/v1/upload", files={"file": ("x.csv", CSV, "application/octet-stream")}
        ),
    }
    rows = []
    for answer in bodies.values():
        assert answer.status_code == 201, answer.text
        api.finished(answer.json()["file_id"])
        rows.append(api.rows(answer.json()["file_id"]))
    assert rows[0] == rows[1] == rows[2]
    assert bodies["raw"].json()["filename"] == "big.csv"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b'[{"id": 1, "v": 1.10}, {"id": 12345678901234567890123, "v": null}]'),
        ("a.jsonl", b'{"id": 1, "v": 1.10}\n{"id": 12345678901234567890123, "v": null}\n'),
    ],
)
def test_json_values_come_back_byte_for_byte(api: Api, name: str, data: bytes) -> None:
    status = api.run(
        data, name=name, type="application/json" if name == "a.json" else "application/x-ndjson"
    )
    assert status["status"] == "completed"
    assert status["columns"] == ["id", "v"]
    text = api.client.get(f"/api/v1/results/{status['file_id']}/download?format=jsonl").text
    assert text == '{"id": 1, "v": 1.10}\n{"id": 12345678901234567890123, "v": null}\n'
    assert api.proof(status["file_id"])["closes"]


def test_downloads_hold_all_rows_in_order_and_escape_formulas(api: Api) -> None:
    rows = [["1", "=1+1"], ["2", "-2"], ["3", "@x"], ["4", "a,b"]]
    source = io.StringIO()
    csv.writer(source).writerows([["id", "v"], *rows])
    file_id = api.run(source.getvalue().encode())["file_id"]

    def download(**params: Parameter) -> bytes:
        answer = api.client.get(f"/api/v1/results/{file_id}/download", params=params)
        assert answer.status_code == 200
        return answer.content

    def read(data: bytes) -> list[list[str]]:
        return list(csv.reader(io.StringIO(data.decode(), newline="")))[1:]

    assert read(download(formula_guard=False)) == rows
    assert [row[1] for row in read(download())] == ["'=1+1", "-2", "'@x", "a,b"]
    assert read(gzip.decompress(download(gzip=True, formula_guard=False))) == rows
    assert [json.loads(line) for line in download(format="jsonl").splitlines()] == [
        {"id": i, "v": v} for i, v in rows
    ]
    import pyarrow.parquet as pq

    assert pq.read_table(io.BytesIO(download(format="parquet"))).to_pylist() == [
        {"id": i, "v": v} for i, v in rows
    ]


def test_kept_extra_cells_hide_no_column(api: Api, server: Server) -> None:
    file_id = api.run(b"id,column_4,note\n1,a,b,EXTRA,more\n2,c\n", on_bad_row="keep")["file_id"]
    wide = {"id": "1", "column_4": "a", "note": "b", "column_4_2": "EXTRA", "column_5": "more"}
    short = {"id": "2", "column_4": "c", "note": None}
    url = f"/api/v1/results/{file_id}"
    assert [item["data"] for item in api.client.get(f"{url}?format=object").json()["items"]] == [
        wide,
        short,
    ]
    text = api.client.get(f"{url}/download?format=jsonl").text
    assert [json.loads(line) for line in text.splitlines()] == [wide, short]
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(api.client.get(f"{url}/download?format=parquet").content))
    assert table.to_pylist() == [wide, short | {"column_4_2": None, "column_5": None}]
    job_id = api.status(file_id)["job_id"]
    key = job_id.replace("-", "") if server.url.startswith("sqlite") else job_id
    viewed = query(
        server.url, f"SELECT data FROM result_rows WHERE job_id = '{key}' ORDER BY row_number"
    )
    assert [json.loads(data) for (data,) in viewed] == [wide, short]
    rows = b"," * (MAX_COLUMNS - 1) + b"\n" + b"," * MAX_COLUMNS + b"\n"
    endless = api.run(b"a,b\n1,2\n" + rows, on_bad_row="keep")["file_id"]
    assert [(row["row_number"], row["code"]) for row in api.rejects(endless)] == [
        (3, "too_many_columns")
    ]
    objects = api.client.get(f"/api/v1/results/{endless}?format=object").json()["items"]
    assert [len(item["data"]) for item in objects] == [2, MAX_COLUMNS]
    table = pq.read_table(
        io.BytesIO(api.client.get(f"/api/v1/results/{endless}/download?format=parquet").content)
    )
    assert (table.num_rows, table.num_columns) == (2, MAX_COLUMNS)


def test_a_file_is_downloaded_by_the_id_of_its_job(api: Api) -> None:
    upload = api.upload(CSV)
    url = f"/api/v1/files/{upload['job_id']}"
    assert api.client.get(f"{url}/download").content == CSV
    assert api.client.delete(url).status_code == 404


def test_the_view_returns_objects_by_column_with_row_numbers(api: Api, server: Server) -> None:
    file_id = api.run(CSV)["file_id"]
    job_id = api.status(file_id)["job_id"]
    key = job_id.replace("-", "") if server.url.startswith("sqlite") else job_id
    rows = query(
        server.url,
        f"SELECT row_number, data FROM result_rows WHERE job_id = '{key}' ORDER BY row_number",
    )
    assert [(n, json.loads(d)) for n, d in rows] == [
        (1, {"id": "1", "name": "Alice", "value": "10"}),
        (2, {"id": "2", "name": "Smith, Bob", "value": "20"}),
        (4, {"id": "4", "name": "two\nlines", "value": "40"}),
    ]
