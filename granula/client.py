"""Client and AsyncClient: a Granula service from Python."""

from __future__ import annotations

import asyncio
import os
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypeVar

import httpx

from granula import operations, tables
from granula.errors import Incomplete, RequestRefused, Unreachable
from granula.models import Job, Proof, Reject, Status
from granula.operations import API, Body, Operation, Page, Pause, Reply, Send, Source, Step

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

Result = TypeVar("Result")
JobOrId: TypeAlias = Job | Status | str
Progress: TypeAlias = Callable[[Status], object]
Corrections: TypeAlias = Mapping[int, Mapping[str, Any]] | Source
"""New values by row number and column, or a corrected download of the rejects."""
FileFormat: TypeAlias = Literal["csv", "jsonl", "parquet"]
DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
RETRIES = 4
REJECT_COLUMNS = Reject.__slots__


# ---------------------------------------------------------------------- lazy tables


class _Table(ABC):
    """Rows that are read page by page, each time they are asked for."""

    def __init__(self, read_page: Callable[[int], Operation[Page]]) -> None:
        self._read_page = read_page

    @staticmethod
    @abstractmethod
    def _cells(page: Page) -> tuple[list[str], list[list[Any]]]:
        """(columns, the rows of the page as cells)"""


class _Rows(_Table):
    @staticmethod
    def _cells(page: Page) -> tuple[list[str], list[list[Any]]]:
        return page.columns, page.items

    @staticmethod
    def _items(page: Page) -> list[dict[str, Any]]:
        return [dict(zip(page.columns, cells, strict=True)) for cells in page.items]


class _Rejects(_Table):
    @staticmethod
    def _cells(page: Page) -> tuple[list[str], list[list[Any]]]:
        names = list(REJECT_COLUMNS)
        return names, [[item[name] for name in names] for item in page.items]

    @staticmethod
    def _items(page: Page) -> list[Reject]:
        return [Reject.of(item) for item in page.items]


class _SyncTable(_Table):
    _run: Callable[[Operation[Page]], Page]

    def _pages(self) -> Iterator[Page]:
        after: int | None = 0
        while after is not None:
            page = self._run(self._read_page(after))
            yield page
            after = page.next_after

    def _all(self) -> tuple[list[str], list[list[Any]]]:
        columns: list[str] = []
        rows: list[list[Any]] = []
        for page in self._pages():
            columns, cells = self._cells(page)
            rows += cells
        return columns, rows

    def arrow(self) -> pyarrow.Table:
        """All of them. Needs pyarrow."""
        return tables.as_arrow(*self._all())

    def pandas(self) -> pandas.DataFrame:
        """All of them. Needs pandas."""
        return tables.as_pandas(*self._all())

    def polars(self) -> polars.DataFrame:
        """All of them. Needs polars and pyarrow."""
        return tables.as_polars(*self._all())


class Rows(_SyncTable, _Rows):
    """Loaded rows in the order of the file. Iterate over them, or ask for all."""

    def __init__(self, client: Client, read_page: Callable[[int], Operation[Page]]) -> None:
        super().__init__(read_page)
        self._run = client._run

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for page in self._pages():
            yield from self._items(page)

    def list(self) -> list[dict[str, Any]]:
        return list(self)


class Rejects(_SyncTable, _Rejects):
    """Rejected rows in the order of the file. Iterate over them, or ask for all."""

    def __init__(self, client: Client, read_page: Callable[[int], Operation[Page]]) -> None:
        super().__init__(read_page)
        self._run = client._run

    def __iter__(self) -> Iterator[Reject]:
        for page in self._pages():
            yield from self._items(page)

    def list(self) -> list[Reject]:
        return list(self)


class _AsyncTable(_Table):
    _client: AsyncClient

    async def _pages(self) -> AsyncIterator[Page]:
        after: int | None = 0
        while after is not None:
            page = await self._client._run(self._read_page(after))
            yield page
            after = page.next_after

    async def _all(self) -> tuple[list[str], list[list[Any]]]:
        columns: list[str] = []
        rows: list[list[Any]] = []
        async for page in self._pages():
            columns, cells = self._cells(page)
            rows += cells
        return columns, rows

    async def arrow(self) -> pyarrow.Table:
        """All of them. Needs pyarrow."""
        return tables.as_arrow(*await self._all())

    async def pandas(self) -> pandas.DataFrame:
        """All of them. Needs pandas."""
        return tables.as_pandas(*await self._all())

    async def polars(self) -> polars.DataFrame:
        """All of them. Needs polars and pyarrow."""
        return tables.as_polars(*await self._all())


class AsyncRows(_AsyncTable, _Rows):
    """Loaded rows in the order of the file. Iterate over them, or ask for all."""

    def __init__(self, client: AsyncClient, read_page: Callable[[int], Operation[Page]]) -> None:
        super().__init__(read_page)
        self._client = client

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        async for page in self._pages():
            for row in self._items(page):
                yield row

    async def list(self) -> list[dict[str, Any]]:
        return [row async for row in self]


class AsyncRejects(_AsyncTable, _Rejects):
    """Rejected rows in the order of the file. Iterate over them, or ask for all."""

    def __init__(self, client: AsyncClient, read_page: Callable[[int], Operation[Page]]) -> None:
        super().__init__(read_page)
        self._client = client

    async def __aiter__(self) -> AsyncIterator[Reject]:
        async for page in self._pages():
            for reject in self._items(page):
                yield reject

    async def list(self) -> list[Reject]:
        return [reject async for reject in self]


# ---------------------------------------------------------------------- what both clients share


def _http_arguments(url: str | None, key: str | None) -> dict[str, Any]:
    chosen = url or os.environ.get("GRANULA_URL") or DEFAULT_URL
    key = key or os.environ.get("GRANULA_KEY")
    headers = {"User-Agent": "granula-python"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return {"base_url": chosen, "headers": headers, "timeout": TIMEOUT}


def _request_arguments(send: Send) -> dict[str, Any]:
    arguments: dict[str, Any] = {"params": dict(send.params), "headers": dict(send.headers)}
    if send.json is not None:
        arguments["json"] = send.json
    return arguments


def _check_download(answer: httpx.Response, *, partial: bool) -> None:
    if answer.headers.get("granula-complete") == "false" and not partial:
        missing = answer.headers.get("granula-missing-rows", "some")
        raise Incomplete(f"{missing} rows are missing; `partial=True` takes those that exist.")


# ---------------------------------------------------------------------- the clients


class Client:
    """A Granula service. Use it in a `with` block, or call `close`.

    `url` and `key` are those of GRANULA_URL and GRANULA_KEY if not given. What may pass (a broken
    connection, a busy service) is tried again `retries` times; a repeated upload or correction is
    never stored twice. Every method raises ClientError: Unreachable or RequestRefused.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        retries: int = RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(**_http_arguments(url, key), transport=transport)
        self._retries = retries

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def load(self, source: Source, *, filename: str | None = None, **options: Any) -> Job:
        """Upload a file and start its job. Returns once the bytes are safely stored.

        `options` are those of POST /api/v1/upload: `processor`, `priority`, `on_duplicate`,
        `encoding`, `delimiter` and so on; `option={...}` are those of the processor. Raises OSError
        if the file cannot be read.
        """
        return self._run(operations.load(source, filename, options, self._retries))

    def start(self, job_type: str, source: str, **members: Any) -> Job:
        """Start a job over `s3://...`, `https://...`, `file:///...`, or over an uploaded file by
        its `file_id`. Returns once a source that has to be copied is safely stored.

        `members` are those of POST /api/v1/jobs: `options`, `priority`, `credentials`, `sheet` and
        so on.
        """
        return self._run(operations.start(job_type, source, members, self._retries))

    def status(self, job: JobOrId) -> Status:
        return self._run(operations.status(job, self._retries))

    def wait(
        self, job: JobOrId, *, timeout: float | None = None, progress: Progress | None = None
    ) -> Status:
        """Return the status once the job has ended. `progress` gets each status on the way,
        `timeout` is in seconds. Raises WaitTimeout; JobFailed if the job failed or was cancelled.
        """
        return self._run(operations.wait(job, timeout, progress, self._retries))

    def rows(self, job: JobOrId) -> Rows:
        """The loaded rows; those so far if the job is running."""
        return Rows(self, lambda after: operations.row_page(job, after, self._retries))

    def rejects(self, job: JobOrId) -> Rejects:
        """The rejected rows; those so far if the job is running."""
        return Rejects(self, lambda after: operations.reject_page(job, after, self._retries))

    def fix(self, job: JobOrId, corrections: Corrections) -> Job:
        """Correct rejected rows and run only them. Returns the job of the correction."""
        return self._run(operations.fix(job, corrections, self._retries))

    def prove(self, job: JobOrId) -> Proof:
        """Compare the tables with the file: counts, and a hash of every row."""
        return self._run(operations.prove(job, self._retries))

    def cancel(self, job: JobOrId) -> None:
        return self._run(operations.cancel(job, self._retries))

    def delete(self, job: JobOrId) -> None:
        """Delete the file, its jobs and their rows."""
        return self._run(operations.delete(job, self._retries))

    def download(
        self,
        job: JobOrId,
        path: str | Path,
        *,
        format: FileFormat = "csv",
        what: Literal["results", "rejects"] = "results",
        partial: bool = False,
    ) -> None:
        """Write all rows to a file. Rejects are always CSV. Raises Incomplete, and leaves no file,
        if rows are missing.
        """
        target = Path(path)
        params: dict[str, str] = {"format": format} if what == "results" else {}
        url = f"{API}/{what}/{operations.id_of(job)}/download"
        if partial:
            params["partial"] = "true"
        try:
            with self._http.stream("GET", url, params=params) as answer:
                if not answer.is_success:
                    answer.read()
                    raise RequestRefused(answer.status_code, operations.problem_of(answer))
                _check_download(answer, partial=partial)
                _write(target, answer.iter_bytes())
        except httpx.TransportError as error:
            raise Unreachable(f"The download broke off: {error}") from error

    def _run(self, operation: Operation[Result]) -> Result:
        reply: Reply = None
        while True:
            try:
                step = operation.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            reply = self._do(step)

    def _do(self, step: Step) -> Reply:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        arguments = _request_arguments(step)
        try:
            if step.body is None:
                return self._http.request(step.method, step.path, **arguments)
            file = step.body.open()
            try:
                pieces = _pieces(step.body, file)
                return self._http.request(step.method, step.path, content=pieces, **arguments)
            finally:
                step.body.close(file)
        except httpx.TransportError as error:
            return error


def _pieces(body: Body, file: Any) -> Iterator[bytes]:
    while piece := body.read(file):
        yield piece


def _write(target: Path, pieces: Iterator[bytes]) -> None:
    """All or nothing."""
    part = target.with_name(f"{target.name}.part")
    try:
        with part.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


class AsyncClient:
    """The same as Client, with coroutines. Use it in an `async with` block, or await `close`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        retries: int = RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(**_http_arguments(url, key), transport=transport)
        self._retries = retries

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def load(self, source: Source, *, filename: str | None = None, **options: Any) -> Job:
        """As Client.load."""
        return await self._run(operations.load(source, filename, options, self._retries))

    async def start(self, job_type: str, source: str, **members: Any) -> Job:
        """As Client.start."""
        return await self._run(operations.start(job_type, source, members, self._retries))

    async def status(self, job: JobOrId) -> Status:
        return await self._run(operations.status(job, self._retries))

    async def wait(
        self, job: JobOrId, *, timeout: float | None = None, progress: Progress | None = None
    ) -> Status:
        """As Client.wait."""
        return await self._run(operations.wait(job, timeout, progress, self._retries))

    def rows(self, job: JobOrId) -> AsyncRows:
        """The loaded rows; those so far if the job is running."""
        return AsyncRows(self, lambda after: operations.row_page(job, after, self._retries))

    def rejects(self, job: JobOrId) -> AsyncRejects:
        """The rejected rows; those so far if the job is running."""
        return AsyncRejects(self, lambda after: operations.reject_page(job, after, self._retries))

    async def fix(self, job: JobOrId, corrections: Corrections) -> Job:
        """As Client.fix."""
        return await self._run(operations.fix(job, corrections, self._retries))

    async def prove(self, job: JobOrId) -> Proof:
        """As Client.prove."""
        return await self._run(operations.prove(job, self._retries))

    async def cancel(self, job: JobOrId) -> None:
        return await self._run(operations.cancel(job, self._retries))

    async def delete(self, job: JobOrId) -> None:
        """As Client.delete."""
        return await self._run(operations.delete(job, self._retries))

    async def _run(self, operation: Operation[Result]) -> Result:
        reply: Reply = None
        while True:
            try:
                step = operation.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            reply = await self._do(step)

    async def _do(self, step: Step) -> Reply:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        arguments = _request_arguments(step)
        try:
            if step.body is None:
                return await self._http.request(step.method, step.path, **arguments)
            file = await asyncio.to_thread(step.body.open)
            try:
                pieces = _async_pieces(step.body, file)
                return await self._http.request(step.method, step.path, content=pieces, **arguments)
            finally:
                step.body.close(file)
        except httpx.TransportError as error:
            return error


async def _async_pieces(body: Body, file: Any) -> AsyncIterator[bytes]:
    """The file is read in a thread: a slow disk does not hold up the loop."""
    while piece := await asyncio.to_thread(body.read, file):
        yield piece
