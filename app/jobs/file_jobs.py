"""Jobs over files that are here already: the stored bytes are read again, nothing is copied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Settings
from app.db import files, jobs
from app.db.engine import Database
from app.errors import NotFound, NotRows, StoredBytesGone
from app.jobs.limits import OwnerLimits
from app.processors.base import stores_results
from app.processors.registry import Processors
from app.states import JobStatus

PARQUET = "parquet"


class FileJobs:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        processors: Processors,
        limits: OwnerLimits,
        dispatch: Callable[[UUID, int], None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._processors = processors
        self._limits = limits
        self._dispatch = dispatch

    async def submit(
        self,
        owner: str,
        file_id: UUID,
        processor: str,
        *,
        priority: int = 0,
        options: dict[str, Any] | None = None,
        columns: Sequence[str] | None = None,
        chunk_size: int | None = None,
    ) -> UUID:
        """A job of this processor over a stored file; its id. `columns` of the result, where the options decide them;
        `chunk_size`: rows of a chunk, if not the usual number.

        Raises NotFound, StoredBytesGone, and the RequestError that the processor has for the options or the columns.
        """
        self._processors.check(processor, options or {})

        async def record(connection: AsyncConnection) -> UUID:
            await self._limits.admit(connection, owner, jobs=1)
            file = await self._file(connection, owner, file_id)
            job = self._job(owner, file, processor, priority, options or {})
            if columns is not None:
                job["columns"] = list(columns)
            if chunk_size is not None:
                job["chunk_size"] = chunk_size
            await jobs.insert_job(connection, job)
            return UUID(str(job["id"]))

        job_id = await self._database.transact(record)
        self._dispatch(job_id, priority)
        return job_id

    async def submit_parts(
        self,
        owner: str,
        file_ids: Sequence[UUID],
        processor: str,
        part_processor: str,
        *,
        priority: int = 0,
        options: dict[str, Any],
    ) -> UUID:
        """A job with a part for each of these files, in this order; its own file is the first of them. Raises NotFound,
        StoredBytesGone."""

        async def record(connection: AsyncConnection) -> list[UUID]:
            await self._limits.admit(connection, owner, jobs=len(file_ids))
            found = [await self._file(connection, owner, file_id) for file_id in file_ids]
            parent = self._job(owner, found[0], processor, priority, options) | {
                "status": JobStatus.PROCESSING,
                "split_done": True,
                "child_count": len(found),
                "stores_results": True,  # those of its parts, if they have any
            }
            await jobs.insert_job(connection, parent)
            parts = [self._job(owner, file, part_processor, priority, {}) for file in found]
            for part in parts:
                await jobs.insert_job(connection, part | {"parent_id": parent["id"]})
            return [UUID(str(each["id"])) for each in (parent, *parts)]

        parent_id, *part_ids = await self._database.transact(record)
        for part_id in part_ids:
            self._dispatch(part_id, priority)
        return parent_id

    async def _file(self, connection: AsyncConnection, owner: str, file_id: UUID) -> RowMapping:
        file = await files.find_file(connection, file_id, owner)
        if file is None:
            raise NotFound(f"There is no file {file_id}.")
        if file["storage_uri"] is None:
            raise StoredBytesGone
        if file["format"] == PARQUET:
            raise NotRows
        return file

    async def file(self, owner: str, file_id: UUID) -> RowMapping:
        """A stored file that jobs can read; raises NotFound, StoredBytesGone, NotRows."""
        async with self._database.reading() as connection:
            return await self._file(connection, owner, file_id)

    def _job(self, owner: str, file: RowMapping, name: str, priority: int, options: dict[str, Any]) -> dict[str, Any]:
        processor = self._processors.get(name)
        dialect = file["dialect"]
        return {
            "id": uuid4(),
            "owner": owner,
            "file_id": file["id"],
            "processor": name,
            "options": options,
            "chunk_size": getattr(processor, "chunk_size", None) or self._settings.chunk_size,
            "priority": priority,
            "status": JobStatus.QUEUED,
            "door": "jobs",
            "columns": self._processors.columns(name, dialect.get("columns", []), options),
            "split_offset": dialect["data_start"],
            "split_lines": dialect["data_line"],
            "stores_results": stores_results(processor),
        }
