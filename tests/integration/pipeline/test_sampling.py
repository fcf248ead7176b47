"""A sample of the rows of a stored file: its beginning, its middle and its end, however long it is."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.config import load_settings
from app.db import chunks, files, jobs
from app.db.engine import Database
from app.db.rows import JobRow, NewFile, NewJob
from app.errors import StoredFileMissing
from app.formats.base import Span
from app.pipeline.sampling import ROWS_A_PLACE, sample_of
from app.processors.base import NO_ROWS, RowSample
from app.states import ChunkStatus, JobStatus
from tests.conftest import Databases

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
HEADER = b"number,word\n"


class Stored:
    """A stored file that counts what is read of it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.data = b""
        self.reads: list[tuple[int, int]] = []
        self.is_gone = False

    def read(self, uri: str, start: int, end: int, etag: str | None = None) -> bytes:
        if self.is_gone:
            raise StoredFileMissing("gone")
        self.reads.append((start, end))
        return self.data[start:end]

    async def job(self, lines: list[bytes], rows_a_chunk: int, *, is_json: bool = False) -> JobRow:
        """Return a job over a file of these lines, which is cut into chunks."""
        start = 0 if is_json else len(HEADER)
        self.data = b"".join([b"" if is_json else HEADER, *lines])
        spans = []
        place = start
        for first in range(0, len(lines), rows_a_chunk):
            part = lines[first : first + rows_a_chunk]
            data = b"".join(part)
            line = first + (1 if is_json else 2)
            span = Span(place, place + len(data), first + 1, len(part), line, zlib.crc32(data))
            spans.append(span)
            place += len(data)
        dialect = {
            "kind": "csv",
            "columns": ["number", "word"],
            "data_start": start,
            "data_line": 2,
        }
        if is_json:
            dialect = {"kind": "json", "root": "lines", "data_start": 0}
        file = NewFile(
            owner="o",
            filename="f",
            format="json" if is_json else "csv",
            encoding="utf-8",
            size_bytes=len(self.data),
            stored_bytes=len(self.data),
            sha256="5a",
            dialect=dialect,
            content_key="f",
            storage_uri="f",
        )
        job = NewJob(
            owner="o",
            file_id=file.id,
            processor="profile",
            options={},
            chunk_size=rows_a_chunk,
            priority=0,
            status=JobStatus.COMPLETED,
            columns=[],
            split_done=True,
            chunk_count=len(spans),
            split_rows=len(lines),
        )

        async def record(connection: AsyncConnection) -> None:
            await files.insert_file(connection, file)
            await jobs.insert_job(connection, job)
            await chunks.insert_chunks(connection, job.id, 0, spans, ChunkStatus.PENDING)

        await self.database.transact(record)
        return await self.stored(job.id)

    async def stored(self, job_id: UUID) -> JobRow:
        async with self.database.reading() as connection:
            row = await jobs.load_job(connection, job_id)
        assert row is not None
        return row

    async def sample(self, job: JobRow) -> RowSample:
        return await sample_of(self.database, self.read, job)


@pytest.fixture
async def stored(databases: Databases, tmp_path: Path) -> AsyncIterator[Stored]:
    url = await asyncio.to_thread(databases.create, tmp_path)
    database = Database(load_settings(database_url=url, storage_dir=tmp_path))
    yield Stored(database)
    await database.close()


def lines(count: int) -> list[bytes]:
    return [b"%d,w%d\n" % (number, number) for number in range(1, count + 1)]


async def test_a_small_file_is_the_whole_sample(stored: Stored) -> None:
    sample = await stored.sample(await stored.job(lines(7), 3))
    assert sample.columns == ("number", "word")
    assert sample.rows == [[str(number), f"w{number}"] for number in range(1, 8)]
    assert sample.numbers == tuple(range(1, 8))


async def test_a_long_file_gives_rows_of_three_places_from_three_chunks(stored: Stored) -> None:
    sample = await stored.sample(await stored.job(lines(50_000), 5000))
    first = range(1, ROWS_A_PLACE + 1)
    middle = range(25_001 + 2400, 25_001 + 2400 + ROWS_A_PLACE)
    last = range(50_001 - ROWS_A_PLACE, 50_001)
    assert sample.numbers == (*first, *middle, *last)
    assert [row[0] for row in sample.rows if isinstance(row, list)] == list(
        map(str, sample.numbers)
    )
    assert len(stored.reads) == 3
    assert sum(end - start for start, end in stored.reads) < len(stored.data) / 3


async def test_a_file_of_one_chunk_gives_its_middle_and_its_end_too(stored: Stored) -> None:
    sample = await stored.sample(await stored.job(lines(5000), 5000))
    assert len(sample.rows) == 3 * ROWS_A_PLACE
    assert (sample.numbers[0], sample.numbers[300], sample.numbers[-1]) == (1, 2501, 5000)


async def test_rows_of_json_are_objects(stored: Stored) -> None:
    objects = [b'{"a": %d}\n' % number for number in range(3)]
    sample = await stored.sample(await stored.job(objects, 2, is_json=True))
    assert [json.loads(row) for row in sample.rows if isinstance(row, bytes)] == [
        {"a": 0},
        {"a": 1},
        {"a": 2},
    ]
    assert sample.columns == ("a",)


async def test_bytes_that_are_gone_or_changed_are_no_rows(stored: Stored) -> None:
    job = await stored.job(lines(7), 3)
    stored.data = stored.data.replace(b"w1\n", b"xx\n")
    assert (await stored.sample(job)).numbers == (4, 5, 6, 7)
    stored.is_gone = True
    assert await stored.sample(job) == NO_ROWS
