"""Response models of watches."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from app.api.answers import CREATED_AT, Answer, Shown, sometimes

ObjectStatus = Literal["waiting", "queued", "failed"]


class CheckOutcome(Answer):
    """The outcome of a check."""

    outcome: Literal["checked", "failed"] = Field(
        description="`failed`: the check could not be finished, and is tried again."
    )
    objects: int = Field(description="Number of objects that were listed.")
    jobs: int = Field(description="Number of created jobs.")
    failed: int = Field(description="Number of objects for which no job could be created.")
    seconds: float = Field(description="Duration of the check in seconds.")
    code: str = sometimes("Code of the error, for a failed check.")
    message: str = sometimes("Why it failed.")


class Watch(Answer):
    """A bucket or folder whose new and changed objects each become a job."""

    id: UUID = Field(description="Id of the watch.")
    name: str = Field(description="Its name; may be empty.")
    source: str = Field(description="The watched prefix, pattern or folder.")
    job: Shown = Field(description="The job to create for each object, as requested.")
    every_seconds: float = Field(description="Seconds between two checks.")
    settle_seconds: float = Field(
        description="Seconds for which an object must stay the same before its job is created."
    )
    paused: bool = Field(description="Whether no checks are planned.")
    jobs: int = Field(description="Number of created jobs.")
    waiting: int = Field(description="Number of objects that were seen and have no job yet.")
    failed: int = Field(description="Number of objects for which no job could be created.")
    failures: int = Field(description="Checks in a row that could not be finished.")
    next_check_at: datetime | None = Field(description="Time of the next check; null while paused.")
    last_checked_at: datetime | None = Field(description="Time of the last check; null if none.")
    last_outcome: CheckOutcome | None = Field(
        description="Outcome of the last check; null if there was none."
    )
    created_at: datetime = Field(description=CREATED_AT)


class WatchList(Answer):
    """Watches."""

    items: list[Watch] = Field(description="All watches, the oldest first.")


class ObjectError(Answer):
    """Why an object has no job."""

    code: str = Field(description="Code of the error.")
    message: str = Field(description="What is wrong.")


class WatchedObject(Answer):
    """One version of an object that a watch has seen."""

    number: int = Field(description="Later versions have larger numbers.")
    uri: str = Field(description="URI of the object.")
    size_bytes: int = Field(description="Size in bytes.")
    version: str = Field(description="ETag; of a file in a folder, its time and size.")
    status: ObjectStatus = Field(
        description="`waiting` for its size to rest or for another attempt; `queued`: its job exists."
    )
    job_id: UUID | None = Field(description="Its job; null if it has none.")
    error: ObjectError | None = Field(description="Why its last attempt failed; null otherwise.")
    attempts: int = Field(description="Attempts that failed and are repeated.")
    seen_at: datetime = Field(description="Time when this version was first seen.")
    ended_at: datetime | None = Field(
        description="Time when its job was created, or when it failed; null while it waits."
    )


class WatchedObjects(Answer):
    """A page of the history of a watch."""

    items: list[WatchedObject] = Field(description="The newest first.")
    next_before: int | None = Field(description="`before` of the next page; null on the last page.")
