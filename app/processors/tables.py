"""Typed tables: what a processor may fill besides its results. A feature registers its own, and a
processor from outside brings a NewTable.

JSON columns are given as JSON text, so that nothing is encoded twice. These are plain values, read
in every process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

TableRows = Mapping[str, Sequence[Any]]
"""By table: rows as tuples, or `Piece`s of a table with a key."""

Counts = dict[str, dict[str, int]]
"""By table with a key: rows `inserted`, `updated`, and `unchanged` (already there, or something
newer is).
"""

Merge = Callable[..., Awaitable[None]]
"""`await merge(connection, job_id, start, end)`: for the rows [start, end) of one chunk, inside the
transaction.
"""


class Piece(NamedTuple):
    """Rows of a table with a key, encoded where there is time for it, for one statement."""

    rows: int
    data: Any


@dataclass(frozen=True, slots=True)
class OwnTable:
    """A table whose rows belong to one job each. Its columns `job_id` and `key` find a row."""

    name: str
    columns: tuple[str, ...]
    """Of each row that a processor gives, behind the job's id."""
    key: str = "row_number"
    is_counted: bool = False
    """Whether an undo counts what it removes here, and is refused where no row of such a table is
    there.
    """
    corrected: tuple[str, ...] = ()
    """If rejected rows are here, too: a correction removes their rows, and hands these columns of
    them to the processor's `without`.
    """
    merge: Merge | None = None
    """How a correction brings the table up to date, where it is not enough to add the rows that the
    processor gives.
    """


@dataclass(frozen=True, slots=True)
class KeyedTable:
    """A table with one row for each value of a key, whichever job it comes from. A row replaces the
    one that is there unless that comes from a later job, or from a later row of the same job: so
    the table does not depend on the order in which chunks end.
    """

    name: str
    columns: tuple[str, ...]
    """With `row_number` and `content_hash`, which tells an update from a row that was there
    already. The table has `job_id`, `job_number`, `created_at` and `updated_at` besides.
    """
    key: str
    versions: str
    """The table where the row of another job goes that is replaced, or that comes too late: one
    version for each key and job, so that an undo can restore what would be there without the job.
    It has `archived_at` besides.
    """


Table = OwnTable | KeyedTable


class ColumnType(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    """Of 64 bits."""
    NUMBER = "number"
    """A float of 64 bits."""
    BOOLEAN = "boolean"
    JSON = "json"
    """Given as JSON text."""


@dataclass(frozen=True, slots=True)
class NewTable:
    """A table that is made at the start of the service where it is not there yet."""

    table: Table
    types: Mapping[str, str]
    """A ColumnType by name, of all columns but `row_number` and `content_hash`. Any but the key may
    be null.
    """
