"""Response models of files: pages of results and of rejects. (Upload and status are in
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

COMPLETE = "Whether the job has ended and no rows will be added."


class RowOfCells(Answer):
    """A row by position."""

    row: list[Any] = Field(
        description="The cells in the order of `columns`: texts for CSV, any JSON for JSON files."
    )


class Result(Answer):
    """A loaded row."""

    id: UUID = Field(description="Id of the row, the same in every read.")
    row_number: int = Field(description="Number in the file, from 1; the header does not count.")
    chunk_index: int = Field(description="Index of its chunk, from 0.")
    data: RowOfCells | Shown = Field(
        description="`row` with the cells; with `format=object`, the cells by column."
    )


class ResultPage(Answer):
    """Results in the order of the file."""

    file_id: UUID = Field(description=FILE_ID)
    columns: list[str] = Field(description="Column names of the cells.")
    items: list[Result] = Field(description="At most `limit`, and about 8 MiB.")
    total: int = Field(description="Number of results so far.")
    limit: int = Field(description=LIMIT)
    offset: int = Field(description=OFFSET)
    next_after: int | None = Field(description=NEXT_AFTER)
    next_offset: int | None = Field(description=f"{NEXT_OFFSET[:-1]}, and if `after` was given.")
    complete: bool = Field(description=COMPLETE)


class Reject(Answer):
    """A row that was not loaded."""

    row_number: int = Field(description="Number in the file, from 1; the header does not count.")
    line: int = Field(description="Number of its first line, from 1; the header counts.")
    kind: Literal["invalid", "failed"] = Field(
        description=(
            "`invalid`: the row is wrong. `failed`: it may be right, but could not be processed."
        )
    )
    code: str = Field(description="Code of the error; docs/errors.md lists those of rows.")
    message: str = Field(description="What is wrong, in one sentence.")
    value: str | None = Field(description="The invalid value; null if it is not a single value.")
    byte_start: int = Field(description="Byte offset of its start in the stored file.")
    byte_end: int = Field(description="Byte offset of its end.")
    place: str = sometimes(
        "Place in the file that came: the cell of a spreadsheet (`Sheet1!C17`) or its row"
        " (`Sheet1!17:17`); the row of a Parquet, Arrow or ORC file (`row group 2, row 17`)."
    )
    column: str | None = Field(description="The invalid column; null if it is the row as a whole.")
    raw: str | None = Field(
        description="The row as in the file, its first 64 KiB; null if that is not UTF-8."
    )
    raw_base64: str = sometimes("The bytes of a row that is not UTF-8.")
    text: str = sometimes(
        "The same bytes in the encoding of the file; U+FFFD stands for what is invalid in it."
    )
    cells: list[str] = sometimes(
        "With `cells=true`: the cells of the row as they are read, be they fewer or more than the"
        " columns. A JSON record is one cell."
    )
    uncertain: list[str] = sometimes(
        "With `cells=true`: the columns whose cells are a guess, since the row has too few or too"
        " many cells or a quote in the wrong place. A correction by cells must give their values."
    )


class RejectPage(Answer):
    """Rejects in the order of the file."""

    file_id: UUID = Field(description=FILE_ID)
    items: list[Reject] = Field(description="At most `limit`, and about 8 MiB.")
    total: int = Field(description="Number of rejects so far that the parameters choose.")
    codes: dict[str, int] = Field(description="Number of rejects so far by code.")
    limit: int = Field(description=LIMIT)
    offset: int = Field(description=OFFSET)
    next_after: int | None = Field(description=NEXT_AFTER)
    next_offset: int | None = Field(description=NEXT_OFFSET)
    complete: bool = Field(description=COMPLETE)


class RejectCause(Answer):
    """Rejects with the same code and invalid column."""

    code: str = Field(description="Code of the error.")
    column: str | None = Field(description="The invalid column; null if it is the row as a whole.")
    count: int = Field(description="Number of these rejects.")


class RejectCauses(Answer):
    """Rejects by cause."""

    file_id: UUID = Field(description=FILE_ID)
    items: list[RejectCause] = Field(description="The most frequent first, 1,000 at most.")
