"""Zip archives. Their list of members is at the end, so the whole file must be there.

Sizes and checksums are those of the list: data descriptors behind the members are not needed.
"""

from __future__ import annotations

import bz2
import lzma
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from app.decoders.archives.members import Member, clean_name, decoded_name, name_error
from app.decoders.base import PIECE_BYTES
from app.decoders.compression import MOST_WINDOW_BYTES, ZstdFrame
from app.decoders.spool import Spool
from app.errors import CorruptArchive, EncryptedMember, RequestError, UnsupportedMember

MAX_ENTRIES = 10_000
"""Number of members, with folders and those that are skipped."""
MAX_LIST_BYTES = 16 << 20
READ_BYTES = 64 << 10
MAX_DICTIONARY_BYTES = 64 << 20
"""Memory for a member in LZMA."""
END, END_64, LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
ENTRY, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
END_BYTES, LOCATOR_BYTES, ENTRY_BYTES, LOCAL_BYTES = 22, 20, 46, 30
MAX_COMMENT = 0xFFFF
ENCRYPTED, MASKED, UTF8 = 0x1, 0x2000, 0x800
UNIX, MACOS = 3, 19
DOS_FOLDER = 0x10
AES = 99
STORED = 0
OTHER_METHODS = {
    1: "Shrink",
    6: "Implode",
    9: "Deflate64",
    19: "LZ77 of z/OS",
    94: "MP3",
    96: "JPEG",
    97: "WavPack",
    98: "PPMd",
}
DAMAGE = (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError, struct.error)
KINDS = {
    stat.S_IFLNK: "symbolic link",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}
"""What is no file. Info-ZIP marks what it reads from standard input as a named pipe."""


class Stream(Protocol):
    """The data of a member."""

    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return the next bytes, about `max_length`, and none once more data is needed."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the list."""

    raw_name: bytes
    flags: int
    method: int
    crc32: int
    packed_size: int
    size: int
    start: int
    """Where the local header begins."""


def zip_members(spool: Spool) -> list[Member]:
    """Return the members of the archive in the order of its list. Raises CorruptArchive,
    UnsupportedMember.
    """
    count, list_size, list_start = _end_of(spool)
    if count > MAX_ENTRIES or list_size > MAX_LIST_BYTES:
        raise UnsupportedMember(f"The archive has {count} members; at most {MAX_ENTRIES} are read.")
    data = spool.read_at(list_start, list_size)
    entries: list[tuple[_Entry, Member]] = []
    place = 0
    try:
        for _ in range(count):
            entry, member, place = _entry_at(spool, data, place, list_start)
            entries.append((entry, member))
    except struct.error:
        raise CorruptArchive("The directory of the archive is damaged.") from None
    overlapping = _overlapping([entry for entry, _ in entries], list_start)
    overlap = CorruptArchive("Its data overlaps with that of another member.")
    return [
        replace(member, error=member.error or overlap) if entry in overlapping else member
        for entry, member in entries
    ]


def _end_of(spool: Spool) -> tuple[int, int, int]:
    """Return the number of members, and the size and start of their list."""
    tail_start = max(0, spool.size - END_BYTES - MAX_COMMENT - READ_BYTES)
    tail = spool.read_at(tail_start, spool.size - tail_start)
    place = len(tail)
    while (place := tail.rfind(END, 0, place)) >= 0:
        record = tail[place : place + END_BYTES]
        if len(record) == END_BYTES:
            behind = place + END_BYTES + int.from_bytes(record[20:], "little")
            if behind <= len(tail) and not tail[behind:].strip(b"\0"):
                return _checked_end(spool, record, tail_start + place)
    raise CorruptArchive("The archive is incomplete: its list of members is missing.")


def _checked_end(spool: Spool, record: bytes, end: int) -> tuple[int, int, int]:
    disk, list_disk, here, count, size, start = struct.unpack("<4H2L", record[4:20])
    locator = spool.read_at(max(0, end - LOCATOR_BYTES), LOCATOR_BYTES)
    if locator.startswith(LOCATOR_64):
        (end,) = struct.unpack("<Q", locator[8:16])
        record = spool.read_at(end, 56)
        if not record.startswith(END_64) or len(record) < 56:
            raise CorruptArchive("The end of the archive is damaged.")
        disk, list_disk, here, count, size, start = struct.unpack("<2L4Q", record[16:56])
    if disk or list_disk or here != count:
        raise UnsupportedMember("The archive is split into several files; join them first.")
    if start + size > end or size < count * ENTRY_BYTES:
        raise CorruptArchive("The end of the archive is damaged.")
    return count, size, start


def _entry_at(spool: Spool, data: bytes, place: int, list_start: int) -> tuple[_Entry, Member, int]:
    """Return the entry, its member, and where the next one begins."""
    fields = struct.unpack_from("<4s6H3L5H2L", data, place)
    signature, made_by, _, flags, method, _, _, crc32, packed_size, size = fields[:10]
    name_size, extra_size, comment_size, _, _, attributes, start = fields[10:]
    behind = place + ENTRY_BYTES
    raw_name = data[behind : behind + name_size]
    extra = data[behind + name_size : behind + name_size + extra_size]
    place = behind + name_size + extra_size + comment_size
    if signature != ENTRY or place > len(data):
        raise struct.error
    size, packed_size, start = _sizes(extra, size, packed_size, start)
    entry = _Entry(raw_name, flags, method, crc32, packed_size, size, start)
    name = clean_name(_name(entry, extra))
    mode = attributes >> 16 if made_by >> 8 in (UNIX, MACOS) else 0
    member = Member(
        name.rstrip("/"),
        size,
        lambda: _pieces(spool, entry, list_start),
        is_folder=name.endswith("/") or stat.S_ISDIR(mode) or bool(attributes & DOS_FOLDER),
        not_a_file=KINDS.get(stat.S_IFMT(mode), ""),
        error=name_error(name) or _entry_error(entry),
        memory_bytes=MEMORY_BYTES.get(entry.method, 0),
    )
    return entry, member, place


def _sizes(extra: bytes, size: int, packed_size: int, start: int) -> tuple[int, int, int]:
    """Return the size, the compressed size and the start, from a field of zip64 where needed."""
    field = _extra_field(extra, 0x0001)
    values = [size, packed_size, start]
    for number, value in enumerate(values):
        if value == 0xFFFFFFFF and len(field) >= 8:
            (values[number],) = struct.unpack_from("<Q", field)
            field = field[8:]
    return values[0], values[1], values[2]


def _name(entry: _Entry, extra: bytes) -> str:
    """Return the name. One that is not marked as UTF-8 is in code page 437 unless it is UTF-8; a
    field of Info-ZIP may have it in UTF-8.
    """
    field = _extra_field(extra, 0x7075)
    if len(field) > 5 and field[1:5] == zlib.crc32(entry.raw_name).to_bytes(4, "little"):
        return field[5:].decode("utf-8", "replace")
    return decoded_name(entry.raw_name, is_utf8=bool(entry.flags & UTF8), fallback="cp437")


def _extra_field(extra: bytes, wanted: int) -> bytes:
    place = 0
    while place + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, place)
        if kind == wanted:
            return extra[place + 4 : place + 4 + size]
        place += 4 + size
    return b""


def _entry_error(entry: _Entry) -> RequestError | None:
    if entry.flags & (ENCRYPTED | MASKED) or entry.method == AES:
        return EncryptedMember("It is encrypted.")
    if entry.method not in METHODS:
        name = OTHER_METHODS.get(entry.method, f"method {entry.method}")
        return UnsupportedMember(f"It is compressed with {name}, which is not supported.")
    return None


def _overlapping(entries: list[_Entry], list_start: int) -> set[_Entry]:
    """Return entries whose data would be read twice: tiny archives could make huge files so."""
    overlapping: set[_Entry] = set()
    before: _Entry | None = None
    before_end = 0
    for entry in sorted(entries, key=lambda entry: entry.start):
        end = entry.start + LOCAL_BYTES + len(entry.raw_name) + entry.packed_size
        if before is not None and entry.start < before_end:
            overlapping |= {before, entry}
        if end > list_start:
            overlapping.add(entry)
        if end > before_end:
            before, before_end = entry, end
    return overlapping


# ---------------------------------------------------------------------- the data


def _pieces(spool: Spool, entry: _Entry, list_start: int) -> Iterator[bytes]:
    """Yield the decompressed bytes. Raises CorruptArchive, also at the end if size or CRC-32 are not
    those of the list.
    """
    header = spool.read_at(entry.start, LOCAL_BYTES)
    if len(header) < LOCAL_BYTES or not header.startswith(LOCAL):
        raise CorruptArchive("Its header is damaged.")
    method, name_size, extra_size = struct.unpack("<8xH16x2H", header)
    start = entry.start + LOCAL_BYTES
    if method != entry.method or spool.read_at(start, name_size) != entry.raw_name:
        raise CorruptArchive("Its header does not match the directory of the archive.")
    start += name_size + extra_size
    if start + entry.packed_size > list_start:
        raise CorruptArchive("Its data is incomplete.")
    size = crc32 = 0
    try:
        for piece in _decompressed(spool, entry, start):
            size += len(piece)
            if size > entry.size:
                break
            crc32 = zlib.crc32(piece, crc32)
            yield piece
    except DAMAGE as error:
        raise CorruptArchive(f"Its data is damaged: {error}.") from None
    if size != entry.size:
        raise CorruptArchive("Its data does not have the size that the archive declares.")
    if crc32 != entry.crc32:
        raise CorruptArchive("Its data is damaged: the CRC-32 is wrong.")


def _decompressed(spool: Spool, entry: _Entry, start: int) -> Iterator[bytes]:
    end = start + entry.packed_size
    stream = None
    while start < end:
        data = spool.read_at(start, min(READ_BYTES, end - start))
        if not data:
            return
        start += len(data)
        if entry.method == STORED:
            yield data
            continue
        if stream is None:
            stream, data = METHODS[entry.method](data)
        while not stream.eof:
            piece = stream.decompress(data, PIECE_BYTES)
            data = b""
            if not piece:
                break
            yield piece


class _Deflated:
    """Raw DEFLATE. zlib leaves what does not fit with its caller."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(-15)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail + data, max_length)


def _lzma(data: bytes) -> tuple[Stream, bytes]:
    """Open LZMA as zip has it: version, size of the properties, properties, raw stream."""
    size, packed, dictionary = struct.unpack_from("<2xHBL", data)
    if size != 5 or packed >= 9 * 5 * 5:
        raise ValueError("unknown properties of LZMA")
    if dictionary > MAX_DICTIONARY_BYTES:
        raise ValueError(f"LZMA needs {dictionary >> 20} MiB of memory")
    options = {
        "id": lzma.FILTER_LZMA1,
        "dict_size": max(dictionary, 4096),
        "lc": packed % 9,
        "lp": packed // 9 % 5,
        "pb": packed // 45,
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options]), data[9:]


def _xz(data: bytes) -> tuple[Stream, bytes]:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_DICTIONARY_BYTES + (1 << 20)), data


METHODS: dict[int, Callable[[bytes], tuple[Stream, bytes]]] = {
    STORED: lambda data: (_Deflated(), data),  # never called
    8: lambda data: (_Deflated(), data),
    12: lambda data: (bz2.BZ2Decompressor(), data),
    14: _lzma,
    20: lambda data: (ZstdFrame(), data),
    93: lambda data: (ZstdFrame(), data),
    95: _xz,
}
"""Open the data of a member from its first bytes, by method; return also what is data of them."""
MEMORY_BYTES = {
    12: 4 << 20,
    14: MAX_DICTIONARY_BYTES,
    20: MOST_WINDOW_BYTES,
    93: MOST_WINDOW_BYTES,
    95: MAX_DICTIONARY_BYTES,
}
"""Memory that a member may need, by method."""
