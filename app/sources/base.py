"""Where the bytes of a file lie, by its URI: one with a scheme is somebody else's, a name alone is
a file of our storage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from app.errors import BadSourceUri
from app.sources.places import Outputs, Storage
from app.sources.remote import RemoteSource
from app.sources.storage import LocalStorage

OBJECTS = "objects"
"""The format of a file that stands for several objects, and has no bytes of its own."""


class Sources:
    def __init__(
        self,
        storage: Storage,
        outputs: Outputs,
        spool: LocalStorage,
        remotes: Iterable[RemoteSource] = (),
    ) -> None:
        """`spool`: for what this process alone reads, and soon removes."""
        self.storage = storage
        self.outputs = outputs
        self.spool = spool
        self._remotes = {remote.scheme: remote for remote in remotes}

    def remote(self, uri: str) -> RemoteSource:
        """The source that a job names; raises BadSourceUri."""
        remote = self._remotes.get(_scheme(uri))
        if remote is None:
            schemes = " or ".join(f"{scheme}://" for scheme in self._remotes)
            raise BadSourceUri(f"{uri[:100]!r} does not begin with {schemes}.")
        return remote

    def read(self, uri: str, start: int, end: int, etag: str | None = None) -> bytes:
        """Bytes [start, end); raises StoredFileMissing, StoredFileCorrupt, StorageUnavailable for
        stored files, see RemoteSource for others.
        """
        return self._place(uri).read(uri, start, end, etag)

    def open(self, uri: str, size: int, etag: str | None = None) -> BinaryIO:
        """A file that must have `size` bytes; raises the same."""
        return self._place(uri).open(uri, size, etag)

    def delete(self, uri: str) -> None:
        """Remove what is ours to remove."""
        if not is_remote(uri):
            self.storage.delete(uri)

    def _place(self, uri: str) -> RemoteSource | Storage:
        return self.remote(uri) if is_remote(uri) else self.storage


def is_remote(uri: str) -> bool:
    """Whether the bytes lie with somebody else."""
    return bool(_scheme(uri))


def _scheme(uri: str) -> str:
    scheme, found, _ = uri.partition("://")
    return scheme if found else ""
