"""What the machine keeps in memory of a job in work: a copy of its rows, plus what is going on
right now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from app.db import jobs
from app.db.corrections import DOOR
from app.db.engine import Database
from app.db.rows import JobRow
from app.errors import StoredFileMissing
from app.formats.base import Format
from app.formats.registry import from_json, open_format
from app.pipeline.columns import Columns
from app.pipeline.cutter import Position
from app.pipeline.merger import Live
from app.processors.base import Capabilities, Processor
from app.processors.options import Options
from app.processors.registry import Processors
from app.states import JobStatus


@dataclass(slots=True)
class InFlight:
    """What this process is doing with a job."""

    chunks: set[int] = field(default_factory=set)
    """Indexes of those in work."""
    detached_turns: int = 0
    """Turns that run its chunks without a slot."""
    is_splitting: bool = False
    is_reducing: bool = False
    """Its result is being made."""
    commit_seconds: float = 0.0
    """Of the last commit."""


@dataclass(slots=True)
class RunningJob:
    id: UUID
    file_id: UUID
    uri: str
    etag: str | None
    """The version of an object that is meant."""
    stored_bytes: int
    stored_crc32: int | None
    form: Format
    processor: Processor
    can: Capabilities
    options: Options
    chunk_size: int
    columns: Columns
    position: Position
    split_crc32: int | None
    chunk_count: int
    split_done: bool
    status: JobStatus
    data_start: int
    waiting_on: str | None
    parent_id: UUID | None
    is_parent: bool
    child_count: int
    priority: int = 0
    delimiter: str = ","
    trace: str | None = None
    """The traceparent of the request that made it."""
    corrects: UUID | None = None
    """The job whose rejected rows these are."""
    live: dict[int, Live] = field(default_factory=dict)
    """Of a correction: what its chunks in work hold, by index."""
    in_flight: InFlight = field(default_factory=InFlight)

    def follow(self, now: RunningJob) -> None:
        """Take over what other processes may have changed."""
        self.position, self.split_crc32 = now.position, now.split_crc32
        self.chunk_count, self.split_done = now.chunk_count, now.split_done
        self.status, self.priority = now.status, now.priority

    @property
    def is_waiting_processor(self) -> bool:
        """Whether the processor waits for others instead of computing."""
        return self.can.waits is not None


async def load(database: Database, processors: Processors, job_id: UUID) -> RunningJob | None:
    """The job as the database has it; None if it was deleted. Raises StoredFileMissing,
    UnknownProcessor, and InvalidParameter for options that its processor does not take any more.
    """
    async with database.working() as connection:
        row = await jobs.load_job(connection, job_id)
    return None if row is None else from_row(row, processors)


def from_row(row: JobRow, processors: Processors) -> RunningJob:
    is_parent = row.child_count is not None
    if row.storage_uri is None and not is_parent:
        raise StoredFileMissing("The stored upload was deleted.")
    return RunningJob(
        id=row.id,
        file_id=row.file_id,
        uri=row.storage_uri or "",
        etag=row.etag,
        stored_bytes=row.stored_bytes,
        stored_crc32=row.crc32,
        form=open_format(from_json(row.dialect)),
        processor=processors.get(row.processor),
        can=processors.capabilities(row.processor),
        options=processors.restored(row.processor, row.options),
        chunk_size=row.chunk_size,
        columns=Columns(row.columns),
        position=Position(row.split_offset, row.split_rows, row.split_lines, row.split_crc32 or 0),
        split_crc32=row.split_crc32,
        chunk_count=row.chunk_count,
        split_done=row.split_done,
        status=JobStatus(row.status),
        data_start=row.dialect["data_start"],
        waiting_on=row.waiting_on,
        parent_id=row.parent_id,
        is_parent=is_parent,
        child_count=row.child_count or 0,
        priority=row.priority,
        delimiter=row.dialect.get("delimiter", ","),
        trace=row.trace,
        corrects=row.parent_id if row.door == DOOR else None,
    )
