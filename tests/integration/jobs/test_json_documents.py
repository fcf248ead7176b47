"""Records inside JSON documents as uploads: every record is a result or a reject with its place, the
rejects can be mended, and every way to send a file takes the path.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.checks import assert_problem
from tests.engine import Engine, EngineApi

RECORDS: list[dict[str, Any]] = [
    {"id": n, "who": {"name": f"n{n}", "age": n % 90}} for n in range(1, 251)
]
BAD = b'{"id": NaN}'


def document(records: list[bytes]) -> bytes:
    return (
        b'{"meta": {"pages": [1, 2]}, "data": {"items": ['
        + b",\n".join(records)
        + b'], "next": []}}'
    )


DOCUMENT = document([json.dumps(r).encode() if r["id"] != 17 else BAD for r in RECORDS])


@pytest.fixture
def api(engine: Engine) -> Iterator[EngineApi]:
    engine.start()
    with engine.api() as api:
        yield api


def test_records_and_rejects_with_their_index(api: EngineApi) -> None:
    answer = api.upload(DOCUMENT, name="d.json", records="data.items", flatten=1, chunk_size=100)
    assert answer["decoding"] == [{"decoder": "json", "records": "data.items"}]
    status = api.finished(answer["file_id"])
    assert status["counts"] == {"loaded": 249, "rejected": 1, "failed": 0, "not_processed": 0}
    rows = dict(api.rows(answer["file_id"]))
    assert rows[250] == [250, "n250", 70]
    (reject,) = api.rejects(answer["file_id"])
    assert (reject["place"], reject["line"], reject["code"]) == (
        "data.items[16]",
        17,
        "json_syntax",
    )
    assert DOCUMENT[reject["byte_start"] : reject["byte_end"]] == BAD
    assert api.proof(answer["file_id"])["closes"]

    download = api.client.get(f"/api/v1/rejects/{answer['file_id']}/download")
    (row,) = csv.DictReader(io.StringIO(download.text))
    row["_record"] = json.dumps(RECORDS[16])
    out = io.StringIO()
    writer = csv.DictWriter(out, list(row))
    writer.writeheader()
    writer.writerow(row)
    sent = api.client.post(
        f"/api/v1/files/{answer['file_id']}/corrections",
        content=out.getvalue(),
        headers={"Content-Type": "text/csv"},
    )
    assert sent.status_code == 202, sent.text
    api.finished(sent.json()["file_id"])
    assert dict(api.rows(answer["file_id"]))[17] == [17, "n17", 17]
    assert api.proof(answer["file_id"])["closes"]


@pytest.mark.one_database
def test_every_way_to_send_a_file_takes_the_path(api: EngineApi) -> None:
    data = document([b'{"id": 1}', b'{"id": 2}'])
    sent = [
        api.client.post("/api/v1/upload?records=data.items", content=gzip.compress(data)),
        api.client.post(
            "/api/v1/upload?records=data.items", content=data.decode().encode("utf-16")
        ),
        api.client.post(
            "/api/v1/upload", data={"records": "data.items"}, files={"file": ("d", data)}
        ),
    ]
    for answer in sent:
        assert answer.status_code == 201, answer.text
        api.finished(answer.json()["file_id"])
        assert api.rows(answer.json()["file_id"]) == [(1, [1]), (2, [2])]
    shown = api.client.post("/api/v1/preview?records=data.items", content=data).json()
    assert [row["data"] for row in shown["rows"]] == [{"id": 1}, {"id": 2}]
    suggested = api.client.post("/api/v1/preview", content=data).json()
    assert suggested["records"] == ["data.items"]
    wrong = api.client.post("/api/v1/upload?records=data.rows", content=data)
    assert "`data.items`" in assert_problem(wrong, 422, "records_not_found")["detail"]
    late = b"".join(
        b"--x\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + body + b"\r\n"
        for head, body in (
            (b'name="file"; filename="d"', data + b" " * (2 << 20)),
            (b'name="records"', b"data.items"),
        )
    )
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    refused = api.client.post("/api/v1/upload", content=late + b"--x--\r\n", headers=form)
    assert "after the file" in assert_problem(refused, 422, "invalid_parameter")["detail"]


@pytest.mark.one_database
def test_members_of_an_object_are_rows_with_their_key(api: EngineApi) -> None:
    data = b'{"u1": {"n": 1}, "u2": [], "u3": {"n": 3, }, "u4": {}}'
    file_id = api.upload(data, name="d.json", record_key="user")["file_id"]
    api.finished(file_id)
    assert api.rows(file_id) == [(1, ["u1", 1]), (4, ["u4", None])]
    rejects = api.rejects(file_id)
    assert [(reject["place"], reject["raw"]) for reject in rejects] == [
        (". member 2", '"u2": []'),
        (". member 3", '"u3": {"n": 3, }'),
    ]
    sent = api.client.post(
        f"/api/v1/files/{file_id}/corrections",
        json={"rows": [{"_row": 3, "record": '"u3": {"n": 3}'}]},
    )
    assert sent.status_code == 202, sent.text
    api.finished(sent.json()["file_id"])
    assert dict(api.rows(file_id))[3] == ["u3", 3]
