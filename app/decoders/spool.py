"""A temporary file for bytes that must all be there before they can be read."""

from __future__ import annotations

import os
import tempfile
from typing import IO

from app.errors import DiskFull, StorageUnavailable


class Spool:
    """A file without a name in the system's temporary folder (TMPDIR): no crash leaves it behind."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(buffering=0)
        self.size = 0

    def write(self, data: bytes) -> None:
        """Append bytes. Raises DiskFull, StorageUnavailable."""
        with memoryview(data) as view:
            written = 0
            while written < len(view):
                try:
                    written += self.file.write(view[written:])
                except OSError as error:
                    raise _translated(error) from None
        self.size += len(data)

    def read_at(self, start: int, size: int) -> bytes:
        """Return the bytes [start, start + size), fewer at the end of the file, however large the
        numbers are.
        """
        size = min(size, self.size - start)
        return b"" if size <= 0 else os.pread(self.file.fileno(), size, start)

    def rewind(self) -> None:
        """Set the position for a process that inherits the file."""
        self.file.seek(0)

    def close(self) -> None:
        self.file.close()


def _translated(error: OSError) -> DiskFull | StorageUnavailable:
    if error.errno in DiskFull.numbers:
        return DiskFull("The folder for temporary files (TMPDIR) is full.")
    return StorageUnavailable(f"A temporary file cannot be written: {error.strerror}.")
