"""gzip, through any number of members."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from app.errors import CorruptGzip

PIECE_BYTES = 4 << 20


class Gunzip:
    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self._member.eof:
                    if not data.strip(b"\0"):
                        return  # padding, which gzip does not mind either
                    self._member = zlib.decompressobj(wbits=31)
                piece = self._member.decompress(data, PIECE_BYTES)
                data = (
                    self._member.unused_data if self._member.eof else self._member.unconsumed_tail
                )
                if piece:
                    yield piece
            while not self._member.eof and (piece := self._member.decompress(b"", PIECE_BYTES)):
                yield piece  # what the window still held back
        except zlib.error as error:
            raise CorruptGzip(f"The gzip data is damaged: {error}.") from None

    def finish(self) -> Iterator[bytes]:
        if not self._member.eof:
            raise CorruptGzip("The gzip data is incomplete.")
        return iter(())
