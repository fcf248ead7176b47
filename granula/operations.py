"""What a client does, as generators: they yield what is to be sent or waited for, and get the
answers. Client and AsyncClient run the same ones, each in its own way.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar
from uuid import uuid4

import httpx

from granula.errors import JobFailed, RequestRefused, Unreachable, WaitTimeout
from granula.models import Job, Proof, Status

API = "/api/v1"
PIECE_BYTES = 1 << 18
PAGE_ROWS = 10_000
BUSY = frozenset((429, 502, 503, 504))
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.05, 1.0

Source: TypeAlias = str | Path | bytes | BinaryIO
"""A path, the bytes themselves, or an open binary file."""
Result = TypeVar("Result")


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
        """From the beginning. Raises OSError."""
        self.sha256 = hashlib.sha256()
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source)
        if isinstance(self.source, Path):
            return self.source.open("rb")
        if self.source.seekable():
            self.source.seek(0)
        return self.source

    def close(self, file: BinaryIO) -> None:
        """What the caller has opened stays open."""
        if file is not self.source:
            file.close()

    def read(self, file: BinaryIO) -> bytes:
        """The next piece; empty at the end."""
        piece = file.read(PIECE_BYTES)
        self.sha256.update(piece)
        return piece


@dataclass(frozen=True, slots=True)
class Send:
    """A request; its answer is sent back into the generator, or the httpx.TransportError that came
    instead.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    body: Body | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


Step: TypeAlias = Send | Pause
Reply: TypeAlias = httpx.Response | httpx.TransportError | None
Operation: TypeAlias = Generator[Step, Reply, Result]


@dataclass(frozen=True, slots=True)
class Page:
    columns: list[str]
    items: list[Any]
    next_after: int | None


def id_of(job: Job | Status | str) -> str:
    return job if isinstance(job, str) else job.job_id


def answered(request: Send, retries: int) -> Operation[Any]:
    """The JSON of the answer. What may pass is tried again. Raises Unreachable, RequestRefused."""
    pause = FIRST_PAUSE_SECONDS
    for left in reversed(range(retries + 1)):
        reply = yield request
        if isinstance(reply, httpx.Response) and reply.is_success:
            return reply.json() if reply.content else None
        reason, may_pass, asked_pause = _what_went_wrong(reply)
        is_last = left == 0 or (request.body is not None and not request.body.can_be_sent_again)
        if is_last or not may_pass:
            raise reason
        yield Pause(max(pause * random.uniform(0.5, 1.0), asked_pause))
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    raise AssertionError("unreachable")


def _what_went_wrong(reply: Reply) -> tuple[Exception, bool, float]:
    """(what to raise, whether another attempt may succeed, seconds to wait before it)"""
    if not isinstance(reply, httpx.Response):
        return Unreachable(f"The service does not answer: {reply}"), True, 0.0
    refused = RequestRefused(reply.status_code, problem_of(reply))
    may_pass = reply.status_code in BUSY and refused.code != "not_configured"
    may_pass = may_pass or refused.code == "idempotency_in_flight"
    seconds = reply.headers.get("retry-after", "")
    return refused, may_pass, float(seconds) if seconds.isdecimal() else 0.0


def problem_of(reply: httpx.Response) -> dict[str, Any]:
    try:
        problem = reply.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return {"detail": f"The answer was HTTP {reply.status_code}."}
    return problem


# ---------------------------------------------------------------------- the operations


def load(
    source: Source, name: str | None, params: Mapping[str, Any], retries: int
) -> Operation[Job]:
    body = Body.of(source, name)
    headers = {"Content-Type": "application/octet-stream", "Idempotency-Key": str(uuid4())}
    wanted = {**_as_query(params), "filename": body.name}
    upload = Send("POST", f"{API}/upload", params=wanted, headers=headers, body=body)
    answer = yield from answered(upload, retries)
    if answer["sha256"] != body.sha256.hexdigest():
        raise RequestRefused(
            200, {"detail": f"{body.name} changed while it was sent.", "remedy": "Load it again."}
        )
    return Job(answer["job_id"], answer["file_id"], answer["number"], answer["duplicate"])


def start(job_type: str, source: str, members: Mapping[str, Any], retries: int) -> Operation[Job]:
    """A job over a source, or over an uploaded file by its id."""
    named = "source" if "://" in source else "file_id"
    body = {"type": job_type, named: source, **members}
    headers = {"Idempotency-Key": str(uuid4())}
    request = Send("POST", f"{API}/jobs", headers=headers, json=body)
    answer = yield from answered(request, retries)
    started = yield from status(answer["job_id"], retries)
    return Job(started.job_id, started.file_id, started.number, answer.get("cached", False))


def _as_query(params: Mapping[str, Any]) -> dict[str, Any]:
    query: dict[str, Any] = {}
    for name, value in params.items():
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


def status(job: Job | Status | str, retries: int) -> Operation[Status]:
    answer = yield from answered(Send("GET", f"{API}/status/{id_of(job)}"), retries)
    return Status.of(answer)


def wait(
    job: Job | Status | str,
    timeout: float | None,
    progress: Callable[[Status], object] | None,
    retries: int,
) -> Operation[Status]:
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = FIRST_POLL_SECONDS
    while True:
        current = yield from status(job, retries)
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


def row_page(job: Job | Status | str, after: int, retries: int) -> Operation[Page]:
    params = {"after": after, "limit": PAGE_ROWS}
    answer = yield from answered(Send("GET", f"{API}/results/{id_of(job)}", params), retries)
    items = [item["data"]["row"] for item in answer["items"]]
    return Page(answer["columns"], items, answer["next_after"])


def reject_page(job: Job | Status | str, after: int, retries: int) -> Operation[Page]:
    params = {"after": after, "limit": PAGE_ROWS}
    answer = yield from answered(Send("GET", f"{API}/rejects/{id_of(job)}", params), retries)
    return Page([], answer["items"], answer["next_after"])


def fix(
    job: Job | Status | str,
    corrections: Mapping[int, Mapping[str, Any]] | Source,
    retries: int,
) -> Operation[Job]:
    headers = {"Idempotency-Key": str(uuid4())}
    path = f"{API}/files/{id_of(job)}/corrections"
    request: Send
    if isinstance(corrections, Mapping):
        rows = [{"_row": row, "values": dict(cells)} for row, cells in corrections.items()]
        request = Send("POST", path, headers=headers, json={"rows": rows})
    else:
        headers["Content-Type"] = "text/csv"
        request = Send("POST", path, headers=headers, body=Body.of(corrections, None))
    answer = yield from answered(request, retries)
    return Job(answer["job_id"], answer["file_id"])


def prove(job: Job | Status | str, retries: int) -> Operation[Proof]:
    found = yield from status(job, retries)
    answer = yield from answered(Send("GET", f"{API}/jobs/{found.job_id}/proof"), retries)
    return Proof.of(answer)


def cancel(job: Job | Status | str, retries: int) -> Operation[None]:
    yield from answered(Send("POST", f"{API}/jobs/{id_of(job)}/cancel"), retries)


def delete(job: Job | Status | str, retries: int) -> Operation[None]:
    found = yield from status(job, retries)
    yield from answered(Send("DELETE", f"{API}/files/{found.file_id}"), retries)
