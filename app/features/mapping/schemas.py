"""Request and answer of a mapping."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.answers import Answer, sometimes
from app.api.parameters import Priority

CONFIDENCE = "Share of pairs like this one that were right, 0 to 1."


class MappingRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    input_file_id: UUID = Field(description="Id of the upload with the columns that you have.")
    reference_file_id: UUID | None = Field(
        default=None, description="Id of an upload with the columns that you want; some rows help."
    )
    template_id: UUID | None = Field(
        default=None,
        description="Id of a template with the columns that you want, instead of a reference file."
        " Columns that it maps already are mapped, and converted, as it says.",
    )
    provider: Literal["local", "openai"] = Field(
        default="local",
        description=(
            "`openai` asks the endpoint of the settings, and falls back to `local` with a note if"
            " that fails."
        ),
    )
    priority: Priority = 0

    @model_validator(mode="after")
    def _one_of_them(self) -> MappingRequest:
        if (self.reference_file_id is None) == (self.template_id is None):
            raise ValueError("give either a reference_file_id or a template_id")
        return self


class RunnerUp(Answer):
    """Column that was not chosen."""

    input_column: str = Field(description="Its name.")
    confidence: float = Field(description=CONFIDENCE)


class LostValue(Answer):
    """Value that a conversion refuses, or of which it does not keep all."""

    row_number: int = Field(description="Its row in the file, from 1.")
    value: str = Field(description="The value; joined by `+` if it is from several columns.")


class ConvertedValue(Answer):
    """What a conversion makes of a value."""

    before: str = Field(description="The value in the input.")
    after: str = Field(description="The value in the new file.")


class Trial(Answer):
    """What a conversion made of rows of the file: some from its beginning, its middle and its end."""

    rows: int = Field(description="Rows of the sample that have a value.")
    lost: int = Field(description="Rows of them that it would refuse, or of which it loses a part.")
    lost_values: list[LostValue] = Field(description="The first of these, at most 5.")
    examples: list[ConvertedValue] = Field(description="Values that it keeps, at most 3.")


class ShownColumn(Answer):
    """Column of one of the files."""

    name: str = Field(description="Its name.")
    type: str = Field(description="Type of its values: number, date, boolean or text.")
    values: list[str] = Field(description="Some of its values, at most 3.")


class ColumnMatch(Answer):
    """Source of the values of a reference column."""

    reference_column: str = Field(description="Name of the reference column.")
    input_column: str | None = Field(
        description="Name of the matching input column; null if there is none or several."
    )
    input_columns: list[str] = Field(
        description="All input columns that it is made of; empty if there is none."
    )
    confidence: float = Field(description=CONFIDENCE)
    reason: str = Field(description="Why, in a sentence.")
    runners_up: list[RunnerUp] = Field(description="The next best columns.")
    conversion: list[dict[str, Any]] = Field(
        description=(
            "Steps of a transform that convert the values; with `decide`, one that you are asked"
            " about."
        )
    )
    trial: Trial = sometimes(
        "What the conversion makes of a sample of the rows; absent without a conversion, and while a"
        " question about it is open."
    )


class SimilarityMatrix(Answer):
    """Confidence of all pairs of columns."""

    reference_columns: list[str] = Field(description="The rows of `similarity`.")
    input_columns: list[str] = Field(description="The columns of `similarity`.")
    similarity: list[list[float]] = Field(description="Confidence of each pair, 0 to 1.")


class ColumnMapping(Answer):
    """Matching columns of two files."""

    input_file_id: UUID = Field(description="Id of the input file.")
    reference_file_id: UUID | None = Field(
        description="Id of the reference file; null if a template has the wanted columns."
    )
    template_id: UUID | None = Field(
        description="Id of the template with the wanted columns; null if a file has them."
    )
    provider: Literal["local", "openai"] = Field(description="Provider that matched the columns.")
    embeddings: bool = Field(description="Whether a sentence model compared the names.")
    notes: list[str] = Field(description="Notes on what was done differently than requested.")
    mappings: list[ColumnMatch] = Field(
        description="One for each reference column, in their order."
    )
    matched: int = Field(description="Number of reference columns that have a match.")
    to_check: int = Field(
        description="Number of them whose confidence is below 0.5, so that they need a look."
    )
    sampled_rows: int = Field(description="Rows of the input that the conversions were run on.")
    input_columns: list[ShownColumn] = Field(description="The columns of the input.")
    reference_columns: list[ShownColumn] = Field(description="The columns of the reference.")
    unused_input_columns: list[str] = Field(description="Input columns that are not used.")
    matrix: SimilarityMatrix = sometimes(
        "Confidence of all pairs; absent if they are too many to show."
    )
