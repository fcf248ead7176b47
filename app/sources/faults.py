"""What the operating system refuses while a file is used, as one of our errors: said here, and
nowhere else.
"""

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
"""Of a disk, a network disk, its permissions or the limits of this process: they pass, or an
operator mends them.
"""


def as_ours(error: OSError, where: Path | str) -> TransientError | None:
    """DiskFull where there is no room, StorageUnavailable where it cannot be used now; None if it
    says neither.
    """
    if error.errno in DiskFull.numbers:
        return DiskFull(f"{where} has no room: {os.strerror(error.errno or 0)}.")
    if error.errno in UNAVAILABLE:
        return StorageUnavailable(f"{where} cannot be used now: {os.strerror(error.errno or 0)}.")
    return None


@contextmanager
def translated(where: Path | str) -> Iterator[None]:
    """For calls that use a file of the folder `where`. Raises DiskFull, StorageUnavailable; that
    something is not there, is there already or is locked passes through, since callers ask for
    that.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError, BlockingIOError):
        raise
    except OSError as error:
        ours = as_ours(error, where)
        if ours is None:
            raise
        raise ours from error


@contextmanager
def translated_wholly(where: Path | str) -> Iterator[None]:
    """The same for calls that make something in a folder: if that is not there, the storage is
    not.
    """
    try:
        with translated(where):
            yield
    except FileNotFoundError as error:
        raise StorageUnavailable(f"{where} is not there.") from error
