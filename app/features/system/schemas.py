"""What /api/v1/system answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.api.answers import Answer, Status


class DatabaseState(Answer):
    """The database."""

    kind: Literal["sqlite", "postgresql"] = Field(description="Which one.")
    status: str = Field(description="`ok`, or what is wrong.")


class DiskState(Answer):
    """The disk where files are stored."""

    free_bytes: int = Field(description="Room that is left.")
    total_bytes: int = Field(description="Its size.")
    must_stay_free_bytes: int = Field(description="Room below which no upload is taken.")


class QueueState(Answer):
    """The jobs of everybody that wait or run."""

    status: Literal["ok", "draining", "not running"] = Field(
        description="`draining` while the service shuts down."
    )
    jobs: int = Field(description="How many there are.")
    by_priority: dict[str, int] = Field(description="How many of each priority.")


class Slots(Answer):
    """Chunks that this process runs at once."""

    busy: int = Field(description="Slots that are in use.")
    total: int = Field(description="All slots; 0 where workers run the chunks.")


class Workers(Answer):
    """The processes that run chunks."""

    processes: int = Field(description="How many there are.")
    chunks_in_work: int = Field(description="Chunks that are run now.")


class SystemLimits(Answer):
    """What the settings allow."""

    max_upload_bytes: int = Field(description="Of one upload.")
    chunk_size: int = Field(
        description="Rows of a chunk, if neither upload nor processor says otherwise."
    )
    max_retries: int = Field(description="How often a chunk is tried again.")


class System(Answer):
    """What this service is made of and how busy it is."""

    version: str = Field(description="Of Granula.")
    database: DatabaseState = Field(description="The database.")
    disk: DiskState | None = Field(description="The disk; null where files lie in a bucket.")
    queue: QueueState = Field(description="The queue.")
    slots: Slots = Field(description="Chunks that this process runs at once.")
    workers: Workers = Field(description="The processes that run chunks.")
    jobs: dict[Status, int] = Field(description="Your jobs by status.")
    processors: list[str] = Field(description="All processors.")
    uploadable_processors: list[str] = Field(description="Processors that an upload may name.")
    schemas: list[str] = Field(description="Schemas that an import may name.")
    sentiment_models: list[str] = Field(description="Models of the processor `sentiment`.")
    scoring: bool = Field(description="Whether a model service is set.")
    language_model: bool = Field(description="Whether an endpoint for `openai` is set.")
    limits: SystemLimits = Field(description="What the settings allow.")
