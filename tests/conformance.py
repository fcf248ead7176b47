"""Checks the JSON responses of tests against the OpenAPI document: undocumented members fail."""

from __future__ import annotations

import re
import threading
from functools import cache
from typing import Any

import httpx
import jsonschema_rs
from fastapi import FastAPI

JSON = ("application/json", "application/problem+json")
UNDOCUMENTED = ("/openapi.json",)


class CheckedClient(httpx.Client):
    """A client that fails on every JSON response that the document does not describe."""

    def send(self, request: httpx.Request, *, stream: bool = False, **given: Any) -> httpx.Response:
        answer = super().send(request, stream=stream, **given)
        if not stream:
            check(answer)
        return answer


def check(answer: httpx.Response) -> None:
    """Raise AssertionError if the response is JSON and undocumented."""
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    method, path = answer.request.method, answer.request.url.path
    if media_type not in JSON or method == "HEAD" or path in UNDOCUMENTED:
        return
    template = _template(method, path)
    if template is None:  # no route, or one that is an alias of another
        return
    schema = _schema(method, template, str(answer.status_code), media_type)
    assert schema is not None, (
        f"{method} {template} answers {answer.status_code}, which is not documented"
    )
    for error in schema.iter_errors(answer.json()):
        where = "/".join(map(str, error.instance_path))
        raise AssertionError(
            f"{method} {template} {answer.status_code} at /{where}: {error.message[:500]}"
        )


_making = threading.Lock()
"""FastAPI builds its schemas in one thread at a time, and some tests use two."""


def document() -> dict[str, Any]:
    with _making:
        return _document()


@cache
def _document() -> dict[str, Any]:
    """Return the document of the service without importing its main module, which installs logging
    and reads settings.
    """
    from app.api import health, openapi
    from app.features import FEATURES

    app = FastAPI()
    openapi.install(app)
    for router in (
        *(feature.router for feature in FEATURES if feature.has_endpoints),
        health.router,
    ):
        app.router.routes.extend(router.routes)
    return app.openapi()


@cache
def _templates() -> list[tuple[str, re.Pattern[str], str]]:
    """Return (method, pattern, path) of each operation, those with the fewest parameters first."""
    found = [
        (method.upper(), path)
        for path, methods in document()["paths"].items()
        for method in methods
    ]
    found.sort(key=lambda route: route[1].count("{"))
    return [
        (method, re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), path) for method, path in found
    ]


def _template(method: str, path: str) -> str | None:
    return next(
        (t for m, pattern, t in _templates() if m == method and pattern.fullmatch(path)), None
    )


@cache
def _schema(method: str, template: str, status: str, media_type: str) -> Any:
    responses = document()["paths"][template][method.lower()]["responses"]
    schema = responses.get(status, {}).get("content", {}).get(media_type, {}).get("schema")
    if media_type == "application/problem+json":
        schema = {"$ref": "#/components/schemas/Problem"}
    if schema is None:
        return None
    return jsonschema_rs.Draft202012Validator(
        {**schema, "components": document()["components"]}, validate_formats=True
    )
