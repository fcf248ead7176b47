"""JSON with new keys in every row: the columns of the job are bounded, and every row is a result or
a reject.
"""

from __future__ import annotations

import json

from app.formats.base import MAX_COLUMNS
from tests.harness import Api

KEYS = 25


def lines(first: int, count: int, keys: int = KEYS) -> bytes:
    rows = ({f"k{row}_{key}": key for key in range(keys)} for row in range(first, first + count))
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def run(api: Api, data: bytes, **params: object) -> dict[str, object]:
    return api.run(data, name="wide.jsonl", type="application/x-ndjson", **params)


def test_rows_that_bring_more_keys_than_a_job_may_have_are_rejected(api: Api) -> None:
    """In concurrent chunks: which rows come first is open, but not how many fit."""
    status = run(api, lines(0, 900), chunk_size=100)
    room = MAX_COLUMNS // KEYS
    assert status["status"] == "completed_with_errors"
    assert status["rows"] == {
        "total": 900,
        "ok": room,
        "invalid": 900 - room,
        "failed": 0,
        "unprocessed": 0,
    }
    file_id = str(status["file_id"])
    rejects = api.rejects(file_id)
    assert {reject["code"] for reject in rejects} == {"too_many_columns"}
    data = lines(0, 900)
    for reject in rejects[::50]:
        assert json.loads(data[reject["byte_start"] : reject["byte_end"]]) == json.loads(
            reject["raw"]
        )
    columns = api.status(file_id)["columns"]
    assert len(columns) == len(set(columns)) == room * KEYS
    download = api.client.get(f"/api/v1/results/{file_id}/download?format=jsonl").text
    kept = [json.loads(line) for line in download.splitlines()]
    assert len(kept) == room
    assert {name for row in kept for name in row} == set(columns)
    assert api.proof(file_id)["closes"]


def test_a_correction_adds_no_columns_beyond_the_limit(api: Api) -> None:
    room = MAX_COLUMNS // KEYS
    last = b'{"broken": \n' * 3
    file_id = str(run(api, lines(0, room - 1) + last, chunk_size=100)["file_id"])
    assert len(api.rejects(file_id)) == 3
    left = MAX_COLUMNS - (room - 1) * KEYS
    records = [{"one": 1}, dict.fromkeys((f"n{i}" for i in range(left)), 1), {"k0_0": 5}]
    rows = [{"_row": room + i, "record": json.dumps(record)} for i, record in enumerate(records)]
    response = api.client.post(f"/api/v1/files/{file_id}/corrections", json={"rows": rows})
    assert response.status_code == 202, response.text
    api.finished(response.json()["job_id"])
    (reject,) = api.rejects(file_id)
    assert (reject["row_number"], reject["code"]) == (room + 1, "too_many_columns")
    columns = api.status(file_id)["columns"]
    assert columns[-1] == "one"
    assert len(columns) == (room - 1) * KEYS + 1
    assert api.proof(file_id)["closes"]


def test_concurrent_corrections_share_the_remaining_columns(api: Api) -> None:
    room = MAX_COLUMNS // KEYS
    file_id = str(run(api, lines(0, room) + b'{"broken": \n' * 40, chunk_size=100)["file_id"])
    left = MAX_COLUMNS - room * KEYS
    made = []
    for part in range(2):
        records = [{f"n{part}_{i}": 1} for i in range(20)]
        rows = [
            {"_row": room + 1 + 20 * part + i, "record": json.dumps(r)}
            for i, r in enumerate(records)
        ]
        made.append(
            api.client.post(f"/api/v1/files/{file_id}/corrections", json={"rows": rows}).json()[
                "job_id"
            ]
        )
    for job_id in made:
        assert api.finished(job_id)["status"] in ("completed", "completed_with_errors", "failed")
    columns = api.status(file_id)["columns"]
    assert len(columns) == MAX_COLUMNS
    assert len(api.rejects(file_id)) == 40 - left
    assert api.proof(file_id)["closes"]
