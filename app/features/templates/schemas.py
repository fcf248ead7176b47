"""What a template is made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Header = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]
Title = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class TemplateColumn(BaseModel):
    """Where the values of a reference column come from: no column, one, or several that are joined."""

    model_config = ConfigDict(extra="forbid")

    reference_column: Header
    input_columns: list[Header] = Field(default=[], max_length=20)
    conversion: list[dict[str, Any]] = Field(default=[], max_length=50, description="Steps as a mapping proposes them.")
