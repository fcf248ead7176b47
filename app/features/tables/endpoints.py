"""/api/v1/connections and /api/v1/tables: what can be loaded, and what was."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import Response

from app.api.errors import problem_responses
from app.api.json import encoded_any
from app.api.parameters import Integer, Name, Offset, checked_query
from app.api.services import App, Owner
from app.features.tables.schemas import (
    ConnectionList,
    RowHistory,
    TableDescription,
    TableList,
    TableRows,
)
from app.features.tables.service import Tables

router = APIRouter(prefix="/api/v1", tags=["tables"], dependencies=[Depends(checked_query)])

MOST_OFFSET = 100_000
"""Rows that a request may skip: the database reads all of them."""
Connection = Annotated[
    Name,
    Query(description="One of GET /api/v1/connections; the service's own database if not given."),
]


@router.get("/connections", response_model=ConnectionList, responses=problem_responses(403))
async def list_connections(app: App, owner: Owner) -> Response:
    """The service's own database, and those of CONNECTIONS."""
    return encoded_any(await app.of(Tables).list_connections(owner))


@router.get("/tables", response_model=TableList, responses=problem_responses(403, 404, 422, 503))
async def list_tables(
    app: App,
    owner: Owner,
    connection: Connection = "",
    schema: Annotated[Name, Query(description="The default one if not given.")] = "",
    limit: Annotated[Integer, Query(ge=1, le=1000)] = 100,
    offset: Annotated[Offset, Query()] = 0,
) -> Response:
    """Tables and views that the role of the connection may read or write. Those in which the
    service keeps its own data are not among them.
    """
    tables = app.of(Tables)
    listed = await tables.list_tables(owner, connection, schema, limit=limit, offset=offset)
    return encoded_any(listed)


@router.get(
    "/tables/{name}",
    response_model=TableDescription,
    responses=problem_responses(403, 404, 422, 503),
)
async def get_table(
    name: Annotated[str, Path(description="`orders` or `public.orders`.")],
    app: App,
    owner: Owner,
    connection: Connection = "",
) -> Response:
    """Columns, keys, constraints, the number of rows, and your latest loads."""
    return encoded_any(await app.of(Tables).describe(owner, name, connection))


@router.get(
    "/tables/{name}/rows",
    response_model=TableRows | RowHistory,
    responses=problem_responses(403, 404, 422, 503),
)
async def get_row_history(
    name: Annotated[str, Path(description="`orders` or `public.orders`.")],
    app: App,
    owner: Owner,
    key: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=4000,
            pattern=r"^[^\x00]*$",
            description=(
                "For the history of one row: value of the primary key, or a JSON object by column:"
                ' `{"code": "a"}`.'
            ),
        ),
    ] = None,
    connection: Connection = "",
    limit: Annotated[Integer, Query(ge=1, le=1000)] = 100,
    offset: Annotated[
        Integer, Query(ge=0, le=MOST_OFFSET, description="Rows to skip; beyond use `after`.")
    ] = 0,
    after: Annotated[
        str,
        Query(
            max_length=40_000,
            pattern=r"^[^\x00]*$",
            description="`next_after` of the page before: begins after the row with this key.",
        ),
    ] = "",
) -> Response:
    """Rows in the order of the primary key. With `key` one row as it is now, and which loads wrote
    it: file, line and bytes, job, time, the correction that made it what it is, and its values
    before.
    """
    tables = app.of(Tables)
    if key is not None:
        return encoded_any(await tables.row(owner, name, key, connection))
    page = await tables.page(owner, name, connection, limit=limit, offset=offset, after=after)
    return encoded_any(page)
