"""The job type `mapping`: one file against a reference file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from app.features.mapping.processor import MappingProcessor
from app.features.templates.service import Templates
from app.jobs.file_jobs import InputFile, Plan
from app.jobs.job_types import JobType, PlanFor
from app.processors.options import validated


class MappingOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reference_file_id: UUID
    provider: Literal["local", "openai"] = "local"


def mapping(templates: Templates) -> JobType:
    async def prepare(owner: str, options: Mapping[str, Any]) -> PlanFor:
        given = validated(MappingOptions, "a mapping", options)
        accepted = await templates.accepted(owner)

        async def plan(file: InputFile) -> Plan:
            return Plan(
                "mapping",
                {
                    "input_file_id": str(file.id),
                    "reference_file_id": str(given.reference_file_id),
                    "provider": given.provider,
                    "accepted": accepted,
                },
                (file.id, given.reference_file_id),
                "profile",
            )

        return plan

    return JobType("mapping", "mapping", MappingProcessor.title, MappingOptions, prepare)
