"""Chain: the decoders of one file, each fed with the output of the one before: first that of a declared
Content-Encoding, then one for each kind that the content shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from app.decoders.base import Decoder, Kind, NeedsMemory, Report, Skipped, Unpacks, Wanted
from app.decoders.json_records import FEATURES, RecordsWanted, geojson_in, json_records_kind
from app.decoders.registry import by_content
from app.decoders.text import text_kind
from app.decoders.xml.decoder import XML
from app.errors import ContentMismatch

BEGINNING_BYTES = 64 << 10
"""Number of bytes that show of which kind a file is. Fewer are held back until more have come."""
RATIO_COUNTS_FROM = 1 << 20
"""Number of bytes that every decoder may yield."""


class Chain:
    """A decoder that consists of those of the kinds that it finds."""

    def __init__(self, declared: Kind | None = None) -> None:
        """`declared` is the declared kind of the bytes, which is not checked by their beginning."""
        self._links = [] if declared is None else [_Link(declared)]
        self._beginning = bytearray()
        self._finished = 0
        self.encoding: str | None = None
        """Encoding of text, if it is declared before the first byte."""
        self.or_likely = False
        """Whether text in no declared encoding is decoded from the encoding that it is likely in."""
        self.records: RecordsWanted | None = None
        """Records to find inside a JSON document, if they are declared before the first byte."""
        self.format: str | None = None
        """Format of the file, if it is declared before the first byte."""
        self._is_plain = False

    @property
    def name(self) -> str:
        """Names of the kinds, the innermost first; empty for plain bytes."""
        return " in ".join(link.kind.name for link in reversed(self._links))

    @property
    def most_bytes(self) -> int:
        """Size of the largest output of a decoder so far."""
        return max((link.most_bytes for link in self._links), default=0)

    @property
    def memory_bytes(self) -> int:
        """Memory that the decoders need now beyond their pieces."""
        decoders = [link.decoder for link in self._links]
        return sum(one.memory_bytes for one in decoders if isinstance(one, NeedsMemory))

    @property
    def max_ratio(self) -> int:
        """Highest ratio that one of the decoders may reach."""
        return max((link.max_ratio for link in self._links), default=1)

    def exceeds_ratio(self, received_bytes: int) -> bool:
        """Return whether a decoder has given more than its kind may, after so many bytes."""
        return any(
            link.most_bytes > max(RATIO_COUNTS_FROM, link.max_ratio * received_bytes)
            for link in self._links
        )

    def feed(self, data: bytes) -> Iterator[bytes]:
        return self._fed(iter((data,)), 0)

    def finish(self, wanted: Wanted, *, also_heavy: bool = False) -> Iterator[bytes]:
        """Finish the decoders. Without `also_heavy`, stop before a heavy one; then call it again."""
        while True:
            while self._finished < len(self._links):
                link = self._links[self._finished]
                if link.kind.is_heavy and not also_heavy:
                    return
                self._finished += 1
                yield from self._fed(link.finish(wanted), self._finished)
            if self._is_plain:
                return
            yield from self._decided()

    @property
    def is_finished(self) -> bool:
        return self._is_plain and self._finished == len(self._links)

    def close(self) -> None:
        for link in self._links:
            link.decoder.close()

    @property
    def is_archive(self) -> bool:
        """Whether the last decoder known by now is that of an archive."""
        return bool(self._links) and self._links[-1].kind.is_archive

    @property
    def part(self) -> int:
        """Index of the file to which the last piece belongs. Only the last decoder makes several."""
        return self._links[-1].decoder.part if self._links else 0

    @property
    def skipped(self) -> Sequence[Skipped]:
        """Members of archives that were not read."""
        decoder = self._links[-1].decoder if self._links else None
        return decoder.skipped if isinstance(decoder, Unpacks) else ()

    @property
    def file_count(self) -> int:
        """Number of files whose last piece has been taken."""
        return len(self._links[-1].decoder.reports()) if self._links else 1

    def reports(self, part: int) -> list[Report]:
        """Return the reports of the decoders of one of these files, in the order in which they
        ran.
        """
        if not self._links:
            return []
        *before, last = [link.decoder.reports() for link in self._links]
        return list(_flat([*(reports[0] for reports in before), last[part]]))

    def _fed(self, pieces: Iterator[bytes], place: int) -> Iterator[bytes]:
        """Yield what the decoders from `place` on make of these pieces, and an empty piece for each
        piece of a decoder, so that the caller can look at `most_bytes` and `memory_bytes`.
        """
        for piece in pieces:
            if place:
                yield b""
            if not piece:
                continue
            if place < len(self._links):
                yield from self._fed(self._links[place].feed(piece), place + 1)
            elif self._is_plain:
                yield piece
            else:
                self._beginning += piece
                if len(self._beginning) >= BEGINNING_BYTES:
                    yield from self._decided()

    def _decided(self) -> Iterator[bytes]:
        """Find the kind of the output of the last decoder, and yield what its beginning becomes."""
        beginning = bytes(self._beginning)
        self._beginning.clear()
        kind = by_content(beginning) or self._xml(beginning)
        kinds = self._text_kinds(beginning) if kind is None else [kind]
        self._is_plain = kind is None or not kind.is_compression
        if kind is not None and kind.is_compression and self._links:
            outer = self._links[-1].kind.name
            raise ContentMismatch(f"The content is {kind.name} inside {outer}.")
        first = len(self._links)
        self._links += [_Link(kind) for kind in kinds]
        if beginning or kinds:
            yield from self._fed(iter((beginning,)), first)

    def _xml(self, beginning: bytes) -> Kind | None:
        """Return the kind of XML if text that begins so is read as XML. A caller that wants no likely
        encoding wants no other format either.
        """
        if self.format == XML.name:
            return XML
        may_be_xml = self.format is None and self.or_likely
        return XML if may_be_xml and XML.recognises(beginning) else None

    def keeps(self, beginning: bytes) -> bool:
        """Return whether bytes that begin so are canonical as they are. `beginning` has
        BEGINNING_BYTES, or all bytes if there are fewer. Raises UnsupportedEncoding.
        """
        return (
            by_content(beginning) is None
            and self._xml(beginning) is None
            and not self._text_kinds(beginning)
        )

    def _text_kinds(self, beginning: bytes) -> list[Kind]:
        """Return the kinds of text that begins so: of its encoding, and of the records inside it."""
        kind = text_kind(beginning, self.encoding, or_likely=self.or_likely)
        kinds = [] if kind is None else [kind]
        if self.records is not None:
            kinds.append(json_records_kind(self.records))
        elif kind is None and self.or_likely and geojson_in(beginning):
            kinds.append(json_records_kind(FEATURES))
        return kinds


def _flat(reports: Iterable[Report]) -> Iterator[Report]:
    for report in reports:
        yield report
        yield from _flat(report.inside)


class _Link:
    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.decoder: Decoder = kind.open()
        self.size = 0

    @property
    def most_bytes(self) -> int:
        """Size of its output, or of what it has made inside if that is larger."""
        decoder = self.decoder
        return max(self.size, decoder.inside_bytes if isinstance(decoder, Unpacks) else 0)

    @property
    def max_ratio(self) -> int:
        """Highest ratio of its kind, and of the kinds inside so far."""
        decoder = self.decoder
        inside = decoder.max_ratio if isinstance(decoder, Unpacks) else 0
        return max(self.kind.max_ratio, inside)

    def feed(self, data: bytes) -> Iterator[bytes]:
        return self._counted(self.decoder.feed(data))

    def finish(self, wanted: Wanted) -> Iterator[bytes]:
        return self._counted(self.decoder.finish(wanted))

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.size += len(piece)
            yield piece
