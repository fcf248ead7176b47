"""Rejected rows, as written. They stay in the service, whatever the destination of the results."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.destinations.encoding import EncodedRejects
from app.destinations.writer import TableWriter
from app.formats.base import Reject


class Rejects:
    def __init__(self, writer: TableWriter) -> None:
        self._writer = writer

    async def write(
        self, connection: AsyncConnection, job_id: UUID, rejects: Sequence[Reject]
    ) -> None:
        """Write the rejects in the transaction that counts them."""
        if rejects:
            encoded = self._writer.encode_rejects(job_id, rejects)
            await self._writer.insert_rejects(connection, job_id, [encoded])

    async def write_encoded(
        self, connection: AsyncConnection, job_id: UUID, rejects: Sequence[EncodedRejects]
    ) -> None:
        """Write rejects that were encoded for this job, in the transaction that counts them."""
        if rejects:
            await self._writer.insert_rejects(connection, job_id, rejects)
