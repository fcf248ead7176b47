"""Response models of rows that were looked for, and of the origin of a row."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from app.api.answers import FILE_ID, JOB_ID, Answer, Shown, sometimes


class FoundCells(Answer):
    """A row by position."""

    row: list[Any] = Field(description="The cells in the order of `columns`.")


class FoundRow(Answer):
    """A chosen row."""

    row_number: int = Field(description="Number in the file, from 1; the header does not count.")
    data: FoundCells | Shown = Field(
        description="`row` with the cells; with `format=object`, the cells by column."
    )


class FoundRows(Answer):
    """Chosen rows: in the order of the file, or in that of `sort`."""

    file_id: UUID = Field(description=FILE_ID)
    columns: list[str] = Field(description="Column names of the cells.")
    items: list[FoundRow] = Field(
        description="At most `limit`, and about 8 MiB. May be empty before the end."
    )
    numbers: list[int] = sometimes("The row numbers, with `only=numbers`; then there are no items.")
    total: int = Field(description="Number of results of the job so far.")
    scanned: int = Field(description="Number of results that this request looked at.")
    next_after: int | None = Field(
        description="`after` to continue with; null if all results were looked at."
    )
    matched: int | None = Field(
        description="Number of chosen rows, with `sort`, which may show fewer; otherwise null."
    )
    sorted_as: Literal["numbers", "texts"] | None = Field(
        description="With `sort`: `numbers` if all values are numbers. Empty cells come last."
    )
    decimal_commas: list[str] = Field(
        description="Compared columns whose first results are numbers with decimal commas. They"
        " compare and sort as numbers, and a value may have a comma or a point."
    )
    complete: bool = Field(description="Whether the job has ended and no rows will be added.")


class RowOrigin(Answer):
    """A loaded row, and where it came from."""

    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)
    row_number: int = Field(description="Number in the file, from 1; the header does not count.")
    columns: list[str] = Field(description="Column names of the cells.")
    cells: list[Any] = Field(description="Its cells, as they were loaded.")
    chunk_index: int | None = Field(description="Index of its chunk, from 0.")
    line: int | None = Field(
        description="Number of its first line, from 1; null if the file was deleted."
    )
    byte_start: int | None = Field(description="Byte offset of its start in the stored file.")
    byte_end: int | None = Field(description="Byte offset of its end.")
    raw: str | None = Field(
        description="The row as in the stored file, its first 64 KiB; null if that is not UTF-8."
    )
    raw_base64: str = sometimes("The bytes of a row that is not UTF-8.")
    text: str = sometimes(
        "The same bytes in the encoding of the file; U+FFFD stands for what is invalid in it."
    )
    place: str = sometimes("Place in the file that came, if it is no text: `Sheet1!17:17`.")
    correction_id: UUID | None = Field(
        description="Job of the correction that made the row what it is; null if there is none."
    )
