"""Guards of status changes, built from the tables of legal moves in app/states.py. A move that the
tables lack cannot be written: building its guard raises.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement

from app.states import CHUNK_MOVES, JOB_MOVES, ChunkStatus, JobStatus

Status = JobStatus | ChunkStatus


def origins(to: Status) -> tuple[Status, ...]:
    """The statuses from which a job or a chunk may become `to`."""
    moves: Mapping[Any, Collection[Any]] = JOB_MOVES if isinstance(to, JobStatus) else CHUNK_MOVES
    return tuple(status for status in type(to) if to in moves[status])


def may_become(
    column: Any, to: Status, *, among: Collection[Status] | None = None
) -> ColumnElement[bool]:
    """A condition for an UPDATE that sets the status to `to`: the row is in a status from which it
    may.

    `among`: only from one of these, where a change means one move of several. Raises ValueError if
    none of them may.
    """
    statuses = [status for status in origins(to) if among is None or status in among]
    if not statuses:
        raise ValueError(f"no legal move to {to} from {among}")
    if len(statuses) == 1:  # as partial indexes name it
        condition: ColumnElement[bool] = column == statuses[0]
        return condition
    return column.in_(statuses)  # type: ignore[no-any-return]
