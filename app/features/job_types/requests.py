"""Models of new jobs, for requests and schedules."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.api.parameters import Integer, MaxRejects, Name, Priority
from app.errors import InvalidParameter
from app.formats.detect import Declared
from app.jobs.job_types import JobType
from app.jobs.objects import ObjectsSubmission

Source = Annotated[
    str,
    Field(
        max_length=1000,
        pattern=r"^[^\x00]*$",
        description=(
            "`s3://bucket/key`. A key that ends in `/` selects all keys with that prefix; one "
            "with `*`, `?` or `[` that does not exist itself selects all keys that match."
        ),
    ),
]


class Input(BaseModel):
    """Input of a job: `source` or `file_id`. The dialect of an upload is fixed; for objects,
    missing values are detected.
    """

    model_config = ConfigDict(extra="forbid")

    source: Source = ""
    file_id: UUID | None = Field(default=None, description="Id of an upload.")
    priority: Priority = 0
    chunk_size: Annotated[Integer, Field(ge=100, le=100_000)] | None = None
    max_rejects: MaxRejects = ""
    format: Literal["csv", "json", "jsonl"] | None = None
    encoding: Annotated[str, Field(max_length=40)] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=10)] | None = None

    def check(self) -> None:
        """Raises InvalidParameter for a combination that makes no sense."""
        if bool(self.source) == (self.file_id is not None):
            raise InvalidParameter("Give either source or file_id.")
        if self.file_id is not None and (self.format or self.encoding or self.delimiter):
            raise InvalidParameter(
                "The dialect of an uploaded file is fixed: leave out format, encoding, delimiter."
            )

    def objects(self, owner: str, job_type: JobType, options: dict[str, Any]) -> ObjectsSubmission:
        return ObjectsSubmission(
            owner,
            self.source,
            job_type,
            options,
            priority=self.priority,
            chunk_size=self.chunk_size,
            max_rejects=self.max_rejects,
            declared=Declared(format=self.format, encoding=self.encoding, delimiter=self.delimiter),
        )


class NewJob(Input):
    """A job of any type, over an upload or over objects of a bucket."""

    type: Name = Field(description="A type from GET /api/v1/job-types.")
    options: dict[str, Any] = Field(default={}, description="Options of the type.")
