"""/api/v1/preview: how a file would be read, from its first bytes. Nothing is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field, model_validator

from app.api.errors import problem_responses
from app.api.json import encoded
from app.api.multipart import MultipartBody
from app.api.parameters import (
    DialectOptions,
    Flag,
    Integer,
    checked_query,
    clean_filename,
    media_type,
)
from app.api.receiving import (
    BINARY,
    check_type,
    declared_kind,
    described_body,
    form_with_file,
    pieces,
)
from app.api.services import App, Owner, Services
from app.features.preview.beginning import Beginning, named, of_body
from app.features.preview.last_time import last_time
from app.features.preview.look import preview
from app.features.preview.queries import EarlierFile
from app.features.preview.schemas import Preview
from app.features.preview.service import Previews
from app.formats.detect import Declared

router = APIRouter(prefix="/api/v1", tags=["files"], dependencies=[Depends(checked_query)])
BODY = described_body({**form_with_file(), "application/octet-stream": {"schema": BINARY}})
BODY["requestBody"]["required"] = False


class PreviewOptions(DialectOptions):
    """The file, and how to read it."""

    model_config = ConfigDict(extra="forbid")

    file_id: UUID | None = Field(default=None, description="Of an upload; the body is not read.")
    source: str | None = Field(
        default=None,
        max_length=2000,
        description="A source, as in POST /api/v1/jobs; of a pattern, the first that matches.",
    )
    credentials: str = Field(
        default="", max_length=40, description="Name in SOURCE_CREDENTIALS, for a source of https."
    )
    filename: str | None = Field(default=None, max_length=255, description="Of a raw body.")
    partial: Flag = Field(
        default=False, description="Whether the body is only the beginning of the file."
    )
    rows: Annotated[Integer, Field(ge=0, le=1000)] = Field(
        default=50, description="Number of rows to show."
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> PreviewOptions:
        if self.file_id is not None and self.source is not None:
            raise ValueError("give either `file_id` or `source`")
        return self


@router.post(
    "/preview",
    summary="Preview a file",
    openapi_extra=BODY,
    response_model=Preview,
    responses=problem_responses(400, 403, 404, 408, 409, 413, 415, 422, 503),
)
async def preview_file(
    request: Request, app: App, owner: Owner, options: Annotated[PreviewOptions, Query()]
) -> Response:
    """What a file is, with how much confidence, its first rows under the settings that you give,
    and what other settings would give. The file is the body, an upload, or a source.
    The first 256 KiB are read, and nothing is stored.
    """
    if options.file_id is not None:
        beginning = await app.of(Previews).of_file(owner, options.file_id, options.declared(""))
    elif options.source is not None:
        beginning = await app.of(Previews).of_source(
            options.source, options.declared(""), options.credentials
        )
    else:
        beginning = await _sent(request, app, options)
    content_type = beginning.media_type
    declared = beginning.declared(options.declared(content_type))
    name = options.filename or beginning.filename
    shown = named(beginning, name, media_type(content_type))
    earlier = await app.of(Previews).loaded_before(owner) if _is_open(options) else []
    return encoded(await asyncio.to_thread(_answer, shown, declared, options.rows, earlier))


def _is_open(options: PreviewOptions) -> bool:
    """Return whether no setting is declared."""
    return not options.model_fields_set & DialectOptions.model_fields.keys()


def _answer(
    beginning: Beginning, declared: Declared, rows: int, earlier: Sequence[EarlierFile]
) -> dict[str, Any]:
    before = last_time(beginning, declared, earlier) if earlier else None
    return {**preview(beginning, declared, rows), "last_time": before}


async def _sent(request: Request, app: Services, options: PreviewOptions) -> Beginning:
    """Return the beginning of the file in the body, with its content type as it was sent."""
    content_type = request.headers.get("content-type", "")
    partial = options.partial
    if not content_type.lower().startswith("multipart/form-data"):
        check_type(content_type, options.filename or "", app)
        said, kind = options.declared(content_type), declared_kind(request)
        beginning = await of_body(pieces(request), said, kind, is_partial=partial)
        return named(beginning, clean_filename(options.filename or ""), content_type)
    form = MultipartBody(content_type)
    said = options.declared("")
    beginning = await of_body(form.read(pieces(request)), said, None, is_partial=partial)
    check_type(form.media_type, form.filename, app)
    return named(beginning, clean_filename(form.filename), form.media_type)
