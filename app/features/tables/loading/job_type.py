"""The job type `load`: a file into a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.db.engine import Database
from app.errors import InvalidParameter, UnknownTable
from app.features.tables.catalogue import parse_name, read_definition
from app.features.tables.definition import TableDefinition, TableName
from app.features.tables.loading.processor import NAME, LoadProcessor
from app.features.tables.loading.stored import as_text
from app.features.tables.plan import Wanted, plan_load
from app.jobs.file_jobs import InputFile, Plan
from app.jobs.job_types import JobType, PlanFor
from app.processors.options import validated

LIMIT = re.compile(r"\d{1,18}|\d{1,3}(\.\d{1,6})?%")


class LoadOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    table: str = Field(description="Such as `public.orders`; without a schema, of the default one.")
    mode: Literal["append", "upsert", "update", "insert_new", "replace", "mirror"] = "append"
    key: list[str] = Field(
        default=[], description="Of the table, for modes that compare; its primary key by default."
    )
    columns: dict[str, str] | None = Field(
        default=None,
        description="By column of the table that of the file; by their names if not given.",
    )
    on_schema_change: Literal["refuse", "ignore"] = Field(
        default="refuse", description="What becomes of columns that the table lacks."
    )
    empty: Literal["null", "text"] = Field(
        default="null", description="What an empty cell of a text column becomes."
    )
    max_delete: str = Field(
        default="",
        description="Of a mirror: how many rows it may delete, or which percentage (`10%`).",
    )


def load(database: Database, default_schema: str) -> JobType:
    """`default_schema`: of names without one."""

    async def prepare(owner: str, options: Mapping[str, Any]) -> PlanFor:
        given = validated(LoadOptions, "a load", options)
        if given.mode == "mirror" and not LIMIT.fullmatch(given.max_delete):
            raise InvalidParameter(
                "A mirror needs max_delete: a number of rows, or a percentage such as 10%."
            )
        definition = await _definition(database, given.table, default_schema)
        pairs = None if given.columns is None else tuple(given.columns.items())
        wanted = Wanted(
            given.mode,
            tuple(given.key),
            pairs,
            given.on_schema_change,
            max_delete=given.max_delete,
            empty=given.empty,
        )

        async def plan(file: InputFile) -> Plan:
            load_plan = plan_load(file.dialect.get("columns", []), definition, wanted)
            options = {
                "table": str(definition.name),
                "connection": definition.name.connection,
                "mode": given.mode,
                "plan": as_text(load_plan),
            }
            return Plan(NAME, options, columns=load_plan.names)

        return plan

    return JobType(NAME, NAME, LoadProcessor.title, LoadOptions, prepare)


async def _definition(database: Database, table: str, default_schema: str) -> TableDefinition:
    """Raises UnknownTable."""
    name = parse_name(table)
    definition = None
    if name is not None:
        async with database.reading() as connection:
            wanted = TableName(name[0] or default_schema, name[1])
            definition = await read_definition(connection, wanted)
    if definition is None:
        raise UnknownTable(f"There is no table {table[:100]!r}.")
    return definition
