"""OpenDocument spreadsheets (.ods), read from their XML, which has dates in ISO 8601 and marks
errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.decoders.spreadsheets.archive import Archive, Xml
from app.decoders.spreadsheets.sheets import (
    ERROR,
    MAX_COLUMNS,
    MAX_ROWS,
    ROUNDED,
    UNCOMPUTED,
    Notes,
    Row,
)
from app.decoders.spreadsheets.values import is_rounded, number
from app.decoders.unreadable import Damaged, Encrypted

CONTENT, MANIFEST = "content.xml", "META-INF/manifest.xml"
DURATION = re.compile(
    r"(-?)P(?:(\d+)D)?T?(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:[.,](\d+))?S)?", re.ASCII
)
NUMBERS = ("float", "percentage", "currency")


class OdsBook:
    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        if archive.has(MANIFEST) and b"encryption-data" in b"".join(archive.pieces(MANIFEST)):
            raise Encrypted
        self.sheets: list[tuple[str, bool]] = []
        self._read_names()

    def _read_names(self) -> None:
        hidden: set[str] = set()
        style = ""
        depth = 0

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal style, depth
            if name == "style":
                style = attributes.get("style:name", "")
            elif name == "table-properties" and attributes.get("table:display") == "false":
                hidden.add(style)
            elif name == "table":
                depth += 1
                if depth == 1:
                    title = attributes.get("table:name", f"Sheet{len(self.sheets) + 1}")
                    is_visible = attributes.get("table:style-name", "") not in hidden
                    self.sheets.append((title, is_visible))

        def end(name: str) -> None:
            nonlocal depth
            if name == "table":
                depth -= 1

        Xml(start, end).read_all(self._archive.pieces(CONTENT), CONTENT)

    def rows(self, sheet: str, notes: Notes) -> Iterator[Row]:
        """Yield the rows that are not blank, in order. Raises Damaged."""
        place = next(place for place, (name, _) in enumerate(self.sheets) if name == sheet)
        reader = _Cells(place, notes)
        document = Xml(reader.start, reader.end, reader.text)
        for _ in document.read(self._archive.pieces(CONTENT), CONTENT):
            for first, count, cells in reader.rows:
                for row in range(first, first + count):
                    yield row, cells
            reader.rows.clear()
            if reader.is_behind:
                return


class _Cells:
    """Handlers that make rows from the XML of one of the tables."""

    def __init__(self, wanted: int, notes: Notes) -> None:
        self.rows: list[tuple[int, int, list[str]]] = []
        """Rows as (number of the first, number of times it is repeated, cells)."""
        self.is_behind = False
        self._wanted, self._notes = wanted, notes
        self._tables = -1
        self._depth = 0
        self._row = 1
        self._repeats = 1
        self._cells: list[str] = []
        self._column = 0
        self._cell: dict[str, str] = {}
        self._parts: list[str] = []
        self._paragraphs = 0
        self._in_paragraph = False
        self._unread = 0

    @property
    def _is_wanted(self) -> bool:
        return self._tables == self._wanted and self._depth == 1

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "table":
            self._depth += 1
            self._tables += self._depth == 1
            self.is_behind = self._tables > self._wanted
        elif not self._is_wanted:
            return
        elif name in ("annotation", "shapes", "frame"):
            self._unread += 1
        elif self._unread:
            return
        elif name in ("table-cell", "covered-table-cell"):
            self._cell = attributes
            self._parts = []
            self._paragraphs = 0
        elif name == "p":
            if self._paragraphs:
                self._parts.append("\n")
            self._paragraphs += 1
            self._in_paragraph = True
        elif name == "s":
            self._parts.append(" " * _count(attributes.get("text:c"), MAX_COLUMNS))
        elif name == "tab":
            self._parts.append("\t")
        elif name == "line-break":
            self._parts.append("\n")
        elif name == "table-row":
            self._repeats = _count(attributes.get("table:number-rows-repeated"), 1 << 31)
            self._column = 0

    def end(self, name: str) -> None:
        if name == "table":
            self._depth -= 1
        elif not self._is_wanted:
            return
        elif name in ("annotation", "shapes", "frame"):
            self._unread -= 1
        elif self._unread:
            return
        elif name in ("table-cell", "covered-table-cell"):
            self._add(_count(self._cell.get("table:number-columns-repeated"), 1 << 31))
        elif name == "p":
            self._in_paragraph = False
        elif name == "table-row":
            self._end_row()

    def text(self, data: str) -> None:
        if self._in_paragraph and not self._unread:
            self._parts.append(data)

    def _add(self, count: int) -> None:
        text = self._text_of(self._cell)
        if text:
            if self._column + count > MAX_COLUMNS:
                raise Damaged(f"row {self._row} has more than {MAX_COLUMNS} columns")
            self._cells += [""] * (self._column - len(self._cells)) + [text] * count
        self._column += count

    def _end_row(self) -> None:
        if self._cells:
            if self._row + self._repeats - 1 > MAX_ROWS:
                raise Damaged(f"there are more than {MAX_ROWS} rows")
            self.rows.append((self._row, self._repeats, self._cells))
            self._cells = []
        self._row += self._repeats

    def _text_of(self, cell: dict[str, str]) -> str:
        """Return the text of a cell; empty if it is blank."""
        kind = cell.get("office:value-type", "")
        shown = "".join(self._parts)
        if kind == "string":
            if any(key.endswith(":value-type") and cell[key] == "error" for key in cell):
                return ERROR + shown
            return shown or cell.get("office:string-value", "")
        if kind in NUMBERS:
            return self._number(cell.get("office:value", ""))
        if kind == "date":
            return _trimmed(cell.get("office:date-value", shown))
        if kind == "time":
            return _clock(cell.get("office:time-value", ""), shown)
        if kind == "boolean":
            return "TRUE" if cell.get("office:boolean-value") == "true" else "FALSE"
        formula = cell.get("table:formula")
        if formula is not None and not shown:
            return UNCOMPUTED + formula.partition(":")[2]
        return shown

    def _number(self, value: str) -> str:
        try:
            text = number(value)
        except ValueError:
            raise Damaged(f"row {self._row} has an invalid number") from None
        if is_rounded(text):
            self._notes.add(ROUNDED, self._row, self._column)
        return text


def _count(text: str | None, most: int) -> int:
    if text is None:
        return 1
    if not text.isdecimal() or not 0 < int(text) <= most:
        raise Damaged(f"a cell or row is repeated {text[:20]!r} times")
    return int(text)


def _trimmed(moment: str) -> str:
    """Return the time without trailing zeros after the seconds."""
    return moment.rstrip("0").rstrip(".") if "." in moment else moment


def _clock(value: str, shown: str) -> str:
    """Return hours, minutes and seconds of a duration in ISO 8601."""
    match = DURATION.fullmatch(value)
    if match is None:
        return shown
    sign, days, hours, minutes, seconds, fraction = match.groups("0")
    whole = int(days) * 24 + int(hours)
    rest = f".{fraction}".rstrip("0").rstrip(".")
    return f"{'-' if sign == '-' else ''}{whole:02}:{int(minutes):02}:{int(seconds):02}{rest}"
