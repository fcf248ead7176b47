"""The errors of Granula and the HTTP answer each becomes.

GranulaError
├── SettingsInvalid, MigrationsPending, MigrationsRefused, DatabaseTaken, StorageForeign   the process does not start
├── BackupUnusable                          `python -m app backup`, `restore`
├── TransientError                          another attempt may cure it; burns no retry
│   ├── LeaseLost                           somebody else owns the chunk now: roll back, walk away
│   ├── DatabaseUnavailable                 503
│   ├── DiskFull                            507
│   ├── StorageUnavailable                  503: the folder or the bucket of the files
│   └── SourceUnavailable, MLApiUnavailable
├── TerminalError                           no attempt will cure it
│   ├── StoredFileMissing, StoredFileCorrupt
│   ├── ModelUnavailable                    nothing can be embedded until the model is installed
│   ├── SourceNotFound, SourceAccessDenied, SourceChanged
│   ├── MLApiMisconfigured, OutOfMemory
│   ├── RowsGone                            a download is aborted, since its end would look like that of the file
│   └── RowsRefused                         a processor could not do some rows: bisected down to them
└── RequestError                            the caller can do something about it: RFC 9457 problem+json
    ├── 400 ... 507                         one class per stable `code`, below

The docstring of a RequestError is its title, `remedy` says what to do next. `code` never changes.
"""

from __future__ import annotations

import errno
from typing import Any, ClassVar


class GranulaError(Exception):
    """Something went wrong in Granula."""

    exit_code: ClassVar[int] = 2
    """Of a process that cannot start because of it."""

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (self.__doc__ or "").partition("\n")[0]
        super().__init__(self.detail)


class SettingsInvalid(GranulaError):
    """A setting has a value that cannot be used."""


class MigrationsPending(GranulaError):
    """The tables in the database are not those of this version. Run `alembic upgrade head`, or `python -m app serve
    --migrate`."""

    def __init__(self) -> None:
        super().__init__(" ".join((self.__doc__ or "").split()))


class MigrationsRefused(GranulaError):
    """The database does not let us make or change its tables."""


class DatabaseTaken(GranulaError):
    """Another process serves the database, and does not share it."""

    exit_code = 5


class BackupUnusable(GranulaError):
    """The backup cannot be made or put back."""


class StorageForeign(GranulaError):
    """The storage belongs to another Granula database."""


class TransientError(GranulaError):
    """A condition that passes by itself."""

    exit_code = 5
    waiting_on: ClassVar[str | None] = None
    """What a job that meets it waits for, as its status says it."""

    def __init__(self, detail: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
        """Seconds after which another attempt makes sense, if that is known."""


class LeaseLost(TransientError):
    """The chunk was cancelled, or belongs to another worker by now."""


class DiskFull(TransientError):
    """There is no room on the disk."""

    waiting_on = "disk"
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StorageUnavailable(TransientError):
    """The folder or the object store that holds the files cannot be used now."""

    waiting_on = "storage"


class MLApiUnavailable(TransientError):
    """The model service does not answer now."""

    waiting_on = "ml_api"


class SourceUnavailable(TransientError):
    """The object store does not answer now."""

    waiting_on = "source"


class TerminalError(GranulaError):
    """A condition that no further attempt will cure."""

    code: ClassVar[str] = "processing_failed"


class StoredFileMissing(TerminalError):
    """The stored upload is not on disk any more."""

    code = "stored_file_missing"


class StoredFileCorrupt(TerminalError):
    """The stored upload does not hold the bytes that were uploaded."""

    code = "stored_file_corrupt"


class ModelUnavailable(TerminalError):
    """The language model is not installed. Run ./scripts/install_model."""

    code = "model_unavailable"


class SourceNotFound(TerminalError):
    """The object is not in the object store."""

    code = "s3_not_found"


class SourceAccessDenied(TerminalError):
    """The object store does not let us read the object."""

    code = "s3_access_denied"


class SourceChanged(TerminalError):
    """The object was replaced while it was read."""

    code = "source_changed"


class RowsGone(TerminalError):
    """Rows went away while they were read."""

    code = "rows_gone"


class MLApiMisconfigured(TerminalError):
    """The model service cannot be used as it is configured."""

    code = "ml_api_misconfigured"


class OutOfMemory(TerminalError):
    """What was to be computed needs more memory than a computing process may take."""

    code = "out_of_memory"


class RequestError(GranulaError):
    """The request cannot be served."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    remedy: ClassVar[str] = "Correct the request and send it again."

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: list[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.errors = errors or []
        self.headers = headers or {}
        self.members = members

    @classmethod
    def title(cls) -> str:
        return (cls.__doc__ or "").strip().rstrip(".")


def _error(name: str, status: int, code: str, title: str, remedy: str, base: type = RequestError) -> Any:
    return type(
        name, (base,), {"__doc__": title, "__module__": __name__, "status": status, "code": code, "remedy": remedy}
    )


# One line per stable code: class, HTTP status, code, title, what to do next.
MalformedRequest = _error(
    "MalformedRequest",
    400,
    "malformed_request",
    "The request is not one of HTTP/1.1.",
    "Send it by an HTTP client; an address that begins with https needs a server in front that speaks TLS.",
)
BadHost = _error(
    "BadHost",
    400,
    "bad_host",
    "The Host header is missing, doubled or malformed.",
    "Send one `Host: name:port`, as every HTTP client does.",
)
MalformedMultipart = _error(
    "MalformedMultipart",
    400,
    "malformed_multipart",
    "The multipart body cannot be read.",
    "Send one part named `file` with a boundary in Content-Type, as `curl -F file=@data.csv` does.",
)
TruncatedMultipart = _error(
    "TruncatedMultipart",
    400,
    "truncated_multipart",
    "The multipart body ended before its closing boundary.",
    "Send the whole body again; nothing was kept.",
)
MultipartLimits = _error(
    "MultipartLimits",
    400,
    "multipart_limits",
    "The multipart body has too many or too large form fields.",
    "Send options as query parameters and only the file as a part.",
)
BadDigest = _error(
    "BadDigest",
    400,
    "bad_digest",
    "The Repr-Digest header cannot be read.",
    "Write it as `Repr-Digest: sha-256=:<base64 of the 32 bytes>:`.",
)
BadIdempotencyKey = _error(
    "BadIdempotencyKey",
    400,
    "bad_idempotency_key",
    "The Idempotency-Key cannot be used.",
    "Send 1 to 255 printable ASCII characters.",
)
BadCursor = _error(
    "BadCursor", 400, "bad_cursor", "The cursor is not one that this service gave out.", "Start again without a cursor."
)
MalformedJson = _error(
    "MalformedJson",
    400,
    "malformed_json",
    "The JSON body cannot be read.",
    "Send one JSON object, with Content-Type: application/json.",
)
Unauthenticated = _error(
    "Unauthenticated",
    401,
    "unauthenticated",
    "A valid key is needed here.",
    "Send `Authorization: Bearer granula_...`, or sign in by POST /api/v1/session; `python -m app users` makes keys.",
)
CrossSite = _error(
    "CrossSite",
    403,
    "cross_site",
    "The request comes from a page of another site.",
    "Send it from a page of this service, or with a key in the Authorization header.",
)
AdminOnly = _error(
    "AdminOnly",
    403,
    "admin_only",
    "Only an administrator may do this.",
    "Sign in with the key of a user made by `python -m app users create NAME --admin`.",
)
InvalidTransform = _error(
    "InvalidTransform",
    422,
    "invalid_transform",
    "The transform cannot be carried out as it is written.",
    "Correct the places listed in `errors`; docs/transform.md has the grammar.",
)
NotRows = _error(
    "NotRows",
    415,
    "not_rows",
    "The file is not one that jobs read rows from.",
    "Jobs read CSV, JSON and JSON Lines; make a transform with another output_format.",
)
RangeNotSatisfiable = _error(
    "RangeNotSatisfiable",
    416,
    "range_not_satisfiable",
    "The file does not have the bytes asked for.",
    "Ask for a range within the size that Content-Range tells.",
)
NotFound = _error(
    "NotFound",
    404,
    "not_found",
    "There is nothing under this address.",
    "Check the id; deleted files answer like unknown ones.",
)
MethodNotAllowed = _error(
    "MethodNotAllowed",
    405,
    "method_not_allowed",
    "This address does not take that method.",
    "See /docs for the methods of each path.",
)
BadTusRequest = _error(
    "BadTusRequest",
    400,
    "bad_tus_request",
    "A header of the tus protocol is missing or wrong.",
    "Read the answer's detail; https://tus.io/protocols/resumable-upload says how the headers are written.",
)
OffsetMismatch = _error(
    "OffsetMismatch",
    409,
    "offset_mismatch",
    "The upload stands at another offset.",
    "Ask for the offset by HEAD and go on from there.",
)
UploadExpired = _error(
    "UploadExpired",
    410,
    "upload_expired",
    "The upload was not finished in time.",
    "Begin again; UPLOAD_EXPIRY_HOURS says how long an upload may rest.",
)
TusVersion = _error(
    "TusVersion",
    412,
    "tus_version",
    "The header Tus-Resumable is missing or names another version.",
    "Send `Tus-Resumable: 1.0.0`.",
)
UploadLocked = _error(
    "UploadLocked",
    423,
    "upload_locked",
    "Another request is sending bytes of this upload.",
    "Wait a moment, ask for the offset by HEAD and go on from there.",
)
ChecksumMismatch = _error(
    "ChecksumMismatch",
    460,
    "checksum_mismatch",
    "The bytes do not have the checksum that came with them.",
    "Send them again; none of them was kept.",
)
HeadersTimeout = _error(
    "HeadersTimeout",
    408,
    "headers_timeout",
    "The headers of the request did not come in time.",
    "Send the request again, its headers at once.",
)
UploadStalled = _error(
    "UploadStalled",
    408,
    "upload_stalled",
    "The upload stopped sending.",
    "Send it again over a steadier connection.",
)
Conflict = _error("Conflict", 409, "conflict", "The state of the job does not allow this.", "Read the job's status.")
JobHasParts = _error(
    "JobHasParts",
    409,
    "job_has_parts",
    "The job has parts, and the rows are theirs.",
    "List the parts by GET /api/v1/jobs?parent={job_id} and ask for the rows of each.",
)
NotCancellable = _error(
    "NotCancellable",
    409,
    "not_cancellable",
    "The job has ended already.",
    "Nothing is left to cancel; delete the file to remove its rows.",
)
StoredBytesGone = _error(
    "StoredBytesGone",
    409,
    "stored_bytes_gone",
    "The bytes of the file are not stored here any more.",
    "Upload the file again; DELETE_FILE_ON_COMPLETE removes uploads whose job has completed.",
)
ResultNotReady = _error(
    "ResultNotReady",
    409,
    "result_not_ready",
    "The job has not ended yet.",
    "Ask again when its status is completed.",
)
DownloadIncomplete = _error(
    "DownloadIncomplete",
    409,
    "download_incomplete",
    "The job has not ended, so its rows are not all there.",
    "Wait until its status is final (GET /api/v1/status/{file_id}), or ask for the rows so far with partial=true.",
)
ResultUnavailable = _error(
    "ResultUnavailable",
    409,
    "result_unavailable",
    "The job has no result of its own.",
    "Read its status for what happened; rows are under /api/v1/results.",
)
RunGoesOn = _error(
    "RunGoesOn",
    409,
    "run_goes_on",
    "The run before is still going on.",
    "Wait for its end, or cancel its job.",
)
NothingToRetry = _error(
    "NothingToRetry",
    409,
    "nothing_to_retry",
    "The job has no failed chunk.",
    "Only failed chunks can be retried; rejected rows need a corrected upload.",
)
WebhookDisabled = _error(
    "WebhookDisabled",
    409,
    "webhook_disabled",
    "The webhook is switched off.",
    'Switch it on by PATCH with {"enabled": true}.',
)
TooManyWebhooks = _error(
    "TooManyWebhooks", 409, "too_many_webhooks", "There are too many webhooks.", "Delete those that nobody needs."
)
NothingToUndo = _error(
    "NothingToUndo",
    409,
    "nothing_to_undo",
    "The job has written nothing into tables that could be taken back.",
    "Imports and scoring jobs can be undone; to remove results and rejects, delete the file.",
)
NotUndoable = _error(
    "NotUndoable",
    409,
    "not_undoable",
    "The job is too old to be undone.",
    "What rows were before is kept for UNDO_KEEP_DAYS; delete the file to remove what its job wrote last.",
)
NotCorrectable = _error(
    "NotCorrectable",
    409,
    "not_correctable",
    "The rejects of this job cannot be corrected.",
    "Correct the rows in the original file and upload that.",
)
DuplicateUpload = _error(
    "DuplicateUpload",
    409,
    "duplicate_upload",
    "The same bytes were uploaded before with the same options.",
    "Use the file in `existing_id`, or upload with on_duplicate=new.",
)
IdempotencyInFlight = _error(
    "IdempotencyInFlight",
    409,
    "idempotency_in_flight",
    "A request with this Idempotency-Key is still running.",
    "Wait for its end and send the request again.",
)
UserExists = _error(
    "UserExists",
    409,
    "user_exists",
    "There is a user of that name.",
    "Choose another name, or make a key for that user.",
)
UserRevoked = _error(
    "UserRevoked",
    409,
    "user_revoked",
    "The user is revoked.",
    "Let the user in again by `python -m app users restore NAME`, then make a key.",
)
BodyTooLarge = _error(
    "BodyTooLarge",
    413,
    "body_too_large",
    "The body of the request is too large.",
    "Send less than 1 MiB here; files go to /api/v1/upload.",
)
FileTooLarge = _error(
    "FileTooLarge",
    413,
    "file_too_large",
    "The file is larger than the limit.",
    "Raise MAX_UPLOAD_MB, or split the file.",
)
DecompressedTooLarge = _error(
    "DecompressedTooLarge",
    413,
    "decompressed_too_large",
    "The file is too large once decompressed.",
    "Raise MAX_UPLOAD_MB, or split the file.",
)
UnsupportedMediaType = _error(
    "UnsupportedMediaType",
    415,
    "unsupported_media_type",
    "This media type is not accepted.",
    "Send one of the accepted types, or application/octet-stream to decide by content.",
)
UnsupportedTransferEncoding = _error(
    "UnsupportedTransferEncoding",
    415,
    "unsupported_transfer_encoding",
    "This encoding of the body is not accepted.",
    "Send the bytes as they are, or compressed with gzip.",
)
ContentMismatch = _error(
    "ContentMismatch",
    415,
    "content_mismatch",
    "The content is not CSV or JSON.",
    "Export the data as CSV, JSON or JSON Lines and upload that.",
)
BinaryContent = _error(
    "BinaryContent",
    415,
    "binary_content",
    "The content is binary, not text.",
    "Export the data as CSV, JSON or JSON Lines; for UTF-16 without a byte order mark give encoding=utf-16-le.",
)
InvalidParameter = _error(
    "InvalidParameter",
    422,
    "invalid_parameter",
    "A parameter has a value that cannot be used.",
    "Correct the parameters listed in `errors`.",
)
UnsupportedEncoding = _error(
    "UnsupportedEncoding",
    422,
    "unsupported_encoding",
    "This text encoding is not supported.",
    "Use utf-8, utf-16 or a single-byte encoding such as cp1252 or latin-1.",
    InvalidParameter,
)
MissingFilePart = _error(
    "MissingFilePart",
    422,
    "missing_file_part",
    "The form has no part named `file`.",
    "Send the file as `curl -F file=@data.csv`, or as the raw body.",
)
TooManyFiles = _error(
    "TooManyFiles", 422, "too_many_files", "The form has more than one file.", "Send one file a request."
)
CorrectionColumns = _error(
    "CorrectionColumns",
    422,
    "correction_columns",
    "The columns are not those of the rejects.",
    "Send the columns of GET /api/v1/rejects/{file_id}/download, in any order; `_row` must be there.",
)
CorrectionInvalid = _error(
    "CorrectionInvalid",
    422,
    "correction_invalid",
    "Some rows of the correction cannot be taken.",
    "Mend or leave out the rows listed in `errors`; rejects that are left out stay rejected.",
)
NothingCorrected = _error(
    "NothingCorrected",
    422,
    "nothing_corrected",
    "No row was corrected.",
    "Change what is wrong in at least one row; run_unchanged=true takes rows as the download shows them.",
)
EmptyFile = _error("EmptyFile", 422, "empty_file", "The file holds no data.", "Check the export that made it.")
CorruptGzip = _error(
    "CorruptGzip",
    422,
    "corrupt_gzip",
    "The gzip data is damaged or incomplete.",
    "Compress the file again and upload it again; nothing was kept.",
)
DigestMismatch = _error(
    "DigestMismatch",
    422,
    "digest_mismatch",
    "The bytes received do not have the announced digest.",
    "Send the file again; nothing was kept.",
)
IdempotencyKeyReused = _error(
    "IdempotencyKeyReused",
    422,
    "idempotency_key_reused",
    "This Idempotency-Key was used for another request.",
    "Use a new key for a new upload.",
)
JsonNotRows = _error(
    "JsonNotRows",
    422,
    "json_not_rows",
    "The JSON is not an array of objects, an object, or JSON Lines.",
    "Wrap the values in objects, one per row.",
)
BadHeader = _error(
    "BadHeader",
    422,
    "bad_header",
    "The header of the file cannot be used.",
    "Correct the header, or give skip_rows, header_rows or columns.",
)
TooManyColumns = _error(
    "TooManyColumns",
    422,
    "too_many_columns",
    "The file has too many columns.",
    "Check the delimiter; at most 16 384 columns are read.",
)
MissingColumn = _error(
    "MissingColumn",
    422,
    "missing_column",
    "The file lacks a column that the processor needs.",
    "Rename the column, or name the columns with `columns`.",
)
UnknownProcessor = _error(
    "UnknownProcessor",
    422,
    "unknown_processor",
    "There is no processor of that name.",
    "Use one of the names in the answer.",
    InvalidParameter,
)
UnknownJobType = _error(
    "UnknownJobType",
    422,
    "unknown_job_type",
    "There is no job type of that name.",
    "Use one of the names in the answer.",
    InvalidParameter,
)
UnknownModel = _error(
    "UnknownModel",
    422,
    "unknown_model",
    "There is no model of that name.",
    "Use one of the names in the answer, or list yours in SENTIMENT_MODELS.",
    InvalidParameter,
)
BadCron = _error(
    "BadCron",
    422,
    "bad_cron",
    "The cron expression cannot be used.",
    "Write five fields: minute, hour, day of the month, month, day of the week; `0 2 * * *` is every night at two.",
    InvalidParameter,
)
BadSourceUri = _error(
    "BadSourceUri",
    422,
    "bad_source_uri",
    "The source cannot be used.",
    "Write it as s3://bucket/key, or s3://bucket/prefix*.csv for many objects.",
    InvalidParameter,
)
ObjectNotFound = _error(
    "ObjectNotFound",
    422,
    "s3_not_found",
    "There is no such object.",
    "Check bucket, key and ENDPOINT_URL; list what is there with `aws --endpoint-url=$ENDPOINT_URL s3 ls s3://bucket/`.",
)
ObjectAccessDenied = _error(
    "ObjectAccessDenied",
    422,
    "s3_access_denied",
    "The object store denies access.",
    "Check KEY and SECRET, and that they may list the bucket and read its objects.",
)
QuotaExceeded = _error(
    "QuotaExceeded",
    429,
    "quota_exceeded",
    "You have as much here as you may.",
    "Delete files, or wait until jobs have ended; GET /api/v1/me tells what you have.",
)
RateLimited = _error(
    "RateLimited", 429, "rate_limited", "Too many requests.", "Wait for Retry-After seconds and send fewer."
)
WebhookUrlRefused = _error(
    "WebhookUrlRefused",
    422,
    "webhook_url_refused",
    "No messages can be sent to this URL.",
    "Give an https URL of a public address; for receivers on your own network start with WEBHOOK_ALLOW_PRIVATE=true.",
    InvalidParameter,
)
HostNotAllowed = _error(
    "HostNotAllowed",
    421,
    "host_not_allowed",
    "The service is not to be asked for under this name.",
    "Use localhost or an address, or set ALLOWED_HOSTS to the name and start the service again.",
)
HeadersTooLarge = _error(
    "HeadersTooLarge", 431, "headers_too_large", "The request headers are too large.", "Send fewer or shorter headers."
)
InternalError = _error(
    "InternalError",
    500,
    "internal_error",
    "The service made a mistake.",
    "Report the request_id; the log has the details.",
)
Unavailable = _error(
    "Unavailable",
    503,
    "unavailable",
    "The service cannot take this request now.",
    "Wait for Retry-After seconds and try again.",
)
NotConfigured = _error(
    "NotConfigured",
    503,
    "not_configured",
    "The service is not configured for this.",
    "Set the variables that the answer names and start the service again.",
)
InsufficientStorage = _error(
    "InsufficientStorage",
    507,
    "insufficient_storage",
    "There is not enough disk space.",
    "Free disk space, or lower MIN_FREE_DISK_MB.",
)
ImportNotFound = _error(
    "ImportNotFound", 404, "import_not_found", "Import not found.", "Check the id; GET /api/imports lists them."
)
UnknownSchema = _error(
    "UnknownSchema", 422, "unknown_schema", "There is no such schema.", "Use one of the names in `detail`."
)
SearchUnavailable = _error(
    "SearchUnavailable",
    503,
    "search_unavailable",
    "Search by meaning is not possible: the language model is not there.",
    "Run ./scripts/install_model on the server; filters and `text` work without it.",
)
# What the batch door answers, in the words and with the statuses that its clients know.
BatchNotFound = _error(
    "BatchNotFound", 404, "batch_not_found", "Batch not found.", "Check the id; GET /batches lists them."
)
BatchNotCsv = _error(
    "BatchNotCsv", 400, "batch_not_csv", "The file of a batch must be a CSV.", "Send a file named *.csv or *.csv.gz."
)
BatchEmpty = _error(
    "BatchEmpty", 400, "batch_empty", "The file of a batch has no rows.", "Check the export that made it."
)
BatchWithoutText = _error(
    "BatchWithoutText",
    400,
    "batch_without_text",
    "The file of a batch lacks the column `text`.",
    "Name the column that holds the texts `text`.",
)
BatchBadEncoding = _error(
    "BatchBadEncoding", 400, "batch_bad_encoding", "The file of a batch is not UTF-8.", "Save the file as UTF-8."
)
BatchMalformed = _error(
    "BatchMalformed",
    400,
    "batch_malformed",
    "The file of a batch cannot be read as CSV.",
    "Send comma-separated values, with double quotes around cells that hold commas.",
)


def request_errors() -> dict[str, type[RequestError]]:
    """Every stable code with its class, for the documentation and its test."""
    found: dict[str, type[RequestError]] = {}
    pending = RequestError.__subclasses__()
    while pending:
        error = pending.pop()
        found[error.code] = error
        pending += error.__subclasses__()
    return dict(sorted(found.items()))
