"""The job type `mapping`: one file against a reference file."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, model_validator

from app.features.mapping.processor import MappingProcessor
from app.features.templates.service import Templates
from app.jobs.file_jobs import InputFile, Plan
from app.jobs.job_types import JobType, PlanFor


class MappingOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reference_file_id: UUID | None = None
    template_id: UUID | None = None
    provider: Literal["local", "openai"] = "local"

    @model_validator(mode="after")
    def _one_of_them(self) -> MappingOptions:
        if (self.reference_file_id is None) == (self.template_id is None):
            raise ValueError("give either a reference_file_id or a template_id")
        return self


def mapping(templates: Templates) -> JobType:
    async def prepare(owner: str, options: MappingOptions) -> PlanFor:
        chosen: dict[str, Any] = {
            "provider": options.provider,
            "accepted": await templates.accepted(owner),
        }
        part_files: tuple[UUID, ...] = ()
        if options.reference_file_id is not None:
            part_files = (options.reference_file_id,)
            chosen["reference_file_id"] = str(options.reference_file_id)
        if options.template_id is not None:
            template = await templates.get(options.template_id, owner, None)
            chosen["template_id"] = str(options.template_id)
            chosen["target"] = _target(template)
            chosen["kept"] = template["columns"]

        async def plan(file: InputFile) -> Plan:
            options_of_job = {"input_file_id": str(file.id), **chosen}
            return Plan("mapping", options_of_job, (file.id, *part_files), "profile")

        return plan

    return JobType(
        "mapping", "mapping", MappingProcessor.title, MappingOptions, prepare, is_uploadable=True
    )


def _target(template: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the columns that a template wants, as far as they are known."""
    known = {column["name"]: column for column in template["target"]}
    mapped = [column["reference_column"] for column in template["columns"]]
    names = [*known, *(name for name in mapped if name not in known)]
    return [{"name": name, "type": "text", "values": [], **known.get(name, {})} for name in names]
