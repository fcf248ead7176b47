"""Response models of /api/v1/system."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from app.api.answers import Answer, Status


class DatabaseState(Answer):
    """The database."""

    kind: Literal["sqlite", "postgresql"] = Field(description="Which one.")
    status: str = Field(description="`ok`, or the problem.")


class DiskState(Answer):
    """The disk where files are stored."""

    free_bytes: int = Field(description="Free space.")
    total_bytes: int = Field(description="Its size.")
    must_stay_free_bytes: int = Field(description="Free space below which uploads are refused.")


class QueueState(Answer):
    """Waiting and running jobs of all users."""

    status: Literal["ok", "draining", "not running"] = Field(
        description="`draining` while the service shuts down."
    )
    jobs: int = Field(description="Number of jobs.")
    by_priority: dict[str, int] = Field(description="Number of jobs by priority.")


class Slots(Answer):
    """Slots for chunks in this process."""

    busy: int = Field(description="Slots in use.")
    total: int = Field(description="All slots; 0 if workers run the chunks.")


class Workers(Answer):
    """The processes that run chunks."""

    processes: int = Field(description="Number of processes.")
    chunks_in_work: int = Field(description="Number of running chunks.")


class StorageState(Answer):
    """Files in the storage that the database does not know, and the last backup."""

    swept_at: datetime | None = Field(description="Time of the last check; null before the first.")
    lost_files: int = Field(description="Files in `lost+found`, which are deleted after a while.")
    held_files: int = Field(description="Files left in place because they are too many.")
    backed_up_at: datetime | None = Field(
        description="Time of the last `granula backup`; null if there was none."
    )


class SystemLimits(Answer):
    """Limits from the settings."""

    max_upload_bytes: int = Field(description="Size of one upload.")
    chunk_size: int = Field(description="Rows per chunk, unless upload or processor say otherwise.")
    max_retries: int = Field(description="Number of retries of a chunk.")


class System(Answer):
    """Components and load of this service."""

    version: str = Field(description="Of Granula.")
    database: DatabaseState = Field(description="The database.")
    disk: DiskState | None = Field(description="The disk; null if files are in a bucket.")
    storage: StorageState | None = Field(
        description="The storage; null while the database does not respond."
    )
    queue: QueueState = Field(description="The queue.")
    slots: Slots = Field(description="Slots for chunks in this process.")
    workers: Workers = Field(description="The processes that run chunks.")
    jobs: dict[Status, int] = Field(description="Your jobs by status.")
    processors: list[str] = Field(description="All processors.")
    uploadable_processors: list[str] = Field(description="Processors that an upload may name.")
    schemas: list[str] = Field(description="Schemas that an import may name.")
    sentiment_models: list[str] = Field(description="Models of the processor `sentiment`.")
    scoring: bool = Field(description="Whether a model service is configured.")
    language_model: bool = Field(description="Whether an endpoint for `openai` is configured.")
    limits: SystemLimits = Field(description="Limits from the settings.")


class LoadSample(Answer):
    """The load of one interval."""

    at: datetime = Field(description="Start of the interval.")
    rows: int = Field(description="Rows processed in it: loaded, rejected or failed.")
    failed_rows: int = Field(description="Those that failed for a reason that is not in the file.")
    failed_jobs: int = Field(description="Jobs that failed in it.")
    queued_jobs: int = Field(description="Waiting and running jobs at its end.")
    waiting_chunks: int = Field(description="Chunks that waited for a worker at its end.")
    workers: int = Field(description="Processes that ran chunks at its end.")
    disk_free_bytes: int | None = Field(
        description="Free space at its end; null if the storage cannot report it."
    )


class SystemHistory(Answer):
    """The load of the last hours. An interval in which no process ran is missing."""

    interval_seconds: int = Field(description="Length of an interval.")
    since: datetime = Field(description="Start of the first interval that was asked for.")
    items: list[LoadSample] = Field(description="Samples, the oldest first.")


class SettingInForce(Answer):
    """A setting of this process."""

    name: str = Field(description="Name of the variable.")
    value: str | None = Field(description="Its value; null if it is hidden.")
    default: str = Field(description="Its default.")
    is_changed: bool = Field(description="Whether it differs from the default.")
    is_hidden: bool = Field(description="Whether it is set and may hold a secret.")


class SettingsInForce(Answer):
    """The settings of this process."""

    items: list[SettingInForce] = Field(description="The changed ones first.")
