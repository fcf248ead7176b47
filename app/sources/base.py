"""Access to the bytes of files by URI. A URI with a scheme names a remote source, a bare name a
file in our storage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from app.errors import BadSourceUri
from app.sources.places import Outputs, Storage
from app.sources.remote import RemoteSource, Source
from app.sources.storage import LocalStorage

OBJECTS = "objects"
"""Format of a file that stands for several objects and has no bytes of its own."""


class Sources:
    def __init__(
        self,
        storage: Storage,
        outputs: Outputs,
        spool: LocalStorage,
        remotes: Iterable[RemoteSource] = (),
        fetched: Iterable[Source] = (),
    ) -> None:
        """`spool` is for files that only this process reads and soon removes. Files of `fetched`
        sources are copied before they are read.
        """
        self.storage = storage
        self.outputs = outputs
        self.spool = spool
        self._remotes = {remote.scheme: remote for remote in remotes}
        self._fetched = {source.scheme: source for source in fetched}

    def of(self, uri: str) -> Source:
        """Return the source of a URI; raises BadSourceUri."""
        source = self._remotes.get(_scheme(uri)) or self._fetched.get(_scheme(uri))
        if source is None:
            raise _bad_scheme(uri, (*self._remotes, *self._fetched))
        return source

    def in_place(self, uri: str) -> RemoteSource | None:
        """Return the source of a URI if its objects can be read where they are."""
        return self._remotes.get(_scheme(uri))

    def remote(self, uri: str) -> RemoteSource:
        """Return the source of an object that is read where it is; raises BadSourceUri."""
        remote = self.in_place(uri)
        if remote is None:
            raise _bad_scheme(uri, tuple(self._remotes))
        return remote

    def read(self, uri: str, start: int, end: int, etag: str | None = None) -> bytes:
        """Return the bytes [start, end); raises StoredFileMissing, StoredFileCorrupt,
        StorageUnavailable for stored files, and the errors of RemoteSource for others.
        """
        return self._place(uri).read(uri, start, end, etag)

    def open(self, uri: str, size: int, etag: str | None = None) -> BinaryIO:
        """Open a file that must have `size` bytes; raises the same errors as `read`."""
        return self._place(uri).open(uri, size, etag)

    def folder_of(self, uri: str) -> LocalStorage | None:
        """Return the folder that the file is in, which every process of this machine can read; None
        if it is in a bucket or at a remote source.
        """
        if is_remote(uri) or not isinstance(self.storage, LocalStorage):
            return None
        return self.storage

    def delete(self, uri: str) -> None:
        """Remove the bytes if they are in our storage."""
        if not is_remote(uri):
            self.storage.delete(uri)

    def _place(self, uri: str) -> RemoteSource | Storage:
        return self.remote(uri) if is_remote(uri) else self.storage


def _bad_scheme(uri: str, schemes: tuple[str, ...]) -> BadSourceUri:
    expected = " or ".join(f"{scheme}://" for scheme in schemes)
    return BadSourceUri(f"{uri[:100]!r} does not begin with {expected}.")


def is_remote(uri: str) -> bool:
    """Return whether the bytes are at a remote source."""
    return bool(_scheme(uri))


def _scheme(uri: str) -> str:
    scheme, separator, _ = uri.partition("://")
    return scheme if separator else ""
