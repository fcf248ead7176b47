"""The OpenAPI document: complete for every route, and true for arbitrary requests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import content_type_conformance
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from app.api.auth_middleware import is_open
from app.api.openapi import operations
from app.main import create_app
from tests.acceptance.users.conftest import People
from tests.conftest import Databases
from tests.forks import Server
from tests.harness import Api, Postgres

SETTINGS = {"AUTH_FAILURES_PER_MINUTE": 0}
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
DOCUMENT = create_app().openapi()
PROFILE = partial(
    settings,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
ENDLESS = {"/api/v1/jobs/events"}
"""Endless event streams."""
HINT = "examples of bodies and ids stand in app/api/openapi.py"


@pytest.fixture(
    scope="module", params=["postgresql", pytest.param("sqlite", marks=pytest.mark.long)]
)
def databases(
    request: pytest.FixtureRequest, postgres: Postgres, templates: dict[str, str]
) -> Iterator[Databases]:
    """PostgreSQL is the stricter one; both in the long series."""
    made = Databases(request.param, postgres, templates)
    yield made
    made.close()


def test_a_route_documents_its_access_errors_and_examples() -> None:
    for method, path, operation in operations(DOCUMENT):
        check(method, path, operation)


def check(method: str, path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    assert operation["security"] == (
        [] if is_open(method, path) else [{"key": []}, {"session": []}]
    )
    assert is_open(method, path) or {"401", "429"} <= responses.keys()
    for status, answer in responses.items():
        if int(status) >= 400:
            content = answer["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert content["example"].keys() >= set(
                DOCUMENT["components"]["schemas"]["Problem"]["required"]
            )
    for parameter in operation.get("parameters", []):
        assert "example" in parameter or parameter["in"] != "path", HINT
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        model = DOCUMENT["components"]["schemas"].get(
            body["schema"].get("$ref", "").rpartition("/")[2], {}
        )
        assert "example" in body or model.get("examples"), HINT


def test_every_json_response_is_a_closed_object_with_described_members() -> None:
    """So that the check of responses against the document can fail, and the reference has all
    members.
    """
    schemas = DOCUMENT["components"]["schemas"]
    names: set[str] = set()
    for method, path, operation in operations(DOCUMENT):
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/json")
            if content is not None:
                found = references(content["schema"])
                assert found, f"{method} {path} {status} has no model"
                names |= found
    to_do = list(names)
    while to_do:
        new = references(schemas[to_do.pop()]) - names
        names |= new
        to_do += new
    for name in names:
        assert schemas[name].get("description"), name
        assert schemas[name]["additionalProperties"] is False, name
        members = schemas[name]["properties"].items()
        assert not [
            member for member, value in members if not value.keys() & {"description", "$ref"}
        ], name


def references(part: Any) -> set[str]:
    """Return the names of the schemas in this part of the document."""
    if isinstance(part, list):
        return {name for member in part for name in references(member)}
    if not isinstance(part, dict):
        return set()
    named = {part["$ref"].rpartition("/")[2]} if isinstance(part.get("$ref"), str) else set()
    return named | references(list(part.values()))


def test_bounds_use_the_keywords_of_json_schema() -> None:
    (limit,) = [
        p
        for p in DOCUMENT["paths"]["/api/v1/results/{file_id}"]["get"]["parameters"]
        if p["name"] == "limit"
    ]
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"]) == (1, 10_000)


@pytest.mark.parametrize(
    "examples",
    [
        pytest.param(3, marks=pytest.mark.timeout(300)),
        pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_no_request_breaks_the_service_or_gets_an_undocumented_response(
    server: Server, people: People, examples: int
) -> None:
    failures: list[str] = []
    ids = made(Api(people.admin))
    base = f"http://127.0.0.1:{server.port}"
    schema = schemathesis.openapi.from_dict(people.admin.get("/openapi.json").json())
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {people.admin_key}"
        found_routes = [
            operation.ok() for operation in schema.get_all_operations() if isinstance(operation, Ok)
        ]
        assert found_routes
        routes = [route for route in found_routes if route.path not in ENDLESS]
        for operation in sorted(routes, key=lambda each: each.method == "delete"):
            for mode in GenerationMode:
                real = {
                    name: value for name, value in ids.items() if f"{{{name}}}" in operation.path
                }
                found = fuzz(operation, mode, real, examples, base, session)
                failures += [f"{operation.label} ({mode.value}): {failure}" for failure in found]
    assert not failures, "\n\n".join(failures[:20])
    assert "Unhandled error" not in server.tail()


def made(api: Api) -> dict[str, str]:
    """Ids of existing objects."""
    file = api.run(b"text,n\ngood,1\nbad\n")
    template = {"name": "t", "columns": [{"reference_column": "a", "input_columns": ["b"]}]}
    schedule = {"cron": "0 0 1 1 *", "job": {"source": "s3://bucket/key.csv"}}
    watch = {"source": "file:///srv/inbox/", "job": {"type": "rows"}}
    upload = {"file": ("b.csv", b"text\nfine\n", "text/csv")}
    webhook = api.client.post("/api/v1/webhooks", json={"url": "https://receiver.invalid/"}).json()[
        "id"
    ]
    return {
        "webhook_id": webhook,
        "message_id": api.client.post(f"/api/v1/webhooks/{webhook}/test").json()["id"],
        "file_id": file["file_id"],
        "job_id": file["job_id"],
        "template_id": api.client.post("/api/v1/templates", json=template).json()["template_id"],
        "schedule_id": api.client.post("/api/v1/schedules", json=schedule).json()["id"],
        "watch_id": api.client.post("/api/v1/watches", json=watch).json()["id"],
        "batch_id": api.client.post("/batch/upload", files=upload).json()["batch_id"],
    }


def fuzz(
    operation: Any,
    mode: GenerationMode,
    ids: dict[str, str],
    examples: int,
    base: str,
    session: requests.Session,
) -> Iterator[str]:
    """Return the failures; half of the requests have real ids."""
    for given_ids in [{}, ids] if ids else [{}]:
        failures: list[str] = []
        cases = operation.as_strategy(generation_mode=mode, path_parameters=given_ids or None)

        def run(case: Case[Any]) -> None:
            answer = case.call(base_url=base, session=session)
            try:
                assert answer.status_code != 500
                case.validate_response(answer, checks=CHECKS)
            except (AssertionError, BaseExceptionGroup) as error:
                failures.append(f"{answer.status_code} {error}\n{case.as_curl_command()[:600]}")  # noqa: B023 used at once

        try:
            PROFILE(max_examples=examples)(given(case=cases)(run))()
        except Unsatisfiable:  # nothing about this route can be wrong
            pass
        yield from failures[:2]
