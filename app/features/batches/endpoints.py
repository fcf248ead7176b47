"""/batch, /batches: the sentiment of a CSV file's texts."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from app.api.answers import Message
from app.api.errors import problem_responses
from app.api.json import encoded
from app.api.parameters import Integer, single_values
from app.api.receiving import UploadEndpoint, described_body, form_with_file, receive
from app.api.services import App, Owner, Services
from app.api.streams import begun
from app.errors import BatchNotCsv, RequestError
from app.features.batches import service as batches
from app.features.batches.schemas import BatchCreated, BatchResults, BatchStatus
from app.features.sentiment.parameters import SentimentParameters

router = APIRouter(tags=["batches"], dependencies=[Depends(single_values)])


@router.post(
    "/batch/upload",
    openapi_extra=described_body(form_with_file()),
    response_model=BatchCreated,
    responses=problem_responses(400, 408, 409, 413, 422, 503, 507),
)
async def upload_batch(
    request: Request, app: App, owner: Owner, options: Annotated[SentimentParameters, Query()]
) -> Response:
    """A CSV file, plain or gzipped, with a column `text` (or that which `text_column` names) and,
    if it has one, `id`.

    Answered when the bytes are on disk for good, the rows are counted and the job is in the
    database. The same request with the same Idempotency-Key gets the same batch.
    """
    endpoint = UploadEndpoint(
        partial(batches.prepare, processors=app.processors), _check_name, takes_raw=False
    )
    try:
        accepted = await receive(request, app, owner, options, endpoint)
    except RequestError as error:
        raise batches.as_batch_error(error) from None
    if accepted is None:
        return Response(status_code=499)  # nobody is there to read it
    return encoded(batches.created(accepted))


def _check_name(content_type: str, filename: str, app: Services) -> None:
    if not filename.lower().endswith((".csv", ".csv.gz")):
        raise BatchNotCsv("File must be a CSV")


@router.get("/batch/{batch_id}", response_model=BatchStatus, responses=problem_responses(404))
async def get_batch(batch_id: str, app: App, owner: Owner) -> Response:
    """How far it is, with the counts so far."""
    return encoded(await batches.get_batch(app.database, batch_id, owner))


@router.get(
    "/batch/{batch_id}/results", response_model=BatchResults, responses=problem_responses(404, 422)
)
async def get_batch_results(
    batch_id: str,
    app: App,
    owner: Owner,
    page: Annotated[Integer, Query(description="From 1.")] = 1,
    per_page: Annotated[Integer, Query(description="1 to 100; 50 if it is not.")] = 50,
) -> StreamingResponse:
    """Results in the order of the file, from the first finished chunk on."""
    body = batches.get_results(
        app.database, app.destinations, batch_id, owner, page=page, per_page=per_page
    )
    return StreamingResponse(await begun(body), media_type="application/json")


@router.get("/batches", response_model=list[BatchStatus], responses=problem_responses(422))
async def list_batches(
    app: App,
    owner: Owner,
    skip: Annotated[Integer, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[Integer, Query(ge=0, le=1_000)] = 10,
) -> Response:
    """Newest first."""
    return encoded(await batches.list_batches(app.database, owner, skip=skip, limit=limit))


@router.delete("/batch/{batch_id}", response_model=Message, responses=problem_responses(404))
async def delete_batch(batch_id: str, app: App, owner: Owner) -> Response:
    """Delete the batch with its results, rejects and bytes; cancels it first. It is gone from the
    API at once.
    """
    await batches.delete(app.database, app.control, batch_id, owner)
    return encoded({"message": f"Batch {batch_id} deleted"})
