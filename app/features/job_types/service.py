"""Starts a job of any type, over a stored file or over objects of a bucket."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.engine import Database
from app.features.job_types.requests import LATER, NewJob
from app.jobs.factory import JobFactory
from app.jobs.file_jobs import FileJobs, Recorded, SubmittedJob, not_recorded
from app.jobs.job_types import JobType, JobTypes
from app.jobs.objects import ObjectsSubmitter
from app.jobs.submit import answered_before
from app.sources.remote import Object


@dataclass(frozen=True, slots=True)
class Started:
    job: SubmittedJob
    details: dict[str, Any]
    """`job_id`, `file_id`, `status`, `processor`, `priority`; for objects also `source`, their
    number and the parts.
    """


class JobStarter:
    def __init__(
        self,
        database: Database,
        job_types: JobTypes,
        file_jobs: FileJobs,
        objects: ObjectsSubmitter,
        factory: JobFactory,
    ) -> None:
        self._database = database
        self._job_types = job_types
        self._file_jobs = file_jobs
        self._objects = objects
        self._factory = factory
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        """Locks of the requests in progress, by owner and Idempotency-Key."""

    async def start_once(
        self, owner: str, job: NewJob, key: str, *, fresh: bool = False
    ) -> tuple[SubmittedJob, bool]:
        """Return (the job, whether it was created now). The same request with the same
        Idempotency-Key gets the same job, also when both arrive concurrently.

        Raises IdempotencyKeyReused, and the errors of `start`; the key stays unused then.
        """
        # Copying a source may take longer than a client waits before it repeats the request.
        lock = self._locks.setdefault((owner, key), asyncio.Lock())
        async with lock:
            return await self._start_once(owner, job, key, fresh=fresh)

    async def _start_once(
        self, owner: str, job: NewJob, key: str, *, fresh: bool
    ) -> tuple[SubmittedJob, bool]:
        fingerprint = _fingerprint(job, fresh=fresh)
        before = await self._made_before(owner, key, fingerprint)
        if before is not None:
            return before, False

        async def remember(connection: AsyncConnection, job: SubmittedJob) -> None:
            body = {"job_id": job.job_id, "file_id": job.file_id, "is_cached": job.is_cached}
            await self._factory.remember(
                connection, owner, key, fingerprint, 202, msgspec.to_builtins(body)
            )

        try:
            started = await self.start(owner, job, fresh=fresh, recorded=remember)
        except IntegrityError:  # a concurrent request with the same key won
            before = await self._made_before(owner, key, fingerprint)
            if before is None:
                raise
            return before, False
        return started.job, True

    async def _made_before(self, owner: str, key: str, fingerprint: str) -> SubmittedJob | None:
        answer = await answered_before(self._database, owner, key, fingerprint)
        return None if answer is None else msgspec.convert(answer.body, SubmittedJob)

    async def start(
        self,
        owner: str,
        job: NewJob,
        *,
        fresh: bool = False,
        recorded: Recorded = not_recorded,
        pinned: Object | None = None,
    ) -> Started:
        """Start a job; `pinned` is the object of its source, if it is known already. Unless
        `fresh`, return the earlier one with the same options over the same upload.

        Raises UnknownJobType, InvalidParameter, NotFound, and the type's RequestError for options
        or file.
        """
        job.check()
        job_type = self._job_types.get(job.type)
        if job.file_id is not None:
            return await self._over_file(
                owner, job, job_type, job.file_id, fresh=fresh, recorded=recorded
            )
        submission = job.objects(owner, job_type, job.options, pinned)
        details = await self._objects.submit(submission, recorded=recorded)
        job_id, file_id = UUID(details["job_id"]), UUID(details["file_id"])
        return Started(SubmittedJob(job_id, file_id, is_cached=False), details)

    async def _over_file(
        self,
        owner: str,
        job: NewJob,
        job_type: JobType,
        file_id: UUID,
        *,
        fresh: bool,
        recorded: Recorded,
    ) -> Started:
        plan_for = await job_type.plan_for(owner, job.options)
        plan = await plan_for(await self._file_jobs.file(owner, file_id))
        plan = replace(plan, max_rejects=job.max_rejects)
        if job.chunk_size is not None:
            plan = replace(plan, chunk_size=job.chunk_size)
        submitted = await self._file_jobs.submit_plan(
            owner,
            file_id,
            plan,
            job.priority,
            fresh=fresh,
            labels=tuple(job.labels),
            recorded=recorded,
        )
        details = {
            "job_id": str(submitted.job_id),
            "file_id": str(file_id),
            "status": "completed" if submitted.is_cached else "queued",
            "processor": job_type.processor,
            "priority": job.priority,
        }
        return Started(submitted, details)


def _fingerprint(job: NewJob, *, fresh: bool) -> str:
    said = job.model_dump(mode="json")
    # so that requests from before these members are recognised
    for name in LATER:
        if said[name] == NewJob.model_fields[name].default:
            del said[name]
    same = ["job", said, fresh]
    return hashlib.sha256(msgspec.json.encode(same, order="sorted")).hexdigest()
