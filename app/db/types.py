"""Column types and SQL functions with the same meaning on PostgreSQL and SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, DateTime, or_
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeDecorator

Value = TypeVar("Value")


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC: timestamptz on PostgreSQL, text in UTC on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


class now(FunctionElement[datetime]):
    """The database's clock plus some seconds. Leases and waits are always measured by it, never by
    a worker's clock.
    """

    type = UTCDateTime()
    inherit_cache = True
    name = "now"

    def __init__(self, plus_seconds: Any = 0.0) -> None:
        super().__init__(plus_seconds)


def is_due(moment: Any, longest_wait: Any) -> ColumnElement[bool]:
    """Match a stored time that has passed. A time farther ahead than the longest wait that is ever
    stored was written before the clock was set back: it counts as passed too.
    """
    return or_(moment <= now(), moment > now(longest_wait))


def padded(ids: Sequence[Value]) -> list[Value]:
    """Return the ids with the last one repeated up to a power of two, so that lists of all lengths
    share a few prepared statements.
    """
    return [*ids, *[ids[-1]] * ((1 << (len(ids) - 1).bit_length()) - len(ids))] if ids else []


@compiles(now, "postgresql")
def _postgresql(element: now, compiler: Any, **kwargs: Any) -> str:
    seconds = compiler.process(element.clauses, **kwargs)
    return f"(clock_timestamp() + make_interval(secs => CAST({seconds} AS double precision)))"


@compiles(now, "sqlite")
def _sqlite(element: now, compiler: Any, **kwargs: Any) -> str:
    seconds = compiler.process(element.clauses, **kwargs)
    return f"strftime('%Y-%m-%d %H:%M:%f', 'now', ({seconds}) || ' seconds')"
