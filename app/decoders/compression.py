"""Compressed data: any number of members, one after the other, each checked to its end."""

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

from app.decoders.base import PIECE_BYTES, Kind, NeedsMemory, Report, Wanted, begins_with
from app.errors import CorruptCompression, CorruptGzip, RequestError

MOST_XZ_BYTES = 80 << 20
"""Memory for a stream of xz: `xz -9` needs 65 MiB, `xz` 9."""
MOST_WINDOW_BYTES = 32 << 20
"""Memory for a frame of zstd: up to level 19 it needs 8 MiB; `--ultra` and `--long` need up to 2
GiB.
"""
ZSTD_AT_ONCE = 512
"""Number of bytes. A block of 4 bytes may decompress to 128 KiB, so these become 16 MiB at most."""
FIRST_BYTES = 4096
"""Number of bytes that a member gets first."""
HEADER_BYTES = 64
"""Number of bytes that show how much memory a member needs."""
ZLIB_LOOKED_AT = 4096
XZ_HEADER_BYTES, XZ_LZMA2 = 12, 0x21
BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
"""The header of a stream, and that of its first block, or the end of an empty one."""
PADDING = re.compile(rb"\0*+")


class Member(Protocol):
    """A member, from its beginning to its end."""

    @property
    def eof(self) -> bool:
        """Whether its end has been reached with the right checksum."""

    @property
    def unused_data(self) -> bytes:
        """Bytes that were fed and follow its end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return the next bytes, about `max_length`, and keep what is not decompressed yet for the
        next call. Return nothing if more data is needed.
        """


class Decompressor(NeedsMemory):
    """Decompresses the members of a file."""

    part = 0

    def __init__(
        self,
        name: str,
        open_member: Callable[[int], Member],
        *errors: type[Exception],
        memory: Callable[[bytes], int],
        refusal: type[RequestError] = CorruptCompression,
        takes_padding: bool = False,
    ) -> None:
        """`open_member` gets the memory in bytes that the member may use; `memory` returns it from
        the first bytes of a member. `errors` are raised by a member for damaged bytes, and become a
        `refusal`. With `takes_padding`, NULs after a member are ignored.
        """
        self._name = name
        self._open_member = open_member
        self._errors = errors
        self._memory = memory
        self._refusal = refusal
        self._takes_padding = takes_padding
        self._member: Member | None = None
        self._is_complete = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            yield from self._decompressed(data)
        except self._errors as error:
            raise self._refusal(f"The {self._name} data is damaged: {error}.") from None

    def _decompressed(self, data: bytes) -> Iterator[bytes]:
        start = 0
        while True:
            is_first = self._member is None
            if self._member is None:
                if self._takes_padding and self._is_complete:
                    start = _behind_padding(data, start)
                if start == len(data):
                    return
                self._is_complete = False
                self.memory_bytes = self._memory(data[start : start + HEADER_BYTES])
                yield b""
                self._member = self._open_member(self.memory_bytes)
            # Members copy what they do not use, and many may be tiny.
            end = start + FIRST_BYTES if is_first else len(data)
            some = data[start:end]
            start += len(some)
            while piece := self._member.decompress(some, PIECE_BYTES):
                yield piece
                some = b""
                if self._member.eof:
                    break
            if self._member.eof:
                start -= len(self._member.unused_data)
                self._member, self._is_complete = None, True
                self.memory_bytes = 0
            elif start == len(data):
                return

    def finish(self, wanted: Wanted) -> Iterator[bytes]:
        if not self._is_complete:
            raise self._refusal(f"The {self._name} data is incomplete.")
        return iter(())

    def reports(self) -> list[Report]:
        return [Report(self._name)]

    def close(self) -> None:
        """Do nothing."""


class _Deflated:
    """A member of gzip or zlib. The caller keeps the data that does not fit into a piece."""

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
    """A frame of zstd. All of the input is decompressed at once, so it gets little of it."""

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
    """A frame of lz4."""

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


# ---------------------------------------------------------------------- memory


def _behind_padding(data: bytes, start: int) -> int:
    """Return where the NULs end that begin at `start`."""
    padding = PADDING.match(data, start)
    return padding.end() if padding else start


def _little_memory(beginning: bytes) -> int:
    """Memory of DEFLATE, which has a window of 32 KiB."""
    return 64 << 10


def _bz2_memory(beginning: bytes) -> int:
    """Memory of bzip2 for blocks of up to 900 kB."""
    return 4 << 20


def _lz4_memory(beginning: bytes) -> int:
    """Memory of lz4 for the blocks of a frame, whose size its header declares."""
    size = beginning[5] >> 4 & 7 if len(beginning) > 5 else 7
    return (2 << 8 + 2 * size) + (256 << 10)


def _zstd_memory(beginning: bytes) -> int:
    """Memory of zstd for the window of a frame, which its header declares."""
    try:
        window = zstandard.get_frame_parameters(beginning).window_size
    except zstandard.ZstdError:  # too short, or damaged
        window = MOST_WINDOW_BYTES
    return min(int(window), MOST_WINDOW_BYTES) + (512 << 10)


def _xz_memory(beginning: bytes) -> int:
    """Memory of xz for the dictionary of the first block, as the header of the block declares it."""
    try:
        dictionary = xz_dictionary(beginning)
    except IndexError:  # too short, or damaged
        dictionary = MOST_XZ_BYTES
    return min(dictionary + (1 << 20), MOST_XZ_BYTES)


def xz_dictionary(stream: bytes) -> int:
    """Return the size of the dictionary of the first block of a stream of xz in bytes; 0 without a
    block. Raises IndexError if the header is not there, or is a damaged one.
    """
    place = XZ_HEADER_BYTES
    if not stream[place]:
        return 0
    flags = stream[place + 1]
    place += 2
    for bit in (0x40, 0x80):  # sizes of the block
        if flags & bit:
            _, place = _varint(stream, place)
    for _ in range((flags & 3) + 1):
        kind, place = _varint(stream, place)
        size, place = _varint(stream, place)
        if kind == XZ_LZMA2:
            bits = stream[place]
            return 0xFFFFFFFF if bits >= 40 else (2 | bits & 1) << (bits // 2 + 11)
        place += size
    raise IndexError


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and where the next one begins."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80 or shift > 63:
            return value, place


# ---------------------------------------------------------------------- kinds


def _gzip() -> Decompressor:
    return Decompressor(
        "gzip",
        lambda memory: _Deflated(31),
        zlib.error,
        memory=_little_memory,
        refusal=CorruptGzip,
        takes_padding=True,
    )


def _zstd() -> Decompressor:
    return Decompressor(
        "zstd", lambda memory: ZstdFrame(), zstandard.ZstdError, memory=_zstd_memory
    )


def _bz2() -> Decompressor:
    return Decompressor(
        "bzip2", lambda memory: bz2.BZ2Decompressor(), OSError, ValueError, memory=_bz2_memory
    )


def _xz() -> Decompressor:
    def open_member(memory: int) -> Member:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=memory)

    return Decompressor("xz", open_member, lzma.LZMAError, memory=_xz_memory, takes_padding=True)


def _lz4() -> Decompressor:
    return Decompressor("lz4", lambda memory: _Lz4(), RuntimeError, memory=_lz4_memory)


def _zlib() -> Decompressor:
    return Decompressor("zlib", lambda memory: _Deflated(15), zlib.error, memory=_little_memory)


def _is_zlib(beginning: bytes) -> bool:
    """Return whether the beginning is that of zlib. Its first two bytes may be text, such as `x^`, so it
    must be no text, and decompress.
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
