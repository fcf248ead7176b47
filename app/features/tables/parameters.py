"""The options of a load under names of their own: `?table=public.orders&mode=upsert`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator, Field, model_validator

from app.api.parameters import JobOptions, given_twice
from app.features.tables.plan import Mode, OnSchemaChange
from app.jobs.submit import Submission

LOAD = "load"
OPTIONS = ("connection", "mode", "key", "template_id", "on_schema_change", "max_delete")
"""Besides the table."""


def _names(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


class TableParameters(JobOptions):
    table: str | None = Field(
        default=None,
        min_length=1,
        max_length=400,
        pattern=r"^[^\x00]*$",
        description="The table to load the rows into, such as `public.orders`.",
    )
    connection: str | None = Field(
        default=None,
        max_length=40,
        description="Database of the table; one of GET /api/v1/connections.",
    )
    mode: Mode | None = Field(
        default=None,
        description="How to load the table: `append` by default; see the processor `load`.",
    )
    key: Annotated[list[str], BeforeValidator(_names)] | None = Field(
        default=None,
        description="Columns of the table that identify a row, separated by commas.",
    )
    template_id: UUID | None = Field(
        default=None,
        description="Of the table: an accepted mapping to its columns; by their names if not given.",
    )
    on_schema_change: OnSchemaChange | None = Field(
        default=None,
        description="What to do with columns that the table lacks; `refuse` by default.",
    )
    max_delete: str | None = Field(
        default=None,
        max_length=20,
        description="How many rows a `mirror` may delete, such as `100` or `5%`.",
    )

    @model_validator(mode="after")
    def _belong_to_a_table(self) -> TableParameters:
        lonely = next((name for name in OPTIONS if getattr(self, name) is not None), None)
        if self.table is None and lonely is not None:
            raise ValueError(f"`{lonely}` belongs to a load: give `table`, too")
        processor = getattr(self, "processor", LOAD)
        if self.table is not None and "processor" in self.model_fields_set and processor != LOAD:
            raise ValueError("only the processor `load` loads a table")
        return self

    def processor_options(self) -> dict[str, str]:
        """Raises InvalidParameter for one that is given by both of its names."""
        options = super().processor_options()
        for name in ("table", *OPTIONS):
            value = getattr(self, name)
            if value is None:
                continue
            if name in options:
                raise given_twice("query", name)
            options[name] = json.dumps(value) if isinstance(value, list) else str(value)
        return options

    def apply_to(self, submission: Submission, content_type: str) -> Submission:
        submission = super().apply_to(submission, content_type)
        return submission if self.table is None else replace(submission, processor=LOAD)
