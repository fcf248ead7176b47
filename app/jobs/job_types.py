"""The types of jobs over files: their options, and the job that each makes of a file."""

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
"""Returns the job for a file with rows; raises RequestError if it cannot run over this file."""
Prepare = Callable[[str, Mapping[str, Any]], Awaitable[PlanFor]]
"""Checks (owner, options) once for all files; raises RequestError for invalid options."""


@dataclass(frozen=True, slots=True)
class JobType:
    name: str
    processor: str
    title: str
    options: type[BaseModel]
    prepare: Prepare
    is_uploadable: bool = False
    """Whether an upload may name its processor."""
    is_configured: bool = True
    """Whether the settings for it are complete."""


class JobTypes:
    """The job types: one for each processor of single files, and those that features add."""

    def __init__(self, processors: Processors) -> None:
        self._by_name: dict[str, JobType] = {}
        for name in processors.uploadable:
            self._by_name[name] = of_processor(processors, processors.get(name))

    def add(self, job_types: Iterable[JobType]) -> None:
        self._by_name |= {job_type.name: job_type for job_type in job_types}

    @property
    def all(self) -> list[JobType]:
        """Return all types, sorted by name."""
        return sorted(
            {job_type.name: job_type for job_type in self._by_name.values()}.values(),
            key=lambda t: t.name,
        )

    @property
    def names(self) -> list[str]:
        return [job_type.name for job_type in self.all]

    def get(self, name: str) -> JobType:
        """Return the type with this name or this processor; raises UnknownJobType."""
        job_type = self._by_name.get(name)
        if job_type is None:
            types = self._by_name.values()
            job_type = next((candidate for candidate in types if candidate.name == name), None)
        if job_type is None:
            raise UnknownJobType(
                f"There is no job type {name[:60]!r}; there are: {', '.join(self.names)}."
            )
        return job_type


def of_processor(processors: Processors, processor: Processor) -> JobType:
    """Return the type that runs this processor over one file, with the processor's options."""

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
