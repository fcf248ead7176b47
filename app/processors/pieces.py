"""Bytes that are passed on in pieces, in memory while they are few."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from typing import IO

from app.errors import DiskFull

IN_MEMORY = 64 << 20
BLOCK_BYTES = 1 << 20


class Pieces:
    """More than IN_MEMORY bytes are in an unnamed temporary file (TMPDIR), which is removed with
    this object or with the process.
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._file: IO[bytes] | None = None
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Raises DiskFull."""
        self.size += len(piece)
        self._held.append(piece)
        if self.size > IN_MEMORY:
            try:
                self._put_down()
            except OSError as error:
                if error.errno in DiskFull.numbers:
                    raise DiskFull from error
                raise

    def _put_down(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)
            weakref.finalize(self, self._file.close)
        for piece in self._held:
            remaining = memoryview(piece)
            while len(remaining):
                remaining = remaining[self._file.write(remaining) :]
        self._held = []

    def blocks(self) -> Iterator[bytes]:
        """Yield all pieces from the beginning. Nothing may be added meanwhile."""
        if self._file is None:
            yield from self._held
            return
        self._file.seek(0)
        while block := self._file.read(BLOCK_BYTES):
            yield block
        self._file.seek(self.size)
