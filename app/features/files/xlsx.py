"""Workbooks (.xlsx) with one sheet, written while they are sent: the rows go into the archive as they
come, and nothing is kept. The archive has its index at its end, so a file that breaks off is no
workbook.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr  # nosec B406: it writes XML

import msgspec

from app.db.rows import PageRow
from app.decoders.places import column_letters
from app.features.files.drain import Archive, Drain
from app.features.files.encoders import PIECE_BYTES, cell_text
from app.jobs.formulas import GUARD, needs_guard
from app.jobs.stored_rows import StoredRow

MAX_ROWS = 1_048_575
"""Rows of a sheet below its header."""
MAX_CELL_LETTERS = 32_767
"""Characters of a cell, as UTF-16 counts them."""
EXACT_DIGITS = 15
"""Digits of a number that spreadsheets keep."""
COMPRESSION = 3
LARGE_BYTES = 1 << 30
"""Estimated size of a sheet beyond which the archive uses the fields for large files: some readers do
not know them.
"""
CELL_BYTES = 70
ESCAPED = re.compile("[&<>\x00-\x08\x0b-\x1f\ufffe\uffff\ud800-\udfff]|_(?=x[0-9A-Fa-f]{4}_)")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
PARTS = {
    "[Content_Types].xml": (
        f'<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="xml" ContentType="application/xml"/>'
        '<Default Extension="rels"'
        ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{TYPES}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{TYPES}.worksheet+xml"/>'
        "</Types>"
    ),
    "_rels/.rels": (
        f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1"'
        f' Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
    ),
    "xl/_rels/workbook.xml.rels": (
        f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1"'
        f' Type="{RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>'
    ),
}


class SheetWriter:
    """Writes a workbook with one sheet to a file that cannot be read or rewound."""

    def __init__(self, out: Any, *, sheet: str, size: int) -> None:
        """`size`: estimated bytes of the sheet."""
        self._starts: list[str] = []
        self.rows = 0
        """Number of rows so far, the header among them."""
        self._archive = Archive(out, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION)
        workbook = (
            f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><sheets>'
            f'<sheet name={quoteattr(sheet)} sheetId="1" r:id="rId1"/></sheets></workbook>'
        )
        for name, content in {**PARTS, "xl/workbook.xml": workbook}.items():
            self._archive.writestr(name, DECLARATION + content)
        self._sheet = self._archive.open(
            "xl/worksheets/sheet1.xml", "w", force_zip64=size > LARGE_BYTES
        )
        self._sheet.write(f'{DECLARATION}<worksheet xmlns="{MAIN}"><sheetData>'.encode())

    def line(self, cells: Iterable[tuple[int, str]]) -> str:
        """Return the next row; `cells` are places, ascending, and what a function below returned."""
        self.rows += 1
        written = [f'{self._start(place)}{self.rows}"{cell}' for place, cell in cells]
        return f'<row r="{self.rows}">{"".join(written)}</row>'

    def write(self, lines: Sequence[str]) -> None:
        self._sheet.write("".join(lines).encode())

    def close(self) -> None:
        self._sheet.write(b"</sheetData></worksheet>")
        self._sheet.close()
        self._archive.close()

    def _start(self, place: int) -> str:
        while place >= len(self._starts):
            self._starts.append(f'<c r="{column_letters(len(self._starts))}')
        return self._starts[place]


def text_cell(text: str) -> str:
    if ESCAPED.search(text):
        text = ESCAPED.sub(_escape, text)
    return f' t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'


def number_cell(number: str) -> str:
    """Return a number, or its text if a spreadsheet would round it."""
    return f"><v>{number}</v></c>" if _is_exact(number) else text_cell(number)


def boolean_cell(word: str) -> str:
    return f' t="b"><v>{int(word == "true")}</v></c>'


class XlsxEncoder:
    """Writes text as text, so that `007` stays, and JSON numbers of up to 15 digits and booleans as
    such. Null and empty text have no cell. With `formula_guard`, text that looks like a formula gets
    an apostrophe, and so does text that looks guarded already: a correction removes one.
    """

    def __init__(
        self, columns: Sequence[str], formula_guard: bool, *, sheet: str, size: int
    ) -> None:
        """`size`: estimated bytes of the sheet."""
        self._places = {column: position for position, column in enumerate(columns)}
        self._guards = formula_guard
        self._out = Drain()
        self._writer = SheetWriter(self._out, sheet=sheet, size=size)
        if columns:
            self._writer.write([self._line(list(columns))])

    def encode(self, page: PageRow) -> Iterator[bytes]:
        lines: list[str] = []
        size = 0
        for row in msgspec.json.decode(page.data, type=list[StoredRow]):
            lines.append(self._line(row) if isinstance(row, list) else self._line_of(row))
            size += len(lines[-1])
            if size >= PIECE_BYTES:
                self._writer.write(lines)
                yield self._out.take()
                lines, size = [], 0
        self._writer.write(lines)
        yield self._out.take()

    def finish(self) -> bytes:
        self._writer.close()
        return self._out.take()

    def _line(self, cells: Sequence[str | None]) -> str:
        return self._writer.line(
            [(place, self._text(cell)) for place, cell in enumerate(cells) if cell]
        )

    def _line_of(self, row: dict[str, msgspec.Raw]) -> str:
        """Return the row of an object, whose numbers and booleans stay what they are."""
        cells: list[tuple[int, str]] = []
        for name, raw in row.items():
            place = self._places.get(name)
            text = None if place is None else cell_text(raw)
            if place is None or not text:
                continue
            first = bytes(memoryview(raw)[:1])
            if first in b'"[{':
                cells.append((place, self._text(text)))
            elif text in ("true", "false"):
                cells.append((place, boolean_cell(text)))
            else:
                cells.append((place, number_cell(text)))
        return self._writer.line(sorted(cells))

    def _text(self, text: str) -> str:
        return text_cell(GUARD + text if self._guards and needs_guard(text) else text)


def longest_cell(page: PageRow) -> int:
    """Return how many characters the longest cell of a stored page has, if that is more than a cell
    of a sheet can have; 0 if none has more.
    """
    longest = 0
    if len(page.data) <= MAX_CELL_LETTERS:
        return longest
    for row in msgspec.json.decode(page.data, type=list[msgspec.Raw]):
        if memoryview(row).nbytes <= MAX_CELL_LETTERS:
            continue
        cells: StoredRow = msgspec.json.decode(row, type=StoredRow)
        texts = cells if isinstance(cells, list) else map(cell_text, cells.values())
        for text in texts:
            if text is not None and (letters := letters_of(text)) > MAX_CELL_LETTERS:
                longest = max(longest, letters)
    return longest


def letters_of(text: str) -> int:
    """Return the number of characters as UTF-16 counts them, with the apostrophe that a guard may
    add.
    """
    return len(text.encode("utf-16-le", "surrogatepass")) // 2 + (text[:1] in "='+-@")


def sheet_bytes(rows: int, columns: int, stored_bytes: int) -> int:
    """Return the approximate size of a sheet with this many rows, as XML."""
    return rows * columns * CELL_BYTES + 2 * stored_bytes


def _is_exact(number: str) -> bool:
    """Return whether a spreadsheet keeps all digits of a JSON number."""
    digits = re.sub(r"[eE].*", "", number).lstrip("-").replace(".", "").strip("0")
    return len(digits) <= EXACT_DIGITS and NUMBER.fullmatch(number) is not None


def _escape(match: re.Match[str]) -> str:
    """Return an entity, or the escape of Office for what XML does not have."""
    character = match[0]
    return ENTITIES.get(character) or f"_x{ord(character):04X}_"
