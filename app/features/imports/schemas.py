"""Schemas of the requests and answers of imports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.answers import (
    CREATED_AT,
    FILE_ID,
    JOB_ID,
    LIMIT,
    NEXT_AFTER,
    NEXT_OFFSET,
    OFFSET,
    Answer,
    JobError,
    RowCounts,
    Shown,
    UndoState,
    sometimes,
)
from app.api.parameters import UploadOptions

FieldName = Annotated[str, Field(min_length=1, max_length=100, pattern=r'^[^"\\\x00]*$')]
FieldValue = (
    Annotated[str, Field(max_length=2_000, pattern=r"^[^\x00]*$")]
    | bool
    # a larger number is read as a float, which both databases take
    | Annotated[int, Field(ge=-(2**63), lt=2**63)]
    | Annotated[float, Field(allow_inf_nan=False)]
    | None
)
Words = Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[^\x00]*$")]
ImportStatus = Literal[
    "pending", "processing", "completed", "completed_with_errors", "failed", "cancelled"
]
IMPORT_ID = "Of the import."


class ImportOptions(UploadOptions):
    """All parameters of an import, in the query or as form fields."""

    processor: str = Field(
        default="people",
        alias="schema",
        max_length=100,
        description="Schema that the records are checked against.",
    )
    on_duplicate: Literal["existing", "reject", "new"] = Field(
        default="existing",
        description=(
            "If the same bytes were imported with the same options before: return the "
            "`existing` import, `reject` it (409), or import them again."
        ),
    )


class SearchRequest(BaseModel):
    """All that is given must hold, but for `text` with `fuse`."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"status": "valid", "limit": 10},
                {"query": "people who write software", "limit": 5},
            ]
        },
    )

    import_id: int | None = Field(default=None, ge=0, le=2**62)
    status: Literal["valid", "invalid"] | None = None
    query: Words | None = Field(
        default=None, description="Search by meaning: the nearest first, each with its `score`."
    )
    text: Words | None = Field(
        default=None, description="Part of any value, in upper or lower case."
    )
    fuse: bool = Field(
        default=False,
        description=(
            "With `query` and `text`: also records that do not hold the text. The first 100 by"
            " meaning and the first 100 by meaning of those that hold it are put in one order, by"
            " reciprocal rank fusion. No effect without both."
        ),
    )
    fields: dict[FieldName, FieldValue] = Field(
        default_factory=dict, max_length=20, description="Values by field."
    )
    limit: int = Field(default=50, ge=1, le=1_000)
    offset: int = Field(default=0, ge=0, le=1_000_000)
    after: int = Field(
        default=0,
        ge=0,
        le=2**62,
        description="`next_after` of the previous page; not with `query`.",
    )


class ImportAccepted(Answer):
    """A file of records that is stored for good, and its import."""

    id: int = Field(description=IMPORT_ID)
    import_id: int = Field(description="The same.")
    filename: str = Field(description="The name of the file.")
    file_hash: str = Field(description="SHA-256 of the received bytes, in hexadecimal.")
    status: ImportStatus = Field(
        description="`pending`; of an earlier import (`duplicate`), its status now."
    )
    schema_: str = Field(alias="schema", description="Schema that the records are checked against.")
    duplicate: bool = Field(
        description="Whether this is an earlier import of the same bytes with the same options."
    )
    message: str = Field(description="What was done.")
    status_url: str = Field(description="URL of its status.")
    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)


class ImportSummary(Answer):
    """Records by what became of them."""

    valid: int = Field(description="Records that satisfy the schema.")
    invalid: int = Field(description="Records that do not.")
    errors: dict[str, int] = Field(description="Mistakes by code; a record may have several.")


class VectorState(Answer):
    """How far the vectors of an import are, by which it is searched for meaning."""

    status: Literal["pending", "ready", "failed"] = Field(
        description="`ready` when all records have a vector."
    )
    total: int = Field(description="Records that get a vector.")
    ready: int = Field(description="Records that have one.")
    error: JobError | None = Field(description="Why no vectors were computed; null if they were.")


class Import(Answer):
    """How far an import is."""

    id: int = Field(description=IMPORT_ID)
    filename: str = Field(description="The name of the file.")
    file_hash: str = Field(description="SHA-256 of the received bytes, in hexadecimal.")
    status: ImportStatus = Field(description="`completed_with_errors` if some records are invalid.")
    schema_: str = Field(alias="schema", description="Schema that the records are checked against.")
    total_records: int = Field(description="Records that are cut into chunks so far.")
    processed_records: int = Field(description="Records that are valid, or rejected with a reason.")
    valid_records: int = Field(description="Records that satisfy the schema.")
    failed_records: int = Field(
        description="Records that are not valid, for any reason; `counts` has them by reason."
    )
    counts: RowCounts = Field(description="Records so far by outcome.")
    error_message: str | None = Field(description="Why the import failed; null if it did not.")
    summary: ImportSummary | None = Field(description="Counted at the end; null before.")
    vectors: VectorState = Field(description="Progress of the vectors.")
    undo: UndoState | None = Field(description="Progress of its undo; null if it was not undone.")
    created_at: datetime = Field(description=CREATED_AT)
    completed_at: datetime | None = Field(description="When it ended; null before.")
    rejects_url: str = Field(description="URL of the rejects.")
    file_id: UUID = Field(description=FILE_ID)
    job_id: UUID = Field(description=JOB_ID)


class ImportList(Answer):
    """Imports, newest first."""

    imports: list[Import] = Field(description="At most `limit`.")
    total: int = Field(description="All imports.")
    limit: int = Field(description=LIMIT)
    offset: int = Field(description=OFFSET)


class FieldError(Answer):
    """Fault of a field."""

    field: str = Field(description="The field; empty if it is the record as a whole.")
    code: str = Field(description="Which mistake.")
    value: Any = Field(description="The value, its beginning if it is long.")
    message: str = Field(description="What is wrong, in a sentence.")


class Record(Answer):
    """A record of an import."""

    id: int = Field(description="Of the record.")
    import_id: int = Field(description="Id of its import.")
    row_number: int = Field(description="Its number in the file, from 1.")
    status: Literal["valid", "invalid"] = Field(description="Whether it satisfies the schema.")
    data: Shown = Field(description="Its values by field; for an invalid record, as received.")
    error_message: str | None = Field(description="What is wrong, in a sentence; null if nothing.")
    errors: list[FieldError] = Field(
        description="What is wrong, one for each field; empty if nothing."
    )


class FoundRecord(Record):
    """A record that was found."""

    score: float = sometimes("With `query`: similarity in meaning, at most 1.")


class ImportWithRecords(Import):
    """How far an import is, and one page of its records."""

    records: list[Record] = Field(
        description="At most `limit` rows in the order of the file, and about 8 MiB."
    )
    limit: int = Field(description=LIMIT)
    offset: int = Field(description=OFFSET)
    next_after: int | None = Field(description=NEXT_AFTER)
    next_offset: int | None = Field(description=NEXT_OFFSET)


class SearchResult(Answer):
    """Records that were found."""

    records: list[FoundRecord] = Field(
        description=(
            "The nearest first with `query`, by fused places with `fuse`, else in the order of their"
            " ids."
        )
    )
    count: int = Field(description="How many are in this answer.")
    limit: int = Field(description=LIMIT)
    offset: int = Field(description=OFFSET)
    next_offset: int | None = Field(description=NEXT_OFFSET)
    next_after: int | None = Field(
        description="`after` of the next page; null at the end, and with `query`."
    )


class VectorTotals(Answer):
    """Vectors of all imports."""

    total: int = Field(description="Records that get a vector.")
    ready: int = Field(description="Records that have one.")


class ImportStats(Answer):
    """Sums over all imports; those that were undone do not count."""

    total_imports: int = Field(description="All imports.")
    imports_by_status: dict[ImportStatus, int] = Field(
        description="Number of imports by status; zeros are left out."
    )
    undone_imports: int = Field(description="Imports that were undone.")
    total_records: int = Field(description="All records.")
    valid_records: int = Field(description="Records that satisfy their schema.")
    invalid_records: int = Field(description="Records that do not.")
    failed_records: int = Field(description="Records that could not be processed.")
    vectors: VectorTotals = Field(description="Vectors of the records.")
    database_size_bytes: int = Field(description="Size of the whole database.")
