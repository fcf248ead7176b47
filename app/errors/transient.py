"""What passes by itself: it burns no retry."""

from __future__ import annotations

import errno

from app.errors.base import TransientError


class DiskFull(TransientError):
    """There is no room on the disk."""

    waiting_on = "disk"
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LeaseLost(TransientError):
    """The chunk was cancelled, or belongs to another worker by now."""


class MLApiUnavailable(TransientError):
    """The model service does not answer now."""

    waiting_on = "ml_api"


class SourceUnavailable(TransientError):
    """The object store does not answer now."""

    waiting_on = "source"


class StorageUnavailable(TransientError):
    """The folder or the object store that holds the files cannot be used now."""

    waiting_on = "storage"
