"""/api/upload, /api/imports, /api/records/search, /api/stats: records held against a schema, and the search over them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.errors import problem_responses
from app.api.parameters import After, Integer, Limit, Offset, UploadOptions, single_values
from app.api.receiving import BODY, Door, receive
from app.api.services import App, Owner
from app.errors import ImportNotFound, ModelUnavailable, SearchUnavailable, UnknownSchema
from app.features.imports import service as imports
from app.features.imports.queries import Filters
from app.features.imports.service import Search

router = APIRouter(prefix="/api", tags=["imports"], dependencies=[Depends(single_values)])


class ImportOptions(UploadOptions):
    """Everything that can be said about an import, in the query or as form fields."""

    processor: str = Field(
        default="people", alias="schema", max_length=100, description="What the records are held against."
    )
    on_duplicate: Literal["existing", "reject", "new"] = Field(
        default="existing",
        description="The same bytes with the same options again: answer with the `existing` import, `reject` (409), or "
        "import them anew.",
    )


@router.post(
    "/upload",
    status_code=201,
    summary="Import a file of records",
    openapi_extra=BODY,
    responses=problem_responses(400, 408, 409, 413, 415, 422, 503, 507),
)
async def upload_import(
    request: Request, app: App, owner: Owner, options: Annotated[ImportOptions, Query()]
) -> Response:
    """A CSV or JSON file (an array of objects, or one object). Answered when the bytes are on disk for good; each record
    is then checked, stored and given its vector in the background."""
    if options.processor not in app.processors.schemas:
        raise UnknownSchema(f"The schemas are: {', '.join(app.processors.schemas)}.")
    accepted = await receive(request, app, owner, options, Door(imports.prepare))
    if accepted is None:
        return Response(status_code=499)  # nobody is there to read it
    body = imports.created(accepted)
    return JSONResponse(body, accepted.status_code, {"Location": body["status_url"]})


@router.get("/imports", responses=problem_responses(422))
async def list_imports(
    app: App, owner: Owner, limit: Annotated[Integer, Query(ge=1, le=500)] = 50, offset: Offset = 0
) -> dict[str, Any]:
    """Newest first."""
    return await imports.list_imports(app.database, owner, limit=limit, offset=offset)


async def import_id(import_id: Annotated[str, Path(description="The `id` of the import.")]) -> int:
    """Anything but a number is no import, and so not found."""
    if not (import_id.isascii() and import_id.isdecimal() and len(import_id) < 19):
        raise ImportNotFound
    return int(import_id)


ImportId = Annotated[int, Depends(import_id)]


@router.get("/imports/{import_id}", responses=problem_responses(404, 422))
async def get_import(
    import_id: ImportId, app: App, owner: Owner, limit: Limit = 100, offset: Offset = 0, after: After = 0
) -> Response:
    """How far it is, and one page of its records, valid and invalid, in the order of the file. An answer has about 8 MiB of
    records at most, and `next_after` says where to go on."""
    body = await imports.get_import(app.database, import_id, owner, limit=limit, offset=offset, after=after)
    return Response(body, media_type="application/json")


@router.delete("/imports/{import_id}", responses=problem_responses(404))
async def delete_import(import_id: ImportId, app: App, owner: Owner) -> dict[str, str]:
    """Delete the import with its records, their vectors and the file; cancels it first. It is gone from the API at once."""
    await imports.delete(app.database, app.control, import_id, owner)
    return {"message": f"Import {import_id} deleted"}


FieldName = Annotated[str, Field(min_length=1, max_length=100, pattern=r'^[^"\\\x00]*$')]
FieldValue = (
    Annotated[str, Field(max_length=2_000, pattern=r"^[^\x00]*$")]
    | bool
    | Annotated[int, Field(ge=-(2**63), lt=2**63)]  # a larger one is read as a float, which both databases take
    | Annotated[float, Field(allow_inf_nan=False)]
    | None
)
Words = Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[^\x00]*$")]


class SearchRequest(BaseModel):
    """All that is given must hold."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={
        "examples": [{"status": "valid", "limit": 10}, {"query": "people who write software", "limit": 5}]
    })  # fmt: skip

    import_id: int | None = Field(default=None, ge=0, le=2**62)
    status: Literal["valid", "invalid"] | None = None
    query: Words | None = Field(default=None, description="By meaning: the nearest first, each with its `score`.")
    text: Words | None = Field(default=None, description="Part of any value, in upper or lower case.")
    fields: dict[FieldName, FieldValue] = Field(default_factory=dict, max_length=20, description="Values by field.")
    limit: int = Field(default=50, ge=1, le=1_000)
    offset: int = Field(default=0, ge=0, le=1_000_000)
    after: int = Field(default=0, ge=0, le=2**62, description="`next_after` of the page before; without `query`.")


@router.post("/records/search", responses=problem_responses(400, 422, 503))
async def search_records(wanted: SearchRequest, app: App, owner: Owner) -> Response:
    """Records of all imports, or of one: by status, by values, by a part of their text, by meaning, freely combined. An
    answer has about 8 MiB of records at most; `next_after` and `next_offset` say where to go on."""
    filters = Filters(owner, wanted.import_id, wanted.status, wanted.text, dict(wanted.fields))
    try:
        body = await app.of(Search).find(
            filters, query=wanted.query, limit=wanted.limit, offset=wanted.offset, after=wanted.after
        )
    except ModelUnavailable as error:
        raise SearchUnavailable(error.detail) from None
    return Response(body, media_type="application/json")


@router.get("/stats")
async def stats(app: App, owner: Owner) -> dict[str, Any]:
    """Sums over all imports."""
    return await imports.stats(app.database, owner)
