"""The job type `mapping`: one file against a reference file."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from app.features.mapping.processor import MappingProcessor
from app.features.templates.service import Templates
from app.jobs.file_jobs import InputFile, Plan
from app.jobs.job_types import JobType, PlanFor


class MappingOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reference_file_id: UUID
    provider: Literal["local", "openai"] = "local"


def mapping(templates: Templates) -> JobType:
    async def prepare(owner: str, options: MappingOptions) -> PlanFor:
        accepted = await templates.accepted(owner)

        async def plan(file: InputFile) -> Plan:
            return Plan(
                "mapping",
                {
                    "input_file_id": str(file.id),
                    "reference_file_id": str(options.reference_file_id),
                    "provider": options.provider,
                    "accepted": accepted,
                },
                (file.id, options.reference_file_id),
                "profile",
            )

        return plan

    return JobType(
        "mapping", "mapping", MappingProcessor.title, MappingOptions, prepare, is_uploadable=True
    )
