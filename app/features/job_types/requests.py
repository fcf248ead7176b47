"""Models of new jobs, for requests and schedules."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field

from app.api.parameters import DialectOptions, Integer, Labels, MaxRejects, Name, Priority
from app.errors import InvalidParameter
from app.jobs.job_types import JobType
from app.jobs.objects import ObjectsSubmission
from app.sources.remote import Object

Source = Annotated[
    str,
    Field(
        max_length=1000,
        pattern=r"^[^\x00]*$",
        description=(
            "`s3://bucket/key`, `https://host/path` or `file:///folder/name`. A key or path that "
            "ends in `/` selects all with that prefix; one with `*`, `?` or `[` that does not "
            "exist itself selects all that match."
        ),
    ),
]
LATER = frozenset(DialectOptions.model_fields) - {"format", "encoding", "delimiter"} | {
    "credentials",
    "max_rejects",
    "labels",
}
"""Members that requests did not always have."""


class Input(DialectOptions):
    """Input of a job: `source` or `file_id`. The dialect of an upload is fixed; for a source,
    missing values are detected.
    """

    model_config = ConfigDict(extra="forbid")

    source: Source = ""
    file_id: UUID | None = Field(default=None, description="Id of an upload.")
    credentials: Annotated[str, Field(max_length=40, pattern=r"^[a-z0-9_-]*$")] = Field(
        default="", description="Name in SOURCE_CREDENTIALS, for a source of https."
    )
    priority: Priority = 0
    chunk_size: Annotated[Integer, Field(ge=100, le=100_000)] | None = None
    max_rejects: MaxRejects = ""
    labels: Labels = Field(default=[], description="Labels of the job.")

    def check(self) -> None:
        """Raises InvalidParameter for a combination that makes no sense."""
        if bool(self.source) == (self.file_id is not None):
            raise InvalidParameter("Give either source or file_id.")
        of_sources = self.model_fields_set & {*DialectOptions.model_fields, "credentials"}
        said = sorted(name for name in of_sources if getattr(self, name) not in (None, ""))
        if self.file_id is not None and said:
            raise InvalidParameter(
                f"How an uploaded file is read is fixed: leave out {', '.join(said)}."
            )

    def objects(
        self,
        owner: str,
        job_type: JobType,
        options: dict[str, Any],
        pinned: Object | None = None,
    ) -> ObjectsSubmission:
        return ObjectsSubmission(
            owner,
            self.source,
            job_type,
            options,
            priority=self.priority,
            chunk_size=self.chunk_size,
            max_rejects=self.max_rejects,
            labels=tuple(self.labels),
            declared=self.declared(""),
            credentials=self.credentials,
            pinned=pinned,
        )


class NewJob(Input):
    """A job of any type, over an upload or over objects of a source."""

    type: Name = Field(description="A type from GET /api/v1/job-types.")
    options: dict[str, Any] = Field(default={}, description="Options of the type.")
