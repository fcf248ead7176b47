"""Response models of previews."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from app.api.answers import DECODING, Answer, Decoding, Dialect, ReportedReject, Shown

REJECTED = "Rows in it that would be rejected."


class Confidence(Answer):
    """How sure the parts of the dialect are, from 0 to 1; 1 of what was declared."""

    delimiter: float = Field(description="Confidence in the delimiter, from 0 to 1.")
    header: float = Field(description="Confidence in the number of header rows, from 0 to 1.")


class SampledRows(Answer):
    """Rows by what would become of them."""

    total: int = Field(description="Whole rows in the sample.")
    ok: int = Field(description="Rows that would be loaded.")
    rejected: int = Field(description=REJECTED)


class Sample(Answer):
    """The part of the file that was read."""

    size_bytes: int = Field(description="Its size, decoded.")
    is_complete: bool = Field(description="Whether it is all of the file.")
    rows: SampledRows = Field(description="The rows in it.")
    rejected_by_code: dict[str, int] = Field(description="Rejected rows by code.")


class ColumnType(Answer):
    """Type of a column, by at most 1 000 rows of the sample."""

    type: Literal["number", "date", "boolean", "text"] = Field(description="Type.")
    subtype: Literal["integer", "decimal", "date", "datetime"] | None = Field(
        description="Of a number or a date; null for the others."
    )
    format: str | None = Field(
        description="Format of dates for strftime, or the spelling of booleans; else null."
    )
    explanation: str | None = Field(
        description="Why the column is text, in a sentence; null if it has another type."
    )
    confidence: float = Field(
        description="From 0 to 1: 1 if all rows were seen, 0 if no value was seen."
    )


class PreviewRow(Answer):
    """A row as it would be loaded."""

    row_number: int = Field(
        description="Number of the row in the file, from 1; the header does not count."
    )
    line: int = Field(description="The line where it begins, from 1.")
    data: list[str | None] | Shown = Field(description="The cells of CSV, or the object of JSON.")


class OtherReading(Answer):
    """Another way to read the file, and what it would give."""

    settings: Shown = Field(description="The options of an upload that read it so.")
    confidence: float = Field(description="Confidence in this reading, from 0 to 1.")
    columns: list[str] = Field(description="Names of the first columns, at most 100.")
    column_count: int = Field(description="Number of columns under this reading.")
    ok: int = Field(description="Rows of the sample that would be loaded.")
    rejected: int = Field(description="Rows of the sample that would be rejected.")


class LastTime(Answer):
    """How a file with the same header was read when all its rows were loaded."""

    job_id: UUID = Field(description="Its job.")
    filename: str = Field(description="Its name.")
    processor: str = Field(description="Processor of the job.")
    created_at: datetime = Field(description="Time when it was uploaded.")
    settings: Shown = Field(
        description="The options of an upload that read this file in the same way; empty if that is"
        " what was detected."
    )


class Preview(Answer):
    """What a file is, and how it would be read."""

    dialect: Dialect = Field(description="Your settings, and detected values for the rest.")
    confidence: Confidence | None = Field(description="Of a CSV file; null for JSON.")
    decoding: list[Decoding] = Field(description=DECODING)
    columns: list[str] = Field(description="Names of the columns, of JSON those of the sample.")
    types: list[ColumnType] = Field(description="Types of the first 500 columns, in their order.")
    sample: Sample = Field(description="Counts of what was read, by outcome.")
    rows: list[PreviewRow] = Field(description="The first rows; `rows` limits them.")
    rejects: list[ReportedReject] = Field(
        description="The first rows that would be rejected, at most 20."
    )
    readings: list[OtherReading] = Field(
        description="Other possible readings, the likeliest first: another delimiter, with or without a header."
    )
    records: list[str] = Field(
        description="Values for `records`: arrays in a JSON document that is read as one record."
    )
    last_time: LastTime | None = Field(
        description="An earlier file of yours with the same header; null if there is none, or if you"
        " say how the file is read."
    )
