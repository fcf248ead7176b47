"""Guards of status changes, built from the tables of legal moves in app/states.py. Building the
guard of an illegal move raises.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement

from app.states import CHUNK_MOVES, JOB_MOVES, ChunkStatus, JobStatus

Status = JobStatus | ChunkStatus


def origins(to: Status) -> tuple[Status, ...]:
    """Return the statuses from which a job or a chunk may become `to`."""
    moves: Mapping[Any, Collection[Any]] = JOB_MOVES if isinstance(to, JobStatus) else CHUNK_MOVES
    return tuple(status for status in type(to) if to in moves[status])


def may_become(
    column: Any, to: Status, *, among: Collection[Status] | None = None
) -> ColumnElement[bool]:
    """Return the condition of an UPDATE that sets the status to `to`: the row has a status from
    which this is legal.

    `among` limits the statuses, for a change that means one of several moves. Raises ValueError if
    none of them is legal.
    """
    statuses = [status for status in origins(to) if among is None or status in among]
    if not statuses:
        raise ValueError(f"no legal move to {to} from {among}")
    if len(statuses) == 1:  # the form of partial indexes
        condition: ColumnElement[bool] = column == statuses[0]
        return condition
    return column.in_(statuses)  # type: ignore[no-any-return]
