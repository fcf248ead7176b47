"""Temporary folders of a process, removed with it or by the next one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX, LOCK = "granula-scratch-", ".lock"


class Scratch:
    """A folder of this process in the system's temporary folder (TMPDIR)."""

    def __init__(self) -> None:
        root = Path(tempfile.gettempdir())
        for leftover in root.glob(f"{PREFIX}*"):
            if _is_left(leftover):
                shutil.rmtree(leftover, ignore_errors=True)
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
        self._lock = os.open(self.folder / LOCK, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)  # until the process ends, in whatever way

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)


def _is_left(folder: Path) -> bool:
    """Return whether its process is gone. A folder without a lock is just being created."""
    try:
        descriptor = os.open(folder / LOCK, os.O_WRONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
