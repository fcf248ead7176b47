"""Staged results: written chunk by chunk, and published whole with the final status of their job.
Until then readers see none of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.results import PageHead
from app.db.rows import PageRow
from app.destinations.base import ReadBack, ResultDestination
from app.errors import TransientError
from app.formats.base import Format
from app.processors.base import Conclusion, Output

Compute = Callable[..., Awaitable[Any]]
"""Call with `await compute(function, *arguments)`; the function runs in a compute process."""


class StagedJob(Protocol):
    """Facts about a job that publishing its results needs."""

    @property
    def id(self) -> UUID: ...

    @property
    def uri(self) -> str:
        """URI of the job's file."""

    @property
    def etag(self) -> str | None: ...

    @property
    def form(self) -> Format: ...

    @property
    def options(self) -> Any: ...

    @property
    def rows(self) -> int:
        """Number of rows of the job's file."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """Assembled staged results, not visible yet."""

    conclusion: Conclusion
    """Conclusion of the job. Its `rows` is the number of rows in the assembly."""
    payload: Any = None
    """Data of the destination for `publish` and `discard`."""


class StagedResults(ResultDestination):
    """Destination that stages results. The order of calls: `stage` and `write` for each chunk;
    `settle` and `assemble` when all chunks have ended; `publish` in the transaction of the final
    status; then `forget`. A process may die at any point; the next one continues from the database.
    """

    incomplete: ClassVar[dict[str, str]]
    """Error of a job whose results are not published because some chunks failed."""

    async def read_back(
        self, connection: AsyncConnection, job_id: UUID, first_rows: Sequence[int]
    ) -> ReadBack:
        return ReadBack()

    async def heads(
        self, connection: AsyncConnection, job_id: UUID, first_row: int
    ) -> list[PageHead]:
        return []

    async def pages(
        self, connection: AsyncConnection, job_id: UUID, after: int, limit: int, most_bytes: int
    ) -> Sequence[PageRow]:
        """None: published results are read from their file or table."""
        return ()

    def stage(self, job_id: UUID, stem: str, outputs: Sequence[Output]) -> dict[str, Any]:
        """Stage outputs that are not stored in the database, in a thread before the transaction of
        a chunk, under a name that no other attempt has. Return what is added to the summary of the
        chunk.
        """
        return {}

    async def settle(self, job: StagedJob, compute: Compute) -> None:
        """Reject rows that are invalid only in view of all chunks."""

    @abstractmethod
    async def assemble(self, job: StagedJob, compute: Compute) -> Assembly | None:
        """Assemble the results before the final transaction, outside any. Return None if a chunk
        failed: without its rows the rest would look complete.
        """

    @abstractmethod
    async def publish(
        self, connection: AsyncConnection, job_id: UUID, assembly: Assembly
    ) -> Conclusion:
        """Publish in the transaction of the final status. Return the conclusion of the assembly,
        completed with the results of publishing. Raises TransientError to start again from
        `settle`.
        """

    async def seal(self, connection: AsyncConnection, job_id: UUID) -> bool:
        """Keep an active job from publishing its results, in the transaction that cancels it.
        Return False if they are published already, where this database has no part in that.
        """
        return True

    async def waits_for(self, error: TransientError) -> str | None:
        """Return in words what publishing waits for, after it was rolled back by this error; None
        if the error says all.
        """
        return None

    async def let_go(self, job_id: UUID) -> None:
        """Release what an assembly holds open, after the transaction that publishes it failed or
        did not end the job.
        """

    @abstractmethod
    async def discard(self, assembly: Assembly) -> None:
        """Discard an assembly that the job did not end with."""

    @abstractmethod
    async def forget(self, job_id: UUID) -> None:
        """Delete the staged results: the job has published them, or never will."""

    async def overtaken(self, job_id: UUID) -> None:
        """Handle a job that was cancelled or deleted, or that another process has ended, while its
        results were about to be published here.
        """

    async def failed(self, job_id: UUID) -> None:
        """Handle a failed job. If chunks failed, the job can be retried, and then needs the staged
        results of the other chunks.
        """
