"""Results by executemany on the one writing connection."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import RejectedRow, ResultPage
from app.formats.base import Page, Reject
from app.sinks.tables import COLUMNS, TableRows


class SqliteSink:
    async def write(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        pages: Sequence[Page],
        rejects: Sequence[Reject],
        tables: TableRows,
    ) -> None:
        if pages:
            rows = [
                {"job_id": job_id, "first_row": p.first_row, "row_count": p.row_count, "row_numbers": p.numbers,
                 "data": p.data.decode()}
                for p in pages
            ]  # fmt: skip
            await connection.execute(insert(ResultPage), rows)
        if rejects:
            rejected = [
                {"job_id": job_id, "row_number": r.row_number, "kind": r.kind, "line": r.line, "byte_start": r.byte_start,
                 "byte_end": r.byte_end, "raw": r.raw, "column_name": r.column, "value": r.value, "code": r.code,
                 "message": r.message}
                for r in rejects
            ]  # fmt: skip
            await connection.execute(insert(RejectedRow), rejected)
        for name, given in tables.items():
            if given:
                columns = ("job_id", *COLUMNS[name])
                statement = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 our own names
                await connection.exec_driver_sql(statement, [(job_id.hex, *row) for row in given])
