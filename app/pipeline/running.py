"""State of a running job in memory: its snapshot from the database, and what this process has in
flight.
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
    """Snapshot of a job from the database. Code that works on rows gets only this of the job."""

    id: UUID
    file_id: UUID
    uri: str
    etag: str | None
    """Version of the object that the job reads."""
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
    """How far the file is cut into chunks."""
    split_crc32: int | None
    chunk_count: int
    split_done: bool
    status: JobStatus
    data_start: int
    waiting_on: str | None
    """Name of the service that does not answer."""
    parent_id: UUID | None
    is_parent: bool
    is_over_objects: bool
    """Whether the parts of the job do the same with an object each, and it has no conclusion of its
    own.
    """
    child_count: int
    priority: int = 0
    delimiter: str = ","
    trace: str | None = None
    """traceparent of the request that created the job."""
    corrects: UUID | None = None
    """Id of the job whose rejected rows this job corrects."""
    writes_at_once: bool = False
    """Whether the destination makes the rows of each chunk visible, and may refuse some."""

    @property
    def rows(self) -> int:
        """Return the number of rows of the file, as far as it is split."""
        return self.position.rows

    @property
    def is_waiting_processor(self) -> bool:
        """Return whether the processor waits for a service instead of computing."""
        return self.can.waits is not None


TAKEN_SECONDS = 0.25
"""Time for which a failed claim is trusted: another process may give a chunk back, and chunks in
work here may take long.
"""


@dataclass(slots=True)
class InFlight:
    """The work of this process on a job. No other process sees it, and it ends with this one. The
    pool changes it; the committer sets its time.
    """

    chunks: set[int] = field(default_factory=set)
    """Indexes of the chunks in work."""
    detached_turns: int = 0
    """Number of turns that run chunks without a slot."""
    is_splitting: bool = False
    is_reducing: bool = False
    """Whether its result is being made."""
    commit_seconds: float = 0.0
    """Duration of the last commit."""
    has_waiting_chunks: bool = False
    """Whether a chunk was given back, and may be run again later."""
    taken_of: int = -1
    """Number of chunks split when a claim got fewer than it asked for."""
    taken_at: float = 0.0
    """Moment of that claim, by the monotonic clock."""

    def claimed_too_few(self, chunk_count: int, moment: float) -> None:
        """Record that a claim got fewer chunks than it asked for, when `chunk_count` were split."""
        self.taken_of, self.taken_at = chunk_count, moment

    def are_all_taken(self, chunk_count: int, moment: float) -> bool:
        """Return whether a claim would get no chunk, as far as this process knows. The turn with
        running chunks then asks again when it ends.
        """
        if not self.chunks or self.has_waiting_chunks:
            return False
        return self.taken_of == chunk_count and moment - self.taken_at < TAKEN_SECONDS


class RunningJob:
    """A running job in this process. Its snapshot never changes. Only the methods below replace it
    by a newer one. Each says who calls it, after which commit.
    """

    __slots__ = ("_snapshot", "in_flight")

    def __init__(self, snapshot: JobSnapshot) -> None:
        self._snapshot = snapshot
        self.in_flight = InFlight()

    @property
    def snapshot(self) -> JobSnapshot:
        """Return the newest snapshot. The same object twice means that nothing changed
        meanwhile.
        """
        return self._snapshot

    @property
    def id(self) -> UUID:
        return self._snapshot.id

    def follow(self, newer: JobSnapshot) -> None:
        """Take the snapshot that the pool has read from the database."""
        self._snapshot = newer

    def was_cut(
        self, position: Position, chunk_count: int, status: JobStatus, *, done: bool
    ) -> None:
        """Record that the splitter has committed the chunks up to this position; it read the status
        then.
        """
        self._snapshot = replace(
            self._snapshot,
            position=position,
            split_crc32=position.crc32,
            chunk_count=chunk_count,
            split_done=done,
            status=status,
        )

    def has_columns(self, columns: Columns) -> None:
        """Add the columns that the committer has written, or that were there."""
        self._snapshot = replace(self._snapshot, columns=columns)

    def waits_for(self, service: str | None) -> None:
        """Record the service that does not answer, which the committer has written; None if all
        answer.
        """
        if service != self._snapshot.waiting_on:
            self._snapshot = replace(self._snapshot, waiting_on=service)


async def load(
    database: Database, processors: Processors, destinations: Destinations, job_id: UUID
) -> JobSnapshot | None:
    """Read the job from the database; None if it was deleted. Raises StoredFileMissing,
    UnknownProcessor, and InvalidParameter for options that its processor does not take any more.
    """
    async with database.working() as connection:
        row = await jobs.load_job(connection, job_id)
    return None if row is None else snapshot_of(row, processors, destinations)


def snapshot_of(row: JobRow, processors: Processors, destinations: Destinations) -> JobSnapshot:
    """Return the snapshot of a row. Raises UnknownProcessor and InvalidParameter, as `load`
    does.
    """
    is_parent = row.child_count is not None
    if row.storage_uri is None and not is_parent:
        raise StoredFileMissing("The stored upload was deleted.")
    destination = destinations.of(row)
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
        destination=destination,
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
        writes_at_once=destination.results.writes_at_once,
    )
