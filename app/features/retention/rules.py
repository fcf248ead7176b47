"""Rules of retention: how long each kind of data is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a rule deletes."""

    BYTES = "bytes"
    """The stored file. Results and rejects stay."""
    ROWS = "rows"
    """The results in the tables of the service."""
    REJECTS = "rejects"
    """The rejected rows."""
    JOBS = "jobs"
    """The file with all its jobs and everything that belongs to them."""


@dataclass(frozen=True, slots=True)
class Days:
    """Days after the end of a job until one kind of its data is deleted. None: never."""

    default: float | None
    by_processor: Mapping[str, float]
    """Days for the jobs of single processors, instead of the default."""

    @property
    def is_off(self) -> bool:
        return self.default is None and not self.by_processor


def rules_of(setting: Mapping[str, float]) -> dict[Kind, Days]:
    """Return the rules of a setting such as {"bytes": 7, "sentiment.rows": 30}."""
    return {kind: _days(kind, setting) for kind in Kind}


def _days(kind: Kind, setting: Mapping[str, float]) -> Days:
    by_processor = {
        processor: days for processor, named, days in _by_processor(setting) if named == kind
    }
    return Days(setting.get(kind), by_processor)


def _by_processor(setting: Mapping[str, float]) -> Iterator[tuple[str, str, float]]:
    """Yield (processor, kind, days)."""
    for name, days in setting.items():
        processor, dot, kind = name.rpartition(".")
        if dot:
            yield processor, kind, days
