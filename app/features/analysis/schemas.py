"""Schemas of the options and the result of an analysis."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.answers import Answer, Dialect, sometimes
from app.api.parameters import Priority

TRUNCATED = "True if `value` is the beginning of a longer one."
LENGTH = "If it is truncated: characters of the whole."


class AnalyzeRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    file_id: UUID = Field(description="Of an upload.")
    priority: Priority = 0


class ProfiledFile(Answer):
    """The file that was analysed."""

    filename: str = Field(description="Its name.")
    format: str = Field(description="csv, json, jsonl or parquet.")
    encoding: str = Field(description="The encoding of its text.")
    dialect: Dialect = Field(description="How it is read.")
    size_bytes: int = Field(description="Bytes that came.")
    sha256: str | None = Field(
        description="SHA-256 of the received bytes; null for objects of a bucket."
    )


class ProfiledRows(Answer):
    """The rows of the file."""

    total: int = Field(description="All rows.")
    profiled: int = Field(description="Rows that the column statistics cover.")
    rejected: int = Field(description="Rows that could not be read.")
    ragged: int = Field(description="Rejected rows with too many or too few cells.")
    rejected_by_code: dict[str, int] = Field(description="Rejected rows by code.")
    unread: int = Field(description="Rows of chunks that failed.")


class CounterExample(Answer):
    """A value that made a column text."""

    row: int = Field(description="Number of its row.")
    value: str = Field(description="The value.")
    why: str = Field(description="What the value is instead, worded as the end of a sentence.")
    truncated: bool = sometimes(TRUNCATED)
    length: int = sometimes(LENGTH)


class FrequentValue(Answer):
    """A frequent value."""

    value: str = Field(description="The value.")
    count: int = Field(description="Lower bound of its number of occurrences.")
    count_at_most: int = Field(description="Upper bound of its number of occurrences.")
    truncated: bool = sometimes(TRUNCATED)
    length: int = sometimes(LENGTH)


class TruncatedValue(Answer):
    """A value that is shown in part."""

    member: Literal["min", "max", "examples"] = Field(description="Where it is shown.")
    index: int | None = Field(description="For `examples`: the position there, from 0.")
    length: int = Field(description="Characters of the whole.")


class Histogram(Answer):
    """How numbers are spread."""

    edges: list[float] = Field(
        description="21 evenly spaced numbers from the smallest to the largest value."
    )
    shares: list[float] = Field(
        description="Share of the values between two neighbouring edges, 0 to 1."
    )


class Lengths(Answer):
    """Characters of values."""

    min: int = Field(description="Of the shortest.")
    max: int = Field(description="Of the longest.")
    mean: float = Field(description="On average.")


class MarkedNumber(Answer):
    """How the values of a column of text are read as numbers."""

    subtype: Literal["integer", "decimal"] = Field(
        description="integer if all are whole and fit into 64 bits."
    )
    decimal_mark: Literal[".", ","] = Field(description="Before the decimals.")
    thousands_mark: str | None = Field(description="Between groups of three digits; null: none.")


class ProfiledColumn(Answer):
    """Profile of a column."""

    name: str = Field(description="Its header or key.")
    type: Literal["number", "date", "boolean", "text"] = Field(
        description="Type that every value has."
    )
    subtype: str | None = Field(
        description="integer, decimal, date or datetime; null of other types."
    )
    format: str | None = Field(
        description="Of dates as strftime names it, of truth values how they are spelled."
    )
    readings: list[str] = Field(
        description="Formats of dates, if all values have several; empty if they do not."
    )
    as_number: MarkedNumber | None = Field(
        description=(
            "Of text: the marks by which every value is a number, in one way alone; else null."
        )
    )
    reason: str | None = Field(
        description="Why it is text: a code that never changes; null if it is not."
    )
    explanation: str | None = Field(description="Why it is text, in a sentence.")
    counter_examples: list[CounterExample] = Field(description="Values that made it text.")
    count: int = Field(description="Values.")
    empty: int = Field(description="Empty cells.")
    nulls: int = Field(description="Missing cells or keys.")
    distinct: int = Field(description="Different values.")
    distinct_is_exact: bool = Field(description="False above 1024; the standard error is then 3 %.")
    min: str | None = Field(
        description="The smallest value in the order of the type, as written; null without values."
    )
    max: str | None = Field(description="The greatest value.")
    mean: float | None = Field(description="Of numbers; null of others, and beyond any double.")
    stddev: float | None = Field(
        description="Standard deviation of numbers; null of others, and beyond any double."
    )
    quantiles: dict[str, float] | None = Field(
        description="Of numbers, by rank from 0 to 1; null of others."
    )
    histogram: Histogram | None = Field(
        description="Of numbers that are not all alike; null of others."
    )
    lengths: Lengths | None = Field(description="Null without values, and of objects and lists.")
    top: list[FrequentValue] = Field(description="The most frequent first.")
    examples: list[str] = Field(description="Some values.")
    truncated: list[TruncatedValue] = Field(
        description="Which of `min`, `max` and `examples` are cut."
    )
    classes: dict[str, int] = Field(description="Number of values by pattern.")
    personal_data: list[str] = Field(
        description="Kind of personal data that the samples suggest: email, phone, card or name."
    )


class Profile(Answer):
    """Profile of a file."""

    file: ProfiledFile = Field(description="The file.")
    rows: ProfiledRows = Field(description="Its rows.")
    columns: list[ProfiledColumn] = Field(description="Its columns, in the order of the file.")
    columns_left_out: int = Field(
        description="Keys of JSON records beyond the columns that are kept."
    )
