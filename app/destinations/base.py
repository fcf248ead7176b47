"""Destination of accepted rows. The engine does everything with stored rows through their
destination.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.results import PageHead
from app.db.rows import PageRow
from app.formats.base import Page, Reject


class TakenBack(NamedTuple):
    """Counts of a step of an undo."""

    removed: int = 0
    restored: int = 0
    left: int = 0
    """Number of rows that stay, because others have changed them since or need them."""
    left_rows: tuple[dict[str, Any], ...] = ()
    """Some of these, each with its reason."""


@dataclass(slots=True)
class ReadBack:
    """Rows of a job as the database holds them now."""

    sums: dict[int, int] = field(default_factory=dict)
    """Hash sum of the rows of each chunk, by the place of the chunk in its job."""
    problems: list[str] = field(default_factory=list)
    since: dict[str, Any] | None = None
    """What has become of the rows since; for rows in tables of users."""


class Destination(ABC):
    """Destination of rows. Each method works inside the transaction of `connection` and never
    commits: its writes happen together with the change of state that they belong to, or not at all.
    The defaults are those of a destination that stores nothing else.
    """

    @abstractmethod
    async def write(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Any]
    ) -> dict[str, int]:
        """Store all rows in the transaction that completes their chunk, or raise. Return counts by
        outcome, if there are any.
        """

    async def remove_rejected(
        self, connection: AsyncConnection, job_id: UUID, numbers: Sequence[int]
    ) -> list[dict[str, Any]]:
        """Remove what is stored of these rejected rows, for a correction. Return the counts that
        the processor needs to do without.
        """
        return []

    async def merge(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Any], start: int, end: int
    ) -> dict[str, int]:
        """Put the rows of a correction among those of the corrected chunk, rows [start, end) of the
        job. Return counts by outcome.
        """
        return await self.write(connection, job_id, rows)

    async def has_rows(self, connection: AsyncConnection, job_ids: Sequence[UUID]) -> bool:
        """Return whether one of the jobs has written anything here that an undo would take back."""
        return False

    async def take_back(
        self, connection: AsyncConnection, job_id: UUID, at_most: int
    ) -> TakenBack | None:
        """Take back at most this many rows of the job for an undo; return None if nothing is
        left.
        """
        return None

    async def forget_versions(
        self, connection: AsyncConnection, older_than_seconds: float, at_most: int
    ) -> bool:
        """Delete data that is kept only for undos and has expired; return True while there may be
        more.
        """
        return False

    @abstractmethod
    async def remove(self, connection: AsyncConnection, job_id: UUID, at_most: int) -> bool:
        """Remove at most this many rows of a deleted job; return True while there may be more."""


class ResultDestination(Destination):
    """Destination of the results of a job. They are read from here, and the proof of the job reads
    them back.
    """

    keeps_rows: ClassVar[bool] = True
    """Whether rows can be read here one by one. Otherwise they are in a table of the user."""
    writes_at_once: ClassVar[bool] = False
    """Whether `refuse` is asked about the rows of each chunk, too, before they are written."""

    @abstractmethod
    async def write(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> dict[str, int]: ...

    async def refuse(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> list[Reject]:
        """Return rejects for the rows of a correction that this destination refuses, before its
        rows are merged in the same transaction. The merge leaves these rows out. The rejects need
        no place in the file. The same for the rows of a chunk, and `write`, if `writes_at_once`.
        """
        return []

    @abstractmethod
    async def count(self, connection: AsyncConnection, job_id: UUID) -> int:
        """Return the number of stored rows of the job."""

    @abstractmethod
    async def read_back(
        self, connection: AsyncConnection, job_id: UUID, first_rows: Sequence[int]
    ) -> ReadBack:
        """Read the rows of the job back; `first_rows` are those of its chunks, in their order."""

    @abstractmethod
    async def heads(
        self, connection: AsyncConnection, job_id: UUID, first_row: int
    ) -> list[PageHead]:
        """Return the heads of some pages in the order of the rows, beginning with the page that may
        hold `first_row`.
        """

    @abstractmethod
    async def pages(
        self, connection: AsyncConnection, job_id: UUID, after: int, limit: int, most_bytes: int
    ) -> Sequence[PageRow]:
        """Return pages in row order with rows after `after`: at most `limit`, and no more than fit
        into `most_bytes`, but at least one unless none is left. The first may also hold rows up to
        `after`. An empty result means that none are left.
        """


class ResultKind(Protocol):
    """Kind of results that are not stored in the pages of the service."""

    def of(self, processor: str, options: Mapping[str, Any]) -> ResultDestination | None:
        """Return the destination of jobs with this processor and these options, as the database has
        them; None if this kind is not theirs. Jobs that share a place get the same destination.
        """
