"""/api/v1/upload, status, results, rejects, files: the core endpoints."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import Field

from app.api.answers import FileStatus, Uploaded
from app.api.errors import invalid, problem_responses
from app.api.json import encoded
from app.api.parameters import (
    After,
    FileId,
    Flag,
    Limit,
    Name,
    Offset,
    OnlyFileId,
    checked_query,
    identifier,
)
from app.api.receiving import BODY, idempotency_key, receive
from app.api.services import App, Owner, check_open
from app.api.streams import EventStream, begun, event_stream
from app.errors import (
    NotFound,
)
from app.features.files import downloads, exports, results, stored
from app.features.files.archive import Archives, Wanted
from app.features.files.parameters import FileOptions, ReadAgain
from app.features.files.reading_again import read_again
from app.features.files.schemas import RejectCauses, RejectPage, ResultPage
from app.features.files.stored import attachment
from app.features.rows.choice import choose
from app.features.rows.commas import with_commas
from app.features.rows.parameters import Columns, Ranges, Search, Where
from app.jobs import progress
from app.jobs.submit import Accepted

ColumnName = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]

router = APIRouter(prefix="/api/v1", tags=["files"], dependencies=[Depends(checked_query)])


@router.post(
    "/upload",
    status_code=201,
    summary="Upload a file",
    openapi_extra=BODY,
    response_model=Uploaded,
    responses={
        200: {
            "model": Uploaded,
            "description": "An earlier upload of the same bytes: `duplicate`.",
        },
        **problem_responses(400, 408, 409, 413, 415, 422, 503, 507),
    },
)
async def upload_file(
    request: Request, app: App, owner: Owner, options: Annotated[FileOptions, Query()]
) -> Response:
    """Upload a CSV, JSON, JSON Lines, Parquet, Arrow or ORC file or a workbook, plain or compressed:
    as the part `file` of a form, or as the raw body, which is faster.

    The response is sent once the bytes are durable and the job is stored, before anything is
    parsed.
    """
    accepted = await receive(request, app, owner, options)
    return created(accepted)


@router.put(
    "/upload",
    status_code=201,
    summary="Upload a raw body",
    openapi_extra=BODY,
    include_in_schema=False,
)
@router.put("/upload/{filename}", status_code=201, include_in_schema=False)
async def put_upload(
    request: Request,
    app: App,
    owner: Owner,
    options: Annotated[FileOptions, Query()],
    filename: str = "",
) -> Response:
    """Upload a raw body, as `curl -T big.csv` sends it."""
    if filename and options.filename is None:
        options = options.model_copy(update={"filename": filename})
    accepted = await receive(request, app, owner, options)
    return created(accepted)


@router.post(
    "/read-again",
    status_code=201,
    summary="Read an upload again",
    response_model=Uploaded,
    responses=problem_responses(400, 404, 409, 413, 415, 422, 503, 507),
)
async def read_upload_again(
    request: Request, app: App, owner: Owner, options: Annotated[ReadAgain, Query()]
) -> Response:
    """Upload the stored bytes of a file again, with other settings, as if the client had sent them
    again. The earlier upload stays. Of a workbook the received bytes are not stored (409).
    """
    check_open(app)
    key = idempotency_key(request)
    return created(await read_again(app, owner, identifier(options.file_id), options, key))


def created(accepted: Accepted | None) -> Response:
    if accepted is None:
        return Response(status_code=499)  # the client has disconnected
    headers = {"Location": f"/api/v1/status/{accepted.body['file_id']}"}
    if accepted.replayed:
        headers["Idempotency-Replayed"] = "true"
    return encoded(accepted.body, accepted.status_code, headers)


# ---------------------------------------------------------------------- reading


@router.get("/status/{file_id}", response_model=FileStatus, responses=problem_responses(404))
async def get_status(file_id: FileId, app: App, owner: Owner) -> Response:
    """Return the progress of a file: chunks, rows, bytes, speed, and the time left."""
    return encoded(await app.statuses.get(file_id, owner))


@router.get(
    "/status/{file_id}/events",
    response_class=EventStream,
    responses={
        200: {"model": FileStatus, "description": "The data of each event `status`."},
        **problem_responses(404),
    },
)
async def watch_status(request: Request, file_id: FileId, app: App, owner: Owner) -> EventStream:
    """Stream the status as server-sent events (`event: status`), one for each change, until the job
    is final or deleted, or the key or session is no longer valid.
    """
    changes = app.feed.watch(file_id, owner)
    first = await anext(changes)  # an unknown id is a 404, not an empty stream

    async def stream() -> AsyncGenerator[str]:
        yield _event(first)
        async for change in changes:
            yield _event(change)

    return event_stream(request, app, stream())


def _event(body: dict[str, Any]) -> str:
    return f"event: status\ndata: {json.dumps(body)}\n\n"


@router.get(
    "/results/{file_id}",
    response_model=ResultPage,
    responses=problem_responses(404, 409, 410, 422),
)
async def get_results(
    file_id: FileId,
    app: App,
    owner: Owner,
    limit: Annotated[Limit, Query()] = 100,
    offset: Annotated[Offset, Query()] = 0,
    after: Annotated[After | None, Query()] = None,
    format: Annotated[
        Literal["row", "object"], Query(description="Rows as cells, or as objects by column.")
    ] = "row",
) -> Response:
    """Return results in the order of the file, from the first finished chunk on. A response has up
    to about 8 MiB of rows, and at least one row: long rows may make it shorter than `limit`.
    Continue from `next_after`; it is null at the end.
    """
    body = await results.get_results(
        app.database,
        app.destinations,
        file_id,
        owner,
        limit=limit,
        offset=offset,
        after=after,
        as_object=format == "object",
    )
    return Response(body, media_type="application/json")


Partial = Annotated[
    Flag,
    Query(description="Also for an unfinished job: the rows so far. Without it, that is a 409."),
]


@router.get(
    "/results/{file_id}/download",
    response_class=StreamingResponse,
    responses=problem_responses(404, 409, 410, 422),
)
async def download_results(
    file_id: FileId,
    app: App,
    owner: Owner,
    format: Annotated[Literal["csv", "jsonl", "parquet", "arrow", "xlsx"], Query()] = "csv",
    gzip: Annotated[Flag, Query(description="Compress csv and jsonl.")] = False,
    formula_guard: Annotated[
        Flag,
        Query(
            description=(
                "In CSV and xlsx, put an apostrophe before cells that a spreadsheet would run as"
                " formulas."
            )
        ),
    ] = True,
    typed: Annotated[
        Flag,
        Query(
            description=(
                "In parquet and arrow, use the types of the newest analysis of the file, or of a"
                " columnar upload, for columns in which every value has its type."
            )
        ),
    ] = True,
    partial: Partial = False,
    where: Where = "",
    search: Search = "",
    columns: Columns = "",
    rows: Ranges = "",
) -> StreamingResponse:
    """Download all results in the order of the file, or those that the conditions choose, as in GET
    /api/v1/rows/{file_id}. `Granula-Complete: true` means that every row
    of the file is a result or a reject. Otherwise `Granula-Missing-Rows` has the number of the
    others, if it is known, and the name ends in `.partial`. The transfer is aborted if rows are
    deleted meanwhile.
    """
    export = await exports.begin(app.database, app.destinations, file_id, owner, partial=partial)
    progress.check_results_kept(export.job)
    if where or search or columns or rows:
        choice = choose(export.job.columns, where=where, search=search, rows=rows, shown=columns)
        stored = app.destinations.of(export.job).results
        choice = await with_commas(app.database, export.job, stored, choice)
        export = replace(export, choice=choice)
    packed = gzip and format in ("csv", "jsonl")
    names = await exports.columns_of(app.database, export, format)
    body = exports.result_bytes(
        app.database,
        export,
        names,
        format=format,
        gzip=packed,
        formula_guard=formula_guard,
        typed=typed,
    )
    media_type = "application/gzip" if packed else exports.FORMATS[format]
    return await _exported(
        export, body, "results", f"{format}{'.gz' if packed else ''}", media_type
    )


async def _exported(
    export: exports.Export, body: AsyncIterator[bytes], content: str, ending: str, media_type: str
) -> StreamingResponse:
    mark = "" if export.is_complete else ".partial"
    headers = {
        "Content-Disposition": attachment(f"{_stem(export.job.filename)}.{content}{mark}.{ending}"),
        "Granula-Complete": str(export.is_complete).lower(),
    }
    if export.missing:
        headers["Granula-Missing-Rows"] = str(export.missing)
    return StreamingResponse(await begun(body), media_type=media_type, headers=headers)


@router.get(
    "/rejects/{file_id}",
    response_model=RejectPage,
    responses=problem_responses(404, 409, 410, 422),
)
async def get_rejects(
    file_id: FileId,
    app: App,
    owner: Owner,
    limit: Annotated[Limit, Query()] = 100,
    offset: Annotated[Offset, Query()] = 0,
    after: Annotated[After, Query()] = 0,
    code: Annotated[Name | None, Query(description="Only rejects with this code.")] = None,
    column: Annotated[
        ColumnName | None, Query(description="Only rejects whose invalid column this is.")
    ] = None,
    search: Annotated[
        Search,
        Query(
            description=(
                "Text in the invalid value or the message, in either case, or in the row, as it is"
                " written."
            )
        ),
    ] = "",
    cells: Annotated[
        Flag,
        Query(
            description="Also return the `cells` of each row, and which columns are `uncertain`."
        ),
    ] = False,
) -> Response:
    """Return the rejected rows with their place and reason. As with results, a response has up to
    about 8 MiB of rows; continue from `next_after`.
    """
    body = await results.get_rejects(
        app.database,
        file_id,
        owner,
        limit=limit,
        offset=offset,
        after=after,
        code=code,
        column=column,
        search=search,
        with_cells=cells,
    )
    return Response(body, media_type="application/json")


@router.get(
    "/rejects/{file_id}/causes",
    response_model=RejectCauses,
    responses=problem_responses(404, 409, 410),
)
async def list_reject_causes(file_id: FileId, app: App, owner: Owner) -> Response:
    """Return the number of rejects by code and invalid column, the most frequent first."""
    return encoded(await results.get_causes(app.database, file_id, owner))


@router.get(
    "/rejects/{file_id}/download",
    response_class=StreamingResponse,
    responses=problem_responses(404, 409, 410, 422),
)
async def download_rejects(
    file_id: FileId,
    app: App,
    owner: Owner,
    format: Annotated[Literal["csv", "jsonl", "parquet", "arrow", "xlsx"], Query()] = "csv",
    partial: Partial = False,
    formula_guard: Annotated[
        Flag,
        Query(
            description=(
                "In CSV and xlsx, put an apostrophe before cells that a spreadsheet would run as formulas. A "
                "correction removes it."
            )
        ),
    ] = True,
) -> StreamingResponse:
    """Download all rejects: the original columns, then `_row,_line,_column,_code,_message`. CSV has
    the original bytes, the other formats their text. The headers are those of the download of
    results.
    """
    export = await exports.begin(app.database, app.destinations, file_id, owner, partial=partial)
    progress.check_rejects_kept(export.job)
    body = exports.reject_bytes(
        app.database, app.sources, export, format=format, formula_guard=formula_guard
    )
    media_type = "text/csv" if format == "csv" else exports.FORMATS[format]
    return await _exported(export, body, "rejects", format, media_type)


@router.get(
    "/files/{file_id}/bytes",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}},
        **problem_responses(404, 409, 422),
    },
)
async def get_bytes(
    file_id: FileId,
    app: App,
    owner: Owner,
    start: Annotated[Offset, Query(description="Offset of the first byte.")],
    end: Annotated[
        Offset, Query(description="Offset after the last byte, at most 16 MiB after the first.")
    ],
) -> Response:
    """Return a piece of the stored file, for instance the bytes of a reject."""
    async with app.database.reading() as connection:
        job = await progress.find_with_rows(connection, file_id, owner)
    if not start <= end <= min(job.stored_bytes, start + (16 << 20)):
        raise invalid(
            [
                {
                    "loc": ("end",),
                    "type": "range",
                    "msg": "must be behind start, within the file, 16 MiB at most",
                }
            ]
        )
    if job.storage_uri is None:
        raise NotFound("The stored upload was deleted; results and rejects still exist.")
    uri, etag = job.storage_uri, job.etag
    await asyncio.to_thread(
        downloads.check_piece, app.sources, uri, job.stored_bytes, job.crc32, etag
    )
    data = await asyncio.to_thread(app.sources.read, uri, start, end, etag)
    return Response(data, media_type="application/octet-stream")


@router.get(
    "/files/{file_id}/archive",
    response_class=StreamingResponse,
    responses=problem_responses(404, 409, 422),
)
async def download_archive(
    file_id: FileId,
    app: App,
    owner: Owner,
    format: Annotated[
        Literal["csv", "jsonl", "parquet", "arrow", "xlsx"],
        Query(description="Format of results and rejects."),
    ] = "csv",
    formula_guard: Annotated[
        Flag,
        Query(
            description=(
                "In CSV and xlsx, put an apostrophe before cells that a spreadsheet would run as"
                " formulas."
            )
        ),
    ] = True,
    partial: Partial = False,
) -> StreamingResponse:
    """Download everything that belongs to a job as a zip archive: results, rejects, the stored
    file, the output of a transform, status and proof, and `contents.json` with the size and hash of
    each. The headers are those of the download of results. An archive that breaks off has no index.
    """
    export = await exports.begin(app.database, app.destinations, file_id, owner, partial=partial)
    archives = Archives(app.database, app.destinations, app.sources, app.statuses)
    body = archives.pieces(export, Wanted(file_id, owner, format, formula_guard))
    return await _exported(export, body, "job", "zip", "application/zip")


@router.delete("/files/{file_id}", status_code=204, responses=problem_responses(404))
async def delete_file(file_id: OnlyFileId, app: App, owner: Owner) -> Response:
    """Delete the file with its results, rejects and bytes; a running job is cancelled first. It
    disappears from the API immediately.
    """
    await app.control.delete(file_id, owner)
    return Response(status_code=204)


def _stem(filename: str) -> str:
    return (
        re.sub(r"\.(csv|tsv|txt|json|jsonl|ndjson)(\.gz)?$", "", filename, flags=re.IGNORECASE)
        or "upload"
    )


router.routes.extend(stored.router.routes)
