"""Sheet as CSV text: one line for each row, commas, CR LF; and a map from lines to rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from app.decoders.places import SheetPlaces, column_letters, quoted_sheet
from app.formats.faults import CELL_ERROR, NO_VALUE

MAX_ROWS, MAX_COLUMNS = 1_048_576, 16_384
ROUNDED = "whole numbers with more than 15 digits, of which spreadsheets keep 15"
LOOKED_AT = 1_000
"""Number of rows that show where the table begins and how wide it is."""
MOST_BLANK = 64
"""Number of successive blank rows that stay blank lines."""
PIECE_CHARACTERS = 256 << 10
MAX_RUNS = 20_000
"""Number of entries in the map to rows. The rows after them have no place."""
NEEDS_QUOTES = re.compile(r'[,"\r\n]').search

Row = tuple[int, list[str]]
"""Row as (number from 1, cells from column A on): blank cells are empty, and none is last."""

ERROR, UNCOMPUTED = (mark.decode("utf-8", "surrogateescape") for mark in (CELL_ERROR, NO_VALUE))
"""Marks before the text of an error, and before a formula without a value."""


@dataclass(slots=True)
class Notes:
    """Remarks on the cells of a sheet."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, row: int, column: int) -> None:
        self.counts[what] += 1
        if what not in self.first:
            self.first[what] = f"{column_letters(column)}{row}"

    def shown(self, sheet: str) -> list[dict[str, Any]]:
        """Return each remark with the number of cells and the first one."""
        where = quoted_sheet(sheet)
        return [
            {"what": what, "cells": count, "first": f"{where}!{self.first[what]}"}
            for what, count in self.counts.items()
        ]


class SheetText:
    """Writer of the rows of a sheet."""

    def __init__(self, sheet: str) -> None:
        self._sheet = sheet
        self._first_column = 0
        self._width = 0
        self._line = 1
        self._row = 0
        self._runs: list[tuple[int, int]] = []

    @property
    def places(self) -> SheetPlaces:
        return SheetPlaces(self._sheet, self._first_column, self._runs or [(1, 1)])

    def pieces(self, rows: Iterable[Row], first_column: int, width: int) -> Iterator[str]:
        """Yield the text. Rows begin with the first column and have at least `width` cells."""
        self._first_column, self._width = first_column, width
        lines: list[str] = []
        size = 0
        for number, cells in rows:
            line = self._text_of(number, cells)
            lines.append(line)
            size += len(line)
            if size >= PIECE_CHARACTERS:
                yield "".join(lines)
                lines.clear()
                size = 0
        yield "".join(lines)

    def _text_of(self, number: int, cells: list[str]) -> str:
        """Return the line of a row, after a blank line for each blank row before it."""
        blank = number - self._row - 1 if self._runs else 0
        before = "\r\n" * (blank if blank <= MOST_BLANK else 1)
        self._line += len(before) // 2
        if not self._runs or blank > MOST_BLANK:
            self._add_run(number)
        self._row = number
        if self._first_column:
            cells = cells[self._first_column :]
        line = ",".join(cells)
        breaks = 0
        if '"' in line or "\n" in line or "\r" in line or line.count(",") >= len(cells):
            cells = [_quoted(cell) if NEEDS_QUOTES(cell) else cell for cell in cells]
            line = ",".join(cells)
            breaks = line.count("\r\n")
        line += "," * (self._width - len(cells))
        self._line += 1 + breaks
        if breaks:  # lines inside of a cell
            self._add_run(number + 1)
        return f"{before}{line}\r\n"

    def _add_run(self, row: int) -> None:
        if len(self._runs) < MAX_RUNS:
            self._runs.append((self._line, row))
        elif self._runs[-1][1]:
            self._runs.append((self._line, 0))


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def beginning(rows: Iterator[Row]) -> list[Row]:
    """Take and return the first rows."""
    looked_at = []
    for row in rows:
        looked_at.append(row)
        if len(looked_at) == LOOKED_AT:
            break
    return looked_at


def first_filled(cells: list[str]) -> int:
    """Return the index of the first column of a row that is not blank."""
    return next((place for place, cell in enumerate(cells) if cell), len(cells))
