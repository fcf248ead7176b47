"""What no further attempt will cure."""

from __future__ import annotations

from app.errors.base import TerminalError


class MLApiMisconfigured(TerminalError):
    """The model service cannot be used as it is configured."""

    code = "ml_api_misconfigured"


class ModelUnavailable(TerminalError):
    """The language model is not installed. Run ./scripts/install_model."""

    code = "model_unavailable"


class OutOfMemory(TerminalError):
    """What was to be computed needs more memory than a computing process may take."""

    code = "out_of_memory"


class RowsGone(TerminalError):
    """Rows went away while they were read."""

    code = "rows_gone"


class SourceAccessDenied(TerminalError):
    """The object store does not let us read the object."""

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
    """The stored upload is not on disk any more."""

    code = "stored_file_missing"
