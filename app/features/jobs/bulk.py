"""One action on many jobs, with the outcome of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID

from app.db import jobs
from app.db.engine import Database
from app.db.jobs import JobFilter
from app.db.labels import labels_of
from app.db.rows import ListedJob
from app.errors import NotFound, RequestError, Unavailable
from app.jobs.control import Control
from app.states import JobStatus

Action = Literal["cancel", "retry", "delete", "label", "priority"]
DONE, UNCHANGED, REFUSED = "done", "unchanged", "refused"
MOST_JOBS = 500


@dataclass(frozen=True, slots=True)
class Bulk:
    """What to do with many jobs."""

    action: Action
    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    """Labels, for the action `label`."""
    priority: int = 0
    """For the action `priority`."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Jobs by their ids and numbers, as the caller wrote them, or by a filter."""

    names: Sequence[UUID | int] = ()
    job_filter: JobFilter | None = None
    limit: int = MOST_JOBS
    """Jobs of a filter for one request."""


async def dry_run(database: Database, owner: str, chosen: Chosen, bulk: Bulk) -> dict[str, Any]:
    """Return how many jobs are chosen, and how many of them the action would change. Nothing is
    changed.
    """
    async with database.reading() as connection:
        job_filter = chosen.job_filter
        if job_filter is None:
            named = await jobs.find_named(connection, owner, chosen.names)
            job_filter = JobFilter(ids=tuple(job.id for job in named))
        able = _able(job_filter, bulk.action)
        matched = await jobs.count_jobs(connection, owner, job_filter)
        can = await jobs.count_jobs(connection, owner, able)
    return {
        "matched": sum(matched.values()),
        "can": sum(can.values()),
        "items": [],
        "next_before": None,
    }


def _able(job_filter: JobFilter, action: Action) -> JobFilter:
    """Return the filter for those jobs that the action can change."""
    if action in ("cancel", "priority"):
        return replace(job_filter, is_active=True)
    if action == "retry":
        return replace(job_filter, can_retry=True)
    return job_filter


async def run(
    database: Database, control: Control, owner: str, chosen: Chosen, bulk: Bulk
) -> dict[str, Any]:
    """Do the action with each job, one after the other, the newest first; return the outcome of
    each. Repeating it is harmless. Raises Unavailable in the middle: what was done stays done.
    """
    next_before = None
    missing: list[UUID | int] = []
    async with database.reading() as connection:
        if chosen.job_filter is not None:
            listed = await jobs.list_jobs(connection, owner, chosen.job_filter, limit=chosen.limit)
            if len(listed) == chosen.limit:
                next_before = listed[-1].number
            counts = await jobs.count_jobs(connection, owner, chosen.job_filter)
            matched = sum(counts.values())
        else:
            listed = await jobs.find_named(connection, owner, chosen.names)
            known = {name for job in listed for name in (job.id, job.number)}
            missing = [name for name in chosen.names if name not in known]
            matched = len(listed)
        labels = await labels_of(connection, [job.id for job in listed])
    items = []
    for job in listed:
        try:
            outcome = await _act(control, owner, job, labels.get(job.id, []), bulk)
        except Unavailable:
            raise
        except RequestError as error:
            items.append(_item(job, REFUSED, error))
        else:
            items.append(_item(job, outcome))
    items += [_unknown(name) for name in missing]
    can = sum(item["outcome"] != REFUSED for item in items)
    return {"matched": matched, "can": can, "items": items, "next_before": next_before}


async def _act(
    control: Control, owner: str, job: ListedJob, labels: Sequence[str], bulk: Bulk
) -> str:
    """Return DONE or UNCHANGED; raises the RequestError of the action."""
    if bulk.action == "cancel":
        if job.status == JobStatus.CANCELLED:
            return UNCHANGED
        await control.cancel(job.id, owner)
    elif bulk.action == "retry":
        await control.retry(job.id, owner)
    elif bulk.action == "delete":
        try:
            await control.delete(job.file_id, owner)
        except NotFound:  # it went with another job of its file
            return UNCHANGED
    elif bulk.action == "label":
        after = await control.relabel(job.id, owner, added=bulk.added, removed=bulk.removed)
        if after == list(labels):
            return UNCHANGED
    else:
        await control.reprioritise(job.id, owner, bulk.priority)
        if job.priority == bulk.priority:
            return UNCHANGED
    return DONE


def _item(job: ListedJob, outcome: str, error: RequestError | None = None) -> dict[str, Any]:
    return {
        "job_id": str(job.id),
        "number": job.number,
        "filename": job.filename,
        "outcome": outcome,
        "code": None if error is None else error.code,
        "detail": None if error is None else error.detail,
    }


def _unknown(name: UUID | int) -> dict[str, Any]:
    return {
        "job_id": str(name) if isinstance(name, UUID) else None,
        "number": name if isinstance(name, int) else None,
        "filename": None,
        "outcome": REFUSED,
        "code": NotFound.code,
        "detail": "There is no such job.",
    }
