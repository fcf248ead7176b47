"""Typed tables, which a processor may fill besides its results. A feature registers its own, and a
custom processor declares a NewTable.

JSON columns contain JSON text, so that nothing is encoded twice. These are plain values, read in
every process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

TableRows = Mapping[str, Sequence[Any]]
"""By table: rows as tuples, or `Piece`s of a table with a key."""

Counts = dict[str, dict[str, int]]
"""By table with a key: number of rows `inserted`, `updated`, and `unchanged` (the same or a newer
row exists).
"""

Merge = Callable[..., Awaitable[None]]
"""`await merge(connection, job_id, start, end)`: for the rows [start, end) of one chunk, inside the
transaction.
"""


class Piece(NamedTuple):
    """Rows of a table with a key, encoded in advance for one statement."""

    rows: int
    data: Any


@dataclass(frozen=True, slots=True)
class OwnTable:
    """A table whose rows belong to one job each. The columns `job_id` and `key` identify a row."""

    name: str
    columns: tuple[str, ...]
    """Columns of each row from the processor, after the job's id."""
    key: str = "row_number"
    is_counted: bool = False
    """Whether an undo counts its rows, and is refused if a job has none in any such table."""
    corrected: tuple[str, ...] = ()
    """Set if the table also has rejected rows: a correction removes their rows, and passes these
    columns of them to the processor's `without`.
    """
    merge: Merge | None = None
    """Updates the table after a correction, if adding the processor's rows does not suffice."""


@dataclass(frozen=True, slots=True)
class KeyedTable:
    """A table with one row for each value of a key, from whichever job. A row replaces an existing
    one unless that comes from a later job, or from a later row of the same job. So the table does
    not depend on the order in which chunks end.
    """

    name: str
    columns: tuple[str, ...]
    """Includes `row_number` and `content_hash`, which tells an update from an unchanged row. The
    table also has `job_id`, `job_number`, `created_at` and `updated_at`.
    """
    key: str
    versions: str
    """The table for rows of other jobs that are replaced, or that come too late: one version for
    each key and job, so that an undo can restore what would exist without the job. It also has
    `archived_at`.
    """


Table = OwnTable | KeyedTable


class ColumnType(StrEnum):
    TEXT = "text"
    INTEGER = "integer"
    """64 bits."""
    NUMBER = "number"
    """A 64-bit float."""
    BOOLEAN = "boolean"
    JSON = "json"
    """JSON text."""


@dataclass(frozen=True, slots=True)
class NewTable:
    """A table that the service creates at its start if it does not exist."""

    table: Table
    types: Mapping[str, str]
    """ColumnType of all columns by name, except `row_number` and `content_hash`. All but the key
    may be null.
    """
