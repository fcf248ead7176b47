"""Decoder: bytes as they come to canonical bytes, which are stored and can be split at the ends of
records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.decoders.places import Places

PIECE_BYTES = 4 << 20
"""About as much as a decoder gives at once."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user said about how a file is to be decoded. It is known when all bytes have come: a
    form may say it behind its file.
    """

    sheet: str | None = None
    """Of a workbook: its name, or its number from 1."""
    takes_parts: bool = False
    """Whether a file may become several: one for each sheet, if none is named."""
    memory_mb: int = 512
    """MiB for the process that reads a file."""
    seconds: float = 60.0
    """After which that process is ended if nothing comes of it."""
    records: str | None = None
    """Path of the records in an XML document."""
    record_key: str | None = None
    """Column for the keys of members, which only JSON has."""
    encoding: str | None = None
    """Of the text, if it was declared."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a decoder found and did. It is kept with the file."""

    decoder: str
    facts: dict[str, Any] = field(default_factory=dict)
    """Settings and findings by name, as the API shows them."""
    places: Places | None = None
    """Where each row comes from, if the canonical bytes are not what came."""
    declared: dict[str, Any] = field(default_factory=dict)
    """How the canonical bytes are to be read, if the decoder knows it: fields of Declared."""

    def shown(self) -> dict[str, Any]:
        return {"decoder": self.decoder, **self.facts}


class Decoder(Protocol):
    """Made for one file, and fed with its bytes in their order. All methods block, and give bounded
    pieces. What is given must be taken before the next call.
    """

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Canonical bytes, as far as they are known by now: none at all from a decoder that must
        see the whole file. Raises a RequestError for bytes that are damaged.
        """

    def finish(self, wanted: Wanted) -> Iterator[bytes]:
        """The rest of them; raises a RequestError if the file is incomplete."""

    @property
    def part(self) -> int:
        """Of the piece that was given last: to which of the files that it makes it belongs, from
        0.
        """

    def reports(self) -> list[Report]:
        """What it did, for each of these files, once all has been taken."""

    def close(self) -> None:
        """Gives up what is not finished, from any thread."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way in which bytes come."""

    name: str
    """For messages and reports."""
    recognises: Callable[[bytes], bool]
    """Whether a file begins so: that decides, whatever it is called. It gets the first
    BEGINNING_BYTES, or all if there are fewer.
    """
    codings: tuple[str, ...]
    """Its names in a Content-Encoding."""
    open: Callable[[], Decoder]
    endings: tuple[str, ...] = ()
    """How names of its files may end, in small letters, besides what is inside."""
    is_compression: bool = True
    """Whether there may be another kind inside. If not, what it gives is canonical."""
    is_heavy: bool = False
    """Whether it is finished by a process of its own, of which a service has only some at once."""
    max_ratio: int = 200
    """Most canonical bytes for each received byte; with more, the file is refused."""


def begins_with(*magic: bytes) -> Callable[[bytes], bool]:
    """Recognises files by their first bytes."""
    return lambda beginning: beginning.startswith(magic)
