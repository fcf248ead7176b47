"""/api/upload, /api/imports, /api/records/search, /api/stats: records held against a schema, and
the search over them.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from app.api.answers import Message
from app.api.errors import problem_responses
from app.api.json import encoded
from app.api.parameters import After, Integer, Limit, Offset, checked_query
from app.api.receiving import BODY, UploadEndpoint, receive
from app.api.services import App, Owner
from app.errors import ImportNotFound, ModelUnavailable, SearchUnavailable, UnknownSchema
from app.features.imports import service as imports
from app.features.imports.queries import Filters
from app.features.imports.schemas import (
    ImportAccepted,
    ImportList,
    ImportOptions,
    ImportStats,
    ImportWithRecords,
    SearchRequest,
    SearchResult,
)
from app.features.imports.service import Search

router = APIRouter(prefix="/api", tags=["imports"], dependencies=[Depends(checked_query)])


@router.post(
    "/upload",
    status_code=201,
    summary="Import a file of records",
    openapi_extra=BODY,
    response_model=ImportAccepted,
    responses={
        200: {
            "model": ImportAccepted,
            "description": "An earlier import of the same bytes: `duplicate`.",
        },
        **problem_responses(400, 408, 409, 413, 415, 422, 503, 507),
    },
)
async def upload_import(
    request: Request, app: App, owner: Owner, options: Annotated[ImportOptions, Query()]
) -> Response:
    """A CSV or JSON file (an array of objects, or one object). Answered when the bytes are on disk
    for good; each record is then checked, stored and given its vector in the background.
    """
    if options.processor not in app.processors.schemas:
        raise UnknownSchema(f"The schemas are: {', '.join(app.processors.schemas)}.")
    accepted = await receive(request, app, owner, options, UploadEndpoint(imports.prepare))
    if accepted is None:
        return Response(status_code=499)  # the client is gone
    body = imports.created(accepted)
    return encoded(body, accepted.status_code, {"Location": body["status_url"]})


@router.get("/imports", response_model=ImportList, responses=problem_responses(422))
async def list_imports(
    app: App, owner: Owner, limit: Annotated[Integer, Query(ge=1, le=500)] = 50, offset: Offset = 0
) -> Response:
    """Newest first."""
    return encoded(await imports.list_imports(app.database, owner, limit=limit, offset=offset))


async def import_id(import_id: Annotated[str, Path(description="The `id` of the import.")]) -> int:
    """Parse the id of an import. Anything but a number names no import."""
    if not (import_id.isascii() and import_id.isdecimal() and len(import_id) < 19):
        raise ImportNotFound
    return int(import_id)


ImportId = Annotated[int, Depends(import_id)]


@router.get(
    "/imports/{import_id}", response_model=ImportWithRecords, responses=problem_responses(404, 422)
)
async def get_import(
    import_id: ImportId,
    app: App,
    owner: Owner,
    limit: Limit = 100,
    offset: Offset = 0,
    after: After = 0,
) -> Response:
    """How far it is, and one page of its records, valid and invalid, in the order of the file. An
    answer has about 8 MiB of records at most, and `next_after` is where the next page begins.
    """
    body = await imports.get_import(
        app.database, import_id, owner, limit=limit, offset=offset, after=after
    )
    return Response(body, media_type="application/json")


@router.delete("/imports/{import_id}", response_model=Message, responses=problem_responses(404))
async def delete_import(import_id: ImportId, app: App, owner: Owner) -> Response:
    """Delete the import with its records, their vectors and the file; cancels it first. It
    disappears from the API immediately.
    """
    await imports.delete(app.database, app.control, import_id, owner)
    return encoded({"message": f"Import {import_id} deleted"})


@router.post(
    "/records/search", response_model=SearchResult, responses=problem_responses(400, 422, 503)
)
async def search_records(wanted: SearchRequest, app: App, owner: Owner) -> Response:
    """Records of all imports, or of one: by status, by values, by a part of their text, by meaning,
    freely combined. An answer has about 8 MiB of records at most; `next_after` and `next_offset`
    are where the next page begins.
    """
    filters = Filters(owner, wanted.import_id, wanted.status, wanted.text, dict(wanted.fields))
    try:
        body = await app.of(Search).find(
            filters,
            query=wanted.query,
            limit=wanted.limit,
            offset=wanted.offset,
            after=wanted.after,
            fuse=wanted.fuse,
        )
    except ModelUnavailable as error:
        raise SearchUnavailable(error.detail) from None
    return Response(body, media_type="application/json")


@router.get("/stats", response_model=ImportStats)
async def get_stats(app: App, owner: Owner) -> Response:
    """Sums over all imports."""
    return encoded(await imports.stats(app.database, owner))
