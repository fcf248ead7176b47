"""/batch and /batches: the sentiment of the texts in a CSV file."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from app.api.answers import Message
from app.api.errors import problem_responses
from app.api.json import encoded
from app.api.parameters import Integer, checked_query
from app.api.receiving import UploadEndpoint, described_body, form_with_file, receive
from app.api.services import App, Owner, Services
from app.api.streams import begun
from app.errors import BatchNotCsv, RequestError
from app.features.batches import service as batches
from app.features.batches.schemas import BatchCreated, BatchResults, BatchStatus
from app.features.sentiment.parameters import SentimentParameters

router = APIRouter(tags=["batches"], dependencies=[Depends(checked_query)])


@router.post(
    "/batch/upload",
    openapi_extra=described_body(form_with_file()),
    response_model=BatchCreated,
    responses=problem_responses(400, 408, 409, 413, 422, 503, 507),
)
async def upload_batch(
    request: Request, app: App, owner: Owner, options: Annotated[SentimentParameters, Query()]
) -> Response:
    """Upload a CSV file, plain or compressed, with a column `text` (or the one that `text_column`
    names) and optionally `id`.

    The response is sent once the bytes are durable, the rows are counted and the job is stored. The
    same request with the same Idempotency-Key returns the same batch.
    """
    endpoint = UploadEndpoint(
        partial(batches.prepare, processors=app.processors), _check_name, takes_raw=False
    )
    try:
        accepted = await receive(request, app, owner, options, endpoint)
    except RequestError as error:
        raise batches.as_batch_error(error) from None
    if accepted is None:
        return Response(status_code=499)  # the client has disconnected
    return encoded(batches.created(accepted))


def _check_name(content_type: str, filename: str, app: Services) -> None:
    if not filename.lower().endswith((".csv", ".csv.gz")):
        raise BatchNotCsv("File must be a CSV")


@router.get("/batch/{batch_id}", response_model=BatchStatus, responses=problem_responses(404))
async def get_batch(batch_id: str, app: App, owner: Owner) -> Response:
    """Return the progress of a batch, with the counts so far."""
    return encoded(await batches.get_batch(app.database, batch_id, owner))


@router.get(
    "/batch/{batch_id}/results", response_model=BatchResults, responses=problem_responses(404, 422)
)
async def get_batch_results(
    batch_id: str,
    app: App,
    owner: Owner,
    page: Annotated[Integer, Query(description="From 1.")] = 1,
    per_page: Annotated[Integer, Query(description="1 to 100; other values mean 50.")] = 50,
) -> StreamingResponse:
    """Return results in the order of the file, from the first finished chunk on."""
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
    """List batches, newest first."""
    return encoded(await batches.list_batches(app.database, owner, skip=skip, limit=limit))


@router.delete("/batch/{batch_id}", response_model=Message, responses=problem_responses(404))
async def delete_batch(batch_id: str, app: App, owner: Owner) -> Response:
    """Delete the batch with its results, rejects and bytes; a running batch is cancelled first. It
    disappears from the API immediately.
    """
    await batches.delete(app.database, app.control, batch_id, owner)
    return encoded({"message": f"Batch {batch_id} deleted"})
