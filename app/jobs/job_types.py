"""The types of jobs over files: their options, and the job that each makes of a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from app.errors import InvalidParameter, UnknownJobType
from app.jobs.file_jobs import InputFile, Plan
from app.processors.base import Processor
from app.processors.options import Options, as_json, restored, validated, validated_some
from app.processors.registry import Processors

PlanFor = Callable[[InputFile], Awaitable[Plan]]
"""Returns the job for a file with rows; raises RequestError if it cannot run over this file."""
Prepare = Callable[[str, Any], Awaitable[PlanFor]]
"""Prepares (owner, typed options) once for all files; raises RequestError for options that cannot be
used.
"""


def not_checked(options: Any) -> None:
    """Options of the right types can be used."""


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
    check: Callable[[Any], None] = not_checked
    """Raises a RequestError for options of the right types that cannot be used."""

    @property
    def whose(self) -> str:
        """Owner of the options in error messages."""
        return f"the processor {self.processor}"

    def read(self, values: Mapping[str, Any]) -> BaseModel:
        """Return the typed options, from JSON or texts. Raises InvalidParameter, and the type's
        RequestError for options that cannot be used.
        """
        options = validated(self.options, self.whose, values)
        self.check(options)
        return options

    async def plan_for(self, owner: str, values: Mapping[str, Any]) -> PlanFor:
        """Check the options and prepare the job; raises RequestError for invalid options."""
        return await self.prepare(owner, self.read(values))

    async def plan_for_checked(self, owner: str, values: Mapping[str, Any]) -> PlanFor:
        """Prepare the job from options that `read` has accepted before."""
        return await self.prepare(owner, restored(self.options, self.whose, values))


class JobTypes:
    """The job types: one for each processor of single files, and those that features add."""

    def __init__(self, processors: Processors) -> None:
        self._processors = processors
        self._by_name: dict[str, JobType] = {}
        for name in processors.uploadable:
            self._by_name[name] = of_processor(processors.get(name))

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
        job_type = self._find(name)
        if job_type is None:
            raise UnknownJobType(
                f"There is no job type {name[:60]!r}; there are: {', '.join(self.names)}."
            )
        return job_type

    def _find(self, name: str) -> JobType | None:
        job_type = self._by_name.get(name)
        if job_type is not None:
            return job_type
        return next((other for other in self._by_name.values() if other.name == name), None)

    def of_upload(self, processor: str) -> JobType:
        """Return the type that an upload with this processor starts; raises UnknownProcessor, and
        InvalidParameter for a processor that uploads cannot name.
        """
        job_type = self._find(processor)
        if job_type is not None and job_type.is_uploadable:
            return job_type
        raise InvalidParameter(self._processors.get(processor).made_by)

    def options(self, processor: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of an upload as JSON, from JSON or texts. Raises UnknownProcessor,
        InvalidParameter, and the type's RequestError for options that cannot be used.
        """
        return as_json(self.of_upload(processor).read(values))

    def options_so_far(self, processor: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the same, or None if required options are missing that may still come."""
        job_type = self.of_upload(processor)
        options = validated_some(job_type.options, job_type.whose, values)
        if options is None:
            return None
        job_type.check(options)
        return as_json(options)


def of_processor(processor: Processor) -> JobType:
    """Return the type that runs this processor over one file, with the processor's options."""

    async def prepare(owner: str, options: Options) -> PlanFor:
        async def plan(file: InputFile) -> Plan:
            return Plan(processor.name, as_json(options))

        return plan

    return JobType(
        processor.job_type or processor.name,
        processor.name,
        processor.title or processor.name,
        processor.options,
        prepare,
        is_uploadable=True,
        is_configured=processor.is_configured,
        check=processor.check,
    )
