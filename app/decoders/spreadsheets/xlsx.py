"""Workbooks of Office Open XML (.xlsx, .xlsm), read from their XML: nothing else shows errors,
formulas without a value, and how a number is stored.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator

from app.decoders.spreadsheets.archive import Archive, Xml
from app.decoders.spreadsheets.plain_rows import Token, by_rows, plain_tokens, unescaped
from app.decoders.spreadsheets.sheets import (
    ERROR,
    MAX_COLUMNS,
    MAX_ROWS,
    ROUNDED,
    UNCOMPUTED,
    Notes,
    Row,
)
from app.decoders.spreadsheets.values import (
    BUILT_IN_DATES,
    EXACT_DIGITS,
    Kind,
    is_rounded,
    kind_of,
    moment,
    number,
)
from app.decoders.unreadable import Damaged

ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
DIGITS = "0123456789"
Start = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]


class XlsxBook:
    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._folder = ""
        self._paths: dict[str, str] = {}
        self.sheets: list[tuple[str, bool]] = []
        """Sheets as (name, whether it is visible), in the order of the workbook."""
        self._is_1904 = False
        self._by_type: dict[str, str] = {}
        self._read_workbook()
        self._kinds = self._read_styles()
        self._shared: list[str] | None = None

    # ------------------------------------------------------------------ the parts

    def _read_workbook(self) -> None:
        path = next((path for path in self._related("").values() if "workbook" in path), None)
        path = path or "xl/workbook.xml"
        self._folder = posixpath.dirname(path)
        targets = self._related(path)

        def start(name: str, attributes: dict[str, str]) -> None:
            if name == "sheet":
                relation = next((attributes[key] for key in attributes if key.endswith(":id")), "")
                target = targets.get(relation, "")
                if "worksheets" in target or "sheet" in posixpath.basename(target).lower():
                    if "chartsheet" in target or "dialogsheet" in target:
                        return
                    title = attributes.get("name", "")
                    is_visible = attributes.get("state", "visible") == "visible"
                    self.sheets.append((title, is_visible))
                    self._paths[title] = target
            elif name == "workbookPr":
                self._is_1904 = attributes.get("date1904", "0").lower() in ("1", "true", "on")

        Xml(start, _ignore).read_all(self._archive.pieces(path), path)

    def _related(self, path: str) -> dict[str, str]:
        """Return what a part refers to, by the id of the relation. Of the workbook, also keep it by
        type.
        """
        folder, name = posixpath.split(path)
        relations = posixpath.join(folder, "_rels", f"{name}.rels")
        targets: dict[str, str] = {}

        def start(name: str, attributes: dict[str, str]) -> None:
            if name == "Relationship" and attributes.get("TargetMode") != "External":
                target = attributes.get("Target", "")
                whole = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
                targets[attributes.get("Id", "")] = whole
                self._by_type[posixpath.basename(attributes.get("Type", ""))] = whole

        if self._archive.has(relations):
            Xml(start, _ignore).read_all(self._archive.pieces(relations), relations)
        return targets

    def _read_styles(self) -> list[Kind]:
        """Return the meaning of numbers by the style of their cell."""
        path = self._by_type.get("styles", posixpath.join(self._folder, "styles.xml"))
        if not self._archive.has(path):
            return []
        codes: dict[str, str] = {str(known): code for known, code in BUILT_IN_DATES.items()}
        kinds: list[Kind] = []
        inside: list[str] = []

        def start(name: str, attributes: dict[str, str]) -> None:
            inside.append(name)
            if name == "numFmt" and "numFmts" in inside:
                codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
            elif name == "xf" and "cellXfs" in inside:
                kinds.append(kind_of(codes.get(attributes.get("numFmtId", "0"), "")))

        Xml(start, lambda name: _pop(inside)).read_all(self._archive.pieces(path), path)
        return kinds

    def _read_shared(self) -> list[str]:
        """Return the texts that cells refer to by number."""
        path = self._by_type.get("sharedStrings", posixpath.join(self._folder, "sharedStrings.xml"))
        texts: list[str] = []
        if not self._archive.has(path):
            return texts
        parts: list[str] = []
        is_text = False
        phonetic = 0

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal is_text, phonetic
            if name == "si":
                parts.clear()
            elif name == "rPh":
                phonetic += 1
            elif name == "t":
                is_text = not phonetic

        def end(name: str) -> None:
            nonlocal is_text, phonetic
            if name == "t":
                is_text = False
            elif name == "rPh":
                phonetic -= 1
            elif name == "si":
                texts.append(_unescaped("".join(parts)))

        def text(data: str) -> None:
            if is_text:
                parts.append(data)

        Xml(start, end, text).read_all(self._archive.pieces(path), path)
        return texts

    # ------------------------------------------------------------------ rows

    def rows(self, sheet: str, notes: Notes) -> Iterator[Row]:
        """Yield the rows that are not blank, in order. Raises Damaged."""
        if self._shared is None:
            self._shared = self._read_shared()
        reader = _Cells(self._shared, self._kinds, self._is_1904, notes)
        path = self._paths[sheet]
        document = Xml(reader.start, reader.end, reader.text)
        for piece, is_rows in by_rows(self._archive.pieces(path)):
            tokens = plain_tokens(piece) if is_rows else None
            if tokens is None:
                document.feed(piece, path)
            else:
                reader.add_plain(tokens)
            yield from reader.rows
            reader.rows.clear()
        document.feed(b"", path, is_last=True)
        yield from reader.rows


class _Cells:
    """Handlers that make rows from the XML of a sheet. They are called several times for each cell,
    so their state is in the variables of functions, which are the fastest.
    """

    def __init__(self, shared: list[str], kinds: list[Kind], is_1904: bool, notes: Notes) -> None:
        self.rows: list[Row] = []
        self._shared, self._is_1904 = shared, is_1904
        self._kinds = {str(style): kind for style, kind in enumerate(kinds)}
        self._notes = notes
        self._row = 0
        self._columns = _Columns()
        self.start, self.end, self.text = self._handlers()

    def _handlers(self) -> tuple[Start, End, End]:
        is_data = False
        phonetic = 0
        column = -1
        kind, style = "n", "0"
        value: str | None = None
        formula: str | None = None
        parts: list[str] = []
        inline: list[str] = []
        cells: list[str] = []
        rows, columns, text_of = self.rows, self._columns, self._text_of

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal is_data, phonetic, column, kind, style, value, formula
            if name == "v":
                parts.clear()
            elif name == "c":
                get = attributes.get
                reference = get("r")
                column = column + 1 if reference is None else columns[reference.rstrip(DIGITS)]
                kind, style = get("t", "n"), get("s", "0")
                value = formula = None
            elif name == "row" and is_data:
                self._begin_row(attributes.get("r"))
                column = -1
            elif name in ("f", "t"):
                parts.clear()
            elif name == "sheetData":
                is_data = True
            elif name == "is":
                inline.clear()
            elif name == "rPh":
                phonetic += 1

        def end(name: str) -> None:
            nonlocal is_data, phonetic, value, formula, cells
            if name == "v":
                value = parts[0] if len(parts) == 1 else "".join(parts)
            elif name == "c":
                if not is_data or (value is None and formula is None):
                    return
                text = text_of(kind, style, value, formula, column)
                if not text:
                    return
                if column == len(cells):
                    cells.append(text)
                else:
                    _put(cells, column, text)
            elif name == "row":
                if cells:
                    rows.append((self._row, cells))
                    cells = []
            elif name == "f":
                formula = "".join(parts)
            elif name == "t":
                if not phonetic:
                    inline.extend(parts)
            elif name == "is":
                value = "".join(inline)
            elif name == "rPh":
                phonetic -= 1
            elif name == "sheetData":
                is_data = False

        return start, end, parts.append

    def add_plain(self, tokens: list[Token]) -> None:
        """Add whole rows."""
        columns, text_of, shared, kinds = self._columns, self._text_of, self._shared, self._kinds
        cells: list[str] = []
        for row, letters, style, kind, formula, value, inline in tokens:
            if row:
                if cells:
                    self.rows.append((self._row, cells))
                    cells = []
                self._begin_row(row)
                continue
            stored = value[3:]
            column = columns[letters]
            if kind == "s" and stored.isdecimal() and int(stored) < len(shared):
                text = shared[int(stored)]
            elif (
                not kind
                and len(stored) < EXACT_DIGITS
                and stored.isdecimal()
                and stored[0] != "0"
                and kinds.get(style or "0", Kind.NUMBER) is Kind.NUMBER
            ):
                text = stored
            elif value or formula or inline:
                text = text_of(
                    kind or "n",
                    style or "0",
                    unescaped(stored if value else inline) if value or inline else None,
                    unescaped(formula.partition(">")[2].removesuffix("</f>")) if formula else None,
                    column,
                )
            else:
                continue
            if not text:
                continue
            if column == len(cells):
                cells.append(text)
            else:
                _put(cells, column, text)
        if cells:
            self.rows.append((self._row, cells))

    def _begin_row(self, number: str | None) -> None:
        before = self._row
        try:
            self._row = before + 1 if number is None else int(number)
        except ValueError:
            raise Damaged(f"there is a row {str(number)[:20]!r}") from None
        if not before < self._row <= MAX_ROWS:
            raise Damaged(f"row {self._row} follows row {before}")

    def _text_of(
        self, kind: str, style: str, value: str | None, formula: str | None, column: int
    ) -> str:
        """Return the text of a cell; empty if it is blank."""
        if kind == "n" and value:
            return self._number(value, style, column)
        if kind == "s":
            return self._shared_text(value or "")
        if kind in ("str", "inlineStr"):
            return UNCOMPUTED + f"={formula}" if value is None else _unescaped(value)
        if not value:
            return "" if formula is None else UNCOMPUTED + f"={formula}"
        if kind == "b":
            return "TRUE" if value in ("1", "true") else "FALSE"
        if kind == "e":
            return ERROR + value
        return value  # a date in ISO 8601

    def _shared_text(self, value: str) -> str:
        try:
            place = int(value)
            if place < 0:
                raise IndexError
            return self._shared[place]
        except (ValueError, IndexError):
            raise Damaged(f"row {self._row} refers to a missing text") from None

    def _number(self, value: str, style: str, column: int) -> str:
        is_a = self._kinds.get(style, Kind.NUMBER)
        try:
            if is_a is not Kind.NUMBER:
                return moment(value, is_a, self._is_1904)
            if len(value) < EXACT_DIGITS and value.isdigit() and value[0] != "0":
                return value
            text = number(value)
        except ValueError:
            raise Damaged(f"row {self._row} has an invalid number") from None
        if len(text) > EXACT_DIGITS and is_rounded(text):
            self._notes.add(ROUNDED, self._row, column)
        return text


def _put(cells: list[str], column: int, text: str) -> None:
    """Put the text of a cell into its column, with blank cells before it where there are none."""
    cells.extend([""] * (column + 1 - len(cells)))
    cells[column] = text


class _Columns(dict[str, int]):
    """Indexes of columns by their letters, from 0. Raises Damaged for those that no sheet has."""

    def __missing__(self, letters: str) -> int:
        place = 0
        for letter in letters[:4]:
            place = place * 26 + (ord(letter) - 64 if "A" <= letter <= "Z" else MAX_COLUMNS)
        if not 0 < place <= MAX_COLUMNS:
            raise Damaged(f"there is a column {letters[:20]!r}")
        self[letters] = place - 1
        return place - 1


def _unescaped(text: str) -> str:
    """Return the text with the characters that XML does not allow, written as `_x001F_`."""
    if "_x" not in text:
        return text
    text = ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    # Two of them may be the halves of one character.
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _pop(names: list[str]) -> None:
    names.pop()


def _ignore(_: str) -> None: ...
