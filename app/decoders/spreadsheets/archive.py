"""Archive and XML of a workbook, read piece by piece."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any
from xml.parsers import expat

from app.decoders.unreadable import Damaged, Encrypted

READ_BYTES = 128 << 10
IS_ENCRYPTED = 0x1


class Archive:
    def __init__(self, file: IO[bytes]) -> None:
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, OSError, EOFError, RuntimeError) as error:
            raise Damaged(f"the archive cannot be read ({error})") from None
        self._names = {name.lower(): name for name in self._zip.namelist()}

    def has(self, name: str) -> bool:
        return name.lower() in self._names

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a member, checked to its end. Raises Damaged, Encrypted."""
        if not self.has(name):
            raise Damaged(f"{name} is missing")
        info = self._zip.getinfo(self._names[name.lower()])
        if info.flag_bits & IS_ENCRYPTED:
            raise Encrypted
        try:
            with self._zip.open(info) as member:
                while piece := member.read(READ_BYTES):
                    yield piece
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            raise Damaged(f"{name} cannot be decompressed ({error})") from None

    def beginning(self, name: str, size: int) -> bytes:
        """Return the first bytes of a member; nothing if it does not exist."""
        if not self.has(name):
            return b""
        return next(self.pieces(name), b"")[:size]


class Xml:
    """Parser that calls functions at elements, by their names without a prefix. It refuses
    documents with a DTD, since the text of an entity may be larger than any memory.
    """

    def __init__(
        self,
        start: Callable[[str, dict[str, str]], None],
        end: Callable[[str], None],
        text: Callable[[str], None] | None = None,
    ) -> None:
        self._start, self._end = start, end
        parser: Any = expat.ParserCreate()
        parser.buffer_text = True
        parser.buffer_size = 64 << 10
        parser.StartElementHandler = self._root
        parser.CharacterDataHandler = text
        parser.StartDoctypeDeclHandler = _refuse
        self._parser = parser

    def _root(self, name: str, attributes: dict[str, str]) -> None:
        """Choose the handlers at the first element: most documents have no prefixes to look for."""
        has_prefix = ":" in name
        self._parser.StartElementHandler = self._started if has_prefix else self._start
        self._parser.EndElementHandler = self._ended if has_prefix else self._end
        self._started(name, attributes)

    def _started(self, name: str, attributes: dict[str, str]) -> None:
        self._start(name.rpartition(":")[2], attributes)

    def _ended(self, name: str) -> None:
        self._end(name.rpartition(":")[2])

    def read(self, pieces: Iterator[bytes], name: str) -> Iterator[None]:
        """Read a document; yield after each piece. Raises Damaged."""
        for piece in pieces:
            self.feed(piece, name)
            yield None
        self.feed(b"", name, is_last=True)
        yield None

    def feed(self, piece: bytes, name: str, *, is_last: bool = False) -> None:
        """Parse the next bytes of a document. Raises Damaged."""
        try:
            self._parser.Parse(piece, is_last)
        except expat.ExpatError as error:
            raise Damaged(f"{name} is not well-formed XML ({error})") from None

    def read_all(self, pieces: Iterator[bytes], name: str) -> None:
        for _ in self.read(pieces, name):
            pass


def _refuse(*_: object) -> None:
    raise Damaged("it has a document type definition, which no spreadsheet program writes")
