"""Binary workbooks (.xls, .xlsb), whose values calamine reads. It returns errors as blank cells, so
the records of the file are searched for them.
"""

from __future__ import annotations

import posixpath
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from typing import IO, Any

import python_calamine

from app.decoders.spreadsheets.archive import Archive, Xml
from app.decoders.spreadsheets.compound import stream
from app.decoders.spreadsheets.sheets import ERROR, ROUNDED, Notes, Row
from app.decoders.spreadsheets.values import is_rounded, number
from app.decoders.unreadable import Damaged, Encrypted

ERRORS = {
    0x00: "#NULL!",
    0x07: "#DIV/0!",
    0x0F: "#VALUE!",
    0x17: "#REF!",
    0x1D: "#NAME?",
    0x24: "#NUM!",
    0x2A: "#N/A",
    0x2B: "#GETTING_DATA",
}
Cells = dict[tuple[int, int], str]
"""Texts of errors by (row, column), both from 0."""


@contextmanager
def _damage_found() -> Iterator[None]:
    """Translate what calamine raises for damaged files; some end it by a panic."""
    try:
        yield
    except python_calamine.PasswordError:
        raise Encrypted from None
    except (python_calamine.CalamineError, struct.error, IndexError, OSError, ValueError) as error:
        raise Damaged(str(error)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise Damaged("its parts contradict each other") from None


class BinaryBook:
    """Binary workbook of either kind; a subclass finds the errors."""

    def __init__(self, file: IO[bytes]) -> None:
        file.seek(0)
        with _damage_found():
            self._book = python_calamine.load_workbook(file)
        self.sheets = [
            (sheet.name, sheet.visible is python_calamine.SheetVisibleEnum.Visible)
            for sheet in self._book.sheets_metadata
            if sheet.typ is python_calamine.SheetTypeEnum.WorkSheet
        ]

    def _errors(self, sheet: str) -> Cells:
        raise NotImplementedError

    def rows(self, sheet: str, notes: Notes) -> Iterator[Row]:
        """Yield the rows that are not blank, in order. Raises Damaged."""
        with _damage_found():
            yield from self._rows(sheet, notes)

    def _rows(self, sheet: str, notes: Notes) -> Iterator[Row]:
        errors = self._errors(sheet)
        cells = self._book.get_sheet_by_name(sheet)
        if cells.start is None:
            return
        first_row, first_column = cells.start
        by_row: dict[int, Cells] = {}
        for (row, column), text in errors.items():
            by_row.setdefault(row, {})[row, column] = text
        for row, values in enumerate(cells.iter_rows(), first_row):
            texts = [""] * first_column
            for column, value in enumerate(values, first_column):
                texts.append(_text_of(value, notes, row, column))
            for (_, column), text in by_row.get(row, {}).items():
                texts += [""] * (column + 1 - len(texts))
                texts[column] = ERROR + text
            while texts and not texts[-1]:
                texts.pop()
            if texts:
                yield row + 1, texts


def _text_of(value: Any, notes: Notes, row: int, column: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        text = number(repr(value))
        if is_rounded(text):
            notes.add(ROUNDED, row + 1, column)
        return text
    if isinstance(value, datetime | time):
        return value.isoformat(timespec="milliseconds").removesuffix(".000")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        seconds, rest = divmod(round(value / timedelta(milliseconds=1)), 1000)
        text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return f"{text}.{rest:03}" if rest else text
    return "" if value is None else str(value)


# ---------------------------------------------------------------------- .xls

BOF, EOF, BOUND_SHEET, FORMULA, BOOL_OR_ERROR = 0x0809, 0x000A, 0x0085, 0x0006, 0x0205


class XlsBook(BinaryBook):
    """Workbook of BIFF records: two bytes each for the kind and the length, then the content."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        file.seek(0)
        with _damage_found():
            self._data = stream(file.read(), ("Workbook", "Book"))

    def _errors(self, sheet: str) -> Cells:
        offsets = [
            struct.unpack_from("<I", content)[0]
            for kind, content in self._records(0)
            if kind == BOUND_SHEET and len(content) > 5 and content[5] == 0
        ]
        names = [name for name, _ in self.sheets]
        if len(offsets) != len(names):
            raise Damaged("its list of sheets contradicts its records")
        cells: Cells = {}
        for kind, content in self._records(offsets[names.index(sheet)]):
            if kind == BOOL_OR_ERROR and len(content) >= 8 and content[7]:
                row, column = struct.unpack_from("<HH", content)
                cells[row, column] = ERRORS.get(content[6], "#ERROR!")
            elif kind == FORMULA and len(content) >= 14 and content[12:14] == b"\xff\xff":
                if content[6] == 2:
                    row, column = struct.unpack_from("<HH", content)
                    cells[row, column] = ERRORS.get(content[8], "#ERROR!")
        return cells

    def _records(self, place: int) -> Iterator[tuple[int, bytes]]:
        """Yield the records of the part that begins here, without those of charts inside."""
        depth = 0
        data = self._data
        while place + 4 <= len(data):
            kind, size = struct.unpack_from("<HH", data, place)
            if kind == BOF:
                depth += 1
            elif kind == EOF:
                depth -= 1
                if depth <= 0:
                    return
            elif depth == 1:
                yield kind, data[place + 4 : place + 4 + size]
            place += 4 + size


# ---------------------------------------------------------------------- .xlsb

ROW, CELL_ERROR, FORMULA_ERROR, BUNDLE_SHEET = 0, 3, 11, 156
WORKBOOK = "xl/workbook.bin"


class XlsbBook(BinaryBook):
    """Workbook of BIFF12 records: kind and length in seven bits a byte, then the content."""

    def __init__(self, file: IO[bytes], archive: Archive) -> None:
        super().__init__(file)
        self._archive = archive
        with _damage_found():
            self._paths = self._find_paths()

    def _find_paths(self) -> dict[str, str]:
        """Return the path of each sheet's part, by the name of the sheet."""
        targets: dict[str, str] = {}

        def start(name: str, attributes: dict[str, str]) -> None:
            if name == "Relationship":
                target = posixpath.join("/xl", attributes.get("Target", ""))
                targets[attributes.get("Id", "")] = posixpath.normpath(target).lstrip("/")

        relations = "xl/_rels/workbook.bin.rels"
        Xml(start, lambda name: None).read_all(self._archive.pieces(relations), relations)
        paths: dict[str, str] = {}
        for kind, content in self._records(WORKBOOK):
            if kind == BUNDLE_SHEET:
                relation, place = _wide_text(content, 8)
                title, _ = _wide_text(content, place)
                paths[title] = targets.get(relation, "")
        return paths

    def _errors(self, sheet: str) -> Cells:
        cells: Cells = {}
        row = 0
        for kind, content in self._records(self._paths.get(sheet, "")):
            if kind == ROW and len(content) >= 4:
                (row,) = struct.unpack_from("<I", content)
            elif kind in (CELL_ERROR, FORMULA_ERROR) and len(content) >= 9:
                (column,) = struct.unpack_from("<I", content)
                cells[row, column] = ERRORS.get(content[8], "#ERROR!")
        return cells

    def _records(self, path: str) -> Iterator[tuple[int, bytes]]:
        """Yield the records of a part as (kind, content). Raises Damaged."""
        buffer = b""
        for piece in self._archive.pieces(path):
            buffer += piece
            place = 0
            while (record := _record(buffer, place)) is not None:
                kind, content, place = record
                yield kind, content
            buffer = buffer[place:]
        if buffer:
            raise Damaged(f"{path} ends within a record")


def _record(data: bytes, place: int) -> tuple[int, bytes, int] | None:
    """Return (kind, content, start of the next record); None if the record is not complete."""
    kind = size = 0
    for shift in (0, 7):
        if place >= len(data):
            return None
        byte = data[place]
        place += 1
        kind |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    for shift in (0, 7, 14, 21):
        if place >= len(data):
            return None
        byte = data[place]
        place += 1
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    if place + size > len(data):
        return None
    return kind, data[place : place + size], place + size


def _wide_text(data: bytes, place: int) -> tuple[str, int]:
    """Return the text after its length, and where it ends."""
    if place + 4 > len(data):
        raise Damaged("a record of the workbook is too short")
    (length,) = struct.unpack_from("<I", data, place)
    end = place + 4 + 2 * length
    if length == 0xFFFFFFFF or end > len(data):
        raise Damaged("a record of the workbook is too short")
    return data[place + 4 : end].decode("utf-16-le", "replace"), end
