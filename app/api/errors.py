"""Every error as RFC 9457 problem+json: a stable code, what happened, what to do. What the client sent is never echoed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.errors import (
    InternalError,
    InvalidParameter,
    MethodNotAllowed,
    NotFound,
    RequestError,
    StoredFileCorrupt,
    StoredFileMissing,
    TransientError,
    Unavailable,
)

logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"


def problem(request: Request, error: RequestError) -> JSONResponse:
    body = {
        "type": f"/errors/{error.code}",
        "title": error.title(),
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "remedy": error.remedy,
        "instance": request.url.path,
        "request_id": request.scope.get("request_id", ""),
        **error.members,
    }
    if error.errors:
        body["errors"] = error.errors
    return JSONResponse(body, error.status, error.headers, MEDIA_TYPE)


def invalid(errors: Iterable[Mapping[str, Any]], where: str = "query") -> InvalidParameter:
    """From pydantic's errors, without the input they carry: it may not even be encodable."""
    found = []
    for error in errors:
        location = [str(part) for part in error["loc"]]
        if location and location[0] not in ("query", "body", "path", "header"):
            location.insert(0, where)
        message = str(error["msg"]).removeprefix("Value error, ")
        found.append({"code": error["type"], "pointer": "/".join(location)[:200], "detail": message[:300]})
    named = ", ".join(item["pointer"].partition("/")[2] or item["pointer"] for item in found)
    error_ = InvalidParameter(f"These parameters cannot be used: {named}.", errors=found)
    return error_  # type: ignore[no-any-return]


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI."""
    schema = {"type": "object", "properties": {"code": {"type": "string"}, "detail": {"type": "string"}}}
    return {s: {"description": HTTPStatus(s).phrase, "content": {MEDIA_TYPE: {"schema": schema}}} for s in statuses}


def install(app: FastAPI) -> None:
    @app.exception_handler(RequestError)
    async def request_error(request: Request, error: RequestError) -> JSONResponse:
        return problem(request, error)

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem(request, invalid(error.errors()))

    @app.exception_handler(TransientError)
    async def transient_error(request: Request, error: TransientError) -> JSONResponse:
        logger.warning("%s %s: %s", request.method, request.url.path, error)
        return problem(request, Unavailable("The database does not answer now.", headers={"Retry-After": "2"}))

    @app.exception_handler(StoredFileMissing)
    @app.exception_handler(StoredFileCorrupt)
    async def stored_file_error(request: Request, error: StoredFileMissing) -> JSONResponse:
        return problem(request, NotFound(error.detail))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        kinds: dict[int, type[RequestError]] = {404: NotFound, 405: MethodNotAllowed}
        kind = kinds.get(error.status_code)
        if kind is None:
            kind = InternalError if error.status_code >= 500 else RequestError
            return problem(request, kind(str(error.detail)))
        return problem(request, kind(headers=dict(error.headers or {})))

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s %s went wrong", request.method, request.url.path, exc_info=error)
        return problem(request, InternalError())
