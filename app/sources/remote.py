"""The protocol of a remote source. A new source needs a module with its class, and a line where
`wiring` creates `Sources`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class Object:
    """A file at a remote source, in one of its versions."""

    uri: str
    size: int
    etag: str
    """Version; empty if the source has none."""


class RemoteSource(Protocol):
    """A remote source. `etag` names the version to read: another version is an error, never a
    mixture.

    Calls block, and are allowed from any thread. They raise BadSourceUri for invalid URIs, and
    SourceUnavailable, SourceNotFound, SourceAccessDenied, SourceChanged.
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

    def read(self, uri: str, start: int, end: int, etag: str | None) -> bytes:
        """Return all bytes [start, end)."""

    def open(self, uri: str, size: int, etag: str | None) -> BinaryIO:
        """Open the object for reading and seeking, without a copy."""
