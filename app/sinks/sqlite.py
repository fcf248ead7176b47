"""Results by executemany on the one writing connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Job, RejectedRow, ResultPage
from app.formats.base import Page, Reject
from app.sinks.tables import COLUMNS, UPSERTED, Counts, TableRows


class SqliteSink:
    def __init__(self, rows_per_write: int = 1000) -> None:
        """`rows_per_write`: of an upserted table in one statement."""
        self._rows_per_write = rows_per_write

    async def write(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        pages: Sequence[Page],
        rejects: Sequence[Reject],
        tables: TableRows,
    ) -> Counts:
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
        counts: Counts = {}
        for name, given in tables.items():
            if given and name in UPSERTED:
                counts[name] = await self._upsert(connection, job_id, name, given)
            elif given:
                columns = ("job_id", *COLUMNS[name])
                statement = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 our own names
                await connection.exec_driver_sql(statement, [(job_id.hex, *row) for row in given])
        return counts

    async def _upsert(
        self, connection: AsyncConnection, job_id: UUID, name: str, rows: Sequence[tuple[Any, ...]]
    ) -> dict[str, int]:
        columns, key = COLUMNS[name], UPSERTED[name]
        number = (await connection.execute(select(Job.number).where(Job.id == job_id))).scalar_one()
        keys, numbers, hashes = (columns.index(column) for column in (key, "row_number", "content_hash"))
        inserted = updated = 0
        for start in range(0, len(rows), self._rows_per_write):
            step = rows[start : start + self._rows_per_write]
            newest = {row[keys]: row for row in sorted(step, key=lambda row: row[numbers])}
            marks = ", ".join("?" * len(newest))
            looked: Any = await connection.exec_driver_sql(
                f"SELECT {key}, job_number, row_number, content_hash FROM {name} WHERE {key} IN ({marks})",  # noqa: S608
                tuple(newest),
            )
            before = {row[0]: ((row[1], row[2]), row[3]) for row in looked}
            inserted += len(newest) - len(before)
            updated += sum(
                place <= (number, newest[value][numbers]) and content_hash != newest[value][hashes]
                for value, (place, content_hash) in before.items()
            )
            given = [(job_id.hex, number, *map(_native, row)) for row in newest.values()]
            await connection.exec_driver_sql(UPSERTS[name], given)
        return {"inserted": inserted, "updated": updated, "unchanged": len(rows) - inserted - updated}


def _native(value: Any) -> Any:
    """As SQLAlchemy stores it in SQLite."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return str(value) if isinstance(value, Decimal) else value


def _upsert_statement(name: str, key: str) -> str:
    columns = ("job_id", "job_number", *COLUMNS[name])
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns if column != key)
    now = "strftime('%Y-%m-%d %H:%M:%f', 'now')"
    return f"""
        INSERT INTO {name} ({", ".join(columns)}, created_at, updated_at)
        VALUES ({", ".join("?" * len(columns))}, {now}, {now})
        ON CONFLICT ({key}) DO UPDATE SET {changes},
            updated_at = CASE WHEN content_hash = excluded.content_hash THEN updated_at ELSE excluded.updated_at END
        WHERE (job_number, row_number) <= (excluded.job_number, excluded.row_number)
    """  # noqa: S608 our own names


UPSERTS = {name: _upsert_statement(name, key) for name, key in UPSERTED.items()}
