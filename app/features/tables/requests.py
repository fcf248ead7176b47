"""Options of a load, as requests name them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StrictInt, field_validator, model_validator

from app.features.tables.plan import KEYED, PROGRESSIVE, Mode, OnSchemaChange, Wanted
from app.features.transform.spec import ColumnSource, OutputColumn
from app.features.transform.spec import Mapping as TransformMapping
from app.processors.options import Options

Identifier = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
TableText = Annotated[str, Field(min_length=1, max_length=400, pattern=r"^[^\x00]*$")]
LIMIT = re.compile(r"\d{1,15}|\d{1,3}(?:\.\d{1,4})?%")
MAX_COLUMNS = 2000


class LoadOptions(Options):
    """A load into a table."""

    table: TableText = Field(
        description=(
            "`orders`, or with its schema `public.orders`; a part with a dot in double quotes."
        )
    )
    connection: str = Field(
        default="",
        max_length=40,
        description="One of GET /api/v1/connections; the service's own database if not given.",
    )
    mode: Mode = Field(
        default="append",
        description=(
            "`create`: a new table. `append`: all rows are new. `upsert`: by key, else new."
            " `update`: by key, others are rejected. `insert_new`: those whose key is there are"
            " skipped. `replace`: all rows are exchanged. `mirror`: upsert, and rows that the file"
            " lacks are deleted."
        ),
    )
    key: list[Identifier] = Field(
        default=[],
        max_length=32,
        description="Columns of the table that identify a row; its primary key by default.",
    )
    columns: dict[Identifier, Identifier | ColumnSource] | None = Field(
        default=None,
        max_length=MAX_COLUMNS,
        description=(
            "The column of the file for each column of the table, or `from` with the steps of a "
            "transform; others are not loaded. By default columns are matched by name."
        ),
    )
    template_id: UUID | None = Field(
        default=None,
        description="Instead of `columns`, an accepted mapping: to the columns of the table.",
    )
    template_version: StrictInt | None = Field(
        default=None, description="Of the template; its latest if not given."
    )
    on_schema_change: OnSchemaChange = Field(
        default="refuse",
        description=(
            "What to do with columns that the table lacks. `rescue`: one JSON object in"
            " `rescue_column`."
        ),
    )
    rescue_column: Identifier = "_rescued"
    types: dict[Identifier, Annotated[str, Field(max_length=100)]] = Field(
        default={},
        max_length=MAX_COLUMNS,
        description="For `create`: types of columns that replace those of the analysis.",
    )
    visibility: Literal["atomic", "progressive"] = Field(
        default="atomic",
        description=(
            "`atomic`: readers see the table either before or after the load. `progressive`: the"
            " rows of each chunk as soon as it is done; they stay if the load fails later."
        ),
    )
    max_delete: str = Field(
        default="",
        max_length=20,
        description="How many rows a `mirror` may delete, such as `100` or `5%`.",
    )
    empty: Literal["null", "text"] = Field(
        default="null", description="What an empty cell means in a text column."
    )
    dry_run: bool = Field(
        default=False,
        description="Report what the load would do, with samples, and leave the table as it is.",
    )

    record: bool = Field(
        default=True,
        description=(
            "Keep what the load writes and replaces for UNDO_KEEP_DAYS, for undo, proof and "
            "the history of rows."
        ),
    )

    @field_validator("max_delete")
    @classmethod
    def _is_limit(cls, value: str) -> str:
        if value and not LIMIT.fullmatch(value):
            raise ValueError("must be a number of rows, or a percentage such as 5%")
        return value

    @model_validator(mode="after")
    def _fits_mode(self) -> LoadOptions:
        if (self.mode == "mirror") != bool(self.max_delete):
            raise ValueError("`mirror` needs max_delete, and no other mode takes it")
        if self.types and self.mode != "create":
            raise ValueError("only `create` takes types")
        if self.columns is not None and self.template_id is not None:
            raise ValueError("give either columns or a template_id")
        if self.template_version is not None and self.template_id is None:
            raise ValueError("`template_version` belongs to a template_id")
        if self.visibility == "progressive":
            self._check_progressive()
        return self

    def _check_progressive(self) -> None:
        if self.mode not in PROGRESSIVE:
            raise ValueError(
                f"`progressive` writes chunk by chunk, and `{self.mode}` is about the whole table:"
                f" use one of {', '.join(PROGRESSIVE)}"
            )
        if self.dry_run:
            raise ValueError("a dry run writes nothing, so that it cannot be `progressive`")
        if self.on_schema_change == "add_columns":
            raise ValueError("`progressive` needs a table that has all columns already")
        if self.mode in KEYED and not self.record:
            raise ValueError(
                f"a progressive `{self.mode}` needs its record, to tell rows with the same key"
            )

    def wanted(self) -> Wanted:
        """Return what is wanted, but for columns that steps make."""
        plain = tuple(
            (target, source)
            for target, source in (self.columns or {}).items()
            if isinstance(source, str)
        )
        return Wanted(
            mode=self.mode,
            key=tuple(self.key),
            columns=None if self.columns is None else plain,
            on_schema_change=self.on_schema_change,
            rescue_column=self.rescue_column,
            visibility=self.visibility,
            max_delete=self.max_delete,
            empty=self.empty,
            is_dry_run=self.dry_run,
            keeps_record=self.record,
        )

    @property
    def has_steps(self) -> bool:
        """Return whether a template or steps say how columns are made."""
        is_made = any(isinstance(source, ColumnSource) for source in (self.columns or {}).values())
        return is_made or self.template_id is not None

    @property
    def mapping(self) -> TransformMapping | None:
        """Return all `columns` as the mapping of a transform; None if a template has it."""
        if self.columns is None:
            return None
        columns = []
        for target, source in self.columns.items():
            document: dict[str, Any] = {"from": source}
            if isinstance(source, ColumnSource):
                document = source.model_dump(by_alias=True, exclude_unset=True)
            columns.append(OutputColumn.model_validate({"name": target, **document}))
        return TransformMapping(columns=columns)
