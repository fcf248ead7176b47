"""What the routes of templates take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.answers import LIMIT, OFFSET, Answer, Shown

Header = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]
Title = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class TemplateColumn(BaseModel):
    """Where the values of a reference column come from: no column, one, or several that are
    joined.
    """

    model_config = ConfigDict(extra="forbid")

    reference_column: Header
    input_columns: list[Header] = Field(default=[], max_length=20)
    conversion: list[dict[str, Any]] = Field(
        default=[], max_length=50, description="Steps as a mapping proposes them."
    )


class NewTemplate(BaseModel):
    """Either the columns, or the mapping job whose result is accepted as it is."""

    model_config = ConfigDict(extra="forbid")

    name: Title
    columns: list[TemplateColumn] | None = Field(default=None, max_length=1000)
    job_id: UUID | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> NewTemplate:
        if self.columns is None and self.job_id is None:
            raise ValueError("give columns, or the job_id of a mapping")
        return self


class EditedTemplate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Title | None = None
    columns: list[TemplateColumn] = Field(max_length=1000)


class KeptColumn(Answer):
    """Where the values of a reference column come from."""

    reference_column: str = Field(description="The column that is made.")
    input_columns: list[str] = Field(
        description="The columns that it is made of; empty if there is none."
    )
    conversion: list[Shown] = Field(description="Steps that convert the values.")


class Template(Answer):
    """An accepted mapping in one of its versions."""

    template_id: UUID = Field(description="Of the template, in all its versions.")
    version: int = Field(description="From 1.")
    name: str = Field(description="Its name.")
    columns: list[KeptColumn] = Field(
        description="The mapping, in the order of the reference columns."
    )
    job_id: UUID | None = Field(
        description="The mapping job that it was made of; null if it was written by hand."
    )
    created_at: datetime = Field(description="When this version was made.")


class TemplateList(Answer):
    """The latest version of each template, newest first."""

    items: list[Template] = Field(description="At most `limit`.")
    limit: int = Field(description=LIMIT)
    offset: int = Field(description=OFFSET)
