"""Which objects of a bucket are to be scored, as requests and schedules say it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.parameters import Integer, Priority
from app.formats.detect import Declared
from app.jobs.objects import ObjectsSubmission, ObjectsSubmitter

Submit = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""(owner, what POST /api/v1/jobs/score takes) -> its answer; raises RequestError."""
Source = Annotated[
    str,
    Field(
        max_length=1000,
        pattern=r"^[^\x00]*$",
        description="`s3://bucket/key`; all keys with that beginning if it ends in `/`; all that match if it holds "
        "`*`, `?` or `[` and is no key itself.",
    ),
]


class ObjectsRequest(BaseModel):
    """Which objects are to be scored, and how they are read; what is not given is detected."""

    model_config = ConfigDict(extra="forbid")

    source: Source
    priority: Priority = 0
    chunk_size: Annotated[Integer, Field(ge=100, le=100_000)] | None = None
    format: Literal["csv", "json", "jsonl"] | None = None
    encoding: Annotated[str, Field(max_length=40)] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=10)] | None = None

    def submission(self, owner: str) -> ObjectsSubmission:
        return ObjectsSubmission(
            owner,
            self.source,
            priority=self.priority,
            chunk_size=self.chunk_size,
            declared=Declared(format=self.format, encoding=self.encoding, delimiter=self.delimiter),
        )


def submitting(objects: ObjectsSubmitter) -> Submit:
    """For schedules: a job from what was given to one, checked as a request would be."""

    async def submit(owner: str, job: dict[str, Any]) -> dict[str, Any]:
        return await objects.submit(ObjectsRequest.model_validate(job).submission(owner))

    return submit
