"""Where the bytes of a file lie, by its URI: `s3://bucket/key` is somebody else's object, a name is a file of our storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Protocol

from app.sources.places import Outputs, Storage
from app.sources.s3 import S3_SCHEME
from app.sources.storage import LocalStorage


class RemoteSource(Protocol):
    """A place that somebody else keeps. `etag` names the version that is meant: another one is an error, never a mixture.

    Raises SourceUnavailable, SourceNotFound, SourceAccessDenied, SourceChanged.
    """

    def read(self, uri: str, start: int, end: int, etag: str | None) -> bytes:
        """Bytes [start, end), all of them."""

    def open(self, uri: str, size: int, etag: str | None) -> BinaryIO:
        """For reading and seeking, without a copy."""


@dataclass(frozen=True, slots=True)
class Sources:
    storage: Storage
    s3: RemoteSource
    outputs: Outputs
    spool: LocalStorage
    """For what this process alone reads, and soon removes."""

    def read(self, uri: str, start: int, end: int, etag: str | None = None) -> bytes:
        """Bytes [start, end); raises StoredFileMissing, StoredFileCorrupt, StorageUnavailable for stored files, see
        RemoteSource for others."""
        return (self.s3 if uri.startswith(S3_SCHEME) else self.storage).read(uri, start, end, etag)

    def open(self, uri: str, size: int, etag: str | None = None) -> BinaryIO:
        """A file that must have `size` bytes; raises the same."""
        return (self.s3 if uri.startswith(S3_SCHEME) else self.storage).open(uri, size, etag)

    def delete(self, uri: str) -> None:
        """Remove what is ours to remove: an object in a bucket of others is not."""
        if not uri.startswith(S3_SCHEME):
            self.storage.delete(uri)
