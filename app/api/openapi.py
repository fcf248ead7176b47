"""The parts of the OpenAPI document that all routes share: authentication, errors, and an example
of each input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from app.api.auth_middleware import is_open
from app.api.authentication import COOKIE, SAFE_METHODS
from app.api.errors import MEDIA_TYPE
from app.api.parameters import OPTION
from app.errors import (
    BodyTooLarge,
    Conflict,
    CrossSite,
    HeadersTooLarge,
    InsufficientStorage,
    InternalError,
    InvalidParameter,
    MalformedJson,
    MethodNotAllowed,
    NotFound,
    RangeNotSatisfiable,
    RateLimited,
    RequestError,
    TusVersion,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
    UploadExpired,
    UploadLocked,
    UploadStalled,
)
from app.jobs.job_types import JobType

ID = "0b8f3c1e-6f0d-4a52-9d3a-3f3f6f0f2a11"
OTHER_ID = "5d2f7a90-1c4b-4e0e-8a7c-9b1f0d6c2e33"
PATH_EXAMPLES = {
    "file_id": ID,
    "job_id": ID,
    "template_id": ID,
    "schedule_id": ID,
    "watch_id": ID,
    "row_number": 17,
    "key_id": ID,
    "batch_id": "batch-1f0c2a9b7d3e",
    "import_id": "1",
    "user_id": "alice",
    "code": "not_found",
    "name": "public.orders",
    "webhook_id": ID,
    "upload_id": ID,
    "message_id": "msg_0b8f3c1e6f0d4a529d3a3f3f6f0f2a11",
}
BODY_EXAMPLES: dict[str, dict[str, Any]] = {
    "AnalyzeRequest": {"file_id": ID},
    "MappingRequest": {"input_file_id": ID, "reference_file_id": OTHER_ID, "provider": "local"},
    "NewJob": {"type": "analyze", "file_id": ID},
    "EarlierChoice": {"job_id": OTHER_ID},
    "ScoreRequest": {"source": "s3://transactions/2026/*.csv", "priority": 5},
    "JobPatch": {"priority": 9},
    "BulkRequest": {"action": "label", "jobs": [55, 56], "add_labels": ["q3"]},
    "NewTemplate": {
        "name": "Shop to CRM",
        "columns": [{"reference_column": "email", "input_columns": ["E-Mail"]}],
    },
    "EditedTemplate": {"columns": [{"reference_column": "email", "input_columns": ["Mail"]}]},
    "NewSchedule": {
        "cron": "0 2 * * *",
        "timezone": "Europe/Berlin",
        "job": {"type": "scoring", "source": "s3://transactions/*.csv"},
    },
    "ScheduleChange": {"paused": True},
    "NewWatch": {
        "source": "s3://partners/inbox/*.csv",
        "job": {"type": "rows"},
        "every_seconds": 60.0,
    },
    "WatchChange": {"paused": True},
    "WebhookChange": {"enabled": False},
    "SearchRequest": {"query": "people who write software", "status": "valid", "limit": 5},
    "SignIn": {"key": "granula_..."},
    "NewUser": {"user_id": "alice", "expires_in_days": 365},
    "NewUserKey": {"label": "laptop", "expires_in_days": 90},
}
"""Examples of request bodies, by the name of the model."""
TYPICAL: dict[int, type[RequestError]] = {
    error.status: error
    for error in (
        MalformedJson,
        Unauthenticated,
        CrossSite,
        NotFound,
        MethodNotAllowed,
        UploadStalled,
        Conflict,
        BodyTooLarge,
        RangeNotSatisfiable,
        UnsupportedMediaType,
        InvalidParameter,
        RateLimited,
        HeadersTooLarge,
        InternalError,
        Unavailable,
        InsufficientStorage,
        TusVersion,
        UploadExpired,
        UploadLocked,
    )
}
RENAMED = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. `code` never changes; /errors/{code} says what it means.",
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "remedy", "instance", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "`/errors/{code}`"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string"},
        "detail": {"type": "string", "description": "What happened in this request."},
        "remedy": {"type": "string", "description": "What to do next."},
        "instance": {"type": "string", "description": "The requested path."},
        "request_id": {
            "type": "string",
            "description": "Same as the X-Request-ID header; the log has it too.",
        },
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("code", "pointer", "detail")},
            },
        },
    },
}
SCHEMES = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key printed by `python -m app users create NAME`.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "Set by POST /api/v1/session.",
    },
}
RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    429: RETRY_AFTER,
    503: RETRY_AFTER,
    507: RETRY_AFTER,
}


WITH_OPTIONS = ("NewJob", "ScheduledJob", "BatchRequest")
"""Models whose `options` depend on the job type."""


def install(app: FastAPI) -> None:
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            services = getattr(app.state, "services", None)
            document = make()
            complete(document, () if services is None else services.job_types.all)
            if services is None:  # the job types are not known before the start
                app.openapi_schema = None
                return document
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def name_operations(routes: Iterable[BaseRoute]) -> None:
    """Use the name of each handler as its operation id. Generated clients name their methods after
    it, and the name stays when a path changes.
    """
    for route in routes:
        if isinstance(route, APIRoute):
            route.operation_id = route.name


def complete(document: dict[str, Any], job_types: Sequence[JobType] = ()) -> None:
    """Add what all routes share, and the options of these job types, to `document` in place."""
    components = document.setdefault("components", {})
    components["securitySchemes"] = SCHEMES
    schemas = components.setdefault("schemas", {})
    # the service never sends FastAPI's own models
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM
    for name, example in BODY_EXAMPLES.items():
        if name in schemas:
            schemas[name].setdefault("examples", [example])
    _describe_options(schemas, job_types)
    for method, path, operation in operations(document):
        _name_options(operation, job_types)
        _complete_operation(method, path, operation)
    _rename(document)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (method, path, operation)."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _describe_options(schemas: dict[str, Any], job_types: Sequence[JobType]) -> None:
    """Add a schema for the options of each job type that has some, and refer to it from
    `options`.
    """
    named = [{"type": "object", "title": "No options", "maxProperties": 0}]
    for job_type in job_types:
        if not job_type.options.model_fields:
            continue
        schema = job_type.options.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        name = f"Options_{job_type.name}"
        schemas[name] = schema | {"title": f"Options of {job_type.name}"}
        named.append({"$ref": f"#/components/schemas/{name}"})
    for body in WITH_OPTIONS:
        if body in schemas and len(named) > 1:
            schemas[body]["properties"]["options"] |= {"anyOf": named}


def _name_options(operation: dict[str, Any], job_types: Sequence[JobType]) -> None:
    """Replace the parameter `option` by the options of the processors, named as in a query."""
    parameters = operation.get("parameters", [])
    names = [parameter["name"] for parameter in parameters]
    if "option" not in names:
        return
    position = names.index("option")
    by_name: dict[str, dict[str, Any]] = {}
    for job_type in job_types:
        if not job_type.is_uploadable:
            continue
        for name, field in job_type.options.model_fields.items():
            description = (
                f"Option of the processor `{job_type.processor}`. {field.description or ''}".strip()
            )
            by_name.setdefault(
                f"{OPTION}{name}",
                {
                    "name": f"{OPTION}{name}",
                    "in": "query",
                    "schema": {"type": "string"},
                    "description": description,
                },
            )
    if not by_name:
        text = {"type": "string"}
        by_name = {"": {**parameters[position], "name": f"{OPTION}NAME", "schema": text}}
    parameters[position : position + 1] = by_name.values()


def _complete_operation(method: str, path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    _describe_events(responses.get("200", {}))
    statuses = {int(status) for status in responses if int(status) >= 400} | {431, 503}
    if is_open(method, path):
        operation["security"] = []
    else:
        operation["security"] = [{name: []} for name in SCHEMES]
        statuses |= {401, 429} | (set() if method in SAFE_METHODS else {403})
    if "requestBody" in operation:
        statuses |= {400, 413, 422}
    if operation.get("parameters"):
        statuses |= {422}
    if "{" in path:
        statuses |= {404}
    for status in sorted(statuses):
        described = responses.get(str(status), {}).get("content", {}).get("application/json")
        responses[str(status)] = _problem(status, path)
        if described is not None and status != 422:  # FastAPI describes its own 422
            responses[str(status)]["content"]["application/json"] = described
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path" and parameter["name"] in PATH_EXAMPLES:
            parameter["example"] = PATH_EXAMPLES[parameter["name"]]


def _describe_events(answer: dict[str, Any]) -> None:
    """Describe a stream of events by the schema of one event."""
    events = answer.get("content", {}).get("text/event-stream")
    if events is not None:
        data = {
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": events["schema"]["$ref"]},
        }
        events["schema"] = {
            "type": "object",
            "properties": {"event": {"type": "string"}, "data": {"type": "string", **data}},
        }


def _problem(status: int, path: str) -> dict[str, Any]:
    error = TYPICAL[status]
    example = {
        "type": f"/errors/{error.code}",
        "title": error.title(),
        "status": status,
        "code": error.code,
        "detail": f"{error.title()}.",
        "remedy": error.remedy,
        "instance": path,
        "request_id": "4f0d8a5e7c1b4a3f9d2e6b8c0a1f2e3d",
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    answer: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }
    if status in HEADERS:
        answer["headers"] = HEADERS[status]
    return answer


def _rename(part: Any) -> None:
    """Translate the bounds that pydantic writes for validated fields into JSON Schema."""
    if isinstance(part, list):
        for item in part:
            _rename(item)
    elif isinstance(part, dict):
        is_schema = "type" in part and isinstance(part["type"], str)
        for name in list(part):
            if is_schema and name in RENAMED:
                part[RENAMED[name]] = part.pop(name)
            else:
                _rename(part[name])
