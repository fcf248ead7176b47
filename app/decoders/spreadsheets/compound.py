"""Compound files, in which Office stored documents before 2007: sectors, and chains of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from app.decoders.unreadable import Damaged

LAST = 0xFFFFFFFA
"""Smallest sector number that means that there is no other sector."""
ENTRY_BYTES = 128
SMALL_SECTOR = 64
STREAM, ROOT = 2, 5


def stream(data: bytes, names: Sequence[str]) -> bytes:
    """Return the content of the first stream with one of these names. Raises Damaged."""
    if len(data) < 512:
        raise Damaged("it is too short")
    sector = 1 << struct.unpack_from("<H", data, 30)[0]
    if sector not in (512, 4096):
        raise Damaged("its sectors have an impossible size")
    file = _File(data, sector)
    directory = file.chain(struct.unpack_from("<I", data, 48)[0])
    root = b""
    for start in range(0, len(directory) - ENTRY_BYTES + 1, ENTRY_BYTES):
        entry = directory[start : start + ENTRY_BYTES]
        length = struct.unpack_from("<H", entry, 64)[0]
        name = entry[: max(0, min(length, 64) - 2)].decode("utf-16-le", "replace")
        if entry[66] == ROOT:
            root = entry
        elif entry[66] == STREAM and name in names:
            return _content(file, entry, root)
    raise Damaged("it has no stream of a workbook")


def _content(file: _File, entry: bytes, root: bytes) -> bytes:
    first, size = struct.unpack_from("<I", entry, 116)[0], struct.unpack_from("<I", entry, 120)[0]
    if size >= struct.unpack_from("<I", file.data, 56)[0]:
        return file.chain(first)[:size]
    small = file.chain(struct.unpack_from("<I", root, 116)[0]) if root else b""
    table = file.chain(struct.unpack_from("<I", file.data, 60)[0])
    sectors: list[bytes] = []
    while first < LAST and len(sectors) * SMALL_SECTOR < size:
        sectors.append(small[first * SMALL_SECTOR : (first + 1) * SMALL_SECTOR])
        if first * 4 + 4 > len(table):
            raise Damaged("a chain of sectors leads out of the file")
        first = struct.unpack_from("<I", table, first * 4)[0]
    return b"".join(sectors)[:size]


class _File:
    def __init__(self, data: bytes, sector: int) -> None:
        self.data = data
        self._sector = sector
        self._most = len(data) // sector + 1
        numbers = list(struct.unpack_from("<109I", data, 76))
        more = struct.unpack_from("<I", data, 68)[0]
        while more < LAST and len(numbers) <= self._most * 2:
            block = self._at(more)
            if len(block) < sector:
                raise Damaged("a chain of sectors leads out of the file")
            *some, more = struct.unpack(f"<{sector // 4}I", block)
            numbers += some
        table = b"".join(self._at(number) for number in numbers if number < LAST)
        self._following = struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4])

    def _at(self, number: int) -> bytes:
        start = (number + 1) * self._sector
        return self.data[start : start + self._sector]

    def chain(self, number: int) -> bytes:
        """Yield the sectors from this one on."""
        sectors: list[bytes] = []
        while number < LAST:
            if number >= len(self._following) or len(sectors) > self._most:
                raise Damaged("a chain of sectors leads out of the file")
            sectors.append(self._at(number))
            number = self._following[number]
        return b"".join(sectors)
