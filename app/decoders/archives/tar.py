"""Tar archives of all usual kinds: V7, ustar, GNU and pax. Headers and data follow each other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from app.decoders.archives.members import Member, clean_name, decoded_name, name_error
from app.decoders.spool import Spool
from app.errors import CorruptArchive, RequestError, UnsupportedMember

BLOCK = 512
MAX_ENTRIES = 10_000
"""Number of members, with folders and those that are skipped."""
MAX_HEADER_BYTES = 1 << 20
"""Size of an extended header or a long name."""
READ_BYTES = 1 << 20
CHECKSUM = slice(148, 156)
FILES = b"0\x007"
NOT_FILES = {
    b"1": "hard link",
    b"2": "symbolic link",
    b"3": "device",
    b"4": "device",
    b"6": "named pipe",
    b"V": "volume label",
    b"D": "list of a folder",
}
FOLDER, SPARSE, CONTINUED = b"5", b"S", b"M"
LONG_NAME, LONG_LINK = b"L", b"K"
PAX, PAX_SUN, PAX_GLOBAL = b"x", b"X", b"g"
WITHOUT_DATA = b"123456"


def is_tar(beginning: bytes) -> bool:
    """Return whether the first block is a header whose checksum is right."""
    block = beginning[:BLOCK]
    return len(block) == BLOCK and any(block) and _has_checksum(block)


def tar_members(spool: Spool) -> list[Member]:
    """Return the members of the archive in its order. Raises CorruptArchive, UnsupportedMember.

    An archive may follow the end of another one, as `cat` writes them.
    """
    members: list[Member] = []
    place = 0
    is_ended = False
    extended: dict[str, str] = {}
    for_all: dict[str, str] = {}
    while place < spool.size:
        block = spool.read_at(place, BLOCK)
        place += BLOCK
        if not any(block):
            is_ended = True
            continue
        if len(block) < BLOCK or not _has_checksum(block):
            raise CorruptArchive(f"The archive is damaged before byte {place}.")
        is_ended = False
        kind, size = block[156:157], _size_of(block, extended)
        if kind in (LONG_NAME, LONG_LINK, PAX, PAX_SUN, PAX_GLOBAL):
            data = _header_data(spool, place, _number(block[124:136]))
            place += _padded(len(data))
            if kind == LONG_NAME:
                extended["path"] = _text(data.rstrip(b"\0"))
            elif kind == PAX_GLOBAL:
                for_all |= _records(data)
            elif kind != LONG_LINK:
                extended |= _records(data)
            continue
        if len(members) == MAX_ENTRIES:
            raise UnsupportedMember(f"An archive may have at most {MAX_ENTRIES} members.")
        members.append(_member(spool, block, place, size, for_all | extended))
        extended = {}
        place += 0 if kind in WITHOUT_DATA else _padded(size)
        if place > spool.size:
            break
    if not is_ended or place > spool.size:
        raise CorruptArchive("The archive is incomplete: its end is missing.")
    return members


def _member(spool: Spool, block: bytes, place: int, size: int, extended: dict[str, str]) -> Member:
    kind = block[156:157]
    name = extended.get("GNU.sparse.name") or extended.get("path") or _name(block)
    cleaned = clean_name(name)
    is_old_folder = kind in (b"0", b"\0") and name.endswith("/")
    return Member(
        cleaned.rstrip("/") if kind == FOLDER or is_old_folder else cleaned,
        size,
        partial(_pieces, spool, place, size),
        is_folder=kind == FOLDER or is_old_folder,
        not_a_file=NOT_FILES.get(kind, ""),
        error=name_error(cleaned) or _kind_error(kind, extended),
    )


def _kind_error(kind: bytes, extended: dict[str, str]) -> RequestError | None:
    if kind == SPARSE or any(key.startswith("GNU.sparse.") for key in extended):
        return UnsupportedMember("It is stored with holes (tar --sparse), which is not supported.")
    if kind == CONTINUED:
        return UnsupportedMember("It is continued from another archive.")
    if kind not in FILES and kind not in NOT_FILES and kind != FOLDER:
        return UnsupportedMember(f"It is of the unknown kind {kind!r}.")
    return None


def _pieces(spool: Spool, start: int, size: int) -> Iterator[bytes]:
    end = start + size
    while start < end:
        piece = spool.read_at(start, min(READ_BYTES, end - start))
        if not piece:
            raise CorruptArchive("Its data is incomplete.")
        start += len(piece)
        yield piece


# ---------------------------------------------------------------------- headers


def _has_checksum(block: bytes) -> bool:
    try:
        stated = _number(block[CHECKSUM])
    except CorruptArchive:
        return False
    others = block[:148] + b" " * 8 + block[156:]
    if stated == sum(others):
        return True
    # Some old programs have added up signed bytes.
    return stated == sum(byte - 256 if byte > 127 else byte for byte in others)


def _size_of(block: bytes, extended: dict[str, str]) -> int:
    stated = extended.get("size", "")
    return int(stated) if stated.isascii() and stated.isdecimal() else _number(block[124:136])


def _number(field: bytes) -> int:
    """Return a number in octal, or in binary if its first bit is set. Raises CorruptArchive."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    try:
        return int(digits or b"0", 8)
    except ValueError:
        raise CorruptArchive("The archive has a header with an invalid number.") from None


def _name(block: bytes) -> str:
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and prefix:
        name = prefix + b"/" + name
    return _text(name)


def _text(raw: bytes) -> str:
    return decoded_name(raw, is_utf8=False, fallback="latin-1")


def _header_data(spool: Spool, place: int, size: int) -> bytes:
    if size > MAX_HEADER_BYTES:
        raise CorruptArchive(f"The archive has a header of {size} bytes.")
    data = spool.read_at(place, size)
    if len(data) < size:
        raise CorruptArchive("The archive is incomplete: its end is missing.")
    return data


def _records(data: bytes) -> dict[str, str]:
    """Return the records of an extended header: `<length> <key>=<value>`, each with a line end."""
    records: dict[str, str] = {}
    place = 0
    while place < len(data) and data[place]:
        length, space, _ = data[place : place + 20].partition(b" ")
        end = place + int(length) if length.isdigit() else 0
        record = data[place + len(length) + 1 : end]
        key, equals, value = record.partition(b"=")
        if not space or not equals or not record.endswith(b"\n") or end > len(data):
            raise CorruptArchive("The archive has a damaged extended header.")
        records[_text(key)] = _text(value[:-1])
        place = end
    return records


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
