"""SQL for records and their vectors: tasks, lookups, and the filters of the search."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    case,
    cast,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.models import Chunk, File, Job, Record, RecordVector, VectorTask
from app.db.reading import FIRST_STEP, fitting, keys_within, next_step, size_of
from app.db.rows import columns_of, fetch_all

HASHES_AT_ONCE = 500
JOBS_AT_ONCE = 100


class RecordRow(msgspec.Struct, frozen=True):
    """Record as the API shows it."""

    id: int
    job_id: UUID
    row_number: int
    status: str
    data: str
    """Data as JSON text: decoded, its numbers would become doubles."""
    errors: list[dict[str, Any]] | None


class FoundRecord(RecordRow, frozen=True):
    """Record with the number of its import."""

    import_number: int


class TaskRow(msgspec.Struct, frozen=True):
    """Records that need vectors, and the columns of their job that this takes."""

    job_id: UUID
    first_row: int
    last_row: int
    record_count: int
    processor: str
    owner: str


class RecordSums(msgspec.Struct, frozen=True):
    """Rows of several imports by state, and their vectors."""

    ok: int
    invalid: int
    failed: int
    vectors: int
    """Number of vectors when all are computed."""
    vectors_ready: int


_RECORD = columns_of(RecordRow, Record, data=cast(Record.data, Text))
_FOUND = columns_of(FoundRecord, Record, data=cast(Record.data, Text), import_number=Job.number)
Key = tuple[UUID, int]
"""(job, row number) of a record."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters of records; all that are set must hold."""

    owner: str
    import_number: int | None = None
    status: str | None = None
    text: str | None = None
    """Part of any value, in upper or lower case."""
    fields: dict[str, Any] = field(default_factory=dict)
    """Values that must be equal, with the same type, by field."""

    @property
    def need_records(self) -> bool:
        """Return whether the filters need the table of the records, and not only the import."""
        return bool(self.text or self.fields)


# ---------------------------------------------------------------------- reading


def visible(owner: str | ColumnElement[str]) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for a job, joined with its file, whose records this owner sees."""
    return Job.owner == owner, File.deleted_at.is_(None), Job.undo_state.is_(None)


def _visible(owner: str) -> Any:
    return (
        select(*_FOUND)
        .select_from(Record)
        .join(Job, Job.id == Record.job_id)
        .join(File, File.id == Job.file_id)
        .where(*visible(owner))
    )


def _where(query: Any, filters: Filters, *, is_sqlite: bool) -> Any:
    if filters.import_number is not None:
        query = query.where(Job.number == filters.import_number)
    if filters.status is not None:
        query = query.where(Record.status == filters.status)
    if filters.text:
        values = "json_each(records.data)" if is_sqlite else "jsonb_each_text(records.data)"
        like = "f.value LIKE" if is_sqlite else "f.value ILIKE"
        part = filters.text
        if is_sqlite and not part.isascii():
            like, part = "folded(f.value) LIKE", part.lower()
        clause = f"EXISTS (SELECT 1 FROM {values} AS f WHERE {like} :part ESCAPE '!')"
        query = query.where(text(clause).bindparams(part=f"%{literal_part(part)}%"))
    for name, value in filters.fields.items():
        query = query.where(_equals(name, value) if is_sqlite else _contains(name, value))
    return query


def matching(filters: Filters, *, is_sqlite: bool) -> Any:
    """Build the query for all records that match."""
    return _where(_visible(filters.owner), filters, is_sqlite=is_sqlite)


def _contains(name: str, value: Any) -> ColumnElement[bool]:
    return Record.data.op("@>", is_comparison=True)(cast({name: value}, JSONB))


def literal_part(part: str) -> str:
    """Escape a text for LIKE, with `!` before characters that would be patterns."""
    return part.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _equals(name: str, value: Any) -> ColumnElement[bool]:
    """Compare by containment on PostgreSQL: the same JSON type and value. `name` holds no quote."""
    path = f'$."{name}"'
    types: dict[type, tuple[str, ...]] = {
        str: ("text",),
        bool: ("true" if value else "false",),
        type(None): ("null",),
    }
    of_value = types.get(type(value), ("integer", "real"))
    is_of_type: ColumnElement[bool] = func.json_type(Record.data, path).in_(of_value)
    if value is None or isinstance(value, bool):
        return is_of_type
    is_equal: ColumnElement[bool] = func.json_extract(Record.data, path) == value
    return is_of_type & is_equal


def _size(connection: AsyncConnection) -> Any:
    dialect = connection.dialect.name
    return size_of(dialect, Record.data) + func.coalesce(size_of(dialect, Record.errors), 0)


async def list_records(
    connection: AsyncConnection,
    filters: Filters,
    *,
    is_sqlite: bool,
    after: int,
    limit: int,
    offset: int = 0,
    most_bytes: int,
) -> tuple[Sequence[FoundRecord], bool]:
    """Return (records by id after the id `after`, whether more may follow): at most `limit`, and no
    more than fit into `most_bytes`, but at least one unless none is left.
    """
    query = matching(filters, is_sqlite=is_sqlite).where(Record.id > after)
    weighed = query.with_only_columns(Record.id, _size(connection))
    ids, is_cut = await keys_within(
        connection, weighed, Record.id, limit=limit, offset=offset, most_bytes=most_bytes
    )
    query = _visible(filters.owner).where(Record.id.in_(ids)).order_by(Record.id)
    return await fetch_all(connection, FoundRecord, query), is_cut


async def list_of_job(
    connection: AsyncConnection,
    job_id: UUID,
    *,
    after: int,
    limit: int,
    offset: int,
    most_bytes: int,
) -> tuple[Sequence[RecordRow], bool]:
    """Return (records in file order after row `after`, whether more may follow), with the limits of
    `list_records`.
    """
    weighed = select(Record.row_number, _size(connection)).where(
        Record.job_id == job_id, Record.row_number > after
    )
    numbers, is_cut = await keys_within(
        connection, weighed, Record.row_number, limit=limit, offset=offset, most_bytes=most_bytes
    )
    if not numbers:
        return (), False
    among = Record.row_number.between(numbers[0], numbers[-1])
    query = select(*_RECORD).where(Record.job_id == job_id, among).order_by(Record.row_number)
    return await fetch_all(connection, RecordRow, query), is_cut


async def columns_of_jobs(
    connection: AsyncConnection, job_ids: Sequence[UUID]
) -> dict[UUID, list[str]]:
    query = select(Job.id, Job.columns).where(Job.id.in_(job_ids))
    return {job_id: list(columns) for job_id, columns in (await connection.execute(query)).all()}


async def by_keys(
    connection: AsyncConnection, owner: str, wanted: Sequence[Key], most_bytes: int
) -> tuple[list[FoundRecord | None], bool]:
    """Return (records in the order of the keys, None for a deleted one, whether some are left out):
    as many as fit into `most_bytes`. There is one at least, if any is left.
    """
    small = await _all_if_small(connection, owner, wanted, most_bytes)
    if small is not None:
        return small, False
    shown: list[FoundRecord | None] = []
    left, step = most_bytes, FIRST_STEP
    while len(shown) < len(wanted):
        some = wanted[len(shown) : len(shown) + step]
        query = _visible(owner).with_only_columns(
            Record.job_id, Record.row_number, _size(connection)
        )
        sizes = {
            (job_id, row): size for job_id, row, size in await _of_keys(connection, query, some)
        }
        weights = [sizes.get(key, 0) for key in some]
        if shown and weights[0] > left:
            break
        some = some[: fitting(weights, left)]
        rows = [FoundRecord(*row) for row in await _of_keys(connection, _visible(owner), some)]
        by_key = {(row.job_id, row.row_number): row for row in rows}
        shown += [by_key.get(key) for key in some]
        left -= sum(weights[: len(some)])
        if left <= 0:
            break
        step = next_step(step, left, max(weights))
    return shown, len(shown) < len(wanted)


async def _all_if_small(
    connection: AsyncConnection, owner: str, wanted: Sequence[Key], most_bytes: int
) -> list[FoundRecord | None] | None:
    """Return the records of all keys, by one statement; None if one is missing or takes more than
    its share of `most_bytes`, so that the sizes have to be known first.
    """
    if not wanted:
        return []
    is_small = _size(connection) <= most_bytes // len(wanted)
    rows = await _of_keys(connection, _visible(owner).where(is_small), wanted)
    by_key = {(row.job_id, row.row_number): FoundRecord(*row) for row in rows}
    if len(by_key) < len(wanted):
        return None
    return [by_key[key] for key in wanted]


async def _of_keys(connection: AsyncConnection, query: Any, wanted: Sequence[Key]) -> Sequence[Any]:
    jobs: dict[UUID, list[int]] = {}
    for job_id, row in wanted:
        jobs.setdefault(job_id, []).append(row)
    conditions = [
        and_(Record.job_id == job_id, Record.row_number.in_(numbers))
        for job_id, numbers in jobs.items()
    ]
    rows: list[Any] = []
    for start in range(0, len(conditions), JOBS_AT_ONCE):
        some = query.where(or_(*conditions[start : start + JOBS_AT_ONCE]))
        rows += (await connection.execute(some)).all()
    return rows


async def count_by_status(connection: AsyncConnection, job_id: UUID) -> dict[str, int]:
    query = (
        select(Record.status, func.count()).where(Record.job_id == job_id).group_by(Record.status)
    )
    return {status: int(count) for status, count in (await connection.execute(query)).all()}


# ---------------------------------------------------------------------- vectors


async def next_tasks(connection: AsyncConnection, limit: int) -> list[TaskRow]:
    """Return the next records that need vectors: those of the most urgent import, the oldest
    first.
    """
    query = (
        select(*columns_of(TaskRow, VectorTask, Job))
        .join(Job, Job.id == VectorTask.job_id)
        .join(File, File.id == Job.file_id)
        .where(
            ~VectorTask.done,
            Job.vectors_error.is_(None),
            File.deleted_at.is_(None),
            Job.undo_state.is_(None),
        )
        .order_by(Job.priority.desc(), Job.number, VectorTask.first_row)
        .limit(limit)
    )
    return await fetch_all(connection, TaskRow, query)


async def valid_records(
    connection: AsyncConnection, job_id: UUID, first: int, last: int
) -> list[tuple[int, Any]]:
    """Return (row number, data) of the valid records between two rows, both included."""
    query = (
        select(Record.row_number, Record.data)
        .where(
            Record.job_id == job_id,
            Record.row_number.between(first, last),
            Record.status == "valid",
        )
        .order_by(Record.row_number)
    )
    return [(int(row), data) for row, data in (await connection.execute(query)).all()]


async def known_vectors(
    connection: AsyncConnection, owner: str, hashes: Iterable[bytes], model: str, precision: str
) -> dict[bytes, bytes]:
    """Return vectors by the hash of their text that some record of this owner already has. Reusing
    vectors of other owners would reveal their texts by the time that a vector takes.
    """
    wanted = list(hashes)
    vectors: dict[bytes, bytes] = {}
    for start in range(0, len(wanted), HASHES_AT_ONCE):
        query = (
            select(RecordVector.text_hash, RecordVector.vector)
            .join(Job, Job.id == RecordVector.job_id)
            .where(
                RecordVector.text_hash.in_(wanted[start : start + HASHES_AT_ONCE]),
                RecordVector.model == model,
                RecordVector.precision == precision,
                Job.owner == owner,
            )
        )
        rows = (await connection.execute(query)).all()
        vectors.update((text_hash, vector) for text_hash, vector in rows)
    return vectors


async def rows_with_vectors(
    connection: AsyncConnection, job_id: UUID, first: int, last: int
) -> set[int]:
    query = select(RecordVector.row_number).where(
        RecordVector.job_id == job_id, RecordVector.row_number.between(first, last)
    )
    return set((await connection.execute(query)).scalars())


async def finish_task(connection: AsyncConnection, task: TaskRow) -> bool:
    """Finish the task, as the first statement of the transaction that writes the vectors. Return
    False if the task is done, or is not the one that was read any more.
    """
    query = (
        update(VectorTask)
        .where(
            VectorTask.job_id == task.job_id,
            VectorTask.first_row == task.first_row,
            VectorTask.last_row == task.last_row,
            VectorTask.record_count == task.record_count,
            ~VectorTask.done,
        )
        .values(done=True)
    )
    return (await connection.execute(query)).rowcount == 1


async def set_vectors_error(
    connection: AsyncConnection, job_id: UUID, error: dict[str, Any]
) -> None:
    await connection.execute(update(Job).where(Job.id == job_id).values(vectors_error=error))


async def forget_vectors_errors(connection: AsyncConnection) -> None:
    """Forget the errors of vectors at the start: a missing model may be there now."""
    await connection.execute(
        update(Job).where(Job.vectors_error.is_not(None)).values(vectors_error=null())
    )


async def has_vectors(connection: AsyncConnection) -> bool:
    return (await connection.execute(select(RecordVector.job_id).limit(1))).first() is not None


async def vector_counts(
    connection: AsyncConnection, job_ids: Sequence[UUID]
) -> dict[UUID, tuple[int, int]]:
    """Return (number of records that get vectors, number that have them) by job."""
    done = func.sum(case((VectorTask.done, VectorTask.record_count), else_=0))
    query = (
        select(VectorTask.job_id, func.sum(VectorTask.record_count), done)
        .where(VectorTask.job_id.in_(job_ids))
        .group_by(VectorTask.job_id)
    )
    return {
        job_id: (int(total), int(ready))
        for job_id, total, ready in (await connection.execute(query)).all()
    }


async def done_tasks(
    connection: AsyncConnection, owner: str, import_number: int | None
) -> list[tuple[UUID, int, int, int]]:
    """Return (job, first row, last row, record count) of everything that can be searched by
    meaning.
    """
    query = (
        select(
            VectorTask.job_id, VectorTask.first_row, VectorTask.last_row, VectorTask.record_count
        )
        .join(Job, Job.id == VectorTask.job_id)
        .join(File, File.id == Job.file_id)
        .where(
            VectorTask.done, Job.owner == owner, File.deleted_at.is_(None), Job.undo_state.is_(None)
        )
        .order_by(Job.number, VectorTask.first_row)
    )
    if import_number is not None:
        query = query.where(Job.number == import_number)
    tasks = (await connection.execute(query)).all()
    return [(job_id, int(first), int(last), int(count)) for job_id, first, last, count in tasks]


async def vectors_between(
    connection: AsyncConnection, job_id: UUID, first: int, last: int, model: str, precision: str
) -> list[tuple[int, bytes]]:
    """Return (row number, vector) in row order."""
    query = (
        select(RecordVector.row_number, RecordVector.vector)
        .where(
            RecordVector.job_id == job_id,
            RecordVector.row_number.between(first, last),
            RecordVector.model == model,
            RecordVector.precision == precision,
        )
        .order_by(RecordVector.row_number)
    )
    return [(int(row), vector) for row, vector in (await connection.execute(query)).all()]


async def merge_vector_tasks(
    connection: AsyncConnection, job_id: UUID, start: int, end: int
) -> None:
    """Write one task for all valid records of a chunk (rows [start, end)), also those that have a
    vector.
    """
    await connection.execute(
        delete(VectorTask).where(
            VectorTask.job_id == job_id, VectorTask.first_row.between(start, end - 1)
        )
    )
    valid = select(func.min(Record.row_number), func.max(Record.row_number), func.count()).where(
        Record.job_id == job_id, Record.row_number.between(start, end - 1), Record.status == "valid"
    )
    first, last, count = (await connection.execute(valid)).one()
    if count:
        values = {
            "job_id": job_id,
            "first_row": first,
            "last_row": last,
            "record_count": count,
            "done": False,
        }
        await connection.execute(insert(VectorTask).values(values))


async def sums_of_origin(connection: AsyncConnection, owner: str, origin: str) -> RecordSums:
    """Return the sums over all jobs of this origin, without undone ones."""
    mine = (
        select(Job.id)
        .join(File, File.id == Job.file_id)
        .where(
            Job.owner == owner,
            Job.origin == origin,
            File.deleted_at.is_(None),
            Job.undo_state.is_(None),
        )
    )
    rows = select(
        *(
            func.coalesce(func.sum(column), 0)
            for column in (Chunk.rows_ok, Chunk.rows_invalid, Chunk.rows_failed)
        )
    ).where(Chunk.job_id.in_(mine))
    ready = func.sum(case((VectorTask.done, VectorTask.record_count), else_=0))
    vectors = select(
        func.coalesce(func.sum(VectorTask.record_count), 0), func.coalesce(ready, 0)
    ).where(VectorTask.job_id.in_(mine))
    values = [*(await connection.execute(rows)).one(), *(await connection.execute(vectors)).one()]
    return RecordSums(*map(int, values))
