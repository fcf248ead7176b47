"""Request and response models of templates."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from app.api.answers import LIMIT, OFFSET, Answer, Shown

Header = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]
Title = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class TemplateColumn(BaseModel):
    """Source of a reference column: no column, one, or several that are joined."""

    model_config = ConfigDict(extra="forbid")

    reference_column: Header
    input_columns: list[Header] = Field(default=[], max_length=20)
    conversion: list[dict[str, Any]] = Field(
        default=[], max_length=50, description="Steps, as proposed by a mapping."
    )


Value = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]


class TargetColumn(BaseModel):
    """A column that is wanted."""

    model_config = ConfigDict(extra="forbid")

    name: Header
    type: Literal["text", "number", "date", "boolean"] = "text"
    required: StrictBool = Field(
        default=False, description="Whether each row is to have a value in it."
    )
    values: list[Value] = Field(
        default=[],
        max_length=20,
        description="Some values, written as they are wanted: a mapping converts to their form.",
    )


class NewTemplate(BaseModel):
    """The columns that are wanted, how they are made from others, or both; or the mapping job whose
    result is accepted unchanged.
    """

    model_config = ConfigDict(extra="forbid")

    name: Title
    columns: list[TemplateColumn] | None = Field(default=None, max_length=1000)
    target: list[TargetColumn] | None = Field(
        default=None, min_length=1, max_length=1000, description="The columns that are wanted."
    )
    job_id: UUID | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> NewTemplate:
        if self.columns is None and self.target is None and self.job_id is None:
            raise ValueError("give columns, a target, or the job_id of a mapping")
        return self


class EditedTemplate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Title | None = None
    columns: list[TemplateColumn] = Field(max_length=1000)
    target: list[TargetColumn] | None = Field(
        default=None,
        min_length=1,
        max_length=1000,
        description="The columns that are wanted; those of the earlier version by default.",
    )


class KeptTarget(Answer):
    """A column that is wanted."""

    name: str = Field(description="Its name.")
    type: str = Field(description="Type of its values: text, number, date or boolean.")
    required: bool = Field(description="Whether each row is to have a value in it.")
    values: list[str] = Field(description="Some values in the wanted form.")


class KeptColumn(Answer):
    """Source of a reference column."""

    reference_column: str = Field(description="The reference column.")
    input_columns: list[str] = Field(description="The input columns; empty if there is none.")
    conversion: list[Shown] = Field(description="Steps that convert the values.")


class Template(Answer):
    """A version of an accepted mapping."""

    template_id: UUID = Field(description="Id of the template, the same for all versions.")
    version: int = Field(description="From 1.")
    name: str = Field(description="Its name.")
    columns: list[KeptColumn] = Field(
        description="The mapping, in the order of the reference columns."
    )
    target: list[KeptTarget] = Field(
        description="The columns that are wanted; empty if nothing but their names is known."
    )
    job_id: UUID | None = Field(
        description="The mapping job that it came from; null if it was written by hand."
    )
    created_at: datetime = Field(description="Time when this version was created.")


class TemplateList(Answer):
    """The latest version of each template, newest first."""

    items: list[Template] = Field(description="At most `limit`.")
    limit: int = Field(description=LIMIT)
    offset: int = Field(description=OFFSET)
