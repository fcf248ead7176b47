"""Where the bytes of a file lie, chosen by the scheme of its URI: `s3://bucket/key`, or a name in the local storage."""

from __future__ import annotations

from typing import BinaryIO, Protocol

from app.errors import StoredFileCorrupt
from app.sources.storage import LocalStorage

S3_SCHEME = "s3://"


class RemoteSource(Protocol):
    """A place that somebody else keeps. `etag` names the version that is meant: another one is an error, never a mixture.

    Raises SourceUnavailable, SourceNotFound, SourceAccessDenied, SourceChanged.
    """

    def read(self, uri: str, start: int, end: int, etag: str | None) -> bytes:
        """Bytes [start, end), all of them."""

    def open(self, uri: str, size: int, etag: str | None) -> BinaryIO:
        """For reading and seeking, without a copy."""


class Sources:
    def __init__(self, local: LocalStorage, s3: RemoteSource) -> None:
        self.local = local
        self.s3 = s3

    def read(self, uri: str, start: int, end: int, etag: str | None = None) -> bytes:
        """Bytes [start, end); raises StoredFileMissing, StoredFileCorrupt for uploads, see RemoteSource for others."""
        if uri.startswith(S3_SCHEME):
            return self.s3.read(uri, start, end, etag)
        return self.local.read(uri, start, end)

    def open(self, uri: str, size: int, etag: str | None = None) -> BinaryIO:
        """A file that must have `size` bytes; raises the same."""
        if uri.startswith(S3_SCHEME):
            return self.s3.open(uri, size, etag)
        found = self.local.size(uri)
        if found is not None and found != size:
            raise StoredFileCorrupt(f"The stored upload has {found} bytes, expected {size}.")
        return self.local.open(uri)

    def delete(self, uri: str) -> None:
        """Remove what is ours to remove: an object in a bucket is not."""
        if not uri.startswith(S3_SCHEME):
            self.local.delete(uri)
