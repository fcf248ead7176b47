"""Decoder: turns bytes as they come into canonical bytes, which are stored and can be split at the
ends of records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from app.decoders.places import Places
from app.errors import RequestError

if TYPE_CHECKING:
    from app.decoders.json_records import RecordsWanted

PIECE_BYTES = 4 << 20
"""Approximate size of the largest piece of a decoder."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A member of an archive that is not read."""

    name: str
    """Path in the upload."""
    why: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user says about how a file is decoded. It is complete when all bytes have come: a
    form may have it after its file.
    """

    sheet: str | None = None
    """Sheet of a workbook: its name, or its number from 1."""
    takes_parts: bool = False
    """Whether a file may become several: one for each sheet or member."""
    memory_mb: int = 512
    """MiB for the process that reads a file."""
    seconds: float = 60.0
    """Seconds after which that process is ended if it has given nothing."""
    members: str | None = None
    """Patterns for the members of an archive, separated by commas; None for all."""
    format: str | None = None
    """Declared format."""
    encoding: str | None = None
    """Declared encoding of text."""
    or_likely: bool = False
    """Whether text in no declared encoding is read in its likely encoding."""
    records: str | None = None
    """Declared path of the records in an XML or JSON document."""
    record_key: str | None = None
    """Declared column for the keys of members, which only JSON has."""
    json_records: RecordsWanted | None = None
    """Records to find inside of JSON documents, by the same declarations."""
    depth: int = 0
    """Number of archives around the file."""
    path: str = ""
    """Path of the file in the archives around it, with a `/` at the end."""


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
    error: RequestError | None = None
    """Why the file cannot be used, although others of the same upload can."""
    inside: tuple[Report, ...] = ()
    """Reports of the decoders that read the file inside, in the order in which they ran."""

    def shown(self) -> dict[str, Any]:
        return {"decoder": self.decoder, **self.facts}


class Decoder(Protocol):
    """Decodes one file whose bytes are fed in order. All methods block and yield bounded pieces.
    The pieces must be taken before the next call.
    """

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the canonical bytes known by now; nothing from a decoder that must see the whole
        file. Raises a RequestError for damaged bytes.
        """

    def finish(self, wanted: Wanted) -> Iterator[bytes]:
        """Yield the rest; raises a RequestError if the file is incomplete."""

    @property
    def part(self) -> int:
        """Index of the file, of those that it makes, to which the last piece belongs."""

    def reports(self) -> Sequence[Report]:
        """Return the report of each file whose last piece has been taken, in order."""

    def close(self) -> None:
        """Give up what is not finished, from any thread."""


class NeedsMemory:
    """Base of decoders that need memory beyond their pieces."""

    memory_bytes = 0
    """Memory in bytes that is needed now. A decoder yields an empty piece after it has raised this,
    and allocates nothing until the next piece is asked for.
    """


class Unpacks(NeedsMemory):
    """Base of decoders that decode the files inside of theirs by decoders of their own."""

    def __init__(self) -> None:
        self.inside_bytes = 0
        """Number of bytes that were made inside so far."""
        self.skipped: list[Skipped] = []
        """Members that were not read."""
        self.max_ratio = 0
        """Highest ratio of a kind inside so far."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A way in which bytes come."""

    name: str
    """Name for messages and reports."""
    recognises: Callable[[bytes], bool]
    """Returns whether a file begins so, which decides, whatever its name is. Gets the first
    BEGINNING_BYTES, or all if there are fewer.
    """
    codings: tuple[str, ...]
    """Names in a Content-Encoding."""
    open: Callable[[], Decoder]
    endings: tuple[str, ...] = ()
    """Endings of the names of its files in small letters, in addition to those of the content."""
    is_compression: bool = True
    """Whether there may be another kind inside. If not, its output is canonical."""
    is_heavy: bool = False
    """Whether it is finished in a process or needs disk and time, so that a service runs only some
    at once.
    """
    is_archive: bool = False
    """Whether there may be several files inside."""
    max_ratio: int = 200
    """Most canonical bytes for each received byte; with more, the file is refused."""


def begins_with(*magic: bytes) -> Callable[[bytes], bool]:
    """Return a function that recognises files by their first bytes."""
    return lambda beginning: beginning.startswith(magic)
