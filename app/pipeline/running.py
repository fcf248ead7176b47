"""What the machine keeps in memory of a job in work: what the database says of it, and what this
process has in flight.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from uuid import UUID

from app.db import jobs
from app.db.corrections import ORIGIN
from app.db.engine import Database
from app.db.rows import JobRow
from app.destinations.job import JobDestination
from app.destinations.registry import Destinations
from app.errors import StoredFileMissing
from app.formats.base import Format
from app.formats.registry import from_json, open_format
from app.pipeline.columns import Columns
from app.pipeline.cutter import Position
from app.processors.base import Capabilities, Processor
from app.processors.options import Options
from app.processors.registry import Processors
from app.sources.base import OBJECTS
from app.states import JobStatus


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """What the database says of a job, at one moment. Whoever works on rows gets this and nothing
    else of the job.
    """

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
    destination: JobDestination
    chunk_size: int
    columns: Columns
    position: Position
    """How far its file is cut into chunks."""
    split_crc32: int | None
    chunk_count: int
    split_done: bool
    status: JobStatus
    data_start: int
    waiting_on: str | None
    """The service that does not answer."""
    parent_id: UUID | None
    is_parent: bool
    is_over_objects: bool
    """Whether each of its parts does the same with an object, and it has nothing to conclude."""
    child_count: int
    priority: int = 0
    delimiter: str = ","
    trace: str | None = None
    """The traceparent of the request that made it."""
    corrects: UUID | None = None
    """The job whose rejected rows these are."""

    @property
    def rows(self) -> int:
        """Of its file, as far as that is cut."""
        return self.position.rows

    @property
    def is_waiting_processor(self) -> bool:
        """Whether the processor waits for others instead of computing."""
        return self.can.waits is not None


TAKEN_SECONDS = 0.25
"""How long it is taken for certain that there is no chunk to claim: others may give one back, and
the chunks in work here may take long.
"""


@dataclass(slots=True)
class InFlight:
    """What this process is doing with a job. No other process sees it, and it ends with this one.
    The pool changes it, and the committer its time.
    """

    chunks: set[int] = field(default_factory=set)
    """Indexes of those in work."""
    detached_turns: int = 0
    """Turns that run its chunks without a slot."""
    is_splitting: bool = False
    is_reducing: bool = False
    """Its result is being made."""
    commit_seconds: float = 0.0
    """Of the last commit."""
    has_waiting_chunks: bool = False
    """Some chunk was given back, and may be run again at a later time."""
    taken_of: int = -1
    """So many chunks were cut when a claim found that all of them were taken."""
    taken_at: float = 0.0
    """When that was, by the monotonic clock."""

    def found_all_taken(self, chunk_count: int, moment: float) -> None:
        """A claim was given fewer chunks than it asked for, of so many that were cut."""
        self.taken_of, self.taken_at = chunk_count, moment

    def are_all_taken(self, chunk_count: int, moment: float) -> bool:
        """Whether a claim would find no chunk, for all that is known here: then the turn that has
        chunks in work asks again when it ends.
        """
        if not self.chunks or self.has_waiting_chunks:
            return False
        return self.taken_of == chunk_count and moment - self.taken_at < TAKEN_SECONDS


class RunningJob:
    """A job in work here. Its snapshot never changes. It is replaced whole by a newer one, by the
    methods below and by nothing else: each says who calls it, after what was committed.
    """

    __slots__ = ("_snapshot", "in_flight")

    def __init__(self, snapshot: JobSnapshot) -> None:
        self._snapshot = snapshot
        self.in_flight = InFlight()

    @property
    def snapshot(self) -> JobSnapshot:
        """The newest that is known. Two that are one object say that nothing changed meanwhile."""
        return self._snapshot

    @property
    def id(self) -> UUID:
        return self._snapshot.id

    def follow(self, newer: JobSnapshot) -> None:
        """The pool has read it from the database."""
        self._snapshot = newer

    def was_cut(
        self, position: Position, chunk_count: int, status: JobStatus, *, done: bool
    ) -> None:
        """The splitter has committed the chunks up to this position; the status was read then."""
        self._snapshot = replace(
            self._snapshot,
            position=position,
            split_crc32=position.crc32,
            chunk_count=chunk_count,
            split_done=done,
            status=status,
        )

    def has_columns(self, columns: Columns) -> None:
        """The committer has written them, or found them there."""
        self._snapshot = replace(self._snapshot, columns=columns)

    def waits_for(self, service: str | None) -> None:
        """The committer has written which service does not answer; None if all do."""
        if service != self._snapshot.waiting_on:
            self._snapshot = replace(self._snapshot, waiting_on=service)


async def load(
    database: Database, processors: Processors, destinations: Destinations, job_id: UUID
) -> JobSnapshot | None:
    """The job as the database has it; None if it was deleted. Raises StoredFileMissing,
    UnknownProcessor, and InvalidParameter for options that its processor does not take any more.
    """
    async with database.working() as connection:
        row = await jobs.load_job(connection, job_id)
    return None if row is None else snapshot_of(row, processors, destinations)


def snapshot_of(row: JobRow, processors: Processors, destinations: Destinations) -> JobSnapshot:
    """Raises the same."""
    is_parent = row.child_count is not None
    if row.storage_uri is None and not is_parent:
        raise StoredFileMissing("The stored upload was deleted.")
    return JobSnapshot(
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
        destination=destinations.of(row),
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
        is_over_objects=row.format == OBJECTS,
        child_count=row.child_count or 0,
        priority=row.priority,
        delimiter=row.dialect.get("delimiter", ","),
        trace=row.trace,
        corrects=row.parent_id if row.origin == ORIGIN else None,
    )
