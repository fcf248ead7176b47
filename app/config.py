"""Settings: every variable, its default and its unit. Nothing else in the service reads the
environment.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import SettingsInvalid

EMBEDDED_DATABASE = "granula.db"
DRIVERS = ("postgresql+asyncpg", "sqlite+aiosqlite")
DEFAULT_CONTENT_TYPES = (
    "text/csv,application/csv,text/tab-separated-values,text/plain,application/vnd.ms-excel,"
    "application/json,application/x-ndjson,application/ndjson,application/jsonl,application/x-jsonlines,"
    "application/gzip,application/x-gzip"
)


def _known_driver(url: str) -> str:
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+asyncpg://", 1)
    driver = url.partition("://")[0]
    if url and driver not in DRIVERS:
        raise ValueError(f"must start with one of {', '.join(f'{d}://' for d in DRIVERS)}")
    return url


def _host_name(name: str) -> str:
    name = name.lower().removesuffix(".")
    if name != "*" and not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", name):
        raise ValueError(
            "must be a name such as granula.example.com, *.example.com or *, without scheme and"
            " port"
        )
    return name


def _address(value: str) -> str:
    try:
        if value != "*":
            ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError(
            "must be an address such as 10.0.0.7, a network such as 10.0.0.0/8, or *"
        ) from None
    return value


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches a server that listens there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Settings(BaseSettings):
    """All settings. Each field is the environment variable of the same name in capitals; a `.env`
    file is read too.
    """

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    database_url: Annotated[str, AfterValidator(_known_driver)] = ""
    """SQLAlchemy URL, or `postgresql://...`; empty means the embedded SQLite file
    `STORAGE_DIR/granula.db`.
    """

    queue: Literal["embedded", "procrastinate"] = "embedded"
    """embedded: the service does its work itself; procrastinate: workers do (`python -m app
    worker`), on PostgreSQL.
    """

    storage_dir: Path = Path("storage")
    """Folder of the embedded database, and of uploads and outputs unless STORAGE_URL says another
    place.
    """

    storage_url: str = ""
    """Where uploads and outputs lie: `file:///folder`, or `s3://bucket/prefix` with ENDPOINT_URL,
    KEY and SECRET; empty: STORAGE_DIR.
    """

    max_concurrency: int = Field(default=0, ge=0, le=256)
    """Chunks in work at once; 0 means 10 on PostgreSQL and 1 on SQLite (its one writer; parsing
    still uses every core).
    """

    chunk_size: int = Field(default=10_000, ge=100, le=100_000)
    """Rows per chunk at most; a chunk is also cut at 2 MiB."""

    max_retries: int = Field(default=3, ge=0, le=20)
    """Further attempts after a chunk's first one failed."""

    base_backoff: float = Field(default=1.0, ge=0, le=3600)
    """Seconds before the first retry; doubles with each one, with full jitter."""

    max_backoff: float = Field(default=30.0, ge=0, le=86_400)
    """Seconds between two attempts at most."""

    max_upload_mb: int = Field(default=500, ge=1)
    """Largest upload in MiB, before and after decompression."""

    allowed_content_types: Annotated[tuple[str, ...], NoDecode] = tuple(
        DEFAULT_CONTENT_TYPES.split(",")
    )
    """Comma-separated media types an upload may declare; application/octet-stream and none are
    decided by content.
    """

    delete_file_on_complete: bool = False
    """Remove the stored upload once its job has completed and no chunk has failed; results and
    rejects stay.
    """

    min_free_disk_mb: int = Field(default=256, ge=0)
    """An upload that would leave less free space (MiB) than this is refused with 507."""

    lost_found_days: float = Field(default=14.0, gt=0)
    """Files in the storage that no row of the database knows stay in `lost+found` for so long, then
    they are removed.
    """

    upload_stall_seconds: float = Field(default=30.0, gt=0)
    """A body that sends nothing for so long, or less than MIN_BYTES_PER_SECOND over so long, is
    ended with 408.
    """

    download_stall_seconds: float = Field(default=60.0, gt=0)
    """The connection of a client that reads nothing of its answer for so long, or less than
    MIN_BYTES_PER_SECOND, is cut.
    """

    min_bytes_per_second: int = Field(default=1024, ge=0)
    """How fast a client must send a body and read an answer, at least; 0: any speed above
    nothing.
    """

    header_seconds: float = Field(default=10.0, gt=0)
    """The headers of a request that have not come whole in so long are answered 408; so long may a
    new connection say nothing.
    """

    max_connections: int = Field(default=0, ge=0)
    """Requests in work at once in a process, event streams too; more are answered 503, except
    /health. 0: half of the file descriptors that the process may have, at most 4096.
    """

    shutdown_seconds: float = Field(default=10.0, gt=0)
    """After SIGTERM, connections that are still open are cut after so long; then work ends."""

    allowed_hosts: Annotated[tuple[Annotated[str, AfterValidator(_host_name)], ...], NoDecode] = ()
    """Comma-separated names under which the service is asked for, `*.example.com` too, without
    port; `*`: any. `localhost` and addresses always pass. Empty: others are refused where nobody
    has to sign in.
    """

    forwarded_allow_ips: Annotated[
        tuple[Annotated[str, AfterValidator(_address)], ...], NoDecode
    ] = ()
    """Comma-separated addresses and networks of proxies whose X-Forwarded-For and X-Forwarded-Proto
    are believed; `*`: all.
    """

    upload_expiry_hours: float = Field(default=24.0, gt=0)
    """A resumable upload that nobody goes on with for so long is removed."""

    ageing_seconds: float = Field(default=10.0, gt=0)
    """Waiting this long is worth one step of priority, so that nothing starves."""

    lease_seconds: float = Field(default=10.0, ge=1)
    """A chunk whose worker has not been heard of for so long is given to another."""

    heartbeat_seconds: float = Field(default=3.0, gt=0)
    """How often a worker renews the leases of its chunks."""

    reconcile_seconds: float = Field(default=3.0, gt=0)
    """How often the queue is checked against the database."""

    db_pool_size: int = Field(default=0, ge=0, le=256)
    """PostgreSQL connections of a process for work and writing; 0 means MAX_CONCURRENCY + 6.
    Readers have six more.
    """

    processors: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated processors of your own, each as `package.module:Class`."""

    sentiment_models: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated sentiment models of your own that an upload may name, each as
    `package.module:Class`.
    """

    compute_processes: int = Field(default=0, ge=0, le=256)
    """Processes for processors that need whole cores, started at need; 0 means as many as there are
    cores.
    """

    compute_memory_mb: int = Field(default=1024, ge=0)
    """Memory (MiB) that each of these processes may take; what needs more fails with
    `out_of_memory`. 0: whatever it wants.
    """

    schemas: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated schemas of your own for imports, each as `package.module:Class`."""

    vector_cache_mb: int = Field(default=128, ge=0)
    """Memory (MiB) for the vectors of searched records, where there is no pgvector; one takes 1.5
    KiB.
    """

    embedding_model_dir: Path = Path("storage/models/all-MiniLM-L6-v2")
    """Folder of the sentence model; ./scripts/install_model fills it."""

    embedding_precision: Literal["fp32", "int8"] = "fp32"
    """fp32 equals the original model, int8 is faster and finds visibly other neighbours."""

    key: str = ""
    """Access key of the S3 or MinIO service; empty: requests are not signed (public buckets)."""

    secret: SecretStr = SecretStr("")
    """Secret key of the S3 or MinIO service."""

    endpoint_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """URL of the S3 or MinIO service; empty: `s3://` sources are refused."""

    region: str = "us-east-1"
    """Region of the S3 service."""

    bucket: str = "transactions"
    """Bucket that `python -m app pipeline` reads."""

    prefix: str = ""
    """Beginning of the keys that the pipeline reads."""

    pattern: str = "*.csv"
    """What the rest of a key must look like: `*`, `?` and `[...]` as in a shell."""

    ml_api_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """URL of the model service, without `/predict`; empty: scoring is refused."""

    row_batch_size: int = Field(default=5000, ge=100, le=100_000)
    """Rows of a chunk of a scoring job."""

    api_batch_size: int = Field(default=100, ge=1, le=10_000)
    """Transactions in one call of the model service."""

    api_max_workers: int = Field(default=5, ge=1, le=256)
    """Calls of the model service at once, at most; fewer while it is busy."""

    api_timeout_seconds: float = Field(default=10.0, gt=0)
    """A call of the model service that takes longer has failed."""

    db_row_batch_size: int = Field(default=1000, ge=1, le=100_000)
    """Transactions in one bulk write."""

    transaction_model: str = Field(
        default="app.features.scoring.transactions:Transaction", pattern=r"^[\w.]+:\w+$"
    )
    """The Pydantic model of a transaction, `package.module:Model`."""

    openai_base_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """URL of an OpenAI-compatible service, as far as `/v1`, for mappings with provider=openai;
    empty: they are made locally.
    """

    openai_api_key: SecretStr = SecretStr("")
    """Its key."""

    openai_model: str = "gpt-4o-mini"
    """Its model."""

    openai_send_values: bool = False
    """Whether some values of each column may be sent to it; else only names, types and figures
    are.
    """

    openai_timeout_seconds: float = Field(default=60.0, gt=0)
    """A call of it that takes longer has failed."""

    auth_required: bool = False
    """Whether everybody has to sign in; else those who do not are the owner `local`."""

    session_hours: float = Field(default=12.0, gt=0, le=24 * 365)
    """How long a browser stays signed in."""

    auth_failures_per_minute: int = Field(default=30, ge=0)
    """Keys that are not valid from one address, before it is answered 429; 0: any number."""

    owner_max_bytes: int = Field(default=0, ge=0)
    """Bytes that a user may have stored, resumable uploads from their creation on; 0: any
    number.
    """

    owner_max_queued_jobs: int = Field(default=0, ge=0)
    """Jobs of a user that may wait or run; 0: any number."""

    owner_max_uploads: int = Field(default=1000, ge=0)
    """Resumable uploads of a user that may be open; 0: any number."""

    owner_requests_per_minute: int = Field(default=0, ge=0)
    """Requests that a user may send a minute, and as many at once after a quiet minute; 0: any
    number.
    """

    webhook_allow_private: bool = False
    """Whether webhooks may be http and go to addresses of your own network; else https to public
    addresses only.
    """

    webhook_timeout_seconds: float = Field(default=15.0, gt=0, le=120)
    """A receiver that has not answered for so long has not got the message."""

    webhook_retry_seconds: Annotated[
        tuple[Annotated[float, Field(ge=0, le=7 * 86_400)], ...], NoDecode
    ] = (
        5,
        60,
        300,
        1800,
        7200,
        18_000,
        36_000,
        36_000,
    )
    """Comma-separated waits before each further attempt at a message, give or take a fifth; then it
    has failed.
    """

    webhook_old_secret_hours: float = Field(default=24.0, ge=0, le=24 * 365)
    """After a rotation, messages are signed with the old secret too for so long."""

    webhook_keep_days: float = Field(default=30.0, gt=0)
    """Delivered and failed messages stay in the delivery log for so long."""

    undo_keep_days: float = Field(default=30.0, gt=0)
    """A job can be undone for so long: what it replaced in transactions and predictions is kept."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated origins of web pages that may call the API; none by default."""

    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """DEBUG, INFO, WARNING or ERROR."""

    log_format: Literal["text", "json"] = "text"
    """text: lines for people; json: an object a line."""

    otel_exporter_otlp_endpoint: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """URL of a collector of OpenTelemetry traces (OTLP over HTTP), without `/v1/traces`; empty:
    nothing is traced. The other OTEL_ variables of the environment count too.
    """

    granula_fail: str = ""
    """Test only: fail-points such as `chunk.after_write=kill@3` (see app/failpoints.py)."""

    @model_validator(mode="after")
    def _queue_has_its_database(self) -> Settings:
        if self.is_shared and self.is_sqlite:
            raise ValueError(
                "QUEUE=procrastinate needs PostgreSQL: set DATABASE_URL to one, or leave"
                " QUEUE=embedded, where one process on SQLite does everything"
            )
        return self

    @field_validator(
        "allowed_content_types",
        "processors",
        "sentiment_models",
        "schemas",
        "cors_origins",
        "webhook_retry_seconds",
        "allowed_hosts",
        "forwarded_allow_ips",
        mode="before",
    )
    @classmethod
    def _split_on_commas(cls, value: object) -> object:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @property
    def url(self) -> str:
        """The database to use, the embedded one when none is named."""
        return self.database_url or f"sqlite+aiosqlite:///{self.embedded_path}"

    @property
    def is_shared(self) -> bool:
        """Whether several processes work together on the database."""
        return self.queue == "procrastinate"

    @property
    def embedded_path(self) -> Path:
        return self.storage_dir / EMBEDDED_DATABASE

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    @property
    def slots(self) -> int:
        """Chunks in work at once. On SQLite never fewer than the cores: only the writing is serial
        there.
        """
        if self.is_sqlite:
            return max(self.max_concurrency or 1, os.cpu_count() or 1)
        return self.max_concurrency or 10

    @property
    def computing(self) -> int:
        """Processes that processors may keep busy."""
        return self.compute_processes or os.cpu_count() or 1

    @property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mb << 20


MAY_HOLD_A_SECRET = {
    ("database_url",),
    ("endpoint_url",),
    ("ml_api_url",),
    ("secret",),
    ("openai_base_url",),
    ("openai_api_key",),
    ("otel_exporter_otlp_endpoint",),
}


def _given(error: Any) -> str:
    """What was given, unless it may hold a password."""
    return "" if error["loc"] in MAY_HOLD_A_SECRET else f" (got {error['input']!r})"


def load_settings(**overrides: object) -> Settings:
    """Read the environment; raise `SettingsInvalid` with one readable line per wrong variable."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = (
            f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}{_given(e)}" for e in error.errors()
        )
        raise SettingsInvalid(
            "Wrong settings. Correct these and start again:\n  " + "\n  ".join(lines)
        ) from None
