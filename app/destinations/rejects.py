"""Rejected rows, as written. They stay in the service, whatever the destination of the results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.destinations.writer import NewRows, TableWriter
from app.formats.base import Reject

COLUMNS = (
    "row_number",
    "kind",
    "line",
    "byte_start",
    "byte_end",
    "raw",
    "column_name",
    "value",
    "code",
    "message",
)


class Rejects:
    def __init__(self, writer: TableWriter) -> None:
        self._writer = writer

    async def write(
        self, connection: AsyncConnection, job_id: UUID, rejects: Sequence[Reject]
    ) -> None:
        """Write the rejects in the transaction that counts them."""
        rows = [_row(reject) for reject in rejects]
        await self._writer.insert(connection, NewRows(job_id, "rejects", COLUMNS, rows))


def _row(reject: Reject) -> tuple[Any, ...]:
    return (
        reject.row_number,
        reject.kind,
        reject.line,
        reject.byte_start,
        reject.byte_end,
        reject.raw,
        reject.column,
        reject.value,
        reject.code,
        reject.message,
    )
