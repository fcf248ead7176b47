"""The protocols of sources. A new source needs a module with its class, and a line where `wiring`
creates `Sources`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from app.decoders.base import Kind


@dataclass(frozen=True, slots=True)
class Object:
    """A file at a source, in one of its versions."""

    uri: str
    size: int
    """Size in bytes; 0 if it is known only once the file is fetched."""
    etag: str
    """Version; empty if the source has none, or if it is known only once the file is fetched."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file whose bytes are about to come."""

    name: str
    """Name to show, and to detect the format from."""
    size: int | None
    """Number of bytes that will come; None if the source does not say."""
    etag: str
    """Version of these bytes; empty if the source has none."""
    pieces: AsyncIterator[bytes]
    """All bytes of this version, in order. Raises SourceReplaced, SourceUnavailable,
    BadSourceAnswer.
    """
    media_type: str = ""
    coding: Kind | None = None
    """Compression that the source declares for the transfer."""
    modified_at: str | None = None
    """Time of the last change, as the source writes it."""


class Source(Protocol):
    """Where files are that a job can be started over. `etag` names the version to read: another
    version is an error, never a mixture.

    Calls that are not asynchronous block, and are allowed from any thread. They raise BadSourceUri
    for invalid URIs, SourceUnavailable for what may be mended by waiting, and RequestErrors, or the
    TerminalErrors SourceNotFound, SourceAccessDenied, SourceChanged.
    """

    scheme: str
    """Scheme of its URIs, such as `s3`."""

    def check_configured(self) -> None:
        """Raises NotConfigured."""

    def full(self, uri: str) -> str:
        """Return the URI in the form that is shown for a job."""

    def single(self, uri: str) -> Object | None:
        """Return the present version of the object with this URI; None if the URI stands for
        several.
        """

    def find(self, uri: str, limit: int) -> list[Object]:
        """Return the objects that a URI stands for, sorted by name; at most `limit` + 1."""

    def matching(self, uri: str) -> Iterator[Object]:
        """Yield the objects that a URI stands for, in any order, however many there are."""

    def fetch(self, object_: Object, credentials: str = "") -> AbstractAsyncContextManager[Fetched]:
        """Begin to fetch the object. `credentials` names the ones to send, if the source has
        any.
        """


class RemoteSource(Source, Protocol):
    """A source whose objects can also be read where they are."""

    def read(self, uri: str, start: int, end: int, etag: str | None) -> bytes:
        """Return all bytes [start, end)."""

    def open(self, uri: str, size: int, etag: str | None) -> BinaryIO:
        """Open the object for reading and seeking, without a copy."""
