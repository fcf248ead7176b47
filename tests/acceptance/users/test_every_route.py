"""Every route, as the owner, another user, a revoked one, and without a key. The list of routes is
the service's own.
"""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from app.api.auth_middleware import is_open
from app.main import create_app
from tests.acceptance.users.conftest import People
from tests.api.checks import assert_problem
from tests.conformance import document
from tests.forks import Server
from tests.users.routes import ELSEWHERE, EXAMPLES, Example, Ids, World, unknown

SETTINGS = {"AUTH_FAILURES_PER_MINUTE": 0, "ML_API_URL": "http://127.0.0.1:9"}
APP = create_app()
OPEN_PAGES = {
    ("GET", path)
    for path in ("/docs", "/docs/start.js", "/docs/assets/{name}", "/redoc", "/openapi.json")
}


@pytest.fixture(scope="module")
def world(people: People) -> World:
    return World(people)


def ask(client: httpx.Client, method: str, path: str, example: Example, ids: Ids) -> httpx.Response:
    return client.request(method, path.format(**ids, **dict(example.fixed)), **example.given(ids))


def told(answer: httpx.Response, ids: Ids) -> tuple[Any, ...]:
    """Return the content of a response, without requested ids and what differs between requests."""
    text = answer.text
    for name, value in ids.items():
        text = text.replace(value, name)
    text = re.sub(r'"request_id":\s*"\w+"', "", text)
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in ("date", "x-request-id", "content-length")
    }
    return answer.status_code, text, headers


def test_every_route_of_the_service_has_an_example(server: Server) -> None:
    app = APP
    found = list(iter_route_contexts(app.routes))
    routes = {(m, str(r.path)) for r in found for m in (r.methods or ()) if m != "HEAD"}
    assert not [r for r in found if not r.methods and not isinstance(r.original_route, Mount)]
    assert {str(r.path) for r in found if isinstance(r.original_route, Mount)} <= {
        "/assets",
        "/guide",
    }
    documented = {
        (m.upper(), p) for p, operations in app.openapi()["paths"].items() for m in operations
    }
    assert documented <= routes
    assert routes - ELSEWHERE - OPEN_PAGES == set(EXAMPLES)
    with server.client() as client:
        assert client.get("/openapi.json").json()["paths"].keys() == app.openapi()["paths"].keys()


def test_responses_are_checked_against_the_openapi_document() -> None:
    assert document()["paths"] == APP.openapi()["paths"]
    assert document()["components"] == APP.openapi()["components"]


def test_a_route_serves_its_owner_and_nobody_else(world: World) -> None:
    for (method, path), examples in EXAMPLES.items():
        for example in examples:
            check(world, method, path, example)


def check(world: World, method: str, path: str, example: Example) -> None:
    name = f"{method} {path}"
    ids = example.ids(world)
    if example.is_open:
        assert ask(world.nobody, method, path, example, ids).status_code == example.status, name
        return
    nobody = ask(world.nobody, method, path, example, ids)
    assert_problem(nobody, 401, "unauthenticated")
    assert nobody.headers["www-authenticate"] == 'Bearer realm="granula"', name
    revoked = ask(world.revoked, method, path, example, ids)
    assert_problem(revoked, 401, "unauthenticated")
    assert revoked.json()["detail"] == nobody.json()["detail"], name

    other = ask(world.other, method, path, example, ids)
    if ids or example.is_for_admins:
        strange = unknown(ids)
        assert told(other, ids) == told(
            ask(world.other, method, path, example, strange), strange
        ), name
        assert other.status_code == example.unknown_status, name
    else:
        assert other.status_code == example.status, (name, other.text)
        assert not example.leaks(other), (name, other.text)

    caller = world.people.admin if example.is_for_admins else world.owner
    mine = ask(caller, method, path, example, ids)
    assert mine.status_code == example.status, (name, mine.text)


def test_the_open_routes_are_those_of_the_examples() -> None:
    for (method, path), examples in EXAMPLES.items():
        assert is_open(method, path) == examples[0].is_open, path
    assert all(is_open(*each) for each in OPEN_PAGES | ELSEWHERE)
    assert not any(is_open("POST", path) for _, path in OPEN_PAGES)


@pytest.mark.parametrize(
    "path", ["/nothing/here", "/api/v1/jobs/", "/Health", "/assets", "/errors"]
)
def test_unlisted_routes_require_authentication(world: World, path: str) -> None:
    assert_problem(world.nobody.get(path), 401, "unauthenticated")
