"""Errors as RFC 9457 problem+json: a stable code, what happened and what to do. They never echo
what the client sent.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from app.api.assets import page, wants_page
from app.errors import (
    ConnectionUnavailable,
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
from app.sources.faults import to_granula_error

logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
PLACES = ("query", "body", "path", "header")
FOR_PROGRAMS = ("/api/", "/assets/", "/batch")
"""Addresses under which a browser also gets errors as JSON."""
RETRY_AFTER = {503: "2", 507: "60"}
"""Default value of Retry-After in seconds, by status."""
MOST_REASONS = 3
"""Parameters whose fault is in the sentence of the answer; `errors` has all."""
NEAR = 0.7
"""Similarity of two names from which one counts as a misspelling of the other."""


class BodyRefused(HTTPException):
    """Raised while a body is read. It is an HTTPException because FastAPI turns every other
    exception there into a 400.
    """

    def __init__(self, error: RequestError) -> None:
        super().__init__(error.status)
        self.error = error


def problem(request: Request, error: RequestError) -> JSONResponse:
    body = problem_body(error, request.scope["path"], _request_id(request))
    headers = error.headers or {}
    if error.status in RETRY_AFTER:
        headers = {"Retry-After": RETRY_AFTER[error.status], **headers}
    return JSONResponse(body, error.status, headers, MEDIA_TYPE)


def _nothing_here(request: Request, error: NotFound) -> Response:
    """Return the problem; for a browser that looks for a page, the dashboard, which says so."""
    path = request.scope["path"]
    is_read = request.method in ("GET", "HEAD")
    is_for_people = is_read and not path.startswith(FOR_PROGRAMS)
    if is_for_people and wants_page(request.headers.get("accept", "")):
        return page(error.status)
    return problem(request, error)


def _request_id(request: Request) -> str:
    """Return the id of the request; empty for one that did not pass the middleware."""
    return str(request.scope.get("request_id", ""))


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
    """Build an error from pydantic's errors over `sent`. The input that they carry is dropped,
    since it may not even be encodable. For a name that is not in `known`, suggest the nearest one.
    """
    complaints = []
    for error in errors:
        is_placed = bool(error["loc"]) and error["loc"][0] in PLACES
        body = sent if not is_placed or error["loc"][0] == "body" else None
        for fault in faults([error], body, skip=1 if is_placed else 0):
            location = fault.place if is_placed else [where, *fault.place]
            message = fault.message
            if fault.code == "extra_forbidden":
                nearest = get_close_matches(location[-1].lower().replace("-", "_"), known, 1, NEAR)
                message += f". Did you mean {nearest[0]}?" if nearest else ""
            complaints.append(
                {"code": fault.code, "pointer": "/".join(location)[:200], "detail": message[:300]}
            )
    return InvalidParameter(_summary(complaints), errors=complaints)


def _summary(complaints: Sequence[Mapping[str, str]]) -> str:
    """Return one sentence with the first parameters and what is wrong with each."""
    reasons: dict[str, str] = {}
    for complaint in complaints:
        name = complaint["pointer"].partition("/")[2] or complaint["pointer"]
        reasons.setdefault(name, complaint["detail"].rstrip("."))
    first = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:MOST_REASONS])
    others = len(reasons) - MOST_REASONS
    more = f"; and {others} more" if others > 0 else ""
    end = "" if (first + more).endswith("?") else "."
    return f"Invalid parameters: {first}{more}{end}"


def _known_names(request: Request) -> list[str]:
    """Return the names of the parameters and of the body's members that the route declares."""
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
    """Answer an unexpected exception: the details go to the log alone."""
    logger.error(
        "Unhandled error in %s %r, request_id=%s",
        request.method,
        request.scope["path"],
        _request_id(request),
        exc_info=error,
        extra={"fields": {"request_id": _request_id(request)}},
    )
    return problem(request, InternalError())


def unavailable(request: Request, error: TransientError) -> JSONResponse:
    logger.warning(
        "%s %r: %s (request_id=%s)",
        request.method,
        request.scope["path"],
        error,
        _request_id(request),
        extra={"fields": {"request_id": _request_id(request)}},
    )
    if isinstance(error, DiskFull):
        return problem(request, InsufficientStorage(error.detail))
    # they name the path or the connection, and what to check
    says_what = isinstance(error, StorageUnavailable | ConnectionUnavailable)
    detail = error.detail if says_what else "The database is not responding."
    return problem(request, Unavailable(detail))


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route for OpenAPI."""
    schema = {
        "type": "object",
        "properties": {"code": {"type": "string"}, "detail": {"type": "string"}},
    }
    return {
        s: {"description": HTTPStatus(s).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for s in statuses
    }


def _methods(request: Request) -> list[str]:
    """Return the methods of all routes with this path, since each route knows only its own."""
    methods: set[str] = set()
    for route in request.app.router.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return sorted(methods)


def install(app: FastAPI) -> None:
    @app.exception_handler(RequestError)
    async def request_error(request: Request, error: RequestError) -> Response:
        return (
            _nothing_here(request, error)
            if isinstance(error, NotFound)
            else problem(request, error)
        )

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        if any(item["type"] == "json_invalid" for item in error.errors()):
            return problem(request, MalformedJson())
        validation_errors = error.errors()
        is_unknown = any(item["type"] == "extra_forbidden" for item in validation_errors)
        known = _known_names(request) if is_unknown else ()
        return problem(request, invalid(validation_errors, sent=error.body, known=known))

    @app.exception_handler(TransientError)
    async def transient_error(request: Request, error: TransientError) -> JSONResponse:
        return unavailable(request, error)

    @app.exception_handler(OSError)
    async def system_error(request: Request, error: OSError) -> JSONResponse:
        """Answer an OSError from a file outside the storage, such as a spool or a temporary
        folder.
        """
        known_error = to_granula_error(error, "The disk")
        return failure(request, error) if known_error is None else unavailable(request, known_error)

    @app.exception_handler(StoredFileMissing)
    @app.exception_handler(StoredFileCorrupt)
    async def stored_file_error(request: Request, error: StoredFileMissing) -> JSONResponse:
        return problem(request, NotFound(error.detail))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        if isinstance(error, BodyRefused):
            return problem(request, error.error)
        if error.status_code == 405:
            return problem(
                request, MethodNotAllowed(headers={"Allow": ", ".join(_methods(request))})
            )
        if error.status_code == 404:
            return _nothing_here(request, NotFound(headers=dict(error.headers or {})))
        # 400 is FastAPI's status for a JSON body that the decoder rejected.
        kinds: dict[int, type[RequestError]] = {400: MalformedJson}
        kind = kinds.get(error.status_code)
        if kind is None:
            kind = InternalError if error.status_code >= 500 else RequestError
            return problem(request, kind(str(error.detail)))
        return problem(request, kind(headers=dict(error.headers or {})))
