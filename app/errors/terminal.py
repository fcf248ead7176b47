"""Errors that no retry can fix."""

from __future__ import annotations

from app.errors.base import TerminalError


class MLApiMisconfigured(TerminalError):
    """The model service cannot be used as it is configured."""

    code = "ml_api_misconfigured"


class ModelUnavailable(TerminalError):
    """The language model is not installed. Run ./scripts/install_model."""

    code = "model_unavailable"


class OutOfMemory(TerminalError):
    """The computation needs more memory than a compute process may take."""

    code = "out_of_memory"


class RowsGone(TerminalError):
    """Rows were deleted while they were read."""

    code = "rows_gone"


class SourceAccessDenied(TerminalError):
    """The object store denies access to the object."""

    code = "s3_access_denied"


class SourceChanged(TerminalError):
    """The object was replaced while it was read."""

    code = "source_changed"


class SourceNotFound(TerminalError):
    """The object is not in the object store."""

    code = "s3_not_found"


class StoredFileCorrupt(TerminalError):
    """The stored upload does not hold the bytes that were uploaded."""

    code = "stored_file_corrupt"


class StoredFileMissing(TerminalError):
    """The stored upload is missing from the disk."""

    code = "stored_file_missing"
