"""/api/v1/files/{file_id}/corrections: upload of corrected rejects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect

from app.api.errors import invalid, problem_responses
from app.api.json import encoded
from app.api.multipart import MultipartBody
from app.api.parameters import FileId, Flag, Priority, checked_query
from app.api.receiving import BODY, declared_kind, idempotency_key, pieces
from app.api.services import App, Owner, check_open
from app.errors import BodyTooLarge, MalformedJson
from app.features.corrections import service as corrections
from app.features.corrections.files import MAX_PATCHES
from app.features.corrections.schemas import CorrectionAccepted, EarlierJobs
from app.features.corrections.service import Corrections
from app.jobs.submit import Accepted

router = APIRouter(prefix="/api/v1/files", tags=["files"], dependencies=[Depends(checked_query)])
MAX_JSON_BYTES = 1 << 20


class RowPatch(BaseModel):
    """The changes of one reject."""

    model_config = ConfigDict(extra="forbid", strict=True)

    row: int = Field(alias="_row", ge=1, le=2**62)
    values: dict[str, Any] = Field(
        default_factory=dict, description="New values by column; other cells stay unchanged."
    )
    record: str | None = Field(
        default=None, description="For JSON files: the complete new record, instead of `values`."
    )


class Patches(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rows: list[RowPatch] = Field(min_length=1, max_length=MAX_PATCHES)


class EarlierChoice(BaseModel):
    """The earlier job whose corrections are used."""

    model_config = ConfigDict(extra="forbid")

    job_id: UUID = Field(description="A `job_id` of the list.")


class _ExactPatch(msgspec.Struct):
    """Values as raw JSON: Pydantic turns numbers into floats."""

    values: dict[str, msgspec.Raw] = {}


class _ExactPatches(msgspec.Struct):
    rows: list[_ExactPatch]


CORRECTION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **BODY["requestBody"]["content"],
            "text/csv": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["rows"],
                    "additionalProperties": False,
                    "properties": {
                        "rows": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": MAX_PATCHES,
                            "items": RowPatch.model_json_schema(),
                        }
                    },
                },
                "example": {"rows": [{"_row": 17, "values": {"age": "42"}}]},
            },
        },
    }
}


@router.post(
    "/{file_id}/corrections",
    status_code=202,
    summary="Correct rejected rows",
    openapi_extra=CORRECTION_BODY,
    response_model=CorrectionAccepted,
    responses=problem_responses(400, 404, 408, 409, 410, 413, 415, 422, 503, 507),
)
async def correct_rejects(
    file_id: FileId,
    request: Request,
    app: App,
    owner: Owner,
    run_unchanged: Annotated[
        Flag, Query(description="Also run rows that were not edited.")
    ] = False,
    priority: Annotated[Priority | None, Query()] = None,
    formula_guard: Annotated[
        Flag,
        Query(
            description=("For files: remove the apostrophes that the download put before formulas.")
        ),
    ] = True,
) -> Response:
    """Send the corrected file of GET /api/v1/rejects/{file_id}/download, as a raw body or as the
    part `file` of a form; or single cells as JSON. Only its rows run again, and become results in
    their original places. Rejects that the file leaves out stay rejected.

    All rows are accepted or none. The response is sent once the correction is durable; follow it at
    `status_url`.
    """
    check_open(app)
    correction = corrections.Request(
        owner, file_id, run_unchanged, idempotency_key(request), priority, formula_guard
    )
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    await app.of(Corrections).check(correction)
    try:
        if kind == "application/json":
            return _accepted(await app.of(Corrections).patch(correction, await _patches(request)))
        is_form = kind == "multipart/form-data"
        stream = pieces(request)
        body = MultipartBody(content_type).read(stream) if is_form else stream
        declared = declared_kind(request)
        return _accepted(
            await app.of(Corrections).submit(
                correction, body, declared=None if is_form else declared
            )
        )
    except ClientDisconnect:
        return Response(status_code=499)  # the client has disconnected


@router.get(
    "/{file_id}/corrections/earlier",
    response_model=EarlierJobs,
    responses=problem_responses(404, 409, 410),
)
async def list_earlier_corrections(file_id: FileId, app: App, owner: Owner) -> Response:
    """List earlier jobs of files that were read alike (processor, columns, delimiter, encoding),
    whose corrections fit rejects of this one: a reject has the same bytes, reason and column as one
    that was corrected. Counts only; nothing changes.

    The latest 20 jobs with corrections are compared, with the first 50,000 rejects.
    """
    request = corrections.Request(owner, file_id)
    return encoded({"items": await app.of(Corrections).offer_earlier(request)})


@router.post(
    "/{file_id}/corrections/earlier",
    status_code=202,
    response_model=CorrectionAccepted,
    responses=problem_responses(400, 404, 409, 410, 422, 503, 507),
)
async def use_earlier_corrections(
    file_id: FileId, body: EarlierChoice, request: Request, app: App, owner: Owner
) -> Response:
    """Correct the rejects that an earlier job had too, as they were corrected there, in one
    correction. Rejects that were corrected in two ways are left out.
    """
    check_open(app)
    correction = corrections.Request(owner, file_id, idempotency_key=idempotency_key(request))
    return _accepted(await app.of(Corrections).apply_earlier(correction, body.job_id))


async def _patches(request: Request) -> list[corrections.Patch]:
    body = b"".join([piece async for piece in _bounded(pieces(request))])
    try:
        patches = Patches.model_validate_json(body)
    except ValidationError as error:
        if any(item["type"] == "json_invalid" for item in error.errors()):
            raise MalformedJson from None
        raise invalid(error.errors(), "body", _decoded(body, Any)) from None
    exact = _decoded(body, _ExactPatches)
    both = zip(patches.rows, exact.rows, strict=True)
    return [corrections.Patch(row.row, as_written.values, row.record) for row, as_written in both]


def _decoded(body: bytes, kind: Any) -> Any:
    """Decode JSON; raises MalformedJson. Pydantic would also accept NaN and lone surrogates, which
    are not JSON.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeError):
        raise MalformedJson from None


async def _bounded(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    size = 0
    async for piece in stream:
        size += len(piece)
        if size > MAX_JSON_BYTES:
            raise BodyTooLarge
        yield piece


def _accepted(accepted: Accepted) -> Response:
    headers = {"Location": accepted.body["status_url"]}
    if accepted.replayed:
        headers["Idempotency-Replayed"] = "true"
    return encoded(accepted.body, accepted.status_code, headers)
