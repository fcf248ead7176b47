"""Settings: every variable, its default and its unit. Nothing else in the service reads the
environment.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app import extras
from app.errors import SettingsInvalid
from app.setting_names import PrefixedEnvironment, PrefixedFile, misspelt_here

EMBEDDED_DATABASE = "granula.db"
DRIVERS = ("postgresql+asyncpg", "sqlite+aiosqlite")
DEFAULT_CONTENT_TYPES = (
    "text/csv,application/csv,text/tab-separated-values,text/plain,application/vnd.ms-excel,"
    "application/json,application/x-ndjson,application/ndjson,application/jsonl,"
    "application/x-jsonlines,application/geo+json,application/xml,text/xml,"
    "application/gzip,application/x-gzip,application/zstd,application/x-bzip2,application/x-bzip,"
    "application/x-xz,application/x-lz4,application/zlib,"
    "application/zip,application/x-zip-compressed,application/x-tar,application/x-gtar,"
    "application/x-compressed-tar,"
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet,"
    "application/vnd.ms-excel.sheet.macroenabled.12,"
    "application/vnd.ms-excel.sheet.binary.macroenabled.12,"
    "application/vnd.oasis.opendocument.spreadsheet,"
    "application/vnd.apache.parquet,application/vnd.apache.arrow.file,"
    "application/vnd.apache.arrow.stream,application/vnd.apache.orc"
)


def _known_driver(url: str) -> str:
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+asyncpg://", 1)
    driver = url.partition("://")[0]
    if url and driver not in DRIVERS:
        raise ValueError(f"must start with one of {', '.join(f'{d}://' for d in DRIVERS)}")
    return url


def _postgresql_url(url: SecretStr) -> SecretStr:
    written = url.get_secret_value()
    if not written.startswith(("postgresql://", "postgresql+asyncpg://")):
        raise ValueError("must begin with postgresql://")
    return SecretStr(_known_driver(written))


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


class SourceCredential(BaseModel):
    """What is sent to URLs that begin with `url`: a bearer token, headers, or both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?/$", max_length=1000)
    """URL of a host and a folder; ends in `/`."""
    bearer: SecretStr | None = None
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,100}$")], SecretStr] = {}

    @model_validator(mode="after")
    def _is_sent_in_a_header(self) -> SourceCredential:
        values = [*self.headers.values(), *([self.bearer] if self.bearer else [])]
        if not values:
            raise ValueError("needs a bearer or headers")
        for value in values:
            if not re.fullmatch(r"[\x20-\x7e]+", value.get_secret_value()):
                raise ValueError("has a value that no header can hold")
        return self

    @property
    def values(self) -> dict[str, str]:
        """Return the headers with their values."""
        named = {name: value.get_secret_value() for name, value in self.headers.items()}
        if self.bearer is not None:
            named["Authorization"] = f"Bearer {self.bearer.get_secret_value()}"
        return named


def _absolute(folder: Path) -> Path:
    if not folder.is_absolute() or ".." in folder.parts:
        raise ValueError("must be an absolute path without `..`")
    return folder


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


RETENTION_NAME = r"^((label:[^,\x00-\x1f]{1,40}|[A-Za-z0-9_.-]+)\.)?(bytes|rows|rejects|jobs)$"
"""A kind of data, of all jobs, of a processor's, or of those with a label."""


class Settings(BaseSettings):
    """All settings. Each field is the environment variable of the same name in capitals, which may
    begin with GRANULA_; a `.env` file is read too.
    """

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (
            init_settings,
            PrefixedEnvironment(settings_cls),
            env_settings,
            PrefixedFile(settings_cls, dotenv_settings),
            dotenv_settings,
        )

    database_url: Annotated[str, AfterValidator(_known_driver)] = ""
    """SQLAlchemy URL, or `postgresql://...`. Empty: the embedded SQLite file
    `STORAGE_DIR/granula.db`.
    """

    queue: Literal["embedded", "procrastinate"] = "embedded"
    """Processes that run jobs. `embedded`: the service itself. `procrastinate`: any number of
    `python -m app worker`, on PostgreSQL.
    """

    storage_dir: Path = Path("storage")
    """Folder of the embedded database, and of uploads and outputs unless STORAGE_URL is set."""

    storage_url: str = ""
    """Where uploads and outputs are stored: `file:///folder`, or `s3://bucket/prefix` with
    ENDPOINT_URL, KEY and SECRET. Empty: STORAGE_DIR.
    """

    max_concurrency: int = Field(default=0, ge=0, le=256)
    """Chunks processed at the same time. 0: 10 on PostgreSQL, 1 on SQLite, which has one writer
    (parsing still uses every core).
    """

    chunk_size: int = Field(default=10_000, ge=100, le=100_000)
    """Maximum rows per chunk. A chunk also ends at 2 MiB."""

    max_retries: int = Field(default=3, ge=0, le=20)
    """Attempts after the first one of a chunk failed."""

    base_backoff: float = Field(default=1.0, ge=0, le=3600)
    """Seconds before the first retry. Doubles with each retry, with full jitter."""

    max_backoff: float = Field(default=30.0, ge=0, le=86_400)
    """Maximum seconds between two attempts."""

    max_upload_mb: int = Field(default=500, ge=1)
    """Maximum size of an upload in MiB, before and after decompression."""

    allowed_content_types: Annotated[tuple[str, ...], NoDecode] = tuple(
        DEFAULT_CONTENT_TYPES.split(",")
    )
    """Comma-separated media types that an upload may declare. For application/octet-stream, or
    none, the content decides.
    """

    delete_file_on_complete: bool = False
    """Delete the stored upload once its job has completed without a failed chunk. Results and
    rejects stay.
    """

    min_free_disk_mb: int = Field(default=256, ge=0)
    """Free disk space in MiB that uploads must leave. Others are refused with 507."""

    lost_found_days: float = Field(default=14.0, gt=0)
    """Days that files unknown to the database stay in `lost+found` before they are deleted."""

    upload_stall_seconds: float = Field(default=30.0, gt=0)
    """Seconds after which an upload is ended with 408 if it sends nothing, or less than
    MIN_BYTES_PER_SECOND.
    """

    download_stall_seconds: float = Field(default=60.0, gt=0)
    """Seconds after which a client is disconnected if it reads nothing, or less than
    MIN_BYTES_PER_SECOND.
    """

    min_bytes_per_second: int = Field(default=1024, ge=0)
    """Minimum speed in bytes per second at which clients must send bodies and read answers. 0:
    any speed.
    """

    header_seconds: float = Field(default=10.0, gt=0)
    """Seconds in which a client must send all headers of a request, or is answered 408. A new
    connection may be silent for as long.
    """

    max_connections: int = Field(default=0, ge=0)
    """Maximum requests in progress per process, event streams included. More are answered 503,
    except /health. 0: half of the file descriptors, at most 4096.
    """

    shutdown_seconds: float = Field(default=10.0, gt=0)
    """Seconds after SIGTERM until open connections are closed. Work then stops."""

    allowed_hosts: Annotated[tuple[Annotated[str, AfterValidator(_host_name)], ...], NoDecode] = ()
    """Comma-separated host names of the service, without port. `*.example.com` allows
    subdomains, `*` any name. `localhost` and addresses are always allowed. Empty: other names
    are refused unless AUTH_REQUIRED is true.
    """

    forwarded_allow_ips: Annotated[
        tuple[Annotated[str, AfterValidator(_address)], ...], NoDecode
    ] = ()
    """Comma-separated addresses and networks of proxies whose X-Forwarded-For and
    X-Forwarded-Proto are trusted. `*`: all.
    """

    upload_expiry_hours: float = Field(default=24.0, gt=0)
    """Hours after which an idle resumable upload is deleted."""

    ageing_seconds: float = Field(default=10.0, gt=0)
    """Seconds of waiting that raise a job by one step of priority, so that no job starves."""

    lease_seconds: float = Field(default=10.0, ge=1)
    """Seconds without a heartbeat after which another worker takes over a chunk."""

    heartbeat_seconds: float = Field(default=3.0, gt=0)
    """Seconds between two renewals of the leases of a worker."""

    reconcile_seconds: float = Field(default=3.0, gt=0)
    """Seconds between two comparisons of the queue with the database."""

    db_pool_size: int = Field(default=0, ge=0, le=256)
    """PostgreSQL connections per process for work and writes. Reads have six more. 0:
    MAX_CONCURRENCY + 6.
    """

    processors: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated processors of your own, each as `package.module:Class`."""

    sentiment_models: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated sentiment models of your own, each as `package.module:Class`."""

    compute_processes: int = Field(default=0, ge=0, le=256)
    """Processes for processors that need whole cores, started on demand. 0: one per core."""

    compute_memory_mb: int = Field(default=1024, ge=0)
    """Memory in MiB that each of these processes may use. A chunk that needs more fails with
    `out_of_memory`. 0: no limit.
    """

    spreadsheet_memory_mb: int = Field(default=512, ge=64)
    """Memory in MiB that a process may use that reads a workbook or a Parquet, Arrow or ORC file. A
    file that needs more is refused.
    """

    spreadsheet_seconds: float = Field(default=60.0, gt=0)
    """Seconds after which such a process is ended if it has read no further row."""

    schemas: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated schemas of your own for imports, each as `package.module:Class`."""

    vector_cache_mb: int = Field(default=128, ge=0)
    """Memory in MiB for the vectors of searched records if there is no pgvector. One vector
    takes 1.5 KiB.
    """

    embedding_model_dir: Path = Path("storage/models/all-MiniLM-L6-v2")
    """Folder of the sentence model, filled by ./scripts/install_model."""

    embedding_precision: Literal["fp32", "int8"] = "fp32"
    """`fp32` equals the original model. `int8` is faster and finds visibly different neighbours."""

    key: str = ""
    """Access key of the S3 or MinIO service. Empty: requests are not signed (public buckets)."""

    secret: SecretStr = SecretStr("")
    """Secret key of the S3 or MinIO service."""

    endpoint_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """URL of the S3 or MinIO service. Empty: `s3://` sources are refused."""

    region: str = "us-east-1"
    """Region of the S3 service."""

    bucket: str = "transactions"
    """Bucket that `python -m app pipeline` reads."""

    prefix: str = ""
    """Prefix of the keys that `python -m app pipeline` reads."""

    pattern: str = "*.csv"
    """Pattern of the rest of these keys, with `*`, `?` and `[...]` as in a shell."""

    ml_api_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """URL of the model service, without `/predict`. Empty: scoring is refused."""

    row_batch_size: int = Field(default=5000, ge=100, le=100_000)
    """Rows per chunk of a scoring job."""

    api_batch_size: int = Field(default=100, ge=1, le=10_000)
    """Transactions per call of the model service."""

    api_max_workers: int = Field(default=5, ge=1, le=256)
    """Maximum concurrent calls of the model service. Fewer while it is busy."""

    api_timeout_seconds: float = Field(default=10.0, gt=0)
    """Seconds after which a call of the model service has failed."""

    db_row_batch_size: int = Field(default=1000, ge=1, le=100_000)
    """Transactions per bulk write."""

    transaction_model: str = Field(
        default="app.features.scoring.transactions:Transaction", pattern=r"^[\w.]+:\w+$"
    )
    """Pydantic model of a transaction, as `package.module:Model`."""

    tables_schema: str = Field(default="public", min_length=1, max_length=63)
    """PostgreSQL schema of tables that are named without one. On SQLite there is only one."""

    tables_access: Literal["admins", "users"] = "admins"
    """Users who may see and load tables if users sign in. `admins`: administrators. `users`:
    everyone, as far as the roles of the databases allow.
    """

    connections: Annotated[
        dict[
            Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")],
            Annotated[SecretStr, AfterValidator(_postgresql_url)],
        ],
        NoDecode,
    ] = {}
    """Further databases whose tables can be loaded: a JSON object of names and `postgresql://`
    URLs, or the path of a file with one. Tables of the service's own database need no entry.
    """

    openai_base_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """URL of an OpenAI-compatible service up to `/v1`, for mappings with provider=openai. Empty:
    they are made locally.
    """

    openai_api_key: SecretStr = SecretStr("")
    """API key sent to OPENAI_BASE_URL."""

    openai_model: str = "gpt-4o-mini"
    """Model name sent to OPENAI_BASE_URL."""

    openai_send_values: bool = False
    """Send some values of each column to OPENAI_BASE_URL. Otherwise only names, types and
    statistics are sent.
    """

    openai_timeout_seconds: float = Field(default=60.0, gt=0)
    """Seconds after which a call of OPENAI_BASE_URL has failed."""

    source_folders: Annotated[tuple[Annotated[Path, AfterValidator(_absolute)], ...], NoDecode] = ()
    """Comma-separated folders of this machine whose files may be sources: `file:///folder/name`.
    Everyone who may use the service may read them. Empty: none.
    """

    source_clouds: Annotated[tuple[Literal["gs", "az"], ...], NoDecode] = ()
    """Comma-separated further object stores that may be sources: `gs` (Google Cloud Storage), `az`
    (Azure Blob Storage). Their credentials are found in the environment. Not tested against the
    real services.
    """

    source_private_hosts: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(\*|[a-z0-9._\[\]:-]{1,255})$")], ...], NoDecode
    ] = ()
    """Comma-separated hosts, also with a port, whose URLs may be sources over http and at private
    addresses. `*`: all. Empty: only https at public addresses.
    """

    source_credentials: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")], SourceCredential],
        NoDecode,
    ] = {}
    """What is sent to web servers by `credentials` of a source: a JSON object of names, each with
    `url`, the beginning of the URLs that it is sent to, and `bearer` or `headers`.
    """

    source_timeout_seconds: float = Field(default=30.0, gt=0, le=3600)
    """Seconds in which a web server must accept a connection, and send the next bytes of a source."""

    auth_required: bool = False
    """Require everyone to sign in. Otherwise anonymous requests act as the user `local`."""

    session_hours: float = Field(default=12.0, gt=0, le=24 * 365)
    """Hours that a browser stays signed in."""

    auth_failures_per_minute: int = Field(default=30, ge=0)
    """Invalid keys per minute from one address before it is answered 429. 0: no limit."""

    owner_max_bytes: int = Field(default=0, ge=0)
    """Storage quota per user in bytes. Resumable uploads count from their creation. 0: no limit."""

    owner_max_queued_jobs: int = Field(default=0, ge=0)
    """Maximum queued and running jobs per user. 0: no limit."""

    owner_max_uploads: int = Field(default=1000, ge=0)
    """Maximum open resumable uploads per user. 0: no limit."""

    owner_requests_per_minute: int = Field(default=0, ge=0)
    """Maximum requests per user and minute, per process of the service. 0: no limit."""

    webhook_allow_private: bool = False
    """Allow webhooks over http and to private addresses. Otherwise only https to public
    addresses.
    """

    webhook_timeout_seconds: float = Field(default=15.0, gt=0, le=120)
    """Seconds after which an attempt to deliver a webhook has failed."""

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
    """Comma-separated seconds to wait before each further delivery attempt, with a jitter of one
    fifth. The delivery then fails.
    """

    webhook_old_secret_hours: float = Field(default=24.0, ge=0, le=24 * 365)
    """Hours after a rotation in which messages are also signed with the old secret."""

    webhook_keep_days: float = Field(default=30.0, gt=0)
    """Days that delivered and failed messages stay in the delivery log."""

    undo_keep_days: float = Field(default=30.0, gt=0)
    """Days in which a job can be undone. What it replaced is kept for as long."""

    retention: Annotated[
        dict[
            Annotated[str, Field(pattern=RETENTION_NAME)],
            Annotated[float, Field(gt=0, le=36_500)],
        ],
        NoDecode,
    ] = {}
    """Days after the end of a job until its data is deleted: a JSON object such as `{"bytes": 7,
    "jobs": 365, "sentiment.rows": 30, "label:audit.jobs": 3650}`. Empty: everything is kept.
    """

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated origins of web pages that may call the API."""

    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """DEBUG, INFO, WARNING or ERROR."""

    log_format: Literal["text", "json"] = "text"
    """`text`: lines for people. `json`: one object per line."""

    otel_exporter_otlp_endpoint: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """URL of an OpenTelemetry collector (OTLP over HTTP), without `/v1/traces`. Empty: no
    tracing. The other OTEL_ variables also apply.
    """

    granula_fail: str = ""
    """Tests only: fail points such as `chunk.after_write=kill@3` (see app/failpoints.py)."""

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
        "source_folders",
        "source_clouds",
        "source_private_hosts",
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

    @field_validator("connections", "source_credentials", "retention", mode="before")
    @classmethod
    def _from_json(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("must be a JSON object") from None

    @field_validator("connections", mode="before")
    @classmethod
    def _from_file(cls, value: object) -> object:
        """Read the JSON before it is decoded: of these validators the last is called first."""
        if not isinstance(value, str) or not value.startswith(("/", "./", "~/")):
            return value
        try:
            return Path(value).expanduser().read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            raise ValueError("names a file that cannot be read") from None

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
        """Chunks that run at a time. On SQLite never fewer than the cores: only writing is serial
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
    ("connections",),
    ("source_credentials",),
    ("endpoint_url",),
    ("ml_api_url",),
    ("secret",),
    ("openai_base_url",),
    ("openai_api_key",),
    ("otel_exporter_otlp_endpoint",),
}


def _given(error: Any) -> str:
    """Return the given value, unless it may hold a password."""
    return "" if error["loc"][:1] in MAY_HOLD_A_SECRET else f" (got {error['input']!r})"


def load_settings(**overrides: object) -> Settings:
    """Read the environment; raise `SettingsInvalid` with one readable line per wrong variable."""
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = (
            f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}{_given(e)}" for e in error.errors()
        )
        raise SettingsInvalid(
            "Wrong settings. Correct these and start again:\n  " + "\n  ".join(lines)
        ) from None
    _check_installed(settings)
    return settings


def _check_installed(settings: Settings) -> None:
    """Raises SettingsInvalid if a setting needs an extra that this installation has left out."""
    needed = {
        "DATABASE_URL": ("postgres", not settings.is_sqlite),
        "ENDPOINT_URL": ("s3", bool(settings.endpoint_url)),
        "SOURCE_CLOUDS": ("s3", bool(settings.source_clouds)),
        "OTEL_EXPORTER_OTLP_ENDPOINT": ("telemetry", bool(settings.otel_exporter_otlp_endpoint)),
    }
    for variable, (extra, is_needed) in needed.items():
        if is_needed and not extras.is_installed(extra):
            raise SettingsInvalid(
                f"{variable} needs packages that are not installed: {extras.how_to_install(extra)}."
            )


def warnings() -> list[str]:
    """Return a sentence for each variable that is probably a misspelt setting."""
    return misspelt_here(Settings)
