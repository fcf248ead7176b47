"""Rows and rejects of a job, read page by page whenever they are needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from granula import tables
from granula.models import Reject
from granula.operations import Operation, Page, ReadPage

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

Item = TypeVar("Item")
Run: TypeAlias = Callable[[Operation[Page[Item]]], Page[Item]]
RunAsync: TypeAlias = Callable[[Operation[Page[Item]]], Awaitable[Page[Item]]]
Cells: TypeAlias = tuple[list[str], list[list[Any]]]
"""Columns, and the cells of each row."""


class Table(Generic[Item]):
    """Rows in the order of the file. Iterate over them, or get all of them."""

    def __init__(self, run: Run[Item], read_page: ReadPage[Item]) -> None:
        self._run = run
        self._read_page = read_page

    def __iter__(self) -> Iterator[Item]:
        for page in self._pages():
            yield from page.items

    def list(self) -> list[Item]:
        return [item for page in self._pages() for item in page.items]

    def arrow(self) -> pyarrow.Table:
        """Return all rows. Needs pyarrow."""
        return tables.as_arrow(*self._cells())

    def pandas(self) -> pandas.DataFrame:
        """Return all rows. Needs pandas."""
        return tables.as_pandas(*self._cells())

    def polars(self) -> polars.DataFrame:
        """Return all rows. Needs polars and pyarrow."""
        return tables.as_polars(*self._cells())

    def _pages(self) -> Iterator[Page[Item]]:
        after: int | None = 0
        while after is not None:
            page = self._run(self._read_page(after))
            yield page
            after = page.next_after

    def _cells(self) -> Cells:
        columns, rows = [], []
        for page in self._pages():
            columns = page.columns
            rows += page.rows
        return columns, rows


class AsyncTable(Generic[Item]):
    """Rows in the order of the file. Iterate over them, or await all of them."""

    def __init__(self, run: RunAsync[Item], read_page: ReadPage[Item]) -> None:
        self._run = run
        self._read_page = read_page

    async def __aiter__(self) -> AsyncIterator[Item]:
        async for page in self._pages():
            for item in page.items:
                yield item

    async def list(self) -> list[Item]:
        return [item async for page in self._pages() for item in page.items]

    async def arrow(self) -> pyarrow.Table:
        """Return all rows. Needs pyarrow."""
        return tables.as_arrow(*await self._cells())

    async def pandas(self) -> pandas.DataFrame:
        """Return all rows. Needs pandas."""
        return tables.as_pandas(*await self._cells())

    async def polars(self) -> polars.DataFrame:
        """Return all rows. Needs polars and pyarrow."""
        return tables.as_polars(*await self._cells())

    async def _pages(self) -> AsyncIterator[Page[Item]]:
        after: int | None = 0
        while after is not None:
            page = await self._run(self._read_page(after))
            yield page
            after = page.next_after

    async def _cells(self) -> Cells:
        columns, rows = [], []
        async for page in self._pages():
            columns = page.columns
            rows += page.rows
        return columns, rows


Rows: TypeAlias = Table[dict[str, Any]]
Rejects: TypeAlias = Table[Reject]
AsyncRows: TypeAlias = AsyncTable[dict[str, Any]]
AsyncRejects: TypeAlias = AsyncTable[Reject]
