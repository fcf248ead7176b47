"""Transient errors: they do not count as an attempt."""

from __future__ import annotations

import errno

from app.errors.base import TransientError


class ConnectionUnavailable(TransientError):
    """The database of a named connection cannot be used now."""

    waiting_on = "connection"


class DiskFull(TransientError):
    """The disk is full."""

    waiting_on = "disk"
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LeaseLost(TransientError):
    """The chunk was cancelled, or belongs to another worker now."""


class MLApiUnavailable(TransientError):
    """The model service is not responding."""

    waiting_on = "ml_api"


class SourceUnavailable(TransientError):
    """The object store is not responding."""

    waiting_on = "source"


class StorageUnavailable(TransientError):
    """The folder or the object store of the files cannot be used now."""

    waiting_on = "storage"
