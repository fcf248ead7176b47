"""What a mapping takes, and what it proposes."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.answers import Answer, sometimes
from app.api.parameters import Priority

CONFIDENCE = "How sure it is, 0 to 1."


class MappingRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    input_file_id: UUID = Field(description="Of the upload in somebody else's shape.")
    reference_file_id: UUID = Field(
        description="Of an upload with the columns that are wanted; some rows help."
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
    """A column that was not chosen."""

    input_column: str = Field(description="Its name.")
    confidence: float = Field(description=CONFIDENCE)


class ColumnMatch(Answer):
    """Where the values of a reference column come from."""

    reference_column: str = Field(description="The column that is wanted.")
    input_column: str | None = Field(
        description="The column that it is; null if it is none or made of several."
    )
    input_columns: list[str] = Field(
        description="All columns that it is made of; empty if there is none."
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
    """How alike columns are."""

    reference_columns: list[str] = Field(description="The rows of `similarity`.")
    input_columns: list[str] = Field(description="The columns of `similarity`.")
    similarity: list[list[float]] = Field(description="0 to 1.")


class ColumnMapping(Answer):
    """Which column of one file is which of another."""

    input_file_id: UUID = Field(description="The file in somebody else's shape.")
    reference_file_id: UUID = Field(description="The file with the columns that are wanted.")
    provider: Literal["local", "openai"] = Field(description="Who made it.")
    embeddings: bool = Field(description="Whether a sentence model compared the names.")
    notes: list[str] = Field(description="What did not go as it was asked for.")
    mappings: list[ColumnMatch] = Field(
        description="One for each reference column, in their order."
    )
    matched: int = Field(description="Reference columns that have a match.")
    unused_input_columns: list[str] = Field(description="Columns that nothing is made of.")
    matrix: SimilarityMatrix = sometimes(
        "How alike all pairs are; absent where they are too many to show."
    )
