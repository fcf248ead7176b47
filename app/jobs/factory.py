"""The one way to create a job: limits, files, jobs, parts and queue tokens, all in the caller's
transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Settings
from app.db import files, jobs
from app.db.rows import (
    FileRow,
    NewFile,
    NewJob,
    SplitPosition,
    StoredAnswer,
    data_start,
    values_of,
)
from app.errors import RequestError
from app.jobs.limits import OwnerLimits
from app.pipeline.queue import Enqueue
from app.pipeline.verdict import MAX_REJECTS
from app.processors.registry import Processors
from app.sources.base import is_remote
from app.states import JobStatus

MESSAGE_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a job does, apart from what it reads."""

    owner: str
    processor: str
    options: dict[str, Any]
    priority: int = 0
    origin: str = "files"
    public_id: str | None = None
    """Id that the endpoint uses, if it is neither the job's id nor its number."""
    chunk_size: int | None = None
    """Rows per chunk; None for the processor's default."""
    parent_id: UUID | None = None
    cache_key: str | None = None
    max_rejects: str = ""
    """Rows, or percent with a percent sign; empty for no limit."""
    labels: tuple[str, ...] = ()
    """Labels of the job; its parts have none."""


class JobFactory:
    def __init__(
        self, settings: Settings, processors: Processors, limits: OwnerLimits, enqueue: Enqueue
    ) -> None:
        self._settings = settings
        self._processors = processors
        self._limits = limits
        self._enqueue = enqueue

    def reading(
        self,
        spec: JobSpec,
        file: FileRow | NewFile,
        columns: Sequence[str],
        total_rows: int | None = None,
    ) -> NewJob:
        """Return a job that reads this file. `columns` are those of its results; `total_rows` is
        given if the rows are counted already. Raises NotConfigured.
        """
        processor = self._processors.get(spec.processor)
        self._processors.check_installed(spec.processor)
        usual = processor.chunk_size or self._settings.chunk_size
        return replace(
            self._new(spec, file, JobStatus.QUEUED, columns),
            chunk_size=spec.chunk_size or usual,
            cache_key=spec.cache_key,
            stores_results=processor.stores_results,
            total_rows=total_rows,
        )

    def of_parts(
        self, spec: JobSpec, file: FileRow | NewFile, columns: Sequence[str], *, part_count: int
    ) -> NewJob:
        """Return a job that ends with the last of its parts, which name it as their parent. Its
        file is one of theirs, or stands for all of them. Raises NotConfigured.
        """
        self._processors.check_installed(spec.processor)
        return replace(
            self._new(spec, file, JobStatus.PROCESSING, columns),
            child_count=part_count,
            cache_key=spec.cache_key,
            split_done=True,
        )

    def cut(
        self,
        spec: JobSpec,
        file: FileRow | NewFile,
        columns: Sequence[str],
        position: SplitPosition,
    ) -> NewJob:
        """Return a job whose chunks are cut already and inserted with it. Its rows belong to the
        parent job of `spec`.
        """
        job = self._new(spec, file, JobStatus.PROCESSING, columns)
        return replace(job, stores_results=False, **values_of(position))

    def failed(self, spec: JobSpec, file: FileRow | NewFile, error: RequestError) -> NewJob:
        """Return a part that failed before it could start."""
        return replace(
            self._new(spec, file, JobStatus.FAILED, ()),
            error={"code": error.code, "message": error.detail[:MESSAGE_CHARACTERS]},
            stores_results=self._processors.get(spec.processor).stores_results,
            split_done=True,
        )

    def _new(
        self, spec: JobSpec, file: FileRow | NewFile, status: JobStatus, columns: Sequence[str]
    ) -> NewJob:
        """Return the values that all new jobs share."""
        return NewJob(
            owner=spec.owner,
            origin=spec.origin,
            public_id=spec.public_id,
            file_id=file.id,
            parent_id=spec.parent_id,
            processor=spec.processor,
            options=_with_limit(spec),
            priority=spec.priority,
            chunk_size=spec.chunk_size or self._settings.chunk_size,
            status=status,
            columns=list(columns),
            split_offset=data_start(file),
            split_lines=file.dialect.get("data_line", 1),
            labels=spec.labels,
        )

    async def make(
        self,
        connection: AsyncConnection,
        new_jobs: Sequence[NewJob],
        new_files: Sequence[NewFile] = (),
        *,
        reserved_bytes: int = 0,
    ) -> list[int]:
        """Insert the files, then the jobs, a parent before its parts, and enqueue them; return the
        number of each job.

        All belong to one owner. `reserved_bytes` of the files are already counted for the owner.
        This must be the first statement of the transaction: it keeps others from adding anything
        for the owner until the transaction ends. Raises QuotaExceeded.
        """
        owner = new_jobs[0].owner
        new_bytes = (
            sum(file.stored_bytes for file in new_files if _is_stored(file)) - reserved_bytes
        )
        with_rows = sum(job.child_count is None for job in new_jobs)
        await self._limits.admit(connection, owner, jobs=with_rows, new_bytes=new_bytes)
        for file in new_files:
            if file.dedup_key is not None:
                await files.release_void(connection, owner, file.dedup_key)
            await files.insert_file(connection, file)
        numbers = [await jobs.insert_job(connection, job) for job in new_jobs]
        for job in new_jobs:
            if not JobStatus(job.status).is_final:
                await self._enqueue(connection, job.id, job.priority)
        return numbers

    @staticmethod
    async def remember(
        connection: AsyncConnection,
        owner: str,
        key: str | None,
        fingerprint: str,
        status_code: int,
        body: dict[str, Any],
    ) -> None:
        """Store the response for a repeated request with this Idempotency-Key; do nothing without a
        key.

        Raises IntegrityError if another request has taken the key.
        """
        if key is not None:
            await files.insert_idempotent(
                connection, StoredAnswer(owner, key, fingerprint, status_code, body)
            )


def _is_stored(file: NewFile) -> bool:
    """Return whether the storage holds its bytes. Objects of a bucket stay where they are."""
    return file.storage_uri is not None and not is_remote(file.storage_uri)


def _with_limit(spec: JobSpec) -> dict[str, Any]:
    if not spec.max_rejects:
        return spec.options
    return spec.options | {MAX_REJECTS: spec.max_rejects}
