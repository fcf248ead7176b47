"""Workbook of any kind, and the choice of a sheet."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import IO, Any, Protocol

from app.decoders.spreadsheets.archive import Archive
from app.decoders.spreadsheets.binary import XlsbBook, XlsBook
from app.decoders.spreadsheets.errors import NoSheet, NoWorkbook
from app.decoders.spreadsheets.ods import OdsBook
from app.decoders.spreadsheets.sheets import Notes, Row, SheetText, beginning, first_filled
from app.decoders.spreadsheets.xlsx import XlsxBook
from app.decoders.unreadable import Damaged, Encrypted

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ODS_TYPE = b"application/vnd.oasis.opendocument.spreadsheet"
ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
XLS_STREAMS = tuple(f"{name}\0".encode("utf-16-le") for name in ("Workbook", "Book"))
WORKBOOK_NAMES = (b"[Content_Types].xml", b"xl/", ODS_TYPE)
LOOKED_AT = 64 << 10
NAMED_AT_MOST = 20
MOST_SHEETS = 250
"""Maximum number of sheets that are read together."""


class Book(Protocol):
    sheets: list[tuple[str, bool]]
    """Sheets as (name, whether it is visible), in the order of the workbook."""

    def rows(self, sheet: str, notes: Notes) -> Iterator[Row]:
        """Yield the rows that are not blank, in order."""


def open_book(file: IO[bytes]) -> tuple[str, Book]:
    """Return (name of its kind, the workbook). Raises Unreadable."""
    start = file.read(LOOKED_AT)
    if start.startswith(OLE):
        return _old_book(start, file)
    file.seek(0)
    try:
        archive = Archive(file)
    except Damaged:
        if any(name in start for name in WORKBOOK_NAMES):
            raise
        raise NoWorkbook("The content is a zip archive that cannot be read") from None
    if archive.has("[Content_Types].xml"):
        return _office_book(file, archive)
    if archive.beginning("mimetype", 100).strip().startswith(ODS_TYPE):
        return "ods", OdsBook(archive)
    raise NoWorkbook("The content is a zip archive, not a workbook")


def _old_book(start: bytes, file: IO[bytes]) -> tuple[str, Book]:
    """Return the workbook in a file of Office before 2007. Newer workbooks with a password are in
    such a file too.
    """
    before = names = b""
    piece = start
    while piece:
        if ENCRYPTED_PACKAGE in before + piece:
            raise Encrypted
        names = names or next((name for name in XLS_STREAMS if name in before + piece), b"")
        before = piece[-len(ENCRYPTED_PACKAGE) :]
        piece = file.read(LOOKED_AT)
    if not names:
        raise NoWorkbook("The content is an old Office document without sheets")
    return "xls", XlsBook(file)


def _office_book(file: IO[bytes], archive: Archive) -> tuple[str, Book]:
    if archive.has("xl/workbook.bin"):
        return "xlsb", XlsbBook(file, archive)
    if archive.has("word/document.xml") or archive.has("ppt/presentation.xml"):
        raise NoWorkbook("The content is an Office document without sheets")
    return "xlsx", XlsxBook(archive)


def chosen(book: Book, wanted: str | None, *, takes_all: bool = False) -> list[str]:
    """Return the names of the sheets to read: the one that is wanted, by its name or its number
    from 1; without one, the visible sheets that have rows, of which there must be one unless
    `takes_all`. Raises NoSheet.
    """
    names = list(dict.fromkeys(name for name, _ in book.sheets))
    if wanted is not None:
        return [_named(names, wanted)]
    visible = dict.fromkeys(name for name, is_visible in book.sheets if is_visible)
    filled = list(visible) if len(visible) == 1 else [n for n in visible if _has_rows(book, n)]
    if not filled:
        raise NoSheet(f"The workbook has no visible sheet with rows; it has {_listed(names)}.")
    if len(filled) > (MOST_SHEETS if takes_all else 1):
        raise NoSheet(
            f"The workbook has {len(filled)} sheets with rows: {_listed(filled)}. Choose one with"
            " `sheet`."
        )
    return filled


def _named(names: list[str], wanted: str) -> str:
    if wanted in names:
        return wanted
    by_number = {str(number): name for number, name in enumerate(names, 1)}
    folded = {name.casefold(): name for name in reversed(names)}
    name = folded.get(wanted.casefold()) or by_number.get(wanted)
    if name is None:
        raise NoSheet(f"There is no sheet {wanted[:60]!r}; the workbook has {_listed(names)}.")
    return name


def _has_rows(book: Book, sheet: str) -> bool:
    return next(book.rows(sheet, Notes()), None) is not None


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"`{name[:60]}`" for name in names[:NAMED_AT_MOST])
    return shown + (", ..." if len(names) > NAMED_AT_MOST else "") if names else "none"


class Sheet:
    """Sheet of a workbook that becomes text."""

    def __init__(self, book: Book, name: str) -> None:
        self.name = name
        self._book = book
        self._notes = Notes()
        self._text = SheetText(name)

    def pieces(self) -> Iterator[str]:
        rows = self._book.rows(self.name, self._notes)
        first = beginning(rows)
        width = max((len(cells) for _, cells in first), default=0)
        column = min((first_filled(cells) for _, cells in first), default=0)
        if column:  # a later row may have a cell to the left of it
            others = self._book.rows(self.name, Notes())
            column = min(first_filled(cells) for _, cells in others)
        yield from self._text.pieces(chain(first, rows), column, max(1, width - column))

    def report(self) -> dict[str, Any]:
        """Return the facts about the sheet, once all pieces have been taken."""
        hidden = [name for name, is_visible in self._book.sheets if not is_visible]
        facts: dict[str, Any] = {"sheet": self.name, "sheets": len(self._book.sheets)}
        if hidden:
            facts["hidden_sheets"] = hidden[:NAMED_AT_MOST]
        if notes := self._notes.shown(self.name):
            facts["notes"] = notes
        return facts

    @property
    def places(self) -> Any:
        return self._text.places
