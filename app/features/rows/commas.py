"""Columns whose numbers have decimal commas, by an analysis of their first cells."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from app.db.engine import Database
from app.db.rows import JobRow
from app.destinations.base import ResultDestination
from app.features.rows.cells import cells_of_page
from app.features.rows.choice import Choice
from app.jobs.stored_rows import ANSWER_BYTES

ANALYSED_PAGES = 4
DECIMAL_COMMA = "decimal_comma"
WITH_COMMAS = {"integer", "integer_ungrouped", DECIMAL_COMMA, "comma_or_thousands"}
"""Classes of the values of such a column. At least one has a comma that cannot be a separator of
thousands.
"""


def has_decimal_commas(cells: Sequence[str | None]) -> bool:
    """Whether all of these cells that are not empty are numbers, some of them with a decimal
    comma.
    """
    import pyarrow as pa  # Arrow is not loaded at the start

    from app.profiling.classes import classify

    filled = [cell for cell in cells if cell]
    codes, names = classify(pa.array(filled, pa.string()))
    present = {names[code] for code in set(codes.tolist())}
    return DECIMAL_COMMA in present and present <= WITH_COMMAS


async def with_commas(
    database: Database,
    job: JobRow,
    stored: ResultDestination,
    choice: Choice,
    sorted_by: int | None = None,
) -> Choice:
    """Return the choice with `commas`: those of the compared columns, and of the one to sort by,
    whose first results are numbers with decimal commas.
    """
    columns = {condition.column for condition in choice.conditions if condition.is_of_numbers}
    if sorted_by is not None:
        columns.add(sorted_by)
    if not columns or not (job.stores_results and stored.keeps_rows):
        return choice
    async with database.snapshot() as connection:
        pages = await stored.pages(connection, job.id, 0, ANALYSED_PAGES, ANSWER_BYTES)
    commas = set()
    for column in sorted(columns):
        cells: list[str | None] = []
        for page in pages:
            (more,) = await asyncio.to_thread(cells_of_page, page, choice.columns, (column,))
            cells += more
        if await asyncio.to_thread(has_decimal_commas, cells):
            commas.add(column)
    conditions = tuple(
        replace(condition, has_commas=condition.column in commas) for condition in choice.conditions
    )
    return replace(choice, conditions=conditions, commas=frozenset(commas))
