"""Response models of /api/v1/system."""

from __future__ import annotations

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
