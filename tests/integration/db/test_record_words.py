"""The migration adds words to records whose vectors are older."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from alembic import command
from sqlalchemy import Connection, MetaData, Table, text

from app.db.engine import migration_engine
from app.db.migrations import _config
from tests.harness import Postgres, query

MOMENT = datetime(2026, 11, 30, tzinfo=UTC)
BEFORE, WITH_WORDS = "0019", "0020"
RECORDS: list[dict[str, Any]] = [
    {"name": "Ömer ÇELİK", "email": "O@Example.com", "age": 41, "department": None},
    {"name": 'Says "No"', "email": "n@example.com", "notes": {"Deep": ["X", 1.5]}},
    {},
]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_older_records_with_vectors_get_their_words_in_steps(
    kind: str, postgres: Postgres, tmp_path: Path
) -> None:
    name = postgres.create()
    sqlite = f"sqlite+aiosqlite:///{tmp_path / 'old.db'}"
    url = sqlite if kind == "sqlite" else postgres.url(name)
    config = _config(url)
    command.upgrade(config, BEFORE)
    run(url, fill)
    command.upgrade(config, WITH_WORDS)
    stored = query(url, "SELECT row_number, words FROM record_words ORDER BY row_number")
    # every second record has a vector; ids have gaps, as after a deletion
    assert [row for row, _ in stored] == list(range(2, 25_001, 2))
    for row, words in stored[:30]:
        values = RECORDS[row % len(RECORDS)].values()
        shown = [shown_of(value).lower() for value in values if value is not None]
        assert sorted(folded(words).split("\x1f")) == sorted(map(folded, shown or [""]))
    postgres.drop(name)


def shown_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def folded(words: str) -> str:
    """Ignore what the two databases show differently: the spaces of nested JSON, and the second
    letter of a lowercased dotted I.
    """
    return words.replace(" ", "").replace("i\u0307", "i").replace("İ", "i")


def fill(connection: Connection) -> None:
    """25 000 records of one job, in the tables as they were."""
    tables = MetaData()
    tables.reflect(connection)
    job_id: UUID | str = uuid4()
    file_id: UUID | str = uuid4()
    if connection.dialect.name == "sqlite":
        job_id, file_id = uuid4().hex, uuid4().hex
    files, jobs, records = (tables.tables[name] for name in ("files", "jobs", "records"))
    connection.execute(files.insert().values(required(files) | {"id": file_id}))
    connection.execute(
        jobs.insert().values(
            required(jobs) | {"id": job_id, "file_id": file_id, "status": "completed"}
        )
    )
    rows = [
        {
            "id": row * 7,
            "job_id": job_id,
            "row_number": row,
            "status": "valid",
            "data": RECORDS[row % len(RECORDS)],
        }
        for row in range(1, 25_001)
    ]
    connection.execute(records.insert(), rows)
    nothing = "x'00'" if connection.dialect.name == "sqlite" else "'\\x00'"
    connection.execute(
        text(
            "INSERT INTO record_vectors (job_id, row_number, model, precision, text_hash, vector)"
            f" SELECT job_id, row_number, 'm', 'fp32', {nothing}, {nothing} FROM records"
            " WHERE row_number % 2 = 0"
        )
    )


def required(table: Table) -> dict[str, Any]:
    """A value for every required column."""
    values: dict[str, Any] = {}
    for column in table.columns:
        if column.nullable or column.server_default is not None or column.identity is not None:
            continue
        kind = column.type.python_type
        if kind is UUID:
            continue  # the caller's
        some = {datetime: MOMENT, object: {}}  # JSON has no type of Python
        values[column.name] = some[kind] if kind in some else kind()
    return values


def run(url: str, work: Any) -> None:
    async def working() -> None:
        engine = migration_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(work)
        await engine.dispose()

    asyncio.run(working())
