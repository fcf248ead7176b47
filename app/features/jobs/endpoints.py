"""/api/v1/jobs: list, cancel, retry, priority, proof, chunk map."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from app.api.answers import FileStatus
from app.api.errors import problem_responses
from app.api.json import encoded, encoded_any
from app.api.parameters import Flag, Integer, JobId, Labels, Moment, Name, checked_query
from app.api.services import App, Owner
from app.api.streams import EventStream, event_stream
from app.db.jobs import JobFilter
from app.features.jobs import bulk, listing, proof, stages
from app.features.jobs.list_feed import ListFeed
from app.features.jobs.schemas import (
    AnyResult,
    BulkOutcome,
    BulkRequest,
    Cancelled,
    ChunkPage,
    JobChanges,
    JobPage,
    JobPatch,
    JobState,
    LabelList,
    PatchedJob,
    Proof,
    Retried,
)
from app.states import JobStatus

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], dependencies=[Depends(checked_query)])


@router.get("", response_model=JobPage, responses=problem_responses(422))
async def list_jobs(
    app: App,
    owner: Owner,
    limit: Annotated[Integer, Query(ge=1, le=500)] = 50,
    before: Annotated[
        Integer | None, Query(ge=1, le=2**62, description="`next_before` of the previous page.")
    ] = None,
    status: Annotated[JobStatus | None, Query()] = None,
    processor: Annotated[Name | None, Query()] = None,
    parent: Annotated[UUID | None, Query(description="Only parts of this job.")] = None,
    since: Annotated[Moment | None, Query(description="Only jobs accepted then or later.")] = None,
    search: Annotated[
        Name | None, Query(description="Part of the file's name, in any case.")
    ] = None,
    parts: Annotated[Flag, Query(description="Also parts of jobs.")] = True,
    helpers: Annotated[
        Flag | None,
        Query(
            description=(
                "`false`: without corrections, and without profiles and trials over the file of"
                " an earlier job. `true`: with all of them, even if `parts=false`."
            )
        ),
    ] = None,
    number: Annotated[
        Integer | None, Query(ge=1, le=2**62, description="Only the job with this number.")
    ] = None,
    label: Annotated[
        Labels, Query(description="Only jobs with all these labels, repeated or with commas.")
    ] = [],  # noqa: B006
    until: Annotated[Moment | None, Query(description="Only jobs accepted before.")] = None,
    rejected_over: Annotated[
        float | None,
        Query(ge=0, lt=100, description="Only jobs with more than this percentage rejected."),
    ] = None,
    sort: Annotated[
        listing.Sort, Query(description="What the list is ordered by.")
    ] = listing.Sort.CREATED,
    order: Annotated[
        Literal["asc", "desc"], Query(description="`desc`: the newest or the largest first.")
    ] = "desc",
    cursor: Annotated[
        str | None, Query(max_length=2_000, description="`next_cursor` of the previous page.")
    ] = None,
) -> Response:
    """List jobs, by default the newest first. Each page continues exactly where the previous one
    ended, also while jobs arrive. To sort by rows, or to filter by rejects, the service reads the
    chunks of all your jobs that the other filters leave.
    """
    job_filter = JobFilter(
        before,
        status,
        processor,
        parent,
        since,
        until,
        search,
        with_parts=parts,
        with_helpers=helpers,
        number=number,
        labels=tuple(label),
        rejected_over=rejected_over,
    )
    return encoded(
        await listing.list_jobs(
            app.database,
            owner,
            job_filter,
            listing.Order(sort, is_ascending=order == "asc"),
            limit=limit,
            cursor=cursor,
        )
    )


@router.post("/bulk", response_model=BulkOutcome, responses=problem_responses(422))
async def change_jobs(body: BulkRequest, app: App, owner: Owner) -> Response:
    """Cancel, retry, delete, label or reprioritise many jobs. Each has its own outcome: one that
    is refused stops no other, and repeating the request is harmless. `dry_run` counts what would
    change.
    """
    if body.dry_run:
        outcome = await bulk.dry_run(app.database, owner, body.chosen(), body.bulk())
    else:
        outcome = await bulk.run(app.database, app.control, owner, body.chosen(), body.bulk())
    return encoded(outcome)


@router.get("/labels", response_model=LabelList)
async def list_labels(app: App, owner: Owner) -> Response:
    """List the labels of your jobs, the most frequent ones first."""
    return encoded(await listing.list_labels(app.database, owner))


@router.get(
    "/events",
    response_class=EventStream,
    responses={
        200: {"model": JobChanges, "description": "The data of each event `jobs`."},
        **problem_responses(422),
    },
)
async def watch_jobs(
    request: Request,
    app: App,
    owner: Owner,
    limit: Annotated[
        Integer | None, Query(ge=1, le=2**31, description="End after this number of events.")
    ] = None,
) -> EventStream:
    """Stream the list as server-sent events: `event: jobs`, first with the active jobs, then with
    `items` that have changed and `removed` ids. A line `:` every 15 seconds shows that the stream
    is alive; `event: reload` means that too much was missed. The stream ends with the key or
    session, and every five minutes; browsers reconnect then.
    """

    async def stream() -> AsyncGenerator[str]:
        count = 0
        async with aclosing(app.of(ListFeed).watch(owner)) as changes:
            async for change in changes:
                count += change is not None
                yield (
                    ":\n\n"
                    if change is None
                    else f"event: {change.pop('event')}\ndata: {json.dumps(change)}\n\n"
                )
                if count == limit:
                    return

    return event_stream(request, app, stream())


@router.get("/{job_id}", response_model=FileStatus, responses=problem_responses(404))
async def get_job(job_id: JobId, app: App, owner: Owner) -> Response:
    """Return the status of a job, the same as that of its file."""
    return encoded(await app.statuses.get(job_id, owner))


@router.get("/{job_id}/proof", response_model=Proof, responses=problem_responses(404, 410))
async def get_proof(job_id: JobId, app: App, owner: Owner) -> Response:
    """Check that the database holds each row once and unchanged, by reading it again: counts must
    add up, hashes must match.
    """
    return encoded(await proof.prove(app.database, app.destinations, job_id, owner))


@router.get("/{job_id}/chunks", response_model=ChunkPage, responses=problem_responses(404, 422))
async def get_chunks(
    job_id: JobId,
    app: App,
    owner: Owner,
    limit: Annotated[Integer, Query(ge=1, le=10_000)] = 1_000,
    after: Annotated[
        Integer, Query(ge=-1, le=2**62, description="Index of the last chunk read.")
    ] = -1,
) -> Response:
    """Return the chunk map: bytes, rows, state and attempts of each chunk."""
    return encoded(await listing.list_chunks(app.database, job_id, owner, after=after, limit=limit))


@router.post("/{job_id}/cancel", response_model=Cancelled, responses=problem_responses(404, 409))
async def cancel_job(job_id: JobId, app: App, owner: Owner) -> Response:
    """Cancel a job. After the response, none of its rows is written. Finished rows stay
    readable.
    """
    job = await app.control.cancel(job_id, owner)
    return encoded(
        {"message": "Job cancelled successfully", "job_id": str(job_id), "status": job.status}
    )


@router.post(
    "/{job_id}/retry",
    status_code=202,
    response_model=Retried,
    responses=problem_responses(404, 409),
)
async def retry_job(job_id: JobId, app: App, owner: Owner) -> Response:
    """Run the failed chunks again, and only those."""
    count = await app.control.retry(job_id, owner)
    return encoded(
        {"message": f"{count} failed chunks run again", "job_id": str(job_id), "chunks": count}, 202
    )


@router.patch("/{job_id}", response_model=PatchedJob, responses=problem_responses(404, 409, 422))
async def change_priority(job_id: JobId, change: JobPatch, app: App, owner: Owner) -> Response:
    """Change the priority of a waiting or running job, from its next chunk on, or the labels of
    any job.
    """
    if change.priority is not None:
        await app.control.reprioritise(job_id, owner, change.priority)
    if change.labels is not None:
        await app.control.set_labels(job_id, owner, change.labels)
    job = await app.statuses.get(job_id, owner)
    names = ("job_id", "priority", "labels", "status")
    return encoded({name: job[name] for name in names})


@router.get("/{job_id}/status", response_model=JobState, responses=problem_responses(404))
async def get_job_status(job_id: JobId, app: App, owner: Owner) -> Response:
    """Return status, progress and stage of any job."""
    return encoded(await stages.get_status(app.database, app.processors, job_id, owner))


@router.get("/{job_id}/result", response_model=AnyResult, responses=problem_responses(404, 409))
async def get_job_result(job_id: JobId, app: App, owner: Owner) -> Response:
    """Return the result of a job over its file as a whole: the profile of an analysis, the mapping
    of a mapping. Rows are under /api/v1/results.
    """
    return encoded_any(await stages.get_result(app.database, app.processors, job_id, owner))
