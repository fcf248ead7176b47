"""The kinds of jobs over files that are here already, by name: what they need to be told, and what is made of it.

Adding one is a function and a line in `JobTypes`; it can then be asked for many files at once, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StrictBool, StrictInt, ValidationError, model_validator

from app.errors import InvalidParameter, UnknownJobType
from app.jobs.faults import faults
from app.jobs.file_jobs import Plan
from app.jobs.templates import Templates
from app.jobs.transform import TransformRequest, Transforms
from app.processors.registry import Processors
from app.transform.spec import Mapping, Validation

PlanFor = Callable[[UUID], Awaitable[Plan]]
"""The job for the file of this id; raises RequestError for a file that it cannot be made for."""
Prepare = Callable[[str, dict[str, Any]], Awaitable[PlanFor]]
"""For (owner, options), looked at once for all files; raises RequestError for options that cannot be used."""
Options = TypeVar("Options", bound=BaseModel)
OF_PROCESSORS = ("rows", "sentiment", "scoring")


class MappingOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reference_file_id: UUID
    provider: Literal["local", "openai"] = "local"


class TransformOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mapping: dict[str, Any] | None = None
    """As it is written, or its columns as a mapping job proposes them."""
    template_id: UUID | None = None
    template_version: StrictInt | None = None
    output_format: Literal["csv", "jsonl", "parquet"] = "csv"
    validation: Validation | None = None
    dry_run: StrictBool = False

    @model_validator(mode="after")
    def _one_of_them(self) -> TransformOptions:
        if (self.mapping is None) == (self.template_id is None):
            raise ValueError("give either a mapping or a template_id")
        return self


class JobTypes:
    def __init__(self, processors: Processors, templates: Templates, transforms: Transforms) -> None:
        self._processors = processors
        self._templates = templates
        self._transforms = transforms
        self._by_name: dict[str, Prepare] = {
            "analyze": self._analyze,
            "mapping": self._mapping,
            "transform": self._transform,
        }
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

        async def plan(file_id: UUID) -> Plan:
            return Plan("profile", {})

        return plan

    async def _mapping(self, owner: str, options: dict[str, Any]) -> PlanFor:
        given = _validated(MappingOptions, "mapping", options)
        accepted = await self._templates.accepted(owner)

        async def plan(file_id: UUID) -> Plan:
            return Plan(
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

        return plan

    async def _transform(self, owner: str, options: dict[str, Any]) -> PlanFor:
        given = _validated(TransformOptions, "transform", options)
        columns = (given.mapping or {}).get("columns")
        is_proposed = isinstance(columns, list) and bool(columns) and "reference_column" in columns[0]
        mapping = _validated(Mapping, "transform", given.mapping) if given.mapping and not is_proposed else None

        async def plan(file_id: UUID) -> Plan:
            request = TransformRequest(
                file_id,
                given.output_format,
                mapping=mapping,
                proposed=columns if is_proposed else None,
                template_id=given.template_id,
                template_version=given.template_version,
                validation=given.validation,
                dry_run=given.dry_run,
            )
            return await self._transforms.plan(owner, request)

        return plan

    def _of_processor(self, name: str) -> Prepare:
        async def prepare(owner: str, options: dict[str, Any]) -> PlanFor:
            self._processors.check(name, options)

            async def plan(file_id: UUID) -> Plan:
                return Plan(name, options)

            return plan

        return prepare


def _validated(model: type[Options], job_type: str, options: dict[str, Any]) -> Options:
    try:
        return model.model_validate(options)
    except ValidationError as error:
        found = faults(error.errors()[:5], options)
        named = "; ".join(f"{'.'.join(each.place)[:60]}: {each.message[:100]}" for each in found)
        raise InvalidParameter(f"These options of a {job_type} cannot be used: {named}.") from None
