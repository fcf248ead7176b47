"""Result pages are stored byte for byte, in each form that a database accepts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import load_settings
from app.db.engine import Database
from app.destinations.postgres import PostgresWriter
from app.destinations.sqlite import SqliteWriter
from app.destinations.writer import TableWriter
from app.formats.base import PAGE_BYTES, Page
from tests.crash.service import Input, post
from tests.engine import Engine

FIRST = 1_000_000
"""After the rows of the upload."""

DATA = [
    '[["1","a"]]',
    '[["é","😀"],["\\\\","\\""]]',
    '[{"a": 1.50, "b": null}]',
    '[["\\t\\\\N\\\\.\\n"]]',
    json.dumps([["x" * (PAGE_BYTES + 7)]]),
]


@pytest.fixture
def job_id(engine: Engine) -> UUID:
    engine.start()
    with engine.api() as api:
        post(api, Input.clean(10), chunk_size=100)
    ((job_id,),) = engine.sql("SELECT id FROM jobs")
    engine.stop()
    return UUID(str(job_id))


def test_pages_are_stored_unchanged(engine: Engine, job_id: UUID) -> None:
    pages = [
        Page(first, 2, [first, first + 5] if i % 2 else None, data.encode())
        for i, (first, data) in enumerate(zip(range(FIRST, FIRST + 5000, 1000), DATA, strict=True))
    ]
    asyncio.run(write(engine.url, job_id, pages))
    stored = engine.sql(
        "SELECT first_row, row_count, CAST(row_numbers AS text), data FROM result_pages"
        f" WHERE first_row >= {FIRST} ORDER BY first_row"
    )
    assert [
        (first, count, numbers and json.loads(numbers)) for first, count, numbers, _ in stored
    ] == [(page.first_row, page.row_count, page.numbers) for page in pages]
    assert [data for *_, data in stored] == DATA


async def write(url: str, job_id: UUID, pages: Sequence[Page]) -> None:
    database = Database(load_settings(database_url=url))
    writer: TableWriter = SqliteWriter() if database.is_sqlite else PostgresWriter()

    async def insert(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT 1"))  # begins the transaction
        await writer.insert_pages(connection, job_id, pages)

    try:
        await database.transact(insert)
    finally:
        await database.close()
