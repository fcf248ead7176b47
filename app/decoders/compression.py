"""Compressed data: any number of members, one behind the other, each checked to its end."""

from __future__ import annotations

import bz2
import codecs
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import lz4.frame
import zstandard

from app.decoders.base import PIECE_BYTES, Kind, Report, Wanted, begins_with
from app.errors import CorruptCompression, CorruptGzip, RequestError

MOST_XZ_BYTES = 80 << 20
"""Memory for a stream of xz: `xz -9` needs 65 MiB, `xz` 9."""
MOST_WINDOW_BYTES = 32 << 20
"""Memory for a frame of zstd: up to level 19 it needs 8 MiB; `--ultra` and `--long` need up to 2
GiB.
"""
ZSTD_AT_ONCE = 512
"""Bytes. A block of 4 bytes may decompress to 128 KiB, so these give 16 MiB at most."""
ZLIB_LOOKED_AT = 4096
BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
"""The header of a stream, and that of its first block, or the end of an empty one."""


class Member(Protocol):
    """One member, from its beginning to its end."""

    @property
    def eof(self) -> bool:
        """Whether its end was reached, and its checksum was right."""

    @property
    def unused_data(self) -> bytes:
        """What was fed and lies behind its end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """The next bytes, about `max_length`. What is not decompressed yet is kept for the next
        call. Nothing comes if there is nothing more, as yet.
        """


class Decompressor:
    """Decompresses the members of a file."""

    def __init__(
        self,
        name: str,
        open_member: Callable[[], Member],
        *errors: type[Exception],
        refusal: type[RequestError] = CorruptCompression,
        takes_padding: bool = False,
    ) -> None:
        """`errors`: what a member raises for damaged bytes, which becomes a `refusal`.
        `takes_padding`: NULs behind a member are no data.
        """
        self._name = name
        self._open_member = open_member
        self._errors = errors
        self._refusal = refusal
        self._takes_padding = takes_padding
        self._member = open_member()
        self._members = 1

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            yield from self._decompressed(data)
        except self._errors as error:
            raise self._refusal(f"The {self._name} data is damaged: {error}.") from None

    def _decompressed(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._member.eof:
                data = data.lstrip(b"\0") if self._takes_padding else data
                if not data:
                    return
                self._member = self._open_member()
                self._members += 1
            piece = self._member.decompress(data, PIECE_BYTES)
            if piece:
                yield piece
            elif not self._member.eof:
                return
            data = self._member.unused_data if self._member.eof else b""

    def finish(self, wanted: Wanted) -> Iterator[bytes]:
        if not self._member.eof:
            raise self._refusal(f"The {self._name} data is incomplete.")
        return iter(())

    part = 0

    def reports(self) -> list[Report]:
        return [Report(self._name)]

    def close(self) -> None: ...


class _Deflated:
    """zlib leaves what does not fit with its caller."""

    def __init__(self, wbits: int) -> None:
        self._stream = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail + data, max_length)


class ZstdFrame:
    """zstandard gives all that its input makes, so it gets little at once."""

    def __init__(self) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW_BYTES)
        self._frame = decompressor.decompressobj()
        self._data = b""
        self._place = 0

    @property
    def eof(self) -> bool:
        return self._frame.eof

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data + self._data[self._place :]

    def decompress(self, data: bytes, max_length: int) -> bytes:
        self._data = self._data[self._place :] + data if data else self._data
        self._place = 0 if data else self._place
        pieces, size = [], 0
        while self._place < len(self._data) and size < max_length and not self._frame.eof:
            some = self._data[self._place : self._place + ZSTD_AT_ONCE]
            self._place += len(some)
            pieces.append(self._frame.decompress(some))
            size += len(pieces[-1])
        return b"".join(pieces)


class _Lz4:
    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameDecompressor()

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof)

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data or b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece: bytes = self._frame.decompress(data, max_length)
        return piece


def _gzip() -> Decompressor:
    return Decompressor(
        "gzip", lambda: _Deflated(31), zlib.error, refusal=CorruptGzip, takes_padding=True
    )


def _zstd() -> Decompressor:
    return Decompressor("zstd", ZstdFrame, zstandard.ZstdError)


def _bz2() -> Decompressor:
    return Decompressor("bzip2", bz2.BZ2Decompressor, OSError, ValueError)


def _xz() -> Decompressor:
    def open_member() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_XZ_BYTES)

    return Decompressor("xz", open_member, lzma.LZMAError, takes_padding=True)


def _lz4() -> Decompressor:
    return Decompressor("lz4", _Lz4, RuntimeError)


def _zlib() -> Decompressor:
    return Decompressor("zlib", lambda: _Deflated(15), zlib.error)


def _is_zlib(beginning: bytes) -> bool:
    """Its first two bytes may be text, such as `x^`. What is no text and can be decompressed is no
    coincidence.
    """
    if beginning[:2] not in (b"x\x01", b"x\x5e", b"x\x9c", b"x\xda"):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(beginning[:ZLIB_LOOKED_AT])
    except UnicodeDecodeError:
        pass
    else:
        return False
    try:
        stream = zlib.decompressobj()
        return bool(stream.decompress(beginning, 1)) or stream.eof
    except zlib.error:
        return False


COMPRESSIONS = (
    Kind("gzip", begins_with(b"\x1f\x8b"), ("gzip", "x-gzip"), _gzip, endings=(".gz",)),
    Kind("zstd", begins_with(b"\x28\xb5\x2f\xfd"), ("zstd",), _zstd, endings=(".zst", ".zstd")),
    Kind("bzip2", lambda data: bool(BZIP2.match(data)), ("bzip2", "bz2"), _bz2, endings=(".bz2",)),
    Kind("xz", begins_with(b"\xfd7zXZ\0"), ("xz", "x-xz"), _xz, endings=(".xz",)),
    Kind("lz4", begins_with(b"\x04\x22\x4d\x18"), ("lz4",), _lz4, endings=(".lz4",)),
    Kind("zlib", _is_zlib, ("deflate",), _zlib, endings=(".zz", ".zlib")),
)
