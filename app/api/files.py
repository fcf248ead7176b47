"""/api/v1/upload, status, results, rejects, files: the core door."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from app.api.errors import invalid, problem_responses
from app.api.multipart import MultipartBody
from app.api.parameters import (
    After,
    FileId,
    Limit,
    Name,
    Offset,
    UploadOptions,
    clean_filename,
    single_values,
)
from app.api.receiving import steady
from app.api.services import App, Owner, Services
from app.errors import (
    BadDigest,
    BadIdempotencyKey,
    NotFound,
    Unavailable,
    UnsupportedMediaType,
    UnsupportedTransferEncoding,
)
from app.formats.detect import Declared
from app.jobs import progress, results
from app.jobs.submit import Accepted, Submission

router = APIRouter(prefix="/api/v1", tags=["files"], dependencies=[Depends(single_values)])

UNDECLARED = ("", "application/octet-stream", "binary/octet-stream", "application/x-www-form-urlencoded")
"""Types that clients send when they know nothing: the content decides."""

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}, "priority": {"type": "integer"}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post(
    "/upload",
    status_code=201,
    summary="Upload a file",
    openapi_extra=BODY,
    responses=problem_responses(400, 408, 409, 413, 415, 422, 503, 507),
)
async def upload(request: Request, app: App, owner: Owner, options: Annotated[UploadOptions, Query()]) -> Response:
    """A CSV, JSON or JSON Lines file, plain or gzipped: as the part `file` of a form, or as the raw body, which is faster.

    Answered when the bytes are on disk for good and the job is in the database, before anything is parsed.
    """
    return await _receive(request, app, owner, options)


@router.put("/upload", status_code=201, summary="Upload a raw body", openapi_extra=BODY, include_in_schema=False)
@router.put("/upload/{filename}", status_code=201, include_in_schema=False)
async def put_upload(
    request: Request, app: App, owner: Owner, options: Annotated[UploadOptions, Query()], filename: str = ""
) -> Response:
    """What `curl -T big.csv` sends."""
    if filename and options.filename is None:
        options = options.model_copy(update={"filename": filename})
    return await _receive(request, app, owner, options)


async def _receive(request: Request, app: Services, owner: str, options: UploadOptions) -> Response:
    """Refuse what can be refused before the first byte of the body, then stream it."""
    if app.machine.is_draining:
        raise Unavailable("The service is shutting down.", headers={"Retry-After": "10"})
    content_type = request.headers.get("content-type", "")
    is_form = content_type.lower().startswith("multipart/form-data")
    form = MultipartBody(content_type) if is_form else None
    submission = _submission(request, owner, options, form is not None)
    if form is None:
        _check_media_type(content_type, app)
        submission.media_type = _media_type(content_type)
        submission.declared = _declared(options, content_type)
    await app.submitter.check(submission)
    stream = steady(request, app)
    body = stream if form is None else _form_file(form, stream, submission, options, app)
    try:
        accepted = await app.submitter.submit(submission, body)
    except ClientDisconnect:
        return Response(status_code=499)  # nobody is there to read it
    return _created(accepted)


def _submission(request: Request, owner: str, options: UploadOptions, is_form: bool) -> Submission:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise UnsupportedTransferEncoding("The Content-Encoding of the body is not accepted.")
    length = request.headers.get("content-length", "")
    submission = Submission(
        owner=owner,
        filename=clean_filename(options.filename or ""),
        declared=_declared(options, ""),
        idempotency_key=_idempotency_key(request),
        expected_sha256=_expected_sha256(request),
        content_length=int(length) if length.isdecimal() and length.isascii() else None,
        is_gzip_encoded=encoding != "identity" and not is_form,
    )
    _apply(submission, options)
    return submission


def _apply(submission: Submission, options: UploadOptions) -> None:
    submission.processor = options.processor
    submission.options = {} if options.model is None else {"model": options.model}
    submission.chunk_size = options.chunk_size
    submission.priority = options.priority
    submission.on_duplicate = options.on_duplicate


def _declared(options: UploadOptions, content_type: str) -> Declared:
    charset = re.search(r"charset=\"?([\w.:-]{1,40})", content_type, re.IGNORECASE)
    return Declared(
        format=options.format,
        encoding=options.encoding
        or (charset[1] if charset and _media_type(content_type) != "application/json" else None),
        delimiter=options.delimiter,
        quote=options.quote,
        escape=options.escape,
        newline=options.newline,
        skip_rows=options.skip_rows,
        header_rows=options.header_rows,
        skip_footer=options.skip_footer,
        columns=options.columns,
        on_bad_row=options.on_bad_row,
    )


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()[:255]


def _check_media_type(content_type: str, app: Services) -> None:
    media_type = _media_type(content_type)
    accepted = app.settings.allowed_content_types
    if media_type not in accepted and media_type not in UNDECLARED:
        raise UnsupportedMediaType(accepted=list(accepted))


async def _form_file(
    form: MultipartBody, stream: AsyncIterator[bytes], submission: Submission, options: UploadOptions, app: Services
) -> AsyncIterator[bytes]:
    """The file of a form. Its part's headers and the fields before it are applied when its first bytes come, the fields
    after it at the end; what the query says wins."""
    seen = False
    async for piece in form.read(stream):
        if not seen:
            seen = True
            _check_media_type(form.media_type, app)
        yield piece
    if not seen:
        _check_media_type(form.media_type, app)
    given = options.model_dump(exclude_unset=True)
    try:
        merged = UploadOptions.model_validate({**form.fields, **given})
    except ValidationError as error:
        raise invalid(error.errors(), "form") from None
    submission.filename = clean_filename(merged.filename or form.filename)
    submission.media_type = _media_type(form.media_type)
    submission.declared = _declared(merged, form.media_type)
    _apply(submission, merged)
    app.processors.check(submission.processor, submission.options)


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not re.fullmatch(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?", key):
        raise BadIdempotencyKey
    return key


def _expected_sha256(request: Request) -> bytes | None:
    """Of the Repr-Digest header (RFC 9530); other algorithms beside it are ignored."""
    header = request.headers.get("repr-digest")
    if header is None:
        return None
    for member in header.split(","):
        algorithm, _, value = member.strip().partition("=")
        if algorithm.lower() != "sha-256":
            continue
        if not (len(value) > 2 and value.startswith(":") and value.endswith(":")):
            raise BadDigest
        try:
            digest = base64.b64decode(value[1:-1], validate=True)
        except ValueError:  # binascii.Error, or not even ASCII
            raise BadDigest from None
        if len(digest) != 32:
            raise BadDigest("A sha-256 digest has 32 bytes.")
        return digest
    if not re.search(r"[\w-]+=:[A-Za-z0-9+/=]*:", header):
        raise BadDigest
    return None


def _created(accepted: Accepted) -> Response:
    headers = {"Location": f"/api/v1/status/{accepted.body['file_id']}"}
    if accepted.replayed:
        headers["Idempotency-Replayed"] = "true"
    return JSONResponse(accepted.body, accepted.status_code, headers)


# ---------------------------------------------------------------------- reading


@router.get("/status/{file_id}", responses=problem_responses(404))
async def status(file_id: FileId, app: App, owner: Owner) -> dict[str, Any]:
    """How far it is: chunks, rows, bytes, speed, and the time left."""
    return await progress.get_status(app.database, file_id, owner)


@router.get("/status/{file_id}/events", response_class=StreamingResponse, responses=problem_responses(404))
async def events(file_id: FileId, app: App, owner: Owner) -> StreamingResponse:
    """The same as server-sent events (`event: status`), one at each change, until the job is final."""
    changes = app.feed.watch(file_id, owner)
    first = await anext(changes)  # an unknown id is a 404, not an empty stream

    async def stream() -> AsyncIterator[str]:
        yield _event(first)
        async for change in changes:
            yield _event(change)

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _event(body: dict[str, Any]) -> str:
    return f"event: status\ndata: {json.dumps(body)}\n\n"


@router.get("/results/{file_id}", responses=problem_responses(404, 422))
async def get_results(
    file_id: FileId,
    app: App,
    owner: Owner,
    limit: Annotated[Limit, Query()] = 100,
    offset: Annotated[Offset, Query()] = 0,
    after: Annotated[After | None, Query()] = None,
    format: Annotated[Literal["row", "object"], Query(description="Rows as cells, or as objects by column.")] = "row",
) -> Response:
    """Results in the order of the file, from the first finished chunk on."""
    body = await results.get_results(
        app.database, file_id, owner, limit=limit, offset=offset, after=after, as_object=format == "object"
    )
    return Response(await asyncio.to_thread(_dump, body), media_type="application/json")


def _dump(body: dict[str, Any]) -> bytes:
    return msgspec.json.encode(body)


@router.get("/results/{file_id}/download", response_class=StreamingResponse, responses=problem_responses(404, 422))
async def download(
    file_id: FileId,
    app: App,
    owner: Owner,
    format: Annotated[Literal["csv", "jsonl", "parquet"], Query()] = "csv",
    gzip: Annotated[bool, Query(description="Compress csv and jsonl.")] = False,
    formula_guard: Annotated[
        bool, Query(description="In CSV, put an apostrophe before cells that a spreadsheet would run as formulas.")
    ] = True,
) -> StreamingResponse:
    """All results in the order of the file."""
    async with app.database.reading() as connection:
        job = await progress.find(connection, file_id, owner)
    packed = gzip and format != "parquet"
    types = {
        "csv": "text/csv; charset=utf-8",
        "jsonl": "application/x-ndjson",
        "parquet": "application/vnd.apache.parquet",
    }
    name = f"{_stem(job['filename'])}.results.{format}{'.gz' if packed else ''}"
    body = results.download(app.database, job, format=format, gzip=packed, formula_guard=formula_guard)
    return StreamingResponse(
        body,
        media_type="application/gzip" if packed else types[format],
        headers={"Content-Disposition": attachment(name)},
    )


@router.get("/rejects/{file_id}", responses=problem_responses(404, 422))
async def get_rejects(
    file_id: FileId,
    app: App,
    owner: Owner,
    limit: Annotated[Limit, Query()] = 100,
    offset: Annotated[Offset, Query()] = 0,
    after: Annotated[After, Query()] = 0,
    code: Annotated[Name | None, Query(description="Only rejects of this code.")] = None,
) -> dict[str, Any]:
    """Rows that did not get through: where each stands, and why."""
    return await results.get_rejects(app.database, file_id, owner, limit=limit, offset=offset, after=after, code=code)


@router.get("/rejects/{file_id}/download", response_class=StreamingResponse, responses=problem_responses(404))
async def download_rejects(file_id: FileId, app: App, owner: Owner) -> StreamingResponse:
    """All rejects as CSV: the original columns and bytes, then `_row,_line,_column,_code,_message`."""
    async with app.database.reading() as connection:
        job = await progress.find(connection, file_id, owner)
    return StreamingResponse(
        results.download_rejects(app.database, job),
        media_type="text/csv",
        headers={"Content-Disposition": attachment(f"{_stem(job['filename'])}.rejects.csv")},
    )


@router.get("/files/{file_id}/bytes", responses=problem_responses(404, 422))
async def original_bytes(
    file_id: FileId,
    app: App,
    owner: Owner,
    start: Annotated[Offset, Query(description="Offset of the first byte.")],
    end: Annotated[Offset, Query(description="Offset behind the last byte; at most 16 MiB away.")],
) -> Response:
    """A piece of the stored file, for instance the bytes of a reject."""
    async with app.database.reading() as connection:
        job = await progress.find(connection, file_id, owner)
    if not start <= end <= min(job["stored_bytes"], start + (16 << 20)):
        raise invalid(
            [{"loc": ("end",), "type": "range", "msg": "must be behind start, within the file, 16 MiB at most"}]
        )
    if job["storage_uri"] is None:
        raise NotFound("The stored upload was deleted; results and rejects are still there.")
    data = await asyncio.to_thread(app.storage.read, job["storage_uri"], start, end)
    return Response(data, media_type="application/octet-stream")


@router.delete("/files/{file_id}", status_code=204, responses=problem_responses(404))
async def delete(file_id: FileId, app: App, owner: Owner) -> Response:
    """Delete the file with its results, rejects and bytes; cancels it first. It is gone from the API at once."""
    await app.control.delete(file_id, owner)
    return Response(status_code=204)


def attachment(name: str) -> str:
    """A Content-Disposition that any name survives (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _stem(filename: str) -> str:
    return re.sub(r"\.(csv|tsv|txt|json|jsonl|ndjson)(\.gz)?$", "", filename, flags=re.IGNORECASE) or "upload"
