"""Bisecting: one bad row costs one row. The last attempt halves a chunk until the rows that cannot
be processed or stored are alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.db.chunks import Claim
from app.errors import TerminalError, TransientError
from app.formats.base import Rows
from app.formats.rejecting import failed_row, located
from app.pipeline.columns import Columns
from app.pipeline.prepared import Prepared
from app.pipeline.preparing import Read
from app.pipeline.running import JobSnapshot
from app.processors.base import ChunkOutcome


class EveryRowFailed(TerminalError):
    """The processor failed for every row of the chunk."""


async def isolate_bad_rows(
    job: JobSnapshot,
    claim: Claim,
    read: Read,
    process: Callable[[Rows, Columns], Awaitable[ChunkOutcome]],
    rehearse: Callable[[Rows, ChunkOutcome], Awaitable[None]],
) -> Prepared:
    """Return the chunk with rejects of kind `failed` in place of the rows that `process` or
    `rehearse` raised for.

    `process(rows, columns so far)` and `rehearse(rows, outcome)` are called for fewer and fewer
    rows. Raises EveryRowFailed if no row passes. Transient and terminal errors are raised
    immediately.
    """
    prepared = Prepared(rejects=list(read.parsed.rejects), origin=read.origin(job, claim.span))
    errors: list[Exception] = []
    known = job.columns
    pending: list[Rows] = [read.rows] if len(read.rows) else []
    while pending:
        rows = pending.pop()
        try:
            outcome = await process(rows, known)
            await rehearse(rows, outcome)
        except (TransientError, TerminalError):
            raise
        except Exception as error:
            if len(rows) > 1:
                pending += _halves(rows)
                continue
            errors.append(error)
            prepared.rejects += located(
                job.form, claim.span, read.data, [failed_row(rows, error)], read.own_numbers
            )
            continue
        outcome.rejects = located(
            job.form, claim.span, read.data, outcome.rejects, read.own_numbers
        )
        prepared.add(outcome, job.processor)
        new_columns = known.new(prepared.columns)
        if new_columns:
            known = known.and_also(new_columns)
    if errors and len(errors) == len(read.rows):
        last = errors[-1]
        raise EveryRowFailed(f"{type(last).__name__}: {last}") from last
    prepared.rejects.sort(key=lambda reject: reject.row_number)
    return prepared


def _halves(rows: Rows) -> list[Rows]:
    """Return the second half first: rows are taken from the end of the list, so they are tried in
    their order.
    """
    middle = len(rows) // 2
    return [rows.select(range(middle, len(rows))), rows.select(range(middle))]
