"""Results by COPY in binary form, on the connection and in the transaction of SQLAlchemy."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.formats.base import Page, Reject
from app.sinks.tables import COLUMNS, TableRows

PAGE_COLUMNS = ("job_id", "first_row", "row_count", "row_numbers", "data")
REJECT_COLUMNS = (
    "job_id", "row_number", "kind", "line", "byte_start", "byte_end", "raw", "column_name", "value", "code", "message"
)  # fmt: skip


class PostgresSink:
    async def write(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        pages: Sequence[Page],
        rejects: Sequence[Reject],
        tables: TableRows,
    ) -> None:
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        assert driver is not None
        if pages:
            records = (
                (job_id, p.first_row, p.row_count, None if p.numbers is None else _json(p.numbers), p.data.decode())
                for p in pages
            )
            await driver.copy_records_to_table("result_pages", records=records, columns=PAGE_COLUMNS)
        if rejects:
            rejected = (
                (
                    job_id,
                    r.row_number,
                    r.kind,
                    r.line,
                    r.byte_start,
                    r.byte_end,
                    r.raw,
                    r.column,
                    r.value,
                    r.code,
                    r.message,
                )
                for r in rejects
            )
            await driver.copy_records_to_table("rejects", records=rejected, columns=REJECT_COLUMNS)
        for name, rows in tables.items():
            given = ((job_id, *row) for row in rows)
            await driver.copy_records_to_table(name, records=given, columns=("job_id", *COLUMNS[name]))


def _json(numbers: list[int]) -> str:
    return msgspec.json.encode(numbers).decode()
