"""How much of a table one answer holds: rows are counted and weighed before they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import LargeBinary, Text, cast, func
from sqlalchemy.ext.asyncio import AsyncConnection

FIRST_STEP, GROWTH = 16, 8


def size_of(dialect: str, column: Any) -> Any:
    """Bytes of a text, a JSON value or bytes, found without handing them over."""
    is_bytes = isinstance(column.type, LargeBinary)
    # whose `length` counts the characters of a text, and the bytes of bytes
    if dialect == "sqlite":
        return func.length(column if is_bytes else cast(column, LargeBinary))
    return func.octet_length(
        column if is_bytes or isinstance(column.type, Text) else cast(column, Text)
    )


def fitting(sizes: Sequence[int], most_bytes: int) -> int:
    """How many of them, from the first on, fit together; one at least, if there is one."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if count and total > most_bytes:
            return count
    return len(sizes)


def next_step(step: int, left: int, largest: int) -> int:
    """How many rows to weigh after so many: more each time, but not many more than will fit, since
    on some databases weighing a value is to read it.
    """
    return max(1, min(step * GROWTH, left // (1 + largest) + 1))


async def keys_within(
    connection: AsyncConnection, query: Any, key: Any, *, limit: int, offset: int, most_bytes: int
) -> tuple[list[Any], bool]:
    """(keys in their order, whether more may follow): of up to `limit` rows behind the first
    `offset`, as far as they fit into `most_bytes`; one at least, if there is one. `query` selects
    the key of each row and its bytes.
    """
    found: list[Any] = []
    left, largest, step = most_bytes, 0, FIRST_STEP
    query = query.order_by(key)
    while True:
        asked = min(step, limit - len(found))
        part = query.where(key > found[-1]) if found else query.offset(offset)
        heads = (await connection.execute(part.limit(asked))).all()
        for value, size in heads:
            if found and size > left:
                return found, True
            found.append(value)
            left, largest = left - size, max(largest, size)
        if len(found) == limit or left <= 0:
            return found, bool(found)
        if len(heads) < asked:
            return found, False
        step = next_step(step, left, largest)
