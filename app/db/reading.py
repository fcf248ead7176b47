"""Size limits of answers: rows are counted and measured before they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import LargeBinary, Text, cast, func
from sqlalchemy.ext.asyncio import AsyncConnection

FIRST_STEP, GROWTH = 16, 8


def size_of(dialect: str, column: Any) -> Any:
    """Return an expression for the bytes of a text, a JSON value or bytes, without transferring
    them.
    """
    is_bytes = isinstance(column.type, LargeBinary)
    # whose `length` counts characters of texts and bytes of blobs
    if dialect == "sqlite":
        return func.length(column if is_bytes else cast(column, LargeBinary))
    return func.octet_length(
        column if is_bytes or isinstance(column.type, Text) else cast(column, Text)
    )


def fitting(sizes: Sequence[int], most_bytes: int) -> int:
    """Return how many of the first sizes fit together; at least one, if there is one."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if count and total > most_bytes:
            return count
    return len(sizes)


def next_step(step: int, room_left: int, largest: int) -> int:
    """Return how many rows to measure next: more each time, but not many more than will fit, since
    on some databases measuring a value reads it.
    """
    return max(1, min(step * GROWTH, room_left // (1 + largest) + 1))


async def keys_within(
    connection: AsyncConnection, query: Any, key: Any, *, limit: int, offset: int, most_bytes: int
) -> tuple[list[Any], bool]:
    """Return (keys in order, whether more may follow): up to `limit` rows after the first `offset`,
    as far as they fit into `most_bytes`; at least one, if there is one. `query` selects the key of
    each row and its bytes.
    """
    keys: list[Any] = []
    room_left, largest, step = most_bytes, 0, FIRST_STEP
    query = query.order_by(key)
    while True:
        count = min(step, limit - len(keys))
        part = query.where(key > keys[-1]) if keys else query.offset(offset)
        heads = (await connection.execute(part.limit(count))).all()
        for value, size in heads:
            if keys and size > room_left:
                return keys, True
            keys.append(value)
            room_left, largest = room_left - size, max(largest, size)
        if len(keys) == limit or room_left <= 0:
            return keys, bool(keys)
        if len(heads) < count:
            return keys, False
        step = next_step(step, room_left, largest)
