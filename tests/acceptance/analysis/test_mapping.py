"""Mapping jobs and templates over a real server, and the use of responses of a language model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from app.features.mapping.chat import Chat, ChatUnavailable
from tests.acceptance.analysis.chat_server import Answer, ChatServer, completion, mapping
from tests.acceptance.analysis.test_analyze import UNKNOWN, ended
from tests.harness import Api, wait_until

INPUT = b"Surname,Forename,DOB,Shoe Size\n Novak,Jan,05.05.1980,43\nSilva ,Ana,24.12.1991,38\n"
REFERENCE = b"first_name,last_name,birth_date,salary\nOmar,Khan,1988-12-24,100\nLucia,Lopez,1990-02-03,200\n"


def submit(api: Api, given: bytes = INPUT, wanted: bytes = REFERENCE, **extra: str) -> str:
    files = [api.upload(data)["file_id"] for data in (given, wanted)]
    body = {"input_file_id": files[0], "reference_file_id": files[1], **extra}
    answer = api.client.post("/api/v1/jobs/mapping", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] == "pending"
    return str(answer.json()["job_id"])


def result(api: Api, job_id: str) -> dict[str, Any]:
    status = ended(api, job_id)
    assert status["status"] == "completed", status
    return dict(api.client.get(f"/api/v1/jobs/{job_id}/result").json()["result"])


def test_a_mapping_is_proposed_accepted_edited_and_proposed_again(api: Api) -> None:
    """Two files become a mapping with reasons and conversions; a template of it changes the
    proposal of the next job.
    """
    job_id = submit(api)
    found = result(api, job_id)
    pairs = {m["reference_column"]: m["input_column"] for m in found["mappings"]}
    assert pairs == {
        "first_name": "Forename",
        "last_name": "Surname",
        "birth_date": "DOB",
        "salary": None,
    }
    by_name = {m["reference_column"]: m for m in found["mappings"]}
    assert by_name["birth_date"]["conversion"] == [
        {"operation": "date_format", "from": "%d.%m.%Y", "to": "%Y-%m-%d"}
    ]
    assert by_name["last_name"]["conversion"] == [{"operation": "trim"}]
    assert found["unused_input_columns"] == ["Shoe Size"]
    assert (found["provider"], found["embeddings"]) == ("local", True) or "sentence model" in found[
        "notes"
    ][0]
    status = api.client.get(f"/api/v1/jobs/{job_id}/status").json()
    assert [stage["begins_at"] for stage in status["stages"]] == [0, 20, 40, 60, 100]
    assert (status["job_type"], status["progress"], status["stage"]) == ("mapping", 100, "done")
    assert status["reference_file_id"] == found["reference_file_id"]
    assert api.proof(job_id)["closes"]

    response = api.client.post("/api/v1/templates", json={"name": "staff", "job_id": job_id})
    assert (response.status_code, response.json()["version"]) == (201, 1)
    template = response.json()
    address = f"/api/v1/templates/{template['template_id']}"
    columns = deepcopy(template["columns"])
    columns[3]["input_columns"] = ["Shoe Size"]
    edited = api.client.put(address, json={"columns": columns}).json()
    assert (edited["version"], edited["name"]) == (2, "staff")
    assert api.client.get(address).json() == edited
    assert api.client.get(address, params={"version": 1}).json() == template
    assert api.client.get("/api/v1/templates").json()["items"][0] == edited
    again = {m["reference_column"]: m for m in result(api, submit(api))["mappings"]}
    assert again["salary"]["input_column"] == "Shoe Size"
    assert "accepted before" in again["salary"]["reason"]
    assert api.client.delete(address).status_code == 204
    assert api.client.get(address).status_code == 404


def test_a_target_takes_the_place_of_a_reference_file(api: Api) -> None:
    """A file is mapped onto the columns of a saved target, its conversions are run on its rows, and
    what was edited in the template is proposed unchanged the next time.
    """
    target = [
        {"name": "last_name", "required": True, "values": ["Khan", "Lopez"]},
        {"name": "birth_date", "type": "date", "values": ["1988-12-24", "1990-02-03"]},
    ]
    body = {"name": "people", "target": target}
    made = api.client.post("/api/v1/templates", json=body).json()
    template_id = made["template_id"]
    file_id = api.upload(INPUT)["file_id"]

    def mapped() -> dict[str, Any]:
        request = {"input_file_id": file_id, "template_id": template_id}
        answer = api.client.post("/api/v1/jobs/mapping", json=request)
        assert answer.status_code == 202, answer.text
        return result(api, answer.json()["job_id"])

    found = mapped()
    assert (found["template_id"], found["reference_file_id"]) == (template_id, None)
    last, born = found["mappings"]
    assert (last["input_columns"], born["input_columns"]) == (["Surname"], ["DOB"])
    assert found["sampled_rows"] == born["trial"]["rows"] == 2
    assert {"before": "05.05.1980", "after": "1980-05-05"} in born["trial"]["examples"]
    assert found["input_columns"][0]["values"] == [" Novak", "Silva "]

    columns = [
        {"reference_column": "last_name", "input_columns": ["Surname"], "conversion": []},
        {"reference_column": "birth_date", "input_columns": ["DOB"], "conversion": []},
    ]
    address = f"/api/v1/templates/{template_id}"
    edited = api.client.put(address, json={"columns": columns}).json()
    assert [column["required"] for column in edited["target"]] == [True, False]
    again = mapped()["mappings"]
    assert [pair["reason"] for pair in again] == ["the template maps it so"] * 2
    assert [pair["conversion"] for pair in again] == [[], []]
    both = {"reference_file_id": file_id, "template_id": template_id}
    for wrong in ({}, both):
        request = {"input_file_id": file_id, **wrong}
        assert api.client.post("/api/v1/jobs/mapping", json=request).status_code == 422
    assert api.client.delete(address).status_code == 204
    request = {"input_file_id": file_id, "template_id": template_id}
    assert api.client.post("/api/v1/jobs/mapping", json=request).status_code == 404


def test_invalid_requests_are_refused(api: Api) -> None:
    post = api.client.post
    file_id = api.upload(b"a\n1\n")["file_id"]
    known = {"input_file_id": file_id, "reference_file_id": file_id}
    assert (
        post("/api/v1/jobs/mapping", json=known | {"reference_file_id": UNKNOWN}).status_code == 404
    )
    for wrong in (
        {},
        known | {"provider": "other"},
        known | {"x": 1},
        known | {"input_file_id": "1"},
    ):
        assert post("/api/v1/jobs/mapping", json=wrong).status_code == 422
    assert (
        api.client.post(
            "/api/v1/upload", params={"processor": "mapping"}, content=b"a\n1\n"
        ).status_code
        == 422
    )
    twice = [
        {"reference_column": "a", "input_columns": ["x"]},
        {"reference_column": "a", "input_columns": ["y"]},
    ]
    for body in ({"name": "x"}, {"name": "", "columns": []}, {"name": "x", "columns": twice}):
        assert post("/api/v1/templates", json=body).status_code == 422
    assert post("/api/v1/templates", json={"name": "x", "job_id": UNKNOWN}).status_code == 404
    upload = api.upload(b"a\n1\n")["job_id"]
    assert (
        post("/api/v1/templates", json={"name": "x", "job_id": upload}).json()["code"]
        == "result_unavailable"
    )
    assert api.client.put(f"/api/v1/templates/{UNKNOWN}", json={"columns": []}).status_code == 404
    assert api.client.get("/api/v1/templates/nothing").status_code == 404


def test_a_file_with_only_a_header_is_mapped_by_its_names(api: Api) -> None:
    found = result(api, submit(api, wanted=b"first_name,last_name,birth_date\n"))
    pairs = {m["reference_column"]: m["input_column"] for m in found["mappings"]}
    assert pairs == {"first_name": "Forename", "last_name": "Surname", "birth_date": "DOB"}


def test_without_an_endpoint_the_mapping_is_computed_locally_and_says_so(api: Api) -> None:
    found = result(api, submit(api, provider="openai"))
    assert found["provider"] == "local"
    assert "OPENAI_BASE_URL" in found["notes"][-1]
    assert found["matched"] == 3


def test_a_mapping_fails_if_its_reference_is_deleted(api: Api) -> None:
    """The job does not wait forever for its parts."""
    files = [api.upload(data)["file_id"] for data in (b"a\n" + b"1\n" * 200_000, REFERENCE)]
    body = {"input_file_id": files[0], "reference_file_id": files[1]}
    job_id = api.client.post("/api/v1/jobs/mapping", json=body).json()["job_id"]
    assert api.client.delete(f"/api/v1/files/{files[1]}").status_code == 204
    wait_until(
        lambda: not api.client.get(f"/api/v1/jobs/{job_id}/status").json()["is_active"],
        30,
        "the end",
    )
    status = api.client.get(f"/api/v1/jobs/{job_id}/status").json()
    assert (status["status"], bool(status["error_message"])) == ("failed", True)


# ---------------------------------------------------------------------- the language model


@pytest.fixture
def server_() -> Iterator[ChatServer]:
    running = ChatServer()
    yield running
    running.close()


def column(name: str, *values: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "text",
        "subtype": None,
        "format": None,
        "count": 2,
        "distinct": 2,
        "personal_data": [],
        "mean": None,
        "stddev": None,
        "examples": list(values),
        "top": [],
        "min": values[0],
        "max": values[-1],
    }


GIVEN, WANTED = [column("plz", "secret-1"), column("ort", "secret-2")], [column("zip", "secret-3")]


def chat(server: ChatServer, **changes: Any) -> Chat:
    given = {"send_values": False, "timeout_seconds": 5.0} | changes
    return Chat(server.url, "key-1", "model-1", **given)


async def test_a_valid_response_is_used_and_no_value_is_sent(server_: ChatServer) -> None:
    server_.answers = [mapping(zip="plz")]
    assert await chat(server_).map_columns(GIVEN, WANTED) == {"zip": ("plz", 0.9, "it says so")}
    assert server_.keys == ["Bearer key-1"]
    assert server_.asked[0]["model"] == "model-1"
    assert "secret" not in json.dumps(server_.asked)
    server_.answers = [mapping(zip=None)]
    await chat(server_, send_values=True).map_columns(GIVEN, WANTED)
    assert "secret-1" in json.dumps(server_.asked[1])


@pytest.mark.parametrize(
    "bad",
    [
        mapping(zip="street"), mapping(), mapping(zip="plz", more="ort"), completion("Sure! Here it is"),
        completion('{"mappings": [{"reference_column": "zip", "input_column": "plz", "confidence": 7}]}'),
    ],
    ids=["unknown column", "none", "too many", "prose", "confidence"],
)  # fmt: skip
async def test_an_invalid_response_is_requested_once_more(server_: ChatServer, bad: Any) -> None:
    server_.answers = [bad, mapping(zip="plz")]
    assert (await chat(server_).map_columns(GIVEN, WANTED))["zip"][0] == "plz"
    assert "cannot be used" in server_.asked[1]["messages"][-1]["content"]
    server_.answers = [bad, bad]
    with pytest.raises(ChatUnavailable):
        await chat(server_).map_columns(GIVEN, WANTED)


async def test_a_busy_service_is_retried_and_a_refusing_one_is_not(server_: ChatServer) -> None:
    server_.answers = [(429, {"Retry-After": "0"}, "busy"), mapping(zip="plz")]
    assert (await chat(server_).map_columns(GIVEN, WANTED))["zip"][0] == "plz"
    refusals: tuple[Answer, ...] = (
        (401, {}, "no"),
        (429, {"Retry-After": "3600"}, ""),
        (200, {}, "<html>"),
    )
    for refusal in refusals:
        server_.asked.clear()
        server_.answers = [refusal, mapping(zip="plz")]
        with pytest.raises(ChatUnavailable):
            await chat(server_).map_columns(GIVEN, WANTED)
        assert len(server_.asked) == 1
    server_.close()
    with pytest.raises(ChatUnavailable, match="reached"):
        await chat(server_).map_columns(GIVEN, WANTED)
