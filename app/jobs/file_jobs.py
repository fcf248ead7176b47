"""Jobs over files that are here already: the stored bytes are read again, nothing is copied."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import Settings
from app.db import files, jobs
from app.db.engine import Database
from app.errors import NotFound, NotRows, RequestError, StoredBytesGone
from app.jobs.limits import OwnerLimits
from app.pipeline.queue import Enqueue
from app.processors.base import stores_results, version_of
from app.processors.registry import Processors
from app.states import JobStatus

PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Plan:
    """A job that is to be made over a stored file."""

    processor: str
    options: dict[str, Any]
    part_files: tuple[UUID, ...] = ()
    """If the job is made of parts: the files that they read, in their order."""
    part_processor: str = ""
    columns: Sequence[str] | None = None
    """Of the result, where the options decide them."""
    chunk_size: int | None = None
    """Rows of a chunk, if not the usual number."""


@dataclass(frozen=True, slots=True)
class Made:
    """A job that was asked for."""

    job_id: UUID
    is_cached: bool
    """It had ended before: the same was asked of the same bytes, and its result is the answer."""


class FileJobs:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        processors: Processors,
        limits: OwnerLimits,
        enqueue: Enqueue,
    ) -> None:
        self._settings = settings
        self._database = database
        self._processors = processors
        self._limits = limits
        self._enqueue = enqueue

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
        fresh: bool = False,
    ) -> Made:
        """A job of this processor over a stored file, or, unless it must be `fresh`, the earlier one that is its equal.
        `columns` of the result, where the options decide them; `chunk_size`: rows of a chunk, if not the usual number.

        Raises NotFound, StoredBytesGone, and the RequestError that the processor has for the options or the columns.
        """
        self._processors.check(processor, options or {})
        plan = Plan(processor, options or {}, columns=columns, chunk_size=chunk_size)
        return await self.submit_plan(owner, file_id, plan, priority, fresh=fresh)

    async def submit_parts(
        self,
        owner: str,
        file_ids: Sequence[UUID],
        processor: str,
        part_processor: str,
        *,
        priority: int = 0,
        options: dict[str, Any],
        fresh: bool = False,
    ) -> Made:
        """A job with a part for each of these files, in this order; its own file is the first of them. Raises NotFound,
        StoredBytesGone."""

        return await self.submit_plan(
            owner, file_ids[0], Plan(processor, options, tuple(file_ids), part_processor), priority, fresh=fresh
        )

    async def submit_plan(self, owner: str, file_id: UUID, plan: Plan, priority: int, *, fresh: bool = False) -> Made:
        """Raises NotFound, StoredBytesGone, and what the processor has against the columns."""

        async def record(connection: AsyncConnection) -> list[UUID] | UUID:
            needed = list(dict.fromkeys([file_id, *plan.part_files]))
            found = await files.find_files(connection, needed, owner)
            for each in needed:
                if each not in found:
                    raise NotFound(f"There is no file {each}.")
            earlier = None if fresh else await self.find_cached(connection, owner, found[file_id], plan, found)
            if earlier is not None:
                return earlier
            await self._limits.admit(connection, owner, jobs=max(1, len(plan.part_files)))
            made = await self.insert(connection, owner, found[file_id], plan, priority, found)
            for each in made[1:] or made:  # its parts, if it has some
                await self._enqueue(connection, each, priority)
            return made

        made = await self._database.transact(record)
        if isinstance(made, UUID):
            return Made(made, is_cached=True)
        return Made(made[0], is_cached=False)

    async def find_cached(
        self,
        connection: AsyncConnection,
        owner: str,
        file: RowMapping,
        plan: Plan,
        found: Mapping[UUID, RowMapping],
    ) -> UUID | None:
        """The job that did the same with the same bytes before, if what it found out is still there."""
        key = self._cache_key(file, plan, found)
        job = None if key is None else await jobs.find_cached(connection, owner, key)
        return None if job is None else UUID(str(job["id"]))

    def _cache_key(self, file: RowMapping, plan: Plan, found: Mapping[UUID, RowMapping]) -> str | None:
        """Of all that the result depends on: not of the ids of files, but of their bytes and how they are read."""
        names = [plan.processor, *([plan.part_processor] if plan.part_files else [])]
        versions = [version_of(self._processors.get(name), plan.options) for name in names]
        read = [file, *(found[each] for each in plan.part_files)]
        if None in versions or not all(each["sha256"] for each in read):
            return None
        ids = [str(file["id"]), *map(str, plan.part_files)]
        options = {name: value for name, value in plan.options.items() if value not in ids}
        same = [[[each["sha256"], each["dialect"]] for each in read], names, versions, options]
        return hashlib.sha256(msgspec.json.encode(same, order="sorted")).hexdigest()

    async def insert(
        self,
        connection: AsyncConnection,
        owner: str,
        file: RowMapping,
        plan: Plan,
        priority: int,
        found: Mapping[UUID, RowMapping],
        parent_id: UUID | None = None,
    ) -> list[UUID]:
        """The job over this file, as a part of `parent_id` if given: its id, then those of its own parts. `found` are the
        files that these read. Raises StoredBytesGone, and what the processor has against the columns; then nothing of it
        was inserted."""
        job = self._job(owner, file, plan.processor, priority, plan.options) | {
            "parent_id": parent_id,
            "cache_key": self._cache_key(file, plan, found),
        }
        parts = [self._job(owner, found[each], plan.part_processor, priority, {}) for each in plan.part_files]
        if plan.columns is not None:
            job["columns"] = list(plan.columns)
        if plan.chunk_size is not None:
            job["chunk_size"] = plan.chunk_size
        if parts:
            job |= {
                "status": JobStatus.PROCESSING,
                "split_done": True,
                "child_count": len(parts),
                "stores_results": True,  # those of its parts, if they have any
            }
        await jobs.insert_job(connection, job)
        for part in parts:
            await jobs.insert_job(connection, part | {"parent_id": job["id"]})
        return [UUID(str(each["id"])) for each in (job, *parts)]

    async def insert_failed(
        self,
        connection: AsyncConnection,
        owner: str,
        file: RowMapping,
        plan: Plan,
        priority: int,
        parent_id: UUID,
        error: RequestError,
    ) -> list[UUID]:
        """A part that had failed before it could begin."""
        job = _values(owner, file, plan.processor, priority, plan.options) | {
            "parent_id": parent_id,
            "chunk_size": self._settings.chunk_size,
            "status": JobStatus.FAILED,
            "columns": [],
            "split_done": True,
            "error": {"code": error.code, "message": error.detail[:500]},
        }
        await jobs.insert_job(connection, job)
        return [UUID(str(job["id"]))]

    async def _file(self, connection: AsyncConnection, owner: str, file_id: UUID) -> RowMapping:
        file = await files.find_file(connection, file_id, owner)
        if file is None:
            raise NotFound(f"There is no file {file_id}.")
        _check_rows(file)
        return file

    async def file(self, owner: str, file_id: UUID) -> RowMapping:
        """A stored file that jobs can read; raises NotFound, StoredBytesGone, NotRows."""
        async with self._database.reading() as connection:
            return await self._file(connection, owner, file_id)

    def _job(self, owner: str, file: RowMapping, name: str, priority: int, options: dict[str, Any]) -> dict[str, Any]:
        _check_rows(file)
        processor = self._processors.get(name)
        return _values(owner, file, name, priority, options) | {
            "chunk_size": getattr(processor, "chunk_size", None) or self._settings.chunk_size,
            "status": JobStatus.QUEUED,
            "columns": self._processors.columns(name, file["dialect"].get("columns", []), options),
            "stores_results": stores_results(processor),
        }


def _check_rows(file: RowMapping) -> None:
    if file["storage_uri"] is None:
        raise StoredBytesGone
    if file["format"] == PARQUET:
        raise NotRows


def _values(owner: str, file: RowMapping, name: str, priority: int, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "owner": owner,
        "file_id": file["id"],
        "processor": name,
        "options": options,
        "priority": priority,
        "door": "jobs",
        "split_offset": file["dialect"]["data_start"],
        "split_lines": file["dialect"]["data_line"],
    }
