"""The job type `load`: a file into a table."""

from __future__ import annotations

from typing import Any

from app.features.tables.loading.processor import NAME, LoadProcessor
from app.features.tables.loading.stored import as_text
from app.features.tables.requests import LoadOptions
from app.features.tables.service import Tables, stored_names
from app.jobs.file_jobs import InputFile, Plan
from app.jobs.job_types import JobType, PlanFor


def load(tables: Tables) -> JobType:
    async def prepare(owner: str, options: LoadOptions) -> PlanFor:
        planned = await tables.planned(owner, options)

        async def plan(file: InputFile) -> Plan:
            load_plan = await planned(file)
            stored: dict[str, Any] = {**stored_names(load_plan), "plan": as_text(load_plan)}
            if load_plan.is_dry_run:
                stored["dry_run"] = True
            if options.template_id is not None:
                stored["template_id"] = str(options.template_id)
            return Plan(NAME, stored, columns=load_plan.names)

        return plan

    return JobType(
        NAME,
        NAME,
        LoadProcessor.title,
        LoadOptions,
        prepare,
        is_uploadable=True,
    )
