"""Destination: where accepted rows go. Everything that the engine does with stored rows, it asks of
their destination.
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
    """What a step of an undo has done."""

    removed: int = 0
    restored: int = 0


@dataclass(slots=True)
class ReadBack:
    """The rows of a job as the database holds them now."""

    sums: dict[int, int] = field(default_factory=dict)
    """Hash sum of the rows of each chunk, by the place of the chunk in its job."""
    problems: list[str] = field(default_factory=list)


class Destination(ABC):
    """Each method works inside the transaction of `connection` and never commits: what it does
    happens together with the change of state that it belongs to, or not at all. The defaults are
    those of a place that keeps nothing besides.
    """

    @abstractmethod
    async def write(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Any]
    ) -> dict[str, int]:
        """Store all of them in the transaction that completes their chunk, or raise. What became of
        them, where that is to be counted.
        """

    async def remove_rejected(
        self, connection: AsyncConnection, job_id: UUID, numbers: Sequence[int]
    ) -> list[dict[str, Any]]:
        """A correction: remove what is here of these rejected rows. What the processor must know to
        count without them.
        """
        return []

    async def merge(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Any], start: int, end: int
    ) -> dict[str, int]:
        """A correction: put its rows among those of the corrected chunk, rows [start, end) of the
        job.
        """
        return await self.write(connection, job_id, rows)

    async def has_rows(self, connection: AsyncConnection, job_ids: Sequence[UUID]) -> bool:
        """Whether one of the jobs has written anything here that an undo would take back."""
        return False

    async def take_back(
        self, connection: AsyncConnection, job_id: UUID, at_most: int
    ) -> TakenBack | None:
        """An undo: take back so many rows of the job; None if nothing is left."""
        return None

    async def forget_versions(
        self, connection: AsyncConnection, older_than_seconds: float, at_most: int
    ) -> bool:
        """Drop what is kept for undos alone and is too old for them; True while there may be
        more.
        """
        return False

    @abstractmethod
    async def remove(self, connection: AsyncConnection, job_id: UUID, at_most: int) -> bool:
        """The job is deleted: remove so many of its rows; True while there may be more."""


class ResultDestination(Destination):
    """Where the results of a job go. They are read from here, and the proof of the job reads them
    back.
    """

    keeps_rows: ClassVar[bool] = True
    """Whether they can be read here, row by row. Else they are the user's, who has them already."""

    @abstractmethod
    async def write(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> dict[str, int]: ...

    async def refuse(
        self, connection: AsyncConnection, job_id: UUID, rows: Sequence[Page]
    ) -> list[Reject]:
        """A correction, before its rows are merged in the same transaction: those of them that this
        place refuses. They are left out of the merge, and the rejects need not say where they
        stand.
        """
        return []

    @abstractmethod
    async def count(self, connection: AsyncConnection, job_id: UUID) -> int:
        """Rows of the job that are stored."""

    @abstractmethod
    async def read_back(
        self, connection: AsyncConnection, job_id: UUID, first_rows: Sequence[int]
    ) -> ReadBack:
        """`first_rows` of its chunks, in their order."""

    @abstractmethod
    async def heads(
        self, connection: AsyncConnection, job_id: UUID, first_row: int
    ) -> list[PageHead]:
        """Of some pages in the order of the rows, beginning with the one that may hold
        `first_row`.
        """

    @abstractmethod
    async def pages(
        self, connection: AsyncConnection, job_id: UUID, after: int, limit: int, most_bytes: int
    ) -> Sequence[PageRow]:
        """Pages in the order of the rows, with rows behind `after`: at most `limit`, and no more
        than fit into `most_bytes`; one at least, if there is one. The first may hold rows up to
        `after` too. None at all means that there are none.
        """


class ResultKind(Protocol):
    """Results that go somewhere else than into the pages of the service."""

    def of(self, processor: str, options: Mapping[str, Any]) -> ResultDestination | None:
        """The destination of jobs with this processor and these options, as the database has them;
        None if their results go elsewhere. The same one for jobs that share a place.
        """
