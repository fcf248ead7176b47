"""The kinds of jobs over files, by name: what they need to be told, and what is made of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from app.errors import UnknownJobType
from app.jobs.file_jobs import InputFile, Plan
from app.processors.base import Processor
from app.processors.options import as_json
from app.processors.registry import Processors

PlanFor = Callable[[InputFile], Awaitable[Plan]]
"""The job for this file, which holds rows; raises RequestError if it cannot be made for it."""
Prepare = Callable[[str, Mapping[str, Any]], Awaitable[PlanFor]]
"""For (owner, options), looked at once for all files; raises RequestError for options that cannot
be used.
"""


@dataclass(frozen=True, slots=True)
class JobType:
    name: str
    processor: str
    title: str
    options: type[BaseModel]
    prepare: Prepare
    is_uploadable: bool = False
    """Whether an upload may name its processor."""
    plans_uploads: bool = False
    """Whether its processor takes, of an upload too, not the options of the type, but what `prepare`
    makes of them and of the file.
    """
    is_configured: bool = True
    """Whether the settings name all that it needs."""


class JobTypes:
    """Each processor that works on a file by itself, and those that features add."""

    def __init__(self, processors: Processors) -> None:
        self._by_name: dict[str, JobType] = {}
        for name in processors.uploadable:
            self._by_name[name] = of_processor(processors, processors.get(name))

    def add(self, job_types: Iterable[JobType]) -> None:
        self._by_name |= {job_type.name: job_type for job_type in job_types}

    @property
    def all(self) -> list[JobType]:
        """By name."""
        return sorted(
            {job_type.name: job_type for job_type in self._by_name.values()}.values(),
            key=lambda t: t.name,
        )

    @property
    def names(self) -> list[str]:
        return [job_type.name for job_type in self.all]

    def planning(self, processor: str) -> JobType | None:
        """The type that plans the jobs of this processor over uploads; None if it takes its options
        as they are.
        """
        return next(
            (each for each in self.all if each.processor == processor and each.plans_uploads), None
        )

    def get(self, name: str) -> JobType:
        """By the name of the type, or of its processor; raises UnknownJobType."""
        job_type = self._by_name.get(name)
        if job_type is None:
            job_type = next((each for each in self._by_name.values() if each.name == name), None)
        if job_type is None:
            raise UnknownJobType(
                f"There is no job type {name[:60]!r}; there are: {', '.join(self.names)}."
            )
        return job_type


def of_processor(processors: Processors, processor: Processor) -> JobType:
    """The job that runs this processor over one file, with the options that it takes."""

    async def prepare(owner: str, options: Mapping[str, Any]) -> PlanFor:
        typed = as_json(processors.options(processor.name, options))

        async def plan(file: InputFile) -> Plan:
            return Plan(processor.name, typed)

        return plan

    return JobType(
        processor.job_type or processor.name,
        processor.name,
        processor.title or processor.name,
        processor.options,
        prepare,
        is_uploadable=True,
        is_configured=processor.is_configured,
    )
