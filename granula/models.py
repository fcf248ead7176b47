"""Values that a client returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FINAL = frozenset(("completed", "completed_with_errors", "failed", "cancelled"))


@dataclass(frozen=True, slots=True)
class Job:
    """A file and its job. Every method of a client that takes a job also takes one of its ids."""

    job_id: str
    file_id: str
    number: int | None = None
    """None for a correction."""
    is_duplicate: bool = False
    """Whether the same bytes were loaded before; the job is the earlier one then."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows by outcome. They add up to the rows of the file."""

    loaded: int
    rejected: int
    failed: int
    not_processed: int

    @property
    def total(self) -> int:
        return self.loaded + self.rejected + self.failed + self.not_processed


@dataclass(frozen=True, slots=True)
class Failure:
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Status:
    job_id: str
    file_id: str
    number: int
    status: str
    """`queued`, `processing`, `completed`, `completed_with_errors`, `failed` or `cancelled`."""
    counts: Counts
    progress_percent: float
    rows_per_second: float
    eta_seconds: float | None
    error: Failure | None
    raw: Mapping[str, Any] = field(repr=False)
    """The complete response of the service."""
    labels: tuple[str, ...] = ()

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Status:
        error = answer["error"]
        return cls(
            job_id=answer["job_id"],
            file_id=answer["file_id"],
            number=answer["number"],
            status=answer["status"],
            counts=_counts(answer["counts"]),
            progress_percent=answer["progress_percent"],
            rows_per_second=answer["rows_per_second"],
            eta_seconds=answer["eta_seconds"],
            error=None if error is None else Failure(error["code"], error["message"]),
            raw=answer,
            labels=tuple(answer.get("labels", ())),  # services of earlier versions have none
        )


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not loaded."""

    row_number: int
    """Number of the row in the file, from 1; the header has none."""
    line: int
    """Line at which the row begins, from 1; the header is a line."""
    column: str | None
    code: str
    message: str
    value: str | None
    raw: str | None
    """The row as in the file; None if it is not UTF-8."""
    kind: str
    """`invalid`: the data is wrong. `failed`: it could not be processed."""

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Reject:
        return cls(**{name: item[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Proof:
    closes: bool
    """Whether the tables hold every row of the file once and unchanged."""
    counts: Counts
    problems: list[str]
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Proof:
        counts = _counts(answer["counts"])
        return cls(answer["closes"], counts, list(answer["problems"]), answer)


def _counts(answer: Mapping[str, int]) -> Counts:
    names = ("loaded", "rejected", "failed", "not_processed")
    return Counts(**{name: answer[name] for name in names})
