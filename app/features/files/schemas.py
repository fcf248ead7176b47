"""What the routes of files answer: pages of results and of rejects. (Upload and status are in
app/api/answers.py.)
"""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from app.api.answers import (
    FILE_ID,
    LIMIT,
    NEXT_AFTER,
    NEXT_OFFSET,
    OFFSET,
    Answer,
    Shown,
    sometimes,
)

COMPLETE = "Whether the job has ended: nothing will be added."


class RowOfCells(Answer):
    """A row by position."""

    row: list[Any] = Field(
        description="The cells in the order of `columns`: texts of CSV, any JSON of JSON files."
    )


class Result(Answer):
    """A row that got through."""

    id: UUID = Field(description="Of the row: the same at every reading.")
    row_number: int = Field(description="Its number in the file, from 1; the header is none.")
    chunk_index: int = Field(description="The chunk that it came with, from 0.")
    data: RowOfCells | Shown = Field(
        description="`row` with the cells; with `format=object`, the cells by column."
    )


class ResultPage(Answer):
    """Results in the order of the file."""

    file_id: UUID = Field(description=FILE_ID)
    columns: list[str] = Field(description="Names of the cells.")
    items: list[Result] = Field(description="At most `limit`, and about 8 MiB.")
    total: int = Field(description="Results so far.")
    limit: int = Field(description=LIMIT)
    offset: int = Field(description=OFFSET)
    next_after: int | None = Field(description=NEXT_AFTER)
    next_offset: int | None = Field(
        description=f"{NEXT_OFFSET[:-1]}, and where `after` was asked for."
    )
    complete: bool = Field(description=COMPLETE)


class Reject(Answer):
    """A row that did not get through."""

    row_number: int = Field(description="Its number in the file, from 1; the header is none.")
    line: int = Field(description="The line where it begins, from 1; the header is one.")
    kind: Literal["invalid", "failed"] = Field(
        description=(
            "`invalid`: the row is wrong. `failed`: it may be right, but could not be processed."
        )
    )
    code: str = Field(description="Which mistake; docs/errors.md lists those of rows.")
    message: str = Field(description="What is wrong, in a sentence.")
    value: str | None = Field(description="The value that is wrong; null if it is not one.")
    byte_start: int = Field(description="Offset of its first byte in the stored file.")
    byte_end: int = Field(description="Offset behind its last byte.")
    place: str = sometimes("Of a spreadsheet: the cell (`Sheet1!C17`) or the row (`Sheet1!17:17`).")
    column: str | None = Field(
        description="The column that is wrong; null if it is the row as a whole."
    )
    raw: str | None = Field(
        description="The row as it stands in the file, its first 64 KiB; null if that is not UTF-8."
    )
    raw_base64: str = sometimes("If it is not UTF-8: its bytes.")


class RejectPage(Answer):
    """Rejects in the order of the file."""

    file_id: UUID = Field(description=FILE_ID)
    items: list[Reject] = Field(description="At most `limit`, and about 8 MiB.")
    total: int = Field(description="Rejects so far: of `code`, if that was asked for.")
    codes: dict[str, int] = Field(description="Rejects so far by code.")
    limit: int = Field(description=LIMIT)
    offset: int = Field(description=OFFSET)
    next_after: int | None = Field(description=NEXT_AFTER)
    next_offset: int | None = Field(description=NEXT_OFFSET)
    complete: bool = Field(description=COMPLETE)
