"""What a job is to read and do, as requests and schedules say it."""

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
            "`s3://bucket/key`; all keys with that beginning if it ends in `/`; all that match if"
            " it holds `*`, `?` or `[` and is no key itself."
        ),
    ),
]


class Input(BaseModel):
    """What is to be read: `source`, or `file_id`. How an upload is read was settled when it came;
    of objects, what is not given is detected.
    """

    model_config = ConfigDict(extra="forbid")

    source: Source = ""
    file_id: UUID | None = Field(default=None, description="Of an upload.")
    priority: Priority = 0
    chunk_size: Annotated[Integer, Field(ge=100, le=100_000)] | None = None
    max_rejects: MaxRejects = ""
    format: Literal["csv", "json", "jsonl"] | None = None
    encoding: Annotated[str, Field(max_length=40)] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=10)] | None = None

    def check(self) -> None:
        """Raises InvalidParameter."""
        if bool(self.source) == (self.file_id is not None):
            raise InvalidParameter("Give either source or file_id.")
        if self.file_id is not None and (self.format or self.encoding or self.delimiter):
            raise InvalidParameter(
                "How an upload is read was settled when it came: leave out format, encoding,"
                " delimiter."
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
    """A job of any type, over an upload or over objects where they lie."""

    type: Name = Field(description="One of GET /api/v1/job-types.")
    options: dict[str, Any] = Field(default={}, description="Those of the type.")
