"""The errors of Granula and the HTTP answer each becomes: a module a family, imported from here.

GranulaError
├── process.py                      the process does not start, or a command does not run
├── TransientError                  another attempt may cure it; burns no retry
│   ├── transient.py                a request is answered by 503 or 507
│   └── DatabaseUnavailable         503, in app.db.engine
├── TerminalError                   no attempt will cure it
│   └── terminal.py                 the job fails with its `code`
└── RequestError                    the caller can do something about it: RFC 9457 problem+json
    └── requests/                   one class per stable `code`, 400 ... 507

The docstring of a RequestError is its title, `remedy` says what to do next. `code` never changes. A
new one needs its name here and a page in docs/errors, which `scripts/make_reference.py` begins.
"""

from __future__ import annotations

from app.errors.base import GranulaError, RequestError, TerminalError, TransientError
from app.errors.process import (
    BackupUnusable,
    DatabaseTaken,
    MigrationsPending,
    MigrationsRefused,
    SettingsInvalid,
    StorageForeign,
)
from app.errors.requests.auth import AdminOnly, CrossSite, Unauthenticated, UserExists, UserRevoked
from app.errors.requests.batches import (
    BatchBadEncoding,
    BatchEmpty,
    BatchMalformed,
    BatchNotCsv,
    BatchNotFound,
    BatchWithoutText,
)
from app.errors.requests.content import (
    BadHeader,
    BinaryContent,
    CellTooLong,
    ContentMismatch,
    CorruptCompression,
    CorruptDataFile,
    CorruptGzip,
    CorruptWorkbook,
    CorruptXml,
    DataFileTooLarge,
    EmptyFile,
    EncryptedDataFile,
    EncryptedWorkbook,
    JsonNotRows,
    MissingColumn,
    NotRows,
    RecordsNotFound,
    SheetNotFound,
    TooManyColumns,
    TooManyRows,
    UnsupportedEncoding,
    WorkbookTooLarge,
    XmlTooLarge,
)
from app.errors.requests.corrections import (
    CorrectionColumns,
    CorrectionInvalid,
    NotCorrectable,
    NothingCorrected,
)
from app.errors.requests.http import (
    BadHost,
    BadIdempotencyKey,
    BodyTooLarge,
    HeadersTimeout,
    HeadersTooLarge,
    HostNotAllowed,
    IdempotencyInFlight,
    IdempotencyKeyReused,
    MalformedJson,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    RangeNotSatisfiable,
    UnsupportedMediaType,
    UnsupportedTransferEncoding,
)
from app.errors.requests.imports import ImportNotFound, SearchUnavailable, UnknownSchema
from app.errors.requests.jobs import (
    Conflict,
    DownloadIncomplete,
    JobHasParts,
    NotCancellable,
    NothingToRetry,
    NothingToUndo,
    NotUndoable,
    ResultNotReady,
    ResultUnavailable,
    RowsRemoved,
    StoredBytesGone,
)
from app.errors.requests.parameters import (
    InvalidParameter,
    InvalidTransform,
    UnknownJobType,
    UnknownModel,
    UnknownProcessor,
)
from app.errors.requests.schedules import BadCron, RunGoesOn
from app.errors.requests.service import (
    InsufficientStorage,
    InternalError,
    NotConfigured,
    QuotaExceeded,
    RateLimited,
    Unavailable,
)
from app.errors.requests.sources import (
    BadSourceAnswer,
    BadSourceUri,
    ObjectAccessDenied,
    ObjectNotFound,
    SourceForbidden,
    SourceMissing,
    SourceRefused,
    SourceReplaced,
)
from app.errors.requests.tables import (
    AnalysisNeeded,
    TableExists,
    TableMismatch,
    TableUnusable,
    UnknownConnection,
    UnknownTable,
)
from app.errors.requests.tus import (
    BadTusRequest,
    ChecksumMismatch,
    OffsetMismatch,
    TusVersion,
    UploadExpired,
    UploadLocked,
)
from app.errors.requests.uploads import (
    BadDigest,
    DecompressedTooLarge,
    DigestMismatch,
    DuplicateUpload,
    FileTooLarge,
    MalformedMultipart,
    MissingFilePart,
    MultipartLimits,
    TooManyFiles,
    TruncatedMultipart,
    UploadStalled,
)
from app.errors.requests.webhooks import TooManyWebhooks, WebhookDisabled, WebhookUrlRefused
from app.errors.terminal import (
    MLApiMisconfigured,
    ModelUnavailable,
    OutOfMemory,
    RowsGone,
    SourceAccessDenied,
    SourceChanged,
    SourceNotFound,
    StoredFileCorrupt,
    StoredFileMissing,
)
from app.errors.transient import (
    DiskFull,
    LeaseLost,
    MLApiUnavailable,
    SourceUnavailable,
    StorageUnavailable,
)

__all__ = [
    "AdminOnly",
    "AnalysisNeeded",
    "BackupUnusable",
    "BadCron",
    "BadDigest",
    "BadHeader",
    "BadHost",
    "BadIdempotencyKey",
    "BadSourceAnswer",
    "BadSourceUri",
    "BadTusRequest",
    "BatchBadEncoding",
    "BatchEmpty",
    "BatchMalformed",
    "BatchNotCsv",
    "BatchNotFound",
    "BatchWithoutText",
    "BinaryContent",
    "BodyTooLarge",
    "CellTooLong",
    "ChecksumMismatch",
    "Conflict",
    "ContentMismatch",
    "CorrectionColumns",
    "CorrectionInvalid",
    "CorruptCompression",
    "CorruptDataFile",
    "CorruptGzip",
    "CorruptWorkbook",
    "CorruptXml",
    "CrossSite",
    "DataFileTooLarge",
    "DatabaseTaken",
    "DecompressedTooLarge",
    "DigestMismatch",
    "DiskFull",
    "DownloadIncomplete",
    "DuplicateUpload",
    "EmptyFile",
    "EncryptedDataFile",
    "EncryptedWorkbook",
    "FileTooLarge",
    "GranulaError",
    "HeadersTimeout",
    "HeadersTooLarge",
    "HostNotAllowed",
    "IdempotencyInFlight",
    "IdempotencyKeyReused",
    "ImportNotFound",
    "InsufficientStorage",
    "InternalError",
    "InvalidParameter",
    "InvalidTransform",
    "JobHasParts",
    "JsonNotRows",
    "LeaseLost",
    "MLApiMisconfigured",
    "MLApiUnavailable",
    "MalformedJson",
    "MalformedMultipart",
    "MalformedRequest",
    "MethodNotAllowed",
    "MigrationsPending",
    "MigrationsRefused",
    "MissingColumn",
    "MissingFilePart",
    "ModelUnavailable",
    "MultipartLimits",
    "NotCancellable",
    "NotConfigured",
    "NotCorrectable",
    "NotFound",
    "NotRows",
    "NotUndoable",
    "NothingCorrected",
    "NothingToRetry",
    "NothingToUndo",
    "ObjectAccessDenied",
    "ObjectNotFound",
    "OffsetMismatch",
    "OutOfMemory",
    "QuotaExceeded",
    "RangeNotSatisfiable",
    "RateLimited",
    "RecordsNotFound",
    "RequestError",
    "ResultNotReady",
    "ResultUnavailable",
    "RowsGone",
    "RowsRemoved",
    "RunGoesOn",
    "SearchUnavailable",
    "SettingsInvalid",
    "SheetNotFound",
    "SourceAccessDenied",
    "SourceChanged",
    "SourceForbidden",
    "SourceMissing",
    "SourceNotFound",
    "SourceRefused",
    "SourceReplaced",
    "SourceUnavailable",
    "StorageForeign",
    "StorageUnavailable",
    "StoredBytesGone",
    "StoredFileCorrupt",
    "StoredFileMissing",
    "TableExists",
    "TableMismatch",
    "TableUnusable",
    "TerminalError",
    "TooManyColumns",
    "TooManyFiles",
    "TooManyRows",
    "TooManyWebhooks",
    "TransientError",
    "TruncatedMultipart",
    "TusVersion",
    "Unauthenticated",
    "Unavailable",
    "UnknownConnection",
    "UnknownJobType",
    "UnknownModel",
    "UnknownProcessor",
    "UnknownSchema",
    "UnknownTable",
    "UnsupportedEncoding",
    "UnsupportedMediaType",
    "UnsupportedTransferEncoding",
    "UploadExpired",
    "UploadLocked",
    "UploadStalled",
    "UserExists",
    "UserRevoked",
    "WebhookDisabled",
    "WebhookUrlRefused",
    "WorkbookTooLarge",
    "XmlTooLarge",
    "request_errors",
]


def request_errors() -> dict[str, type[RequestError]]:
    """Return every stable code with its class, for the documentation and its test."""
    by_code: dict[str, type[RequestError]] = {}
    pending = RequestError.__subclasses__()
    while pending:
        error = pending.pop()
        by_code[error.code] = error
        pending += error.__subclasses__()
    return dict(sorted(by_code.items()))
