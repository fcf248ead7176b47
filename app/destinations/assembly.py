"""Assembly of the file of a job from the parts of its chunks, in their order."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK_BYTES = 1 << 20
Blocks = Callable[[str], Iterator[bytes]]
"""Function that yields the bytes of a part by its name; raises FileNotFoundError."""


class PartDamaged(Exception):
    """A part has other bytes than were written; the message has its name."""


@dataclass(frozen=True, slots=True)
class PartFile:
    """Part of a chunk: the name of its file, or none if it has no row for the output."""

    name: str | None
    size: int
    crc32: int


@dataclass(frozen=True, slots=True)
class Assembled:
    size: int
    sha256: str
    crc32: int
    rows: int
    """Number of rows of a part that is not a final piece; else 0."""


class OutputWriter:
    """Writer to `out` that also computes the digests."""

    def __init__(self, out: Any) -> None:
        self._out = out
        self._sha256 = hashlib.sha256()
        self.crc32 = 0
        self.size = 0

    def write(self, data: Any) -> int:
        piece = memoryview(data).cast("B")
        while len(piece):
            written = self._out.write(piece)
            self._sha256.update(piece[:written])
            self.crc32 = zlib.crc32(piece[:written], self.crc32)
            self.size += written
            piece = piece[written:]
        return memoryview(data).nbytes

    def finished(self, rows: int = 0) -> Assembled:
        return Assembled(self.size, self._sha256.hexdigest(), self.crc32, rows)


def joined(blocks: Blocks, parts: Sequence[PartFile], header: bytes, out: Any) -> Assembled:
    """Write final pieces one after the other. Raises PartDamaged, and what `blocks` and `out`
    raise.
    """
    writer = OutputWriter(out)
    writer.write(header)
    for part in parts:
        for block in checked(blocks, part):
            writer.write(block)
    return writer.finished()


def in_folder(folder: str) -> Blocks:
    """Make a reader of the parts in a local folder."""

    def blocks(name: str) -> Iterator[bytes]:
        with open(Path(folder) / name, "rb", buffering=0) as file:
            while block := file.read(BLOCK_BYTES):
                yield block

    return blocks


def checked(blocks: Blocks, part: PartFile) -> Iterator[bytes]:
    """Yield the bytes of a part. Raises PartDamaged at their end if they differ from the written
    ones.
    """
    if part.name is None:
        return
    size, crc32 = 0, 0
    try:
        for block in blocks(part.name):
            size, crc32 = size + len(block), zlib.crc32(block, crc32)
            yield block
    except FileNotFoundError:
        raise PartDamaged(part.name) from None
    if (size, crc32) != (part.size, part.crc32):
        raise PartDamaged(part.name)
