"""factory: the one way to make a job. Limits, files, jobs, parts and tokens in the queue, all in
the caller's transaction.
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
from app.processors.registry import Processors
from app.sources.base import is_remote
from app.states import JobStatus

MESSAGE_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a job is to do, whatever it reads."""

    owner: str
    processor: str
    options: dict[str, Any]
    priority: int = 0
    door: str = "files"
    public_id: str | None = None
    """The name that the door gives the job, where that is neither its id nor its number."""
    chunk_size: int | None = None
    """Rows of a chunk, if not the usual number."""
    parent_id: UUID | None = None
    cache_key: str | None = None


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
        wanted: Wanted,
        file: FileRow | NewFile,
        columns: Sequence[str],
        total_rows: int | None = None,
    ) -> NewJob:
        """A job that reads this file; `columns` of its results, `total_rows` if they are counted
        already. Raises NotConfigured.
        """
        processor = self._processors.get(wanted.processor)
        self._processors.check_installed(wanted.processor)
        usual = processor.chunk_size or self._settings.chunk_size
        return replace(
            self._new(wanted, file, JobStatus.QUEUED, columns),
            chunk_size=wanted.chunk_size or usual,
            cache_key=wanted.cache_key,
            stores_results=processor.stores_results,
            total_rows=total_rows,
        )

    def of_parts(
        self, wanted: Wanted, file: FileRow | NewFile, columns: Sequence[str], *, part_count: int
    ) -> NewJob:
        """A job that ends with the last of its parts, which name it as their parent. Its file is
        one of theirs, or stands for all of them. Raises NotConfigured.
        """
        self._processors.check_installed(wanted.processor)
        return replace(
            self._new(wanted, file, JobStatus.PROCESSING, columns),
            child_count=part_count,
            cache_key=wanted.cache_key,
            split_done=True,
        )

    def cut(
        self,
        wanted: Wanted,
        file: FileRow | NewFile,
        columns: Sequence[str],
        position: SplitPosition,
    ) -> NewJob:
        """A job whose chunks are cut already and inserted with it. Its rows belong to the job that
        `wanted` names as its parent.
        """
        job = self._new(wanted, file, JobStatus.PROCESSING, columns)
        return replace(job, stores_results=False, **values_of(position))

    def failed(self, wanted: Wanted, file: FileRow | NewFile, error: RequestError) -> NewJob:
        """A part that had failed before it could begin."""
        return replace(
            self._new(wanted, file, JobStatus.FAILED, ()),
            error={"code": error.code, "message": error.detail[:MESSAGE_CHARACTERS]},
            stores_results=self._processors.get(wanted.processor).stores_results,
            split_done=True,
        )

    def _new(
        self, wanted: Wanted, file: FileRow | NewFile, status: JobStatus, columns: Sequence[str]
    ) -> NewJob:
        """What a job says in the same way whether it reads its file, has parts or has failed."""
        return NewJob(
            owner=wanted.owner,
            door=wanted.door,
            public_id=wanted.public_id,
            file_id=file.id,
            parent_id=wanted.parent_id,
            processor=wanted.processor,
            options=wanted.options,
            priority=wanted.priority,
            chunk_size=wanted.chunk_size or self._settings.chunk_size,
            status=status,
            columns=list(columns),
            split_offset=data_start(file),
            split_lines=file.dialect.get("data_line", 1),
        )

    async def make(
        self,
        connection: AsyncConnection,
        new_jobs: Sequence[NewJob],
        new_files: Sequence[NewFile] = (),
        *,
        reserved_bytes: int = 0,
    ) -> list[int]:
        """Insert the files, then the jobs, a parent before its parts, and tell the queue of them;
        the number of each job.

        They belong to one owner. `reserved_bytes` of the files are counted as the owner's already.
        Call it first in the transaction: until its end nobody else adds anything for the owner.
        Raises QuotaExceeded.
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
        """Keep the answer for a request that comes again under this Idempotency-Key; without a key
        do nothing. Raises IntegrityError if another request has taken the key.
        """
        if key is not None:
            await files.insert_idempotent(
                connection, StoredAnswer(owner, key, fingerprint, status_code, body)
            )


def _is_stored(file: NewFile) -> bool:
    """Whether its bytes are in the storage: those of objects stay where they are."""
    return file.storage_uri is not None and not is_remote(file.storage_uri)
