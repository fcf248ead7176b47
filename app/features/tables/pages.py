"""Pages of the rows of a table, in the order of its primary key."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from asyncpg import DataError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import InvalidParameter, Unavailable
from app.features.tables import queries
from app.features.tables.definition import Column, TableDefinition
from app.features.tables.history import parse_key

SHOWN_CHARACTERS = 2_000
READ_SECONDS = 10.0
INTEGER = re.compile(r"-?[0-9]{1,19}")


async def read_page(
    connection: AsyncConnection,
    definition: TableDefinition,
    *,
    limit: int,
    offset: int,
    after: str,
) -> dict[str, Any]:
    """Return a page of rows with their values as texts. `after`: the key of the row before it, as a
    page before it names it; empty to count `offset` rows from the beginning. Raises
    InvalidParameter, and Unavailable if reading takes too long.
    """
    order = [column for name in definition.primary_key if (column := definition.column(name))]
    start = _start(definition, order, after)
    try:
        async with asyncio.timeout(READ_SECONDS):
            # One more row says whether there is a next page.
            rows = await queries.read_rows(
                connection,
                definition,
                order,
                start,
                limit=limit + 1,
                offset=offset,
                characters=SHOWN_CHARACTERS + 1,
            )
    except TimeoutError:
        raise Unavailable(
            f"The rows were not read within {READ_SECONDS:.0f} seconds.",
            headers={"Retry-After": "10"},
        ) from None
    except DBAPIError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        if not after or not isinstance(cause, DataError):
            raise
        raise InvalidParameter(f"`after`: {str(cause).splitlines()[0][:200]}.") from error
    names = [column.name for column in definition.columns]
    items = [_item(names, row) for row in rows[:limit]]
    return {
        "table": str(definition.name),
        "order": [column.name for column in order],
        "items": items,
        "limit": limit,
        "offset": offset,
        "next_after": _next_after(items, order) if len(rows) > limit else None,
        "has_more": len(rows) > limit,
    }


def _start(definition: TableDefinition, order: Sequence[Column], after: str) -> list[str]:
    """Return the values of the key after which the page begins, in the order of its columns."""
    if not after:
        return []
    names = [column.name for column in order]
    if not names:
        raise InvalidParameter("`after` needs a primary key; use `offset`.")
    key = parse_key(after, definition)
    values = dict(zip([column.name for column in key.columns], key.values, strict=True))
    if values.keys() != set(names):
        raise InvalidParameter(f"`after` must have the primary key: {', '.join(names)}.")
    for column in order:
        # SQLite would compare with the beginning of the text, or with 0.
        is_integer = definition.dialect == "sqlite" and "INT" in column.type.upper()
        if is_integer and not INTEGER.fullmatch(values[column.name]):
            raise InvalidParameter(f"`after`: {values[column.name][:60]!r} is not an integer.")
    return [values[name] for name in names]


def _item(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    values: dict[str, str | None] = {}
    truncated: list[str] = []
    for name, value in zip(names, row, strict=True):
        text = None if value is None else _text(value)
        if text is not None and len(text) > SHOWN_CHARACTERS:
            truncated.append(name)
            text = text[:SHOWN_CHARACTERS]
        values[name] = text
    return {"values": values, "truncated": truncated}


def _text(value: Any) -> str:
    # SQLite would write a floating-point number with 15 digits, which loses some.
    return repr(value) if isinstance(value, float) else str(value)


def _next_after(items: Sequence[dict[str, Any]], order: Sequence[Column]) -> str | None:
    """Return the key of the last row as JSON; None if there is no key, or if it is cut."""
    last = items[-1]
    key = {column.name: last["values"][column.name] for column in order}
    is_whole = not set(key) & set(last["truncated"]) and None not in key.values()
    return msgspec.json.encode(key).decode() if key and is_whole else None
