"""Schemas of the report of a transform."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field

from app.api.answers import Answer, ReportedReject, sometimes


class ReportedRows(Answer):
    """Rows by outcome."""

    total: int = Field(description="Rows that were read.")
    ok: int = Field(description="Rows of the new file.")
    rejected: int = Field(description="Rows in the rejects.")


class WrittenColumn(Answer):
    """A column of the new file."""

    name: str = Field(description="Its header or key.")
    type: str = Field(description="The type of its values.")


class PreviewedRow(Answer):
    """A row of the new file."""

    row_number: int = Field(description="Its number in the old file.")
    data: Any = Field(description="Its values.")


class OutputFile(Answer):
    """The new file."""

    file_id: UUID = Field(description="GET /api/v1/files/{file_id}/download has its bytes.")
    format: str = Field(description="csv, jsonl or parquet.")
    size_bytes: int = Field(description="Its size.")
    sha256: str = Field(description="Of its bytes, in hexadecimal.")


class TransformReport(Answer):
    """Outcome of a transform or of a dry run."""

    dry_run: bool = Field(description="Whether no file was written.")
    sampled_rows: int = sometimes("Of a dry run over a sample: how many of the first rows.")
    rows: ReportedRows = Field(description="Rows by outcome.")
    rejected_by_code: dict[str, int] = Field(description="Rejects by code.")
    columns: list[WrittenColumn] = Field(description="Columns of the new file.")
    preview: list[PreviewedRow] = Field(description="Its first rows.")
    rejects: list[ReportedReject] = Field(description="The first rejects.")
    output: OutputFile | None = Field(description="The new file; null of a dry run.")
