"""Client and AsyncClient: a Granula service from Python.

Both only move bytes; what they send and what they make of the responses is in `operations`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar

import httpx

from granula.models import Job, Proof, Status
from granula.operations import (
    RETRIES,
    Body,
    Corrections,
    FileContent,
    FileFormat,
    JobOrId,
    Operation,
    Operations,
    Pause,
    Progress,
    Reply,
    Save,
    Send,
    Source,
    Step,
    choice_of,
    http_arguments,
)
from granula.rows import AsyncRejects, AsyncRows, AsyncTable, Rejects, Rows, Table

Result = TypeVar("Result")


class Client:
    """A Granula service. Use it in a `with` block, or call `close`.

    `url` and `key` default to GRANULA_URL and GRANULA_KEY. A transient failure (a broken
    connection, a busy service) is retried up to `retries` times; a repeated upload or correction is
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
        self._http = httpx.Client(**http_arguments(url, key), transport=transport)
        self._operations = Operations(retries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def load(self, source: Source, *, filename: str | None = None, **options: Any) -> Job:
        """Upload a file and start its job. Returns once the bytes are safely stored.

        `options` are those of POST /api/v1/upload: `processor`, `priority`, `label`, `on_duplicate`,
        `encoding`, `delimiter` and so on; `option={...}` are those of the processor. Raises OSError
        if the file cannot be read.
        """
        return self._run(self._operations.load(source, filename, options))

    def start(self, job_type: str, source: str, **members: Any) -> Job:
        """Start a job over `s3://...`, `https://...`, `file:///...`, or over an uploaded file by
        its `file_id`. Returns once a source that has to be copied is safely stored.

        `members` are those of POST /api/v1/jobs: `options`, `priority`, `labels`, `credentials`,
        `sheet` and so on.
        """
        return self._run(self._operations.start(job_type, source, members))

    def status(self, job: JobOrId) -> Status:
        return self._run(self._operations.status(job))

    def wait(
        self, job: JobOrId, *, timeout: float | None = None, progress: Progress | None = None
    ) -> Status:
        """Return the status once the job has ended. `progress` gets each status on the way,
        `timeout` is in seconds. Raises WaitTimeout; JobFailed if the job failed or was cancelled.
        """
        return self._run(self._operations.wait(job, timeout, progress))

    def rows(
        self,
        job: JobOrId,
        *,
        where: str = "",
        search: str = "",
        sort: str = "",
        columns: Sequence[str] = (),
    ) -> Rows:
        """Return the loaded rows; while the job runs, those so far.

        `where` has conditions (`amount > 5 and name contains 'ab'`), `search` a text in any cell,
        `columns` the cells to return. With `sort` (`amount`, or `-amount` for the largest first)
        only the first 1,000 rows of the order are returned.
        """
        choice = choice_of(where, search, sort, columns)
        return Table(self._run, self._operations.rows(job, choice))

    def rejects(self, job: JobOrId) -> Rejects:
        """Return the rejected rows; while the job runs, those so far."""
        return Table(self._run, self._operations.rejects(job))

    def fix(self, job: JobOrId, corrections: Corrections) -> Job:
        """Correct rejected rows and run only them. Returns the job of the correction."""
        return self._run(self._operations.fix(job, corrections))

    def prove(self, job: JobOrId) -> Proof:
        """Compare the tables with the file: counts, and a hash of every row."""
        return self._run(self._operations.prove(job))

    def cancel(self, job: JobOrId) -> None:
        return self._run(self._operations.cancel(job))

    def delete(self, job: JobOrId) -> None:
        """Delete the file, its jobs and their rows."""
        return self._run(self._operations.delete(job))

    def download(
        self,
        job: JobOrId,
        path: str | Path,
        *,
        format: FileFormat = "csv",
        what: FileContent = "results",
        partial: bool = False,
    ) -> None:
        """Write all rows to a file. Raises Incomplete, and leaves no file, if rows are missing and
        `partial` is false.
        """
        return self._run(self._operations.download(job, path, format, what, partial))

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
        try:
            return self._save(step) if isinstance(step, Save) else self._send(step)
        except httpx.TransportError as error:
            return error

    def _send(self, step: Send) -> httpx.Response:
        arguments = step.arguments()
        if step.body is None:
            return self._http.request(step.method, step.path, **arguments)
        file = step.body.open()
        try:
            content = _pieces(step.body, file)
            return self._http.request(step.method, step.path, content=content, **arguments)
        finally:
            step.body.close(file)

    def _save(self, step: Save) -> httpx.Response:
        with self._http.stream("GET", step.path, params=dict(step.params)) as response:
            if not response.is_success:
                response.read()
                return response
            step.check(response)
            with _replacing(step.target) as file:
                for piece in response.iter_bytes():
                    file.write(piece)
            return response


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
        self._http = httpx.AsyncClient(**http_arguments(url, key), transport=transport)
        self._operations = Operations(retries)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def load(self, source: Source, *, filename: str | None = None, **options: Any) -> Job:
        """See Client.load."""
        return await self._run(self._operations.load(source, filename, options))

    async def start(self, job_type: str, source: str, **members: Any) -> Job:
        """See Client.start."""
        return await self._run(self._operations.start(job_type, source, members))

    async def status(self, job: JobOrId) -> Status:
        return await self._run(self._operations.status(job))

    async def wait(
        self, job: JobOrId, *, timeout: float | None = None, progress: Progress | None = None
    ) -> Status:
        """See Client.wait."""
        return await self._run(self._operations.wait(job, timeout, progress))

    def rows(
        self,
        job: JobOrId,
        *,
        where: str = "",
        search: str = "",
        sort: str = "",
        columns: Sequence[str] = (),
    ) -> AsyncRows:
        """Return the loaded rows; while the job runs, those so far.

        `where` has conditions (`amount > 5 and name contains 'ab'`), `search` a text in any cell,
        `columns` the cells to return. With `sort` (`amount`, or `-amount` for the largest first)
        only the first 1,000 rows of the order are returned.
        """
        choice = choice_of(where, search, sort, columns)
        return AsyncTable(self._run, self._operations.rows(job, choice))

    def rejects(self, job: JobOrId) -> AsyncRejects:
        """Return the rejected rows; while the job runs, those so far."""
        return AsyncTable(self._run, self._operations.rejects(job))

    async def fix(self, job: JobOrId, corrections: Corrections) -> Job:
        """See Client.fix."""
        return await self._run(self._operations.fix(job, corrections))

    async def prove(self, job: JobOrId) -> Proof:
        """See Client.prove."""
        return await self._run(self._operations.prove(job))

    async def cancel(self, job: JobOrId) -> None:
        return await self._run(self._operations.cancel(job))

    async def delete(self, job: JobOrId) -> None:
        """See Client.delete."""
        return await self._run(self._operations.delete(job))

    async def download(
        self,
        job: JobOrId,
        path: str | Path,
        *,
        format: FileFormat = "csv",
        what: FileContent = "results",
        partial: bool = False,
    ) -> None:
        """See Client.download."""
        return await self._run(self._operations.download(job, path, format, what, partial))

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
        try:
            return await (self._save(step) if isinstance(step, Save) else self._send(step))
        except httpx.TransportError as error:
            return error

    async def _send(self, step: Send) -> httpx.Response:
        arguments = step.arguments()
        if step.body is None:
            return await self._http.request(step.method, step.path, **arguments)
        file = await asyncio.to_thread(step.body.open)
        try:
            content = _async_pieces(step.body, file)
            return await self._http.request(step.method, step.path, content=content, **arguments)
        finally:
            step.body.close(file)

    async def _save(self, step: Save) -> httpx.Response:
        async with self._http.stream("GET", step.path, params=dict(step.params)) as response:
            if not response.is_success:
                await response.aread()
                return response
            step.check(response)
            with _replacing(step.target) as file:
                async for piece in response.aiter_bytes():
                    await asyncio.to_thread(file.write, piece)
            return response


def _pieces(body: Body, file: BinaryIO) -> Iterator[bytes]:
    while piece := body.read(file):
        yield piece


async def _async_pieces(body: Body, file: BinaryIO) -> AsyncIterator[bytes]:
    """Read in a thread, so that a slow disk does not block the loop."""
    while piece := await asyncio.to_thread(body.read, file):
        yield piece


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """Open a file that becomes `target` when the block ends without an exception."""
    part = target.with_name(f"{target.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
