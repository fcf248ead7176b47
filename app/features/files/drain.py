"""Files for downloads that are written while they are sent."""

from __future__ import annotations

import io
import zipfile


class Drain(io.RawIOBase):
    """A file that returns what was written to it since the last time."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]
        self._parts.append(part)
        self._position += len(part)
        return len(part)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        data, self._parts = b"".join(self._parts), []
        return data


class Archive(zipfile.ZipFile):
    """A zip archive that may be given up in the middle. It then has no index."""

    def __del__(self) -> None:
        """Do not close it: that fails while a member is being written."""
