"""Places that rows come from, if their file is not the text that is stored."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Any

import msgspec

PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
MAX_GROUPS = 10_000
LIKE_A_CELL = re.compile(r"[A-Za-z]{1,3}[0-9]{1,7}|[Rr][0-9]*[Cc][0-9]*")


class SheetPlaces(msgspec.Struct, frozen=True, tag="sheet", tag_field="kind"):
    """Map from lines of the stored text to rows of a sheet."""

    sheet: str
    first_column: int
    """Index in the sheet, from 0, of the column with the first cell of each row."""
    runs: list[tuple[int, int]]
    """Pairs (line of the stored text, row of the sheet), both from 1 and ascending. From one pair
    to the next, each line is the row after that of the line before. Row 0: the rows are not known
    from there on.
    """

    def at(self, line: int, column: int | None, row_number: int = 0) -> str:
        """Return a cell as spreadsheets write it (`Sheet1!C17`), or a row (`Sheet1!17:17`). `line`
        is where the row begins; `column` is the index of the cell in the row, from 0.
        """
        run, row = self.runs[max(0, bisect_right(self.runs, line, key=lambda run: run[0]) - 1)]
        if not row:
            return quoted_sheet(self.sheet)
        row += line - run
        name = f"{column_letters(self.first_column + column)}{row}" if column is not None else ""
        return f"{quoted_sheet(self.sheet)}!{name or f'{row}:{row}'}"


class JsonPlaces(msgspec.Struct, frozen=True, tag="json", tag_field="kind"):
    """Records inside a JSON document, which is stored as it came."""

    path: str
    """Path of the array or object that holds the records; empty if it is the document."""
    is_members: bool = False

    def at(self, line: int, column: int | None, row_number: int = 0) -> str:
        """Return an item of an array (`data.items[16]`, from 0), or a member of an object by its
        number from 1.
        """
        if self.is_members:
            return f"{self.path or '.'} member {row_number}"
        return f"{self.path}[{row_number - 1}]"


class XmlPlaces(msgspec.Struct, frozen=True, tag="xml", tag_field="kind"):
    """Elements of an XML document, each stored as a line of JSON."""

    path: str

    def at(self, line: int, column: int | None, row_number: int = 0) -> str:
        """Return an XPath expression that selects the element: `(/orders/order)[17]`."""
        return f"({self.path})[{row_number}]"


class GroupPlaces(msgspec.Struct, frozen=True, tag="group", tag_field="kind"):
    """Rows of a columnar file by lines of the stored text: each is one line, in the same order."""

    group: str
    """Name of its groups of rows, such as "row group"."""
    starts: list[int]
    """Line of the stored text, from 1, with which each group begins; of MAX_GROUPS at most."""
    groups: int
    """Number of all groups."""

    def at(self, line: int, column: int | None, row_number: int = 0) -> str:
        """Return the group and the row in it, both from 1: `row group 2, row 17`. Behind the last
        group whose beginning is known, the row of the file.
        """
        group = bisect_right(self.starts, line)
        if not group or (group == len(self.starts) < self.groups):
            return f"row {line}"
        return f"{self.group} {group}, row {line - self.starts[group - 1] + 1}"


Places = SheetPlaces | JsonPlaces | XmlPlaces | GroupPlaces


def places_to_json(places: Places | None) -> dict[str, Any] | None:
    return None if places is None else msgspec.to_builtins(places)


def places_from_json(value: dict[str, Any] | None) -> Places | None:
    places: Places | None = None if value is None else msgspec.convert(value, Places)
    return places


def column_letters(place: int) -> str:
    """Return the name of a column of a sheet by its index: `A` for 0, `XFD` for 16383."""
    letters = ""
    place += 1
    while place:
        place, letter = divmod(place - 1, 26)
        letters = chr(65 + letter) + letters
    return letters


def quoted_sheet(name: str) -> str:
    """Return the name of a sheet as references have it: in apostrophes unless it needs none."""
    if PLAIN_NAME.fullmatch(name) and not LIKE_A_CELL.fullmatch(name):
        return name
    return "'" + name.replace("'", "''") + "'"
