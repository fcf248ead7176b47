"""The response to an invalid request explains the fault without a word of Python."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from tests.api.checks import assert_problem
from tests.forks import Server
from tests.harness import Api
from tests.users.routes import TEMPLATE, WEBHOOK

PYTHON = re.compile(
    r"<function|0x[0-9a-f]{6,}|functools|function-(?:after|before|wrap|plain)|lambda|\bclass\b|instance"
    r" of|\bdict\b|dictionary"
    r"|NoneType|<class|Traceback|_[a-z]+\(\)|constrained-|nullable\[|\bunion\[|[a-z]\[[a-z]"
)
CONSTANT = 12345678901234567.25


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[Api]:
    with server.client() as client:
        yield Api(client)


def column(**given: Any) -> dict[str, Any]:
    return {"name": "n", **given}


SCHEDULE = {
    "cron": "0 0 1 1 *",
    "job": {"source": "s3://bucket/key.csv", "priority": 3, "chunk_size": 100},
}
TRANSFORM = {
    "input_file_id": str(UUID(int=7)),
    "mapping": {
        "columns": [
            column(
                **{
                    "from": "a",
                    "steps": [
                        {"operation": "cast", "to": "decimal", "scale": 2},
                        {"operation": "trim"},
                    ],
                }
            ),
            column(constant=5),
            column(expression="a + 1"),
            column(
                **{"from": ["a"], "steps": [{"operation": "split", "separator": " ", "part": 2}]}
            ),
            column(
                **{"from": "a", "steps": [{"operation": "replace", "find": "a", "regex": True}]}
            ),
        ],
        "others": "keep",
    },
    "validation": {
        "columns": {
            "n": {"required": True, "min": 1, "max": 2.5, "enum": [1, "a", True], "max_length": 3}
        },
        "checks": [{"expression": "n > 1"}],
        "unique": [["n"]],
    },
    "dry_run": True,
}
BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/jobs/transform": TRANSFORM,
    "/api/v1/jobs/score": {"source": "s3://bucket/key.csv", "priority": 1, "format": "csv"},
    "/api/v1/jobs/analyze": {"file_id": str(UUID(int=7)), "priority": 1},
    "/api/v1/jobs/mapping": {
        "input_file_id": str(UUID(int=7)),
        "reference_file_id": str(UUID(int=8)),
        "provider": "local",
    },
    "/api/v1/jobs/batch": {
        "file_ids": [str(UUID(int=7))],
        "job_type": "transform",
        "options": TRANSFORM,
    },
    "/api/v1/schedules": SCHEDULE,
    "/api/v1/webhooks": {**WEBHOOK, "events": ["job.failed"]},
    "/api/v1/templates": TEMPLATE,
    "/api/records/search": {"import_id": 1, "fields": {"a": 1}, "limit": 5, "status": "valid"},
    f"/api/v1/files/{UUID(int=7)}/corrections": {"rows": [{"_row": 1, "values": {"a": "1"}}]},
}
WRONG: list[Any] = [
    None, True, "yes", "", "1_0", " 5", 5, 1.5, CONSTANT, -1, 10**30, [], [None], [[]], {}, {"": {}}, {"a": {"b": [1]}},
    "x" * 3000, "\0", [1, "a", {}], {"operation": "none"}, {"operation": "cast"}, {"from": 5}, 1e308, "2026", "now",
]  # fmt: skip


def spoiled(body: Any, rng: random.Random) -> Any:
    """Bodies with one value, at any depth, replaced, or a member removed or added."""
    if isinstance(body, dict) and body and rng.random() < 0.85:
        name = rng.choice(list(body))
        if rng.random() < 0.1:
            return {key: value for key, value in body.items() if key != name}
        if rng.random() < 0.1:
            return {**body, rng.choice(["colour", "from_", "function"]): rng.choice(WRONG)}
        return {**body, name: spoiled(body[name], rng)}
    if isinstance(body, list) and body and rng.random() < 0.85:
        place = rng.randrange(len(body))
        return [*body[:place], spoiled(body[place], rng), *body[place + 1 :]]
    return rng.choice(WRONG)


@pytest.mark.parametrize("path", list(BODIES))
def test_no_response_to_an_invalid_body_mentions_python(api: Api, path: str) -> None:
    rng = random.Random(path)
    seen = 0
    for _ in range(150):
        answer = api.client.post(path, json=spoiled(BODIES[path], rng))
        assert answer.status_code < 500 or answer.status_code == 503, answer.text
        if answer.status_code >= 400:
            seen += answer.status_code == 422
            assert not PYTHON.search(answer.text), answer.text
    assert seen > 5 or "corrections" in path, "or this proves nothing"


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("path", "name", "value", "pointer", "detail"),
    [
        (
            "/api/v1/jobs/transform", "mapping", {"columns": [column(constant=CONSTANT)]}, "body/mapping/columns/0/constant",
            "has more than 15 digits, of which JSON may lose some; write the number in an `expression`",
        ),
        ("/api/v1/jobs/transform", "mapping", {"columns": [5]}, "body/mapping/columns/0", "Input should be an object"),
        ("/api/v1/jobs/transform", "validation", {"columns": 5}, "body/validation/columns", "Input should be an object"),
        ("/api/v1/jobs/transform", "dry_run", "yes", "body/dry_run", "Input should be a valid boolean"),
        ("/api/v1/jobs/transform", "dry_run", 1, "body/dry_run", "Input should be a valid boolean"),
        ("/api/v1/schedules", "job", [], "body/job", "Input should be an object"),
        ("/api/records/search", "fields", {"a": []}, "body/fields/a", "Input should be a valid string"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_located_where_it_was_sent(
    api: Api, path: str, name: str, value: Any, pointer: str, detail: str
) -> None:
    body = assert_problem(
        api.client.post(path, json={**BODIES[path], name: value}), 422, "invalid_parameter"
    )
    assert (pointer, detail) in [(error["pointer"], error["detail"]) for error in body["errors"]], (
        body["errors"]
    )
    assert {error["pointer"] for error in body["errors"]} == {pointer}


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("since=1767225600", "query/since"),
        ("since=2026", "query/since"),
        ("since=2026-01-05", "query/since"),
        ("since=2026-01-05T10:00:00.1234567Z", "query/since"),
        ("parts=yes", "query/parts"),
        ("parts=on", "query/parts"),
        ("limit=1_0", "query/limit"),
        ("limit=%2B5", "query/limit"),
        ("limit=%D9%A5", "query/limit"),
        ("limit=5.0", "query/limit"),
        ("status=Failed", "query/status"),
    ],
)
def test_a_query_is_validated_strictly(api: Api, query: str, pointer: str) -> None:
    body = assert_problem(api.client.get(f"/api/v1/jobs?{query}"), 422, "invalid_parameter")
    assert [error["pointer"] for error in body["errors"]] == [pointer]
    assert not PYTHON.search(str(body))


def test_valid_queries_are_accepted(api: Api) -> None:
    for query in (
        "since=2026-01-05T10:00:00Z",
        "since=2026-01-05T10:00:00.1234560%2B02:00",
        "parts=TRUE",
        "parts=0",
        "limit=5",
    ):
        answer = api.client.get(f"/api/v1/jobs?{query}")
        assert answer.status_code == 200, answer.text
