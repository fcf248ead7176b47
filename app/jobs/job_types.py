"""The kinds of jobs over files that are here already, by name: what they need to be told, and what is made of it.

Adding one is a function and a line in `JobTypes`; it can then be asked for many files at once, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import InvalidParameter, UnknownJobType
from app.jobs.file_jobs import Plan
from app.jobs.templates import Templates
from app.processors.registry import Processors

PlanFor = Callable[[UUID], Plan]
"""The job for the file of this id."""
Prepare = Callable[[str, dict[str, Any]], Awaitable[PlanFor]]
"""For (owner, options), looked at once for all files; raises RequestError for options that cannot be used."""
OF_PROCESSORS = ("rows", "sentiment", "scoring")


class MappingOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reference_file_id: UUID
    provider: Literal["local", "openai"] = "local"


class JobTypes:
    def __init__(self, processors: Processors, templates: Templates) -> None:
        self._processors = processors
        self._templates = templates
        self._by_name: dict[str, Prepare] = {"analyze": self._analyze, "mapping": self._mapping}
        for name in OF_PROCESSORS:
            self._by_name[name] = self._of_processor(name)

    @property
    def names(self) -> list[str]:
        return sorted(self._by_name)

    async def prepare(self, name: str, owner: str, options: dict[str, Any]) -> PlanFor:
        """Raises UnknownJobType, and the RequestError that the type has for the options."""
        prepare = self._by_name.get(name)
        if prepare is None:
            raise UnknownJobType(f"There is no job type {name[:60]!r}; there are: {', '.join(self.names)}.")
        return await prepare(owner, options)

    async def _analyze(self, owner: str, options: dict[str, Any]) -> PlanFor:
        self._processors.check("profile", options)
        return lambda file_id: Plan("profile", {})

    async def _mapping(self, owner: str, options: dict[str, Any]) -> PlanFor:
        try:
            given = MappingOptions.model_validate(options)
        except ValidationError as error:
            named = ", ".join(".".join(map(str, each["loc"]))[:60] for each in error.errors())
            raise InvalidParameter(f"These options of a mapping cannot be used: {named}.") from None
        accepted = await self._templates.accepted(owner)
        return lambda file_id: Plan(
            "mapping",
            {
                "input_file_id": str(file_id),
                "reference_file_id": str(given.reference_file_id),
                "provider": given.provider,
                "accepted": accepted,
            },
            (file_id, given.reference_file_id),
            "profile",
        )

    def _of_processor(self, name: str) -> Prepare:
        async def prepare(owner: str, options: dict[str, Any]) -> PlanFor:
            self._processors.check(name, options)
            return lambda file_id: Plan(name, options)

        return prepare
