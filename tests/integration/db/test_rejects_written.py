"""Rejects are stored value for value, in the form in which compute processes encode them for each
database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pickle import dumps, loads  # nosec B403: as the processes do
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import load_settings
from app.db.engine import Database
from app.destinations.postgres import PostgresWriter
from app.destinations.rejects import Rejects
from app.destinations.sqlite import INSERTED_AT_ONCE, SqliteWriter
from app.destinations.writer import TableWriter
from app.formats.base import MAX_REJECT_BYTES, Reject
from tests.crash.service import Input, post
from tests.engine import Engine

FIRST = 1_000_000
"""After the rows of the upload."""

PLAIN = Reject(FIRST, 7, 60, 70, b"1,2,3", "column_count", "Expected 2 cells, found 3.")
ODD = [
    Reject(FIRST + 1, 8, 1 << 40, (1 << 40) + 9, b"\x00\xff\\N\t", "é", "😀 \\.\n", "größe", ""),
    Reject(FIRST + 2, 9, 0, 0, b"", "processing_failed", "It failed.", None, "\t", kind="failed"),
    Reject(FIRST + 3, 1 << 33, 5, 6, b"x" * MAX_REJECT_BYTES, "a", "b" * 9_000, "", "v"),
]
MANY = [
    Reject(FIRST + 10 + i, i, i, i + 1, b"%d" % i, "column_count", PLAIN.message, value=str(i % 3))
    for i in range(2 * INSERTED_AT_ONCE + 1)
]


@pytest.fixture
def job_id(engine: Engine) -> UUID:
    engine.start()
    with engine.api() as api:
        post(api, Input.clean(10), chunk_size=100)
    ((job_id,),) = engine.sql("SELECT id FROM jobs")
    engine.stop()
    return UUID(str(job_id))


def test_rejects_of_several_chunks_are_stored_unchanged(engine: Engine, job_id: UUID) -> None:
    parts = [[PLAIN], ODD, MANY]
    asyncio.run(write(engine.url, job_id, parts))
    stored = engine.sql(
        "SELECT row_number, line, byte_start, byte_end, raw, code, message, column_name, value,"
        " kind, corrections FROM rejects ORDER BY row_number"
    )
    expected = [
        (
            reject.row_number,
            reject.line,
            reject.byte_start,
            reject.byte_end,
            reject.raw,
            reject.code,
            reject.message,
            reject.column,
            reject.value,
            reject.kind,
            0,
        )
        for part in parts
        for reject in part
    ]
    assert [(*row[:4], bytes(row[4]), *row[5:]) for row in stored] == expected


async def write(url: str, job_id: UUID, parts: Sequence[Sequence[Reject]]) -> None:
    """Write the parts in one transaction: the first as it is, the others encoded elsewhere."""
    database = Database(load_settings(database_url=url))
    writer: TableWriter = SqliteWriter() if database.is_sqlite else PostgresWriter()
    first, *others = parts
    encoded = [loads(dumps(writer.encode_rejects(job_id, part))) for part in others]  # nosec B301

    async def insert(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT 1"))  # begins the transaction
        await Rejects(writer).write(connection, job_id, first)
        await Rejects(writer).write_encoded(connection, job_id, encoded)

    try:
        await database.transact(insert)
    finally:
        await database.close()
