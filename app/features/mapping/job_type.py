"""The job type `mapping`: one file against a reference file."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from app.features.templates.service import Templates
from app.jobs.file_jobs import Plan
from app.jobs.job_types import PlanFor, Prepare, validated


class MappingOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reference_file_id: UUID
    provider: Literal["local", "openai"] = "local"


def mapping(templates: Templates) -> Prepare:
    async def prepare(owner: str, options: dict[str, Any]) -> PlanFor:
        given = validated(MappingOptions, "mapping", options)
        accepted = await templates.accepted(owner)

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

    return prepare
