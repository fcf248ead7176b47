"""Takes loads back by their records, and compares these with the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.destinations.base import TakenBack
from app.errors import TransientError
from app.features.tables import queries
from app.features.tables.catalogue import read_definition
from app.features.tables.definition import TableName
from app.features.tables.loading.loader import Loader, LoadRefused, RowsRefused
from app.features.tables.loading.record import RECORD_PREFIX, Record, Undoing, recorded_job
from app.features.tables.loading.refusals import Refusal
from app.features.tables.loading.stored import from_text
from app.features.tables.plan import LoadPlan
from app.features.tables.queries import RecordedLoad

WRITTEN = ("inserted", "updated")
SHOWN_CHARACTERS = 200
REASONS = {
    "changed": "The row was changed since.",
    "removed": "The row was removed since.",
    "taken": "The table has another row with its key now.",
    "gone": "The table was dropped.",
    "redefined": "Its columns have changed since.",
}


class TableMoved(TransientError):
    """Others changed rows of the table meanwhile; the work starts again."""

    def __init__(self) -> None:
        super().__init__(retry_after=0.05)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A load with a record."""

    record: Record
    has_before: bool


async def find_recorded(
    connection: AsyncConnection, loader: Loader, record: Record
) -> Recorded | None:
    """Return None if the load has no record."""
    if not await loader.has_table(connection, record.name):
        return None
    return Recorded(record, await loader.has_table(connection, record.before_name))


async def find_loads(
    own: AsyncConnection,
    target: AsyncConnection,
    loader: Loader,
    table: TableName,
    *,
    after: datetime | None = None,
) -> list[tuple[RecordedLoad, Recorded]]:
    """Return the loads of a table that have a record, in their order. `after`: only those that
    ended later. `own` is a connection to the service's database, `target` one to that of the table.
    """
    names = await loader.list_tables(target, RECORD_PREFIX)
    job_ids = [job_id for name in names if (job_id := recorded_job(name)) is not None]
    loads = await queries.list_ended(own, job_ids, str(table), table.connection, after=after)
    recorded: list[tuple[RecordedLoad, Recorded]] = []
    for load in loads:
        record = Record(from_text(load.options["plan"]), load.id)
        has_before = await loader.has_table(target, record.before_name)
        recorded.append((load, Recorded(record, has_before)))
    return recorded


async def fits(connection: AsyncConnection, plan: LoadPlan) -> str:
    """Return why the table cannot be compared with a record; empty if it can be."""
    now = await read_definition(connection, plan.definition.name)
    if now is None:
        return "gone"
    types = {column.name: column.type for column in now.columns}
    if any(types.get(column.name) != column.type for column in plan.definition.columns):
        return "redefined"
    return ""


async def compare(
    connection: AsyncConnection, loader: Loader, recorded: Recorded
) -> dict[str, int]:
    """Return how many rows that the load wrote are as it left them, changed, or removed."""
    kinds = (*WRITTEN, "unchanged")
    compared = recorded.record.compared(has_before=recorded.has_before, kinds=kinds)
    rows = await loader.fetch(
        connection,
        f"SELECT state, count(*) FROM ({compared}) AS c GROUP BY state",  # noqa: S608
    )
    counts = {"same": 0, "changed": 0, "removed": 0}
    return counts | {state: int(count) for state, count in rows}


# ---------------------------------------------------------------------- undo


async def take_back(
    connection: AsyncConnection, loader: Loader, mine: Recorded, later: Sequence[Recorded]
) -> TakenBack:
    """Take back all that a load wrote, in the transaction of the caller. Rows that others have
    changed since, or that a constraint does not let go, stay and are named. `later`: loads of the
    same table that ended after this one, in their order. Raises TableLocked, TransientError.
    """
    record = mine.record
    reason = await fits(connection, record.plan)
    if reason:
        return await _leave_all(connection, loader, mine, REASONS[reason])
    await loader.run(connection, "SAVEPOINT granula_take_back")
    try:
        await loader.hold(connection, record.plan)
        return await _take_back(connection, loader, mine, later)
    except LoadRefused as error:
        await loader.run(connection, "ROLLBACK TO SAVEPOINT granula_take_back")
        return await _leave_all(connection, loader, mine, str(error))


async def _take_back(
    connection: AsyncConnection, loader: Loader, mine: Recorded, later: Sequence[Recorded]
) -> TakenBack:
    record = mine.record
    undoing = Undoing(record, mine.has_before)
    await loader.run(connection, undoing.create_work)
    for other in later:
        for statement in undoing.hand_over(other.record, later_has_before=other.has_before):
            await loader.run(connection, statement)
    await loader.run(connection, undoing.mark_left())
    refusals = await _run(connection, loader, undoing)
    restoring = undoing.mark_taken()
    if mine.has_before:
        if restoring is not None:
            await loader.run(connection, restoring)
        refusals += await _run(connection, loader, replace(undoing, does_insert=True))
    return await _end(connection, loader, undoing, refusals)


async def _leave_all(
    connection: AsyncConnection, loader: Loader, mine: Recorded, reason: str
) -> TakenBack:
    source = mine.record.entries(has_before=mine.has_before)
    kind = mine.record.kind_of()
    wanted = ", ".join(f"'{kind}'" for kind in WRITTEN)
    left = await loader.count(
        connection,
        f"SELECT count(*) FROM {source} WHERE {kind} IN ({wanted})",  # noqa: S608
    )
    await drop(connection, loader, mine.record)
    return TakenBack(left=left, left_rows=({"reason": reason},) if left else ())


async def _run(connection: AsyncConnection, loader: Loader, undoing: Undoing) -> list[Refusal]:
    """Run the steps for all rows at once, or, if a row is refused, row by row."""
    await loader.run(connection, "SAVEPOINT granula_undo")
    try:
        for step in undoing.steps():
            await loader.run(connection, step.sql)
        await loader.end(connection)
    except RowsRefused:
        await loader.run(connection, "ROLLBACK TO SAVEPOINT granula_undo")
    else:
        await loader.run(connection, "RELEASE SAVEPOINT granula_undo")
        return []
    lowest, highest = await _range(connection, loader, undoing)
    if lowest > highest:
        return []
    refusals = await loader.settle(connection, undoing, [(lowest, highest)])
    await loader.mark(connection, undoing.work, refusals)
    return refusals


async def _range(connection: AsyncConnection, loader: Loader, undoing: Undoing) -> tuple[int, int]:
    ((low, high),) = await loader.fetch(connection, undoing.bounds)
    return (1, 0) if low is None else (int(low), int(high))


async def _end(
    connection: AsyncConnection, loader: Loader, undoing: Undoing, refusals: Sequence[Refusal]
) -> TakenBack:
    record = undoing.record

    async def count(*kinds: str, is_open: bool = True) -> int:
        return await loader.count(connection, undoing.count(kinds, is_open=is_open))

    removed, restored = await count("inserted"), await count("updated")
    if undoing.has_before:
        restored += await count("deleted")
    left = await loader.count(connection, undoing.count_left)
    sample = await loader.fetch(connection, undoing.sample_left)
    messages = {refusal.row_number: refusal.message for refusal in refusals}
    left_rows = tuple(_left(row, messages) for row in sample)
    if record.plan.mode == "create" and not left:
        await _drop_created(connection, loader, record)
    await loader.run(connection, f"DROP TABLE {undoing.work}")
    await drop(connection, loader, record)
    return TakenBack(removed, restored, left, left_rows)


def _left(row: Sequence[Any], messages: dict[int, str]) -> dict[str, Any]:
    number, shown, reason = row
    named: dict[str, Any] = {"reason": messages.get(number) or REASONS.get(reason, reason)}
    if reason.startswith("load "):
        named["reason"] = "A later load has read or written the row."
        named["job_id"] = reason.removeprefix("load ")
    if number > 0:
        named["row_number"] = int(number)
    if shown is not None:
        named["key"] = str(shown)[:SHOWN_CHARACTERS]
    return named


async def _drop_created(connection: AsyncConnection, loader: Loader, record: Record) -> None:
    """Drop the table that the load made, if it is empty and nothing depends on it."""
    rows = await loader.count(connection, record.statements.count_table)
    now = await read_definition(connection, record.definition.name)
    planned = record.definition
    if rows or now is None or len(now.columns) != len(planned.columns):
        return
    await loader.run(connection, "SAVEPOINT granula_drop")
    try:
        await loader.run(connection, f"DROP TABLE {record.target}")
    except (LoadRefused, RowsRefused):
        await loader.run(connection, "ROLLBACK TO SAVEPOINT granula_drop")


async def drop(connection: AsyncConnection, loader: Loader, record: Record) -> None:
    """Drop the record of a load."""
    for name in (record.table, record.before):
        await loader.run(connection, f"DROP TABLE IF EXISTS {name}")
