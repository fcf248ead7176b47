"""Every error as RFC 9457 problem+json: a stable code, what happened, what to do. What the client
sent is never echoed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.errors import (
    DiskFull,
    InsufficientStorage,
    InternalError,
    InvalidParameter,
    MalformedJson,
    MethodNotAllowed,
    NotFound,
    RequestError,
    StorageUnavailable,
    StoredFileCorrupt,
    StoredFileMissing,
    TransientError,
    Unavailable,
)
from app.schemas.faults import faults
from app.sources.faults import as_ours

logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
PLACES = ("query", "body", "path", "header")
RETRY_AFTER = {503: "2", 507: "60"}
"""Seconds, for every answer of these statuses that does not name others."""
NEAR = 0.7
"""Of two names, how much of them must agree for one to be a slip for the other."""


class BodyRefused(HTTPException):
    """Raised while a body is read: FastAPI lets an HTTPException pass there, and makes a 400 of all
    else.
    """

    def __init__(self, error: RequestError) -> None:
        super().__init__(error.status)
        self.error = error


def problem(request: Request, error: RequestError) -> JSONResponse:
    body = problem_body(error, request.scope["path"], request.scope.get("request_id", ""))
    headers = error.headers or {}
    if error.status in RETRY_AFTER:
        headers = {"Retry-After": RETRY_AFTER[error.status], **headers}
    return JSONResponse(body, error.status, headers, MEDIA_TYPE)


def problem_body(error: RequestError, path: str, request_id: str) -> dict[str, Any]:
    body = {
        "type": f"/errors/{error.code}",
        "title": error.title(),
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "remedy": error.remedy,
        "instance": path,
        "request_id": request_id,
        **error.members,
    }
    if error.errors:
        body["errors"] = error.errors
    return body


def invalid(
    errors: Iterable[Mapping[str, Any]],
    where: str = "query",
    sent: Any = None,
    known: Collection[str] = (),
) -> InvalidParameter:
    """From pydantic's errors over what was `sent`, without the input they carry: it may not even be
    encodable. `known` are the names that there are: an unknown one is answered with the nearest of
    them.
    """
    found = []
    for error in errors:
        is_placed = bool(error["loc"]) and error["loc"][0] in PLACES
        body = sent if not is_placed or error["loc"][0] == "body" else None
        for fault in faults([error], body, skip=1 if is_placed else 0):
            location = fault.place if is_placed else [where, *fault.place]
            message = fault.message
            if fault.code == "extra_forbidden":
                nearest = get_close_matches(location[-1].lower().replace("-", "_"), known, 1, NEAR)
                message += f". Did you mean {nearest[0]}?" if nearest else ""
            found.append(
                {"code": fault.code, "pointer": "/".join(location)[:200], "detail": message[:300]}
            )
    named = ", ".join(
        dict.fromkeys(item["pointer"].partition("/")[2] or item["pointer"] for item in found)
    )
    return InvalidParameter(f"These parameters cannot be used: {named}.", errors=found)


def _known_names(request: Request) -> list[str]:
    """Of the parameters and the members of the body that the route takes, as its description has
    them.
    """
    described = request.app.openapi()
    route = (
        described["paths"]
        .get(getattr(request.scope.get("route"), "path", ""), {})
        .get(request.method.lower(), {})
    )
    names = [
        parameter["name"] for parameter in route.get("parameters", ()) if parameter["in"] == "query"
    ]
    for content in route.get("requestBody", {}).get("content", {}).values():
        reference = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        names += described["components"]["schemas"].get(reference, {}).get("properties", ())
    return names


def failure(request: Request, error: Exception) -> JSONResponse:
    """For what nobody expected: the log has the details, the answer has none."""
    logger.error("Unhandled error in %s %r", request.method, request.scope["path"], exc_info=error)
    return problem(request, InternalError())


def unavailable(request: Request, error: TransientError) -> JSONResponse:
    logger.warning("%s %r: %s", request.method, request.scope["path"], error)
    if isinstance(error, DiskFull):
        return problem(request, InsufficientStorage(error.detail))
    is_storage = isinstance(error, StorageUnavailable)  # names the place, and what to check
    return problem(
        request, Unavailable(error.detail if is_storage else "The database does not answer now.")
    )


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI."""
    schema = {
        "type": "object",
        "properties": {"code": {"type": "string"}, "detail": {"type": "string"}},
    }
    return {
        s: {"description": HTTPStatus(s).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for s in statuses
    }


def _methods(request: Request) -> list[str]:
    """Those of all routes of this path: each route knows its own alone."""
    found: set[str] = set()
    for route in request.app.router.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return sorted(found)


def install(app: FastAPI) -> None:
    @app.exception_handler(RequestError)
    async def request_error(request: Request, error: RequestError) -> JSONResponse:
        return problem(request, error)

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        if any(item["type"] == "json_invalid" for item in error.errors()):
            return problem(request, MalformedJson())
        found = error.errors()
        is_unknown = any(item["type"] == "extra_forbidden" for item in found)
        known = _known_names(request) if is_unknown else ()
        return problem(request, invalid(found, sent=error.body, known=known))

    @app.exception_handler(TransientError)
    async def transient_error(request: Request, error: TransientError) -> JSONResponse:
        return unavailable(request, error)

    @app.exception_handler(OSError)
    async def system_error(request: Request, error: OSError) -> JSONResponse:
        """Of a file that is used beside the storage: a spool, a folder for temporary files."""
        ours = as_ours(error, "The disk")
        return failure(request, error) if ours is None else unavailable(request, ours)

    @app.exception_handler(StoredFileMissing)
    @app.exception_handler(StoredFileCorrupt)
    async def stored_file_error(request: Request, error: StoredFileMissing) -> JSONResponse:
        return problem(request, NotFound(error.detail))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error, BodyRefused):
            return problem(request, error.error)
        if error.status_code == 405:
            return problem(
                request, MethodNotAllowed(headers={"Allow": ", ".join(_methods(request))})
            )
        # 400 is FastAPI's answer to a JSON body that the decoder gave up on.
        kinds: dict[int, type[RequestError]] = {400: MalformedJson, 404: NotFound}
        kind = kinds.get(error.status_code)
        if kind is None:
            kind = InternalError if error.status_code >= 500 else RequestError
            return problem(request, kind(str(error.detail)))
        return problem(request, kind(headers=dict(error.headers or {})))
