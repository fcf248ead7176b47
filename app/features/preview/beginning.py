"""Decodes the beginning of a file, from a body or from local bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from app.decoders.base import Kind, Wanted
from app.decoders.chain import Chain
from app.decoders.json_records import records_wanted
from app.decoders.registry import plain_name
from app.errors import BinaryContent, EmptyFile, RequestError
from app.formats.detect import SAMPLE_BYTES, Declared
from app.sources.decoding import MemoryBudget

MAX_BODY_BYTES = 16 << 20
"""Most bytes that are read of a body if its decoder does not return enough before."""
WORKBOOKS = asyncio.Semaphore(1)
"""Limit for bodies that are finished at the same time, since a workbook takes a process."""
MEMORY = MemoryBudget()
"""Memory for the decompressors of bodies."""


@dataclass(frozen=True, slots=True)
class Beginning:
    sample: bytes
    """At most SAMPLE_BYTES of the canonical bytes."""
    is_complete: bool
    """Whether the sample is the whole file."""
    filename: str = ""
    media_type: str = ""
    decoding: tuple[dict[str, Any], ...] = ()
    """Reports of the decoders that it passed, in their order."""
    read_as: dict[str, Any] = field(default_factory=dict)
    """Fields of Declared that follow from the decoding."""

    def declared(self, said: Declared) -> Declared:
        """Return how the sample is to be read if this was declared for the file."""
        return replace(said, **self.read_as)


class _Sample:
    """Decodes bytes until the sample is full."""

    def __init__(self, said: Declared, kind: Kind | None) -> None:
        self._chain = Chain(kind)
        self._chain.encoding, self._chain.or_likely = said.encoding, True
        self._chain.format = said.format
        self._chain.records = records_wanted(said.format, said.records, said.record_key)
        self._said = said
        self._sample = bytearray()
        self._taken = 0

    @property
    def is_full(self) -> bool:
        return len(self._sample) > SAMPLE_BYTES or self._taken > MAX_BODY_BYTES

    @property
    def memory_bytes(self) -> int:
        """Memory that the decoders hold."""
        return self._chain.memory_bytes

    def feed(self, data: bytes) -> None:
        self._taken += len(data)
        self._take(self._chain.feed(data))

    def finish(self, *, is_partial: bool) -> Beginning:
        """Return the beginning; `is_partial` if more bytes would follow. Raises a RequestError for a
        body that cannot be decoded, or whose beginning shows no rows.
        """
        if not self._taken:
            raise EmptyFile("The file is empty.")
        is_cut = is_partial or self.is_full
        if not is_cut or not self._sample:
            self._finish(is_cut=is_cut)
        if not self._sample:
            raise BinaryContent(
                "The beginning of this file does not contain rows; upload the file."
            )
        read_as: dict[str, Any] = {}
        decoding = []
        for report in self._chain.reports(0):
            if report.error is not None:
                raise report.error
            read_as |= report.declared
            decoding.append(report.shown())
        is_complete = len(self._sample) <= SAMPLE_BYTES and not is_cut
        return Beginning(
            bytes(self._sample[:SAMPLE_BYTES]),
            is_complete,
            decoding=tuple(decoding),
            read_as=read_as,
        )

    def close(self) -> None:
        self._chain.close()

    def _finish(self, *, is_cut: bool) -> None:
        """End the input. If the body was cut, its decoder fails for the missing end; what it decoded
        before counts.
        """
        said = self._said
        wanted = Wanted(
            said.sheet,
            takes_parts=True,
            members=said.members,
            format=said.format,
            encoding=said.encoding,
            or_likely=True,
            records=said.records,
            record_key=said.record_key,
            json_records=records_wanted(said.format, said.records, said.record_key),
        )
        if is_cut:
            with suppress(RequestError):
                self._take(self._chain.finish(wanted))
        if not is_cut or not self._sample:
            self._take(self._chain.finish(wanted, also_heavy=not is_cut))

    def _take(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            if self._chain.part:
                continue  # of the other sheets of a workbook
            self._sample += piece[: SAMPLE_BYTES + 1 - len(self._sample)]
            if self.is_full:
                return


async def of_body(
    body: AsyncIterator[bytes], said: Declared, kind: Kind | None, *, is_partial: bool
) -> Beginning:
    """Return the beginning of a file in the body of a request; the rest is not read.

    `kind` is the declared compression; `is_partial` if the body is the beginning of a longer
    file.
    """
    sample = _Sample(said, kind)
    memory = MEMORY.share()
    try:
        async for piece in body:
            await asyncio.to_thread(sample.feed, piece)
            await memory.hold(sample.memory_bytes)
            if sample.is_full:
                break
        async with WORKBOOKS:
            return await asyncio.to_thread(lambda: sample.finish(is_partial=is_partial))
    finally:
        sample.close()
        memory.close()


def of_pieces(pieces: Iterable[bytes], said: Declared, *, is_partial: bool = False) -> Beginning:
    """Return the beginning of a local file; `is_partial` if the pieces are not all of it."""
    sample = _Sample(said, None)
    try:
        for piece in pieces:
            sample.feed(piece)
            if sample.is_full:
                break
        return sample.finish(is_partial=is_partial)
    finally:
        sample.close()


def named(beginning: Beginning, filename: str, media_type: str) -> Beginning:
    """Return it with the name that the file has once it is decoded."""
    decoders = [report["decoder"] for report in beginning.decoding]
    plain = plain_name(filename, decoders)
    return replace(beginning, filename=plain, media_type=media_type)
