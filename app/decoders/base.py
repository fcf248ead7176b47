"""Decoder: bytes as they come to canonical bytes, which are stored and can be split at the ends of
records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol


class Decoder(Protocol):
    """Made for one file, and fed with its bytes in their order. Both methods block, and give
    bounded pieces.

    A row is found again by its line and its byte range in the canonical bytes.
    """

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Canonical bytes, as far as they are known by now: none at all from a decoder that must
        see the whole file. Raises a RequestError for bytes that are damaged. What is given must be
        taken before the next call.
        """

    def finish(self) -> Iterator[bytes]:
        """The rest of them; raises a RequestError if the file is incomplete."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way in which bytes come."""

    name: str
    """For messages."""
    magic: tuple[bytes, ...]
    """How its files begin: that decides, whatever they are called."""
    codings: tuple[str, ...]
    """Its names in a Content-Encoding."""
    open: Callable[[], Decoder]
