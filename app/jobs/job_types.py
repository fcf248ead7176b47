"""The kinds of jobs over files that are here already, by name: what they need to be told, and what is made of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from app.errors import InvalidParameter, UnknownJobType
from app.jobs.faults import faults
from app.jobs.file_jobs import Plan
from app.processors.registry import Processors

PlanFor = Callable[[UUID], Awaitable[Plan]]
"""The job for the file of this id; raises RequestError for a file that it cannot be made for."""
Prepare = Callable[[str, dict[str, Any]], Awaitable[PlanFor]]
"""For (owner, options), looked at once for all files; raises RequestError for options that cannot be used."""
Options = TypeVar("Options", bound=BaseModel)
OF_PROCESSORS = ("rows", "sentiment", "scoring")


class JobTypes:
    """Those of the processors, and those that features add."""

    def __init__(self, processors: Processors) -> None:
        self._by_name: dict[str, Prepare] = {name: of_processor(processors, name) for name in OF_PROCESSORS}

    def add(self, job_types: Mapping[str, Prepare]) -> None:
        self._by_name |= job_types

    @property
    def names(self) -> list[str]:
        return sorted(self._by_name)

    async def prepare(self, name: str, owner: str, options: dict[str, Any]) -> PlanFor:
        """Raises UnknownJobType, and the RequestError that the type has for the options."""
        prepare = self._by_name.get(name)
        if prepare is None:
            raise UnknownJobType(f"There is no job type {name[:60]!r}; there are: {', '.join(self.names)}.")
        return await prepare(owner, options)


def of_processor(processors: Processors, name: str) -> Prepare:
    """The job that runs this processor over one file, with the options that it takes."""

    async def prepare(owner: str, options: dict[str, Any]) -> PlanFor:
        processors.check(name, options)

        async def plan(file_id: UUID) -> Plan:
            return Plan(name, options)

        return plan

    return prepare


def validated(model: type[Options], job_type: str, options: dict[str, Any]) -> Options:
    try:
        return model.model_validate(options)
    except ValidationError as error:
        found = faults(error.errors()[:5], options)
        named = "; ".join(f"{'.'.join(each.place)[:60]}: {each.message[:100]}" for each in found)
        raise InvalidParameter(f"These options of a {job_type} cannot be used: {named}.") from None
