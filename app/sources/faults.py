"""Translates OSErrors of file access into our own errors, in this one place."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import DiskFull, StorageUnavailable, TransientError

UNAVAILABLE = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENODEV,
        errno.ENXIO,
        errno.ESTALE,
        errno.ENOMEM,
        errno.EBUSY,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.EHOSTDOWN,
        errno.EREMOTEIO,
    }
)
"""Errors of a disk, a network disk, its permissions or the limits of this process: transient, or
repaired by an operator.
"""


def to_granula_error(error: OSError, where: Path | str) -> TransientError | None:
    """Return DiskFull if there is no space, StorageUnavailable if the storage cannot be used now,
    None for other errors.
    """
    if error.errno in DiskFull.numbers:
        return DiskFull(f"{where} has no space left: {os.strerror(error.errno or 0)}.")
    if error.errno in UNAVAILABLE:
        return StorageUnavailable(f"{where} cannot be used now: {os.strerror(error.errno or 0)}.")
    return None


@contextmanager
def translated(where: Path | str) -> Iterator[None]:
    """Translate errors of calls that use a file in the folder `where`. Raises DiskFull,
    StorageUnavailable. Errors for missing, existing and locked files pass through, since callers
    handle them.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError, BlockingIOError):
        raise
    except OSError as error:
        known_error = to_granula_error(error, where)
        if known_error is None:
            raise
        raise known_error from error


@contextmanager
def translated_wholly(where: Path | str) -> Iterator[None]:
    """Like `translated`, for calls that create something in a folder: a missing folder means that
    the storage is unavailable.
    """
    try:
        with translated(where):
            yield
    except FileNotFoundError as error:
        raise StorageUnavailable(f"{where} does not exist.") from error
