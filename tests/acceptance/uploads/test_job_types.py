"""An upload starts a job of any type for a single file, in the same request: with a form, a raw
body and a resumable upload.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.api.checks import assert_problem
from tests.harness import Api, wait_until

PEOPLE = b"first,age\nAda,36\nBob,41\n"
COLUMNS = [{"name": "name", "from": "first"}, {"name": "years", "from": "age"}]
MAPPING = {"columns": COLUMNS}
TRANSFORMED = b"name,years\nAda,36\nBob,41\n"


def ended(api: Api, job_id: str) -> dict[str, Any]:
    def final() -> dict[str, Any] | None:
        status = dict(api.client.get(f"/api/v1/jobs/{job_id}/status").json())
        return None if status["is_active"] else status

    status = wait_until(final, 60, f"end of {job_id}")
    assert status["status"] == "completed", status
    return status


def output(api: Api, job_id: str) -> bytes:
    file_id = ended(api, job_id)["result_file_id"]
    return api.client.get(f"/api/v1/files/{file_id}/download").content


@pytest.mark.parametrize("way", ["raw", "form", "fields of the form", "resumable"])
def test_an_upload_transforms_its_file_by_the_mapping_that_it_names(api: Api, way: str) -> None:
    named = {"processor": "transform", "option.mapping": json.dumps(MAPPING)}
    form = {"file": ("people.csv", PEOPLE, "text/csv")}
    if way == "resumable":
        headers = {
            "Tus-Resumable": "1.0.0",
            "Upload-Length": str(len(PEOPLE)),
            "Upload-Metadata": "filename " + base64.b64encode(b"people.csv").decode(),
            "Content-Type": "application/offset+octet-stream",
        }
        created = api.client.post("/api/v1/uploads", params=named, headers=headers, content=PEOPLE)
        assert created.status_code == 201, created.text
        looked = api.client.get(created.headers["location"])
        assert output(api, looked.json()["job_id"]) == TRANSFORMED
        return
    if way == "raw":
        answer = api.client.post("/api/v1/upload", params=named, content=PEOPLE)
    elif way == "form":
        answer = api.client.post("/api/v1/upload", params=named, files=form)
    else:
        answer = api.client.post("/api/v1/upload", data=named, files=form)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["processor"], answer.json()["columns"]) == (
        "transform",
        ["name", "years"],
    )
    assert output(api, answer.json()["job_id"]) == TRANSFORMED


def test_an_upload_is_mapped_to_a_reference_and_the_mapping_is_reused(api: Api) -> None:
    reference = api.upload(b"first_name,age\nEve,7\n")["file_id"]
    named = {
        "processor": "mapping",
        "option.reference_file_id": reference,
        "on_duplicate": "existing",
    }
    answer = api.upload(PEOPLE, **named)
    ended(api, answer["job_id"])
    found = api.client.get(f"/api/v1/jobs/{answer['job_id']}/result").json()["result"]
    pairs = {pair["reference_column"]: pair["input_column"] for pair in found["mappings"]}
    assert pairs == {"first_name": "first", "age": "age"}
    again = api.upload(PEOPLE, **named)
    assert (again["job_id"], again["duplicate"]) == (answer["job_id"], True)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("named", "status", "code"),
    [
        ({"processor": "transform"}, 422, "invalid_parameter"),
        ({"processor": "transform", "option.mapping": "{"}, 422, "invalid_parameter"),
        ({"processor": "batch"}, 422, "invalid_parameter"),
        ({"processor": "mappings"}, 422, "unknown_processor"),
        (
            {"processor": "transform", "option.mapping": json.dumps({"columns": [5]})},
            422,
            "invalid_parameter",
        ),
        (
            {"processor": "transform", "option.mapping": json.dumps({"columns": [{"name": ""}]})},
            422,
            "invalid_parameter",
        ),
        (
            {
                "processor": "transform",
                "option.mapping": json.dumps({"columns": [{"name": "a", "from": "absent"}]}),
            },
            422,
            "invalid_transform",
        ),
        (
            {"processor": "mapping", "option.reference_file_id": "0" * 32},
            404,
            "not_found",
        ),
    ],
)
def test_an_upload_whose_job_cannot_be_created_leaves_nothing(
    api: Api, named: dict[str, str], status: int, code: str
) -> None:
    before = api.client.get("/api/v1/jobs").json()
    answer = api.client.post("/api/v1/upload", params=named, content=PEOPLE)
    assert_problem(answer, status, code)
    assert api.client.get("/api/v1/jobs").json() == before
