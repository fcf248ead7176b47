"""What a client does, without doing any I/O: generators that yield requests and pauses, and receive
the responses. Client and AsyncClient run the same generators, each with its own kind of I/O.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Generic, Literal, TypeAlias, TypeVar
from uuid import uuid4

import httpx

from granula.errors import Incomplete, JobFailed, RequestRefused, Unreachable, WaitTimeout
from granula.models import Job, Proof, Reject, Status

API = "/api/v1"
DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
RETRIES = 4
PIECE_BYTES = 1 << 18
PAGE_ROWS = 10_000
SORTED_ROWS = 1_000
BUSY = frozenset((429, 502, 503, 504))
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.05, 1.0

Source: TypeAlias = str | Path | bytes | BinaryIO
"""A path, the bytes themselves, or an open binary file."""
JobOrId: TypeAlias = Job | Status | str
Progress: TypeAlias = Callable[[Status], object]
Corrections: TypeAlias = Mapping[int, Mapping[str, Any]] | Source
"""New values by row number and column, or a corrected download of the rejects."""
FileFormat: TypeAlias = Literal["csv", "jsonl", "parquet", "arrow", "xlsx"]
Choice: TypeAlias = Mapping[str, str]
"""Parameters that choose rows."""
FileContent: TypeAlias = Literal["results", "rejects"]
Result = TypeVar("Result")
Item = TypeVar("Item")


@dataclass(slots=True)
class Body:
    """Bytes that are sent piece by piece, with their hash."""

    source: Path | bytes | BinaryIO
    name: str
    sha256: Any = field(default_factory=hashlib.sha256)

    @classmethod
    def of(cls, source: Source, name: str | None) -> Body:
        if isinstance(source, bytes):
            return cls(source, name or "data")
        if isinstance(source, str | Path):
            path = Path(source)
            return cls(path, name or path.name)
        return cls(source, name or Path(str(getattr(source, "name", "data"))).name)

    @property
    def can_be_sent_again(self) -> bool:
        return isinstance(self.source, bytes | Path) or self.source.seekable()

    def open(self) -> BinaryIO:
        """Open the bytes at their beginning. Raises OSError."""
        self.sha256 = hashlib.sha256()
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source)
        if isinstance(self.source, Path):
            return self.source.open("rb")
        if self.source.seekable():
            self.source.seek(0)
        return self.source

    def close(self, file: BinaryIO) -> None:
        """Close the file, unless the caller opened it."""
        if file is not self.source:
            file.close()

    def read(self, file: BinaryIO) -> bytes:
        """Return the next piece; empty at the end."""
        piece = file.read(PIECE_BYTES)
        self.sha256.update(piece)
        return piece


@dataclass(frozen=True, slots=True)
class Send:
    """A request. The generator receives its response, or the httpx.TransportError."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    body: Body | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of httpx's `request`, without those of the body."""
        arguments: dict[str, Any] = {"params": dict(self.params), "headers": dict(self.headers)}
        if self.json is not None:
            arguments["json"] = self.json
        return arguments


@dataclass(frozen=True, slots=True)
class Save:
    """A GET whose body is written to a file. The generator receives the response without its body,
    or with it if it is no success; or the httpx.TransportError.
    """

    path: str
    params: Mapping[str, Any]
    target: Path
    allows_partial: bool

    def check(self, response: httpx.Response) -> None:
        """Raise Incomplete if rows are missing."""
        if response.headers.get("granula-complete") == "false" and not self.allows_partial:
            missing = response.headers.get("granula-missing-rows", "some")
            raise Incomplete(f"{missing} rows are missing; `partial=True` takes those that exist.")


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


Step: TypeAlias = Send | Save | Pause
Reply: TypeAlias = httpx.Response | httpx.TransportError | None
Operation: TypeAlias = Generator[Step, Reply, Result]


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    columns: list[str]
    rows: list[list[Any]]
    """Cells of each row, one for each column."""
    item_of: Callable[[list[str], list[Any]], Item]
    next_after: int | None

    @property
    def items(self) -> list[Item]:
        return [self.item_of(self.columns, cells) for cells in self.rows]


ReadPage: TypeAlias = Callable[[int], Operation[Page[Item]]]
"""Reads the page after a position; 0 is the beginning."""


def id_of(job: JobOrId) -> str:
    return job if isinstance(job, str) else job.job_id


def http_arguments(url: str | None, key: str | None) -> dict[str, Any]:
    """Return the arguments of httpx's clients."""
    key = key or os.environ.get("GRANULA_KEY")
    headers = {"User-Agent": "granula-python"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    base_url = url or os.environ.get("GRANULA_URL") or DEFAULT_URL
    return {"base_url": base_url, "headers": headers, "timeout": TIMEOUT}


@dataclass(frozen=True, slots=True)
class Operations:
    """The operations of a client that repeats a transient failure up to `retries` times."""

    retries: int

    def load(
        self, source: Source, filename: str | None, options: Mapping[str, Any]
    ) -> Operation[Job]:
        body = Body.of(source, filename)
        headers = {"Content-Type": "application/octet-stream", "Idempotency-Key": str(uuid4())}
        params = {**_as_query(options), "filename": body.name}
        upload = Send("POST", f"{API}/upload", params=params, headers=headers, body=body)
        answer = yield from self._answer(upload)
        if answer["sha256"] != body.sha256.hexdigest():
            raise RequestRefused(
                200,
                {"detail": f"{body.name} changed while it was sent.", "remedy": "Load it again."},
            )
        return Job(answer["job_id"], answer["file_id"], answer["number"], answer["duplicate"])

    def start(self, job_type: str, source: str, members: Mapping[str, Any]) -> Operation[Job]:
        named = "source" if "://" in source else "file_id"
        headers = {"Idempotency-Key": str(uuid4())}
        body = {"type": job_type, named: source, **members}
        answer = yield from self._answer(Send("POST", f"{API}/jobs", headers=headers, json=body))
        current = yield from self.status(answer["job_id"])
        is_cached = answer.get("cached", False)
        return Job(current.job_id, current.file_id, current.number, is_cached)

    def status(self, job: JobOrId) -> Operation[Status]:
        answer = yield from self._answer(Send("GET", f"{API}/status/{id_of(job)}"))
        return Status.of(answer)

    def wait(
        self, job: JobOrId, timeout: float | None, progress: Progress | None
    ) -> Operation[Status]:
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_POLL_SECONDS
        while True:
            current = yield from self.status(job)
            if progress is not None:
                progress(current)
            if current.is_final:
                break
            if deadline is not None and time.monotonic() + pause > deadline:
                raise WaitTimeout(
                    f"Job {current.number} is {current.status} after {timeout:g} s,"
                    f" at {current.progress_percent:g} %."
                )
            yield Pause(pause)
            pause = min(1.5 * pause, LONGEST_POLL_SECONDS)
        if current.status in ("failed", "cancelled"):
            raise JobFailed(current)
        return current

    def rows(self, job: JobOrId, choice: Choice) -> ReadPage[dict[str, Any]]:
        def read(after: int) -> Operation[Page[dict[str, Any]]]:
            if choice:
                answer = yield from self._answer(_chosen_rows(job, choice, after))
            else:
                answer = yield from self._page("results", job, after)
            rows = [item["data"]["row"] for item in answer["items"]]
            return Page(answer["columns"], rows, _as_dict, answer["next_after"])

        return read

    def rejects(self, job: JobOrId) -> ReadPage[Reject]:
        columns = list(Reject.__slots__)

        def read(after: int) -> Operation[Page[Reject]]:
            answer = yield from self._page("rejects", job, after)
            rows = [[item[name] for name in columns] for item in answer["items"]]
            return Page(columns, rows, _as_reject, answer["next_after"])

        return read

    def _page(self, content: FileContent, job: JobOrId, after: int) -> Operation[Any]:
        params = {"after": after, "limit": PAGE_ROWS}
        return self._answer(Send("GET", f"{API}/{content}/{id_of(job)}", params))

    def fix(self, job: JobOrId, corrections: Corrections) -> Operation[Job]:
        headers = {"Idempotency-Key": str(uuid4())}
        path = f"{API}/files/{id_of(job)}/corrections"
        request: Send
        if isinstance(corrections, Mapping):
            rows = [{"_row": row, "values": dict(cells)} for row, cells in corrections.items()]
            request = Send("POST", path, headers=headers, json={"rows": rows})
        else:
            headers["Content-Type"] = "text/csv"
            request = Send("POST", path, headers=headers, body=Body.of(corrections, None))
        answer = yield from self._answer(request)
        return Job(answer["job_id"], answer["file_id"])

    def prove(self, job: JobOrId) -> Operation[Proof]:
        current = yield from self.status(job)
        answer = yield from self._answer(Send("GET", f"{API}/jobs/{current.job_id}/proof"))
        return Proof.of(answer)

    def cancel(self, job: JobOrId) -> Operation[None]:
        yield from self._answer(Send("POST", f"{API}/jobs/{id_of(job)}/cancel"))

    def delete(self, job: JobOrId) -> Operation[None]:
        current = yield from self.status(job)
        yield from self._answer(Send("DELETE", f"{API}/files/{current.file_id}"))

    def download(
        self,
        job: JobOrId,
        path: str | Path,
        format: FileFormat,
        content: FileContent,
        allows_partial: bool,
    ) -> Operation[None]:
        params: dict[str, str] = {"format": format}
        if allows_partial:
            params["partial"] = "true"
        url = f"{API}/{content}/{id_of(job)}/download"
        reply = yield Save(url, params, Path(path), allows_partial)
        if not isinstance(reply, httpx.Response):
            raise Unreachable(f"The download broke off: {reply}")
        if not reply.is_success:
            raise RequestRefused(reply.status_code, _problem_of(reply))

    def _answer(self, request: Send) -> Operation[Any]:
        """Return the JSON of the response; repeat the request after a transient failure. Raises
        Unreachable, RequestRefused.
        """
        pause = FIRST_PAUSE_SECONDS
        for left in reversed(range(self.retries + 1)):
            reply = yield request
            if isinstance(reply, httpx.Response) and reply.is_success:
                return reply.json() if reply.content else None
            error, is_transient, requested_pause = _failure(reply)
            is_last = left == 0 or (request.body is not None and not request.body.can_be_sent_again)
            if is_last or not is_transient:
                raise error
            yield Pause(max(pause * random.uniform(0.5, 1.0), requested_pause))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        raise AssertionError("unreachable")


def choice_of(where: str, search: str, sort: str, columns: Sequence[str]) -> Choice:
    """Return the parameters that choose rows; empty for all rows."""
    names = ",".join('"' + name.replace('"', '""') + '"' for name in columns)
    choice = {"where": where, "search": search, "sort": sort, "columns": names}
    return {name: value for name, value in choice.items() if value}


def _chosen_rows(job: JobOrId, choice: Choice, after: int) -> Send:
    if "sort" in choice:
        place = {"limit": SORTED_ROWS}
    else:
        place = {"after": after, "limit": PAGE_ROWS}
    return Send("GET", f"{API}/rows/{id_of(job)}", {**choice, **place})


def _failure(reply: Reply) -> tuple[Exception, bool, float]:
    """Return (the error, whether another attempt may succeed, seconds to wait before it)."""
    if not isinstance(reply, httpx.Response):
        return Unreachable(f"The service does not answer: {reply}"), True, 0.0
    refused = RequestRefused(reply.status_code, _problem_of(reply))
    is_transient = reply.status_code in BUSY and refused.code != "not_configured"
    is_transient = is_transient or refused.code == "idempotency_in_flight"
    seconds = reply.headers.get("retry-after", "")
    return refused, is_transient, float(seconds) if seconds.isdecimal() else 0.0


def _problem_of(reply: httpx.Response) -> dict[str, Any]:
    try:
        problem = reply.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return {"detail": f"The answer was HTTP {reply.status_code}."}
    return problem


def _as_dict(columns: list[str], cells: list[Any]) -> dict[str, Any]:
    return dict(zip(columns, cells, strict=True))


def _as_reject(columns: list[str], cells: list[Any]) -> Reject:
    return Reject(**_as_dict(columns, cells))


def _as_query(options: Mapping[str, Any]) -> dict[str, Any]:
    query: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, bool):
            query[name] = str(value).lower()
        elif isinstance(value, Mapping):
            for key, option in value.items():
                query[f"option.{key}"] = option if isinstance(option, str) else json.dumps(option)
        elif isinstance(value, list | tuple):
            query[name] = ",".join(map(str, value))
        elif value is not None:
            query[name] = value
    return query
