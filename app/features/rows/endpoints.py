"""/api/v1/rows: results that a person looks for, and the origin of one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from app.api.errors import problem_responses
from app.api.parameters import After, FileId, Integer, Limit, checked_query
from app.api.services import App, Owner
from app.features.rows.choice import Choice, choose, ranges_of, refused
from app.features.rows.commas import with_commas
from app.features.rows.conditions import ConditionError, column_index
from app.features.rows.origin import as_cells, row_with_origin
from app.features.rows.parameters import Columns, Ranges, Search, Sort, Where
from app.features.rows.reading import ClientGone, JobRows, by_number, filtered, find_rows, ordered
from app.features.rows.schemas import FoundRows, RowOrigin
from app.jobs.stored_rows import Row, named
from app.states import JobStatus

router = APIRouter(prefix="/api/v1/rows", tags=["files"], dependencies=[Depends(checked_query)])

MOST_BY_NUMBER = 1_000


@router.get("/{file_id}", response_model=FoundRows, responses=problem_responses(404, 409, 410, 422))
async def find_results(
    request: Request,
    file_id: FileId,
    app: App,
    owner: Owner,
    where: Where = "",
    search: Search = "",
    sort: Sort = "",
    columns: Columns = "",
    rows: Ranges = "",
    limit: Annotated[Limit, Query()] = 100,
    after: Annotated[After, Query()] = 0,
    format: Annotated[
        Literal["row", "object"], Query(description="Rows as cells, or as objects by column.")
    ] = "row",
    only: Annotated[
        Literal["", "numbers"], Query(description="`numbers`: only the row numbers.")
    ] = "",
) -> Response:
    """Filter, search and sort the results of a job. Results are read from the first on: a response
    has what was found in about a second, and may be empty; continue from `next_after` until it is
    null. `scanned` and `total` tell how far that is.

    With `sort`, one request reads all results and returns the first `limit` of the order; a job of
    more than 5 million rows is refused. `columns` selects the cells, `rows` some rows by number.
    """
    of_job = await find_rows(app.database, app.destinations, file_id, owner)
    choice = choose(of_job.job.columns, where=where, search=search, rows=rows, shown=columns)
    column, descending = _order(sort, choice.columns) if sort else (None, False)
    choice = await with_commas(app.database, of_job.job, of_job.stored, choice, column)
    body: dict[str, Any] = {
        "file_id": str(of_job.job.file_id),
        "columns": list(choice.shown_columns),
        "items": [],
        "total": of_job.total,
        "scanned": of_job.total,
        "next_after": None,
        "matched": None,
        "sorted_as": None,
        "decimal_commas": [choice.columns[place] for place in sorted(choice.commas)],
        "complete": JobStatus(of_job.job.status).is_final,
    }
    only_numbers = only == "numbers"
    if column is not None:
        if after:
            raise refused("after", "A sorted response begins with the first row: leave it out.")
        try:
            chosen, details = await _sorted(
                request, app, of_job, choice, column, descending, limit, only_numbers
            )
        except ClientGone:
            return Response(status_code=499)  # the client has disconnected
        body |= details
    elif choice.rows is not None and choice.rows.count <= MOST_BY_NUMBER:
        chosen = await by_number(app.database, of_job, choice)
    else:
        some = await filtered(
            app.database, of_job, choice, after=after, limit=limit, only_numbers=only_numbers
        )
        chosen = some.rows
        body |= {"scanned": some.scanned, "next_after": some.next_after}
    if only_numbers:
        body["numbers"] = [number for number, _ in chosen]
        return _json(msgspec.json.encode(body))
    return _json(await asyncio.to_thread(_with_items, body, choice, chosen, format == "object"))


def _order(sort: str, columns: Sequence[str]) -> tuple[int, bool]:
    """Return (column, whether descending) of a parameter; raises InvalidParameter."""
    descending = sort.startswith("-") and sort not in columns
    try:
        return column_index(sort.removeprefix("-") if descending else sort, columns), descending
    except ConditionError as error:
        raise refused("sort", error) from None


async def _sorted(
    request: Request,
    app: App,
    of_job: JobRows,
    choice: Choice,
    column: int,
    descending: bool,
    limit: int,
    only_numbers: bool,
) -> tuple[list[Row], dict[str, Any]]:
    if limit > MOST_BY_NUMBER and not only_numbers:
        raise refused("limit", f"A sorted response has at most {MOST_BY_NUMBER} rows.")
    numbers, as_numbers, matched = await ordered(
        app.database,
        of_job,
        choice,
        column=column,
        descending=descending,
        limit=limit,
        gone=request.is_disconnected,
    )
    details = {"matched": matched, "sorted_as": "numbers" if as_numbers else "texts"}
    if only_numbers or not numbers:
        return [(number, msgspec.Raw()) for number in numbers], details
    wanted = Choice(choice.columns, rows=ranges_of(numbers), shown=choice.shown)
    rows = dict(await by_number(app.database, of_job, wanted))
    return [(number, rows[number]) for number in numbers if number in rows], details


@router.get(
    "/{file_id}/{row_number}",
    response_model=RowOrigin,
    responses=problem_responses(404, 409, 410, 422, 503),
)
async def get_row_origin(
    file_id: FileId,
    row_number: Annotated[Integer, Path(ge=1, le=2**62, description="Number in the file, from 1.")],
    app: App,
    owner: Owner,
) -> Response:
    """Return a loaded row with all its cells, its line and bytes in the stored file, and the
    correction that made it what it is.
    """
    of_job = await find_rows(app.database, app.destinations, file_id, owner)
    return _json(await row_with_origin(app.database, app.sources, of_job, row_number))


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


def _with_items(body: dict[str, Any], choice: Choice, rows: list[Row], as_object: bool) -> bytes:
    columns = choice.shown_columns
    for number, raw in rows:
        if as_object:
            is_object = bytes(memoryview(raw)[:1]) == b"{"
            data = raw if is_object else named(columns, msgspec.json.decode(raw))
        else:
            data = {"row": as_cells(columns, raw)}
        body["items"].append({"row_number": number, "data": data})
    return msgspec.json.encode(body)
