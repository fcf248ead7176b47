"""Results that are staged chunk by chunk, and published whole with the final status of their job:
until then nobody sees any of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.destinations.base import ResultDestination
from app.formats.base import Format
from app.processors.base import Conclusion, Output

Compute = Callable[..., Awaitable[Any]]
"""`await compute(function, *arguments)`, in a process beside the service."""


class StagedJob(Protocol):
    """What must be known of a job to publish its results."""

    @property
    def id(self) -> UUID: ...

    @property
    def uri(self) -> str:
        """Of its file."""

    @property
    def etag(self) -> str | None: ...

    @property
    def form(self) -> Format: ...

    @property
    def options(self) -> Any: ...

    @property
    def rows(self) -> int:
        """Of its file."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """What was staged, made whole. Nobody sees it yet."""

    conclusion: Conclusion
    """What the job ends with. It says as `rows` how many of them are in what was made."""
    made: Any = None
    """For `publish` and `discard` of the destination."""


class StagedResults(ResultDestination):
    """In this order: `stage` and `write` for each chunk; when all have ended `settle`, `assemble`,
    and in the transaction of the final status `publish`; then `forget`. A process may die anywhere,
    and then the next begins with what the database has.
    """

    incomplete: ClassVar[dict[str, str]]
    """The error of a job of which nothing is published, because some chunks failed."""

    def stage(self, job_id: UUID, stem: str, outputs: Sequence[Output]) -> dict[str, Any]:
        """In a thread, before the transaction of a chunk: put aside what does not go into the
        database, under a name that no other attempt has. What is added to the summary of the chunk.
        """
        return {}

    async def settle(self, job: StagedJob, compute: Compute) -> None:
        """Make rejects of rows of which only all chunks together show that they are bad."""

    @abstractmethod
    async def assemble(self, job: StagedJob, compute: Compute) -> Assembly | None:
        """Before the final transaction, outside any. None if a chunk failed: without its rows the
        rest would look whole.
        """

    @abstractmethod
    async def publish(
        self, connection: AsyncConnection, job_id: UUID, assembly: Assembly
    ) -> Conclusion:
        """In the transaction of the final status. What the job ends with: what the assembly says,
        and what is known only now. Raises TransientError to be asked again from `settle` on.
        """

    @abstractmethod
    async def discard(self, assembly: Assembly) -> None:
        """The job did not end with it after all."""

    @abstractmethod
    async def forget(self, job_id: UUID) -> None:
        """The job has ended with it, or will never end with one: what is staged is needed no
        more.
        """

    async def failed(self, job_id: UUID) -> None:
        """The job has failed. It may be tried again if that is because of failed chunks, and then
        what the others have staged is needed.
        """
