"""Where results go. A sink writes inside the transaction that completes the chunk; it never commits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.formats.base import Page, Reject
from app.sinks.tables import Counts, Piece, TableRows


class Sink(Protocol):
    @property
    def encode_table(self) -> Callable[[str, Sequence[tuple[Any, ...]]], list[Piece]]:
        """(upserted table, rows) to what `write` takes; it can be sent to another process."""

    async def write(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        pages: Sequence[Page],
        rejects: Sequence[Reject],
        tables: TableRows,
    ) -> Counts:
        """Store all of them, or raise and let the transaction roll back."""
