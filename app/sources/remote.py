"""What a source of somebody else can do. To add one is a module with its class, and a line where
`wiring` makes `Sources`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class Object:
    """A file of somebody else, in one of its versions."""

    uri: str
    size: int
    etag: str
    """Of the version; empty if the source has none."""


class RemoteSource(Protocol):
    """A place that somebody else keeps. `etag` names the version that is meant: another one is an
    error, never a mixture.

    The calls block, and may be made from any thread. They raise BadSourceUri for what no job can
    name; SourceUnavailable, SourceNotFound, SourceAccessDenied, SourceChanged.
    """

    scheme: str
    """Of its URIs, as in `s3`."""

    def check_configured(self) -> None:
        """Raises NotConfigured."""

    def full(self, uri: str) -> str:
        """The URI of a job as it is shown."""

    def single(self, uri: str) -> Object | None:
        """The one object that the URI names, as it is now; None if it stands for several."""

    def find(self, uri: str, limit: int) -> list[Object]:
        """The objects that a URI stands for, by name; at most `limit` + 1."""

    def read(self, uri: str, start: int, end: int, etag: str | None) -> bytes:
        """Bytes [start, end), all of them."""

    def open(self, uri: str, size: int, etag: str | None) -> BinaryIO:
        """For reading and seeking, without a copy."""
