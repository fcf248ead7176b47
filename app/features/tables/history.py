"""The history of one row of a table: which loads wrote it, from which lines of which files, and by
which corrections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import files
from app.errors import InvalidParameter
from app.features.tables.definition import Column, TableDefinition, quoted
from app.features.tables.loading.loader import Loader
from app.features.tables.loading.record import stored_columns
from app.features.tables.loading.statements import ROW
from app.features.tables.loading.undoing import Recorded, find_loads
from app.features.tables.queries import RecordedLoad
from app.jobs.origins import StoredFile, find_origin
from app.sources.base import Sources

MOST_EVENTS = 100
SHOWN_CHARACTERS = 2_000
Values = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Key:
    """The columns and values that a row is asked for by."""

    columns: tuple[Column, ...]
    values: tuple[str, ...]

    @property
    def names(self) -> set[str]:
        return {column.name for column in self.columns}


def parse_key(text: str, definition: TableDefinition) -> Key:
    """Return the key that a request names: a value of the primary key if that has one column, or a
    JSON object with values by column. Raises InvalidParameter.
    """
    values: Mapping[str, Any] = {}
    if text.startswith("{"):
        try:
            values = msgspec.json.decode(text, type=dict[str, str | int | float])
        except msgspec.MsgspecError as error:
            raise InvalidParameter(f"`key` is not a JSON object of values: {error}") from error
    elif len(definition.primary_key) == 1:
        values = {definition.primary_key[0]: text}
    if not values:
        raise InvalidParameter('`key` must be a JSON object, such as {"id": 7}.')
    columns: list[Column] = []
    for name in values:
        column = definition.column(name)
        if column is None:
            raise InvalidParameter(f"The table has no column {name[:60]!r}.")
        columns.append(column)
    return Key(tuple(columns), tuple(map(str, values.values())))


class History:
    """Reads the records of the loads of a table."""

    def __init__(self, loader: Loader, sources: Sources, own: AsyncConnection) -> None:
        """`own`: a connection to the service's database, which may be that of the table."""
        self._loader = loader
        self._sources = sources
        self._own = own

    async def of(
        self, connection: AsyncConnection, definition: TableDefinition, key: Key, owner: str
    ) -> dict[str, Any]:
        """Return the row as it is now, and what loads did with it, the newest first. Names of files
        of other owners are left out. Raises InvalidParameter for a value that is not of its type.
        """
        names = [column.name for column in definition.columns]
        row = await self._current(connection, definition, key, names)
        loads = await find_loads(self._own, connection, self._loader, definition.name)
        events: list[dict[str, Any]] = []
        for load, recorded in reversed(loads):
            events += await self._events(connection, recorded, load, key, owner)
            if len(events) >= MOST_EVENTS:
                break
        written = next((event for event in events if event["values"]), None)
        is_as_loaded: bool | None = None
        if written is not None and row is not None:
            is_as_loaded = all(row.get(name) == value for name, value in written["values"].items())
        return {
            "table": str(definition.name),
            "key": dict(zip([c.name for c in key.columns], key.values, strict=True)),
            "row": row,
            "is_as_loaded": is_as_loaded,
            "history": events[:MOST_EVENTS],
        }

    async def _current(
        self,
        connection: AsyncConnection,
        definition: TableDefinition,
        key: Key,
        names: Sequence[str],
    ) -> Values | None:
        texts = ", ".join(f"CAST(t.{quoted(name)} AS text)" for name in names)
        sql = f"SELECT {texts} FROM {definition.name.sql} AS t WHERE {{condition}} LIMIT 1"  # noqa: S608 quoted names
        rows = await self._loader.look_up(connection, sql, "t", key.columns, key.values)
        return _shown(names, rows[0]) if rows else None

    async def _events(
        self,
        connection: AsyncConnection,
        recorded: Recorded,
        load: RecordedLoad,
        key: Key,
        owner: str,
    ) -> list[dict[str, Any]]:
        record = recorded.record
        events: list[dict[str, Any]] = []
        stored = [column.name for column in stored_columns(record.definition)]
        if key.names <= set(record.loaded):
            columns = [f"CAST(s.{quoted(name)} AS text)" for name in record.loaded]
            if recorded.has_before:
                columns += [f"CAST(b.{quoted(name)} AS text)" for name in stored]
            source = record.entries(has_before=recorded.has_before)
            sql = (
                f"SELECT s.{ROW}, {record.kind_of()}, {', '.join(columns)} FROM {source}"  # noqa: S608
                f" WHERE {{condition}} ORDER BY 1 DESC LIMIT {MOST_EVENTS}"
            )
            found_rows = await self._loader.look_up(connection, sql, "s", key.columns, key.values)
            for number, kind, *texts in found_rows:
                values = _shown(record.loaded, texts)
                before = _shown(stored, texts[len(record.loaded) :]) if kind == "updated" else None
                place = await self._place(load, int(number))
                event = _event(load, owner, kind, values, before)
                if load.owner == owner:
                    event["steps"] = record.plan.steps
                events.append(event | place)
        if recorded.has_before and key.names <= set(stored):
            columns = [f"CAST(b.{quoted(name)} AS text)" for name in stored]
            sql = (
                f"SELECT {', '.join(columns)} FROM {record.before} AS b"  # noqa: S608
                f" WHERE b.granula_kind = 'deleted' AND {{condition}} LIMIT 1"
            )
            found_rows = await self._loader.look_up(connection, sql, "b", key.columns, key.values)
            images = [_shown(stored, row) for row in found_rows]
            events += [_event(load, owner, "deleted", None, image) for image in images]
        return events

    async def _place(self, load: RecordedLoad, number: int) -> dict[str, Any]:
        """Return where a row is in the file, as far as that is stored, and what corrected it."""
        place: dict[str, Any] = {"row_number": number}
        file = await files.find_file(self._own, load.file_id, load.owner)
        stored = None
        if file is not None and file.storage_uri is not None:
            stored = StoredFile(file.storage_uri, file.etag, file.dialect)
        origin = await find_origin(self._own, self._sources, load.id, stored, number)
        if origin is None:
            return place
        if origin.correction_id is not None:
            place["correction_id"] = str(origin.correction_id)
        if origin.place is not None:
            place |= {
                "line": origin.place.line,
                "byte_start": origin.place.byte_start,
                "byte_end": origin.place.byte_end,
            }
        return place


def _event(
    load: RecordedLoad, owner: str, kind: str, values: Values | None, before: Values | None
) -> dict[str, Any]:
    is_own = load.owner == owner
    return {
        "job_id": str(load.id) if is_own else None,
        "file_id": str(load.file_id) if is_own else None,
        "filename": load.filename if is_own else None,
        "mode": load.options["mode"],
        "finished_at": load.finished_at.isoformat(),
        "what": kind,
        "row_number": None,
        "line": None,
        "byte_start": None,
        "byte_end": None,
        "correction_id": None,
        "steps": {},
        "values": values,
        "before": before,
    }


def _shown(names: Sequence[str], texts: Sequence[str | None]) -> Values:
    cut = [None if text is None else text[:SHOWN_CHARACTERS] for text in texts[: len(names)]]
    return dict(zip(names, cut, strict=True))
