"""Job type `transform`: one file by a mapping or a template."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StrictBool, StrictInt, model_validator

from app.features.transform.processor import TransformProcessor
from app.features.transform.service import TransformRequest, Transforms
from app.features.transform.spec import Mapping, Validation
from app.jobs.file_jobs import InputFile, Plan
from app.jobs.job_types import JobType, PlanFor
from app.processors.options import validated


class TransformOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mapping: dict[str, Any] | None = None
    """Mapping as a user writes it, or its columns as a mapping job proposes them."""
    template_id: UUID | None = None
    template_version: StrictInt | None = None
    output_format: Literal["csv", "jsonl", "parquet", "arrow", "xlsx"] = "csv"
    validation: Validation | None = None
    dry_run: StrictBool = False

    @model_validator(mode="after")
    def _one_of_them(self) -> TransformOptions:
        if (self.mapping is None) == (self.template_id is None):
            raise ValueError("give either `mapping` or `template_id`")
        return self


def _is_proposed(columns: Any) -> bool:
    """Return whether these are the columns of a mapping job, which name those of the reference."""
    if not isinstance(columns, list) or not columns:
        return False
    return isinstance(columns[0], dict) and "reference_column" in columns[0]


def transform(transforms: Transforms) -> JobType:
    async def prepare(owner: str, options: TransformOptions) -> PlanFor:
        columns = (options.mapping or {}).get("columns")
        is_proposed = _is_proposed(columns)
        mapping = (
            validated(Mapping, "a transform", options.mapping)
            if options.mapping and not is_proposed
            else None
        )

        async def plan(file: InputFile) -> Plan:
            request = TransformRequest(
                options.output_format,
                mapping=mapping,
                proposed=columns if is_proposed else None,
                template_id=options.template_id,
                template_version=options.template_version,
                validation=options.validation,
                dry_run=options.dry_run,
            )
            return await transforms.plan(owner, file, request)

        return plan

    return JobType(
        "transform",
        "transform",
        TransformProcessor.title,
        TransformOptions,
        prepare,
        is_uploadable=True,
    )
