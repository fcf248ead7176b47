"""The beginning of a file, decoded, however it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from app.decoders.base import Decoder, Kind, Wanted
from app.decoders.registry import by_content
from app.errors import BinaryContent, EmptyFile
from app.formats.detect import SAMPLE_BYTES

MAX_BODY_BYTES = 16 << 20
"""So much is read of a body whose decoder has not given enough bytes before."""
MAGIC_BYTES = 16


@dataclass(frozen=True, slots=True)
class Beginning:
    sample: bytes
    """At most SAMPLE_BYTES of the canonical bytes."""
    is_complete: bool
    """Whether the file ends with them."""
    filename: str = ""
    media_type: str = ""


class _Sample:
    """Takes bytes as they come until there are enough."""

    def __init__(self, declared: Kind | None) -> None:
        self._declared = declared
        self._decoder: Decoder | None = None
        self._is_open = False
        self._waiting = b""
        self._sample = bytearray()
        self._taken = 0

    @property
    def is_full(self) -> bool:
        return len(self._sample) > SAMPLE_BYTES or self._taken > MAX_BODY_BYTES

    def feed(self, data: bytes) -> None:
        self._taken += len(data)
        self._waiting += data
        if self._is_open or len(self._waiting) >= MAGIC_BYTES:
            self._decode()

    def finish(self, *, is_partial: bool) -> bytes:
        """The sample, and one byte more if the file goes on. Raises a RequestError for a body that
        cannot be decoded, or that a beginning of tells nothing of.
        """
        is_cut = is_partial or self.is_full
        self._decode()
        if self._decoder is not None and not is_cut:
            self._take(self._decoder.finish(Wanted()))
        if not self._sample and self._taken:
            raise BinaryContent("The beginning of this file does not show its rows; upload it.")
        return bytes(self._sample)

    def _decode(self) -> None:
        data, self._waiting = self._waiting, b""
        if not self._is_open:
            self._is_open = True
            kind = self._declared or by_content(data)
            self._decoder = None if kind is None else kind.open()
        self._take([data] if self._decoder is None else self._decoder.feed(data))

    def _take(self, pieces: Iterable[bytes] | Iterator[bytes]) -> None:
        for piece in pieces:
            self._sample += piece[: SAMPLE_BYTES + 1 - len(self._sample)]
            if self.is_full:
                return


async def of_body(
    body: AsyncIterator[bytes], declared: Kind | None, *, is_partial: bool
) -> tuple[bytes, bool]:
    """The sample of a body, and whether it is all of the file. What comes behind it is not read.

    `declared`: how the bytes come, if that was said; `is_partial`: the body is the beginning of a
    longer file.
    """
    sample = _Sample(declared)
    async for piece in body:
        await asyncio.to_thread(sample.feed, piece)
        if sample.is_full:
            break
    found = await asyncio.to_thread(lambda: sample.finish(is_partial=is_partial))
    return _cut(found, is_partial=is_partial)


def of_pieces(pieces: Iterable[bytes]) -> tuple[bytes, bool]:
    """The same of a file that is here."""
    sample = _Sample(None)
    for piece in pieces:
        sample.feed(piece)
        if sample.is_full:
            break
    return _cut(sample.finish(is_partial=False), is_partial=False)


def _cut(found: bytes, *, is_partial: bool) -> tuple[bytes, bool]:
    if not found:
        raise EmptyFile("The file is empty.")
    return found[:SAMPLE_BYTES], len(found) <= SAMPLE_BYTES and not is_partial
