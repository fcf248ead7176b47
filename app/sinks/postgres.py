"""Results by COPY in binary form, on the connection and in the transaction of SQLAlchemy."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.formats.base import Page, Reject
from app.sinks.encoding import as_copy_text
from app.sinks.tables import COLUMNS, UPSERTED, Counts, Piece, TableRows

PAGE_COLUMNS = ("job_id", "first_row", "row_count", "row_numbers", "data")
REJECT_COLUMNS = (
    "job_id", "row_number", "kind", "line", "byte_start", "byte_end", "raw", "column_name", "value", "code", "message"
)  # fmt: skip


def _upsert_statement(name: str, key: str) -> str:
    """From the staging table, for $1 the job's id and $2 its number; how many were inserted and updated."""
    listed = ", ".join(COLUMNS[name])
    changes = ", ".join(
        f"{column} = excluded.{column}" for column in ("job_id", "job_number", *COLUMNS[name]) if column != key
    )
    return f"""
        WITH given AS (
            SELECT DISTINCT ON ({key}) * FROM staged_{name} ORDER BY {key}, row_number DESC
        ), before AS (
            SELECT g.{key}, (SELECT t.content_hash FROM {name} t WHERE t.{key} = g.{key}) AS content_hash FROM given g
        ), written AS (
            INSERT INTO {name} AS t (job_id, job_number, {listed}, created_at, updated_at)
            SELECT $1::uuid, $2::bigint, {listed}, now(), now() FROM given ORDER BY {key}
            ON CONFLICT ({key}) DO UPDATE SET {changes},
                updated_at = CASE WHEN t.content_hash = excluded.content_hash THEN t.updated_at ELSE now() END
            WHERE (t.job_number, t.row_number) <= (excluded.job_number, excluded.row_number)
            RETURNING {key}, content_hash
        )
        SELECT count(*) FILTER (WHERE b.content_hash IS NULL) AS inserted,
               count(*) FILTER (WHERE b.content_hash <> w.content_hash) AS updated
        FROM written w JOIN before b USING ({key})
    """  # noqa: S608 our own names


UPSERTS = {name: _upsert_statement(name, key) for name, key in UPSERTED.items()}


class PostgresSink:
    def __init__(self, rows_per_write: int = 1000) -> None:
        """`rows_per_write`: of an upserted table in one statement."""
        self.encode_table = partial(as_copy_text, rows_per_write)

    async def write(
        self,
        connection: AsyncConnection,
        job_id: UUID,
        pages: Sequence[Page],
        rejects: Sequence[Reject],
        tables: TableRows,
    ) -> Counts:
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
        counts: Counts = {}
        for name, rows in tables.items():
            if name in UPSERTED:
                if rows:
                    counts[name] = await self._upsert(driver, job_id, name, rows)
                continue
            given = ((job_id, *row) for row in rows)
            await driver.copy_records_to_table(name, records=given, columns=("job_id", *COLUMNS[name]))
        return counts

    async def _upsert(self, driver: Any, job_id: UUID, name: str, pieces: Sequence[Piece]) -> dict[str, int]:
        """COPY into a staging table, which lasts as long as the connection and is empty outside of this, then one
        INSERT ... ON CONFLICT. In the order of the key, so that two transactions do not wait for each other in a ring."""
        columns = COLUMNS[name]
        listed = ", ".join(columns)
        await driver.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS staged_{name} ON COMMIT DELETE ROWS"  # noqa: S608 our own names
            f" AS SELECT {listed} FROM {name} WITH NO DATA"
        )
        number = await driver.fetchval("SELECT number FROM jobs WHERE id = $1", job_id)
        inserted = updated = 0
        for piece in pieces:
            await driver.copy_to_table(f"staged_{name}", source=io.BytesIO(piece.data), columns=columns, format="text")
            done = await driver.fetchrow(UPSERTS[name], job_id, number)
            await driver.execute(f"DELETE FROM staged_{name}")  # noqa: S608
            inserted, updated = inserted + done["inserted"], updated + done["updated"]
        return {"inserted": inserted, "updated": updated, "unchanged": sum(p.rows for p in pieces) - inserted - updated}


def _json(numbers: list[int]) -> str:
    return msgspec.json.encode(numbers).decode()
