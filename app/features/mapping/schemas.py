"""Request and answer of a mapping."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.answers import Answer, sometimes
from app.api.parameters import Priority

CONFIDENCE = "Share of pairs like this one that were right, 0 to 1."


class MappingRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    input_file_id: UUID = Field(description="Id of the upload with the columns that you have.")
    reference_file_id: UUID = Field(
        description="Id of an upload with the columns that you want; some rows help."
    )
    provider: Literal["local", "openai"] = Field(
        default="local",
        description=(
            "`openai` asks the endpoint of the settings, and falls back to `local` with a note if"
            " that fails."
        ),
    )
    priority: Priority = 0


class RunnerUp(Answer):
    """Column that was not chosen."""

    input_column: str = Field(description="Its name.")
    confidence: float = Field(description=CONFIDENCE)


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


class SimilarityMatrix(Answer):
    """Confidence of all pairs of columns."""

    reference_columns: list[str] = Field(description="The rows of `similarity`.")
    input_columns: list[str] = Field(description="The columns of `similarity`.")
    similarity: list[list[float]] = Field(description="Confidence of each pair, 0 to 1.")


class ColumnMapping(Answer):
    """Matching columns of two files."""

    input_file_id: UUID = Field(description="Id of the input file.")
    reference_file_id: UUID = Field(description="Id of the reference file.")
    provider: Literal["local", "openai"] = Field(description="Provider that matched the columns.")
    embeddings: bool = Field(description="Whether a sentence model compared the names.")
    notes: list[str] = Field(description="Notes on what was done differently than requested.")
    mappings: list[ColumnMatch] = Field(
        description="One for each reference column, in their order."
    )
    matched: int = Field(description="Number of reference columns that have a match.")
    unused_input_columns: list[str] = Field(description="Input columns that are not used.")
    matrix: SimilarityMatrix = sometimes(
        "Confidence of all pairs; absent if they are too many to show."
    )
