"""Finds further tables below the first one in the beginning of a CSV file.

Their rows are read as rows of the first table, or rejected if they have another width. No row is
left out because of them, and the answer names the line where each begins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.formats.cell_kinds import CellKind, kind_of
from app.formats.csv import OtherTable
from app.formats.csv_header import SURE, header_evidence
from app.formats.csv_layout import EVIDENCE, Record, is_header, table_cells

MIN_ROWS = 2
"""Rows above a blank line, and below the names that follow it."""
MAX_TABLES = 20
LINE_END = re.compile(r"\r\n|\r|\n")


def find_other_tables(records: Sequence[Record], first_line: int) -> list[OtherTable]:
    """Return the tables that begin below a blank line among the rows of the first table, which are
    the `records`. `first_line` is the line of the first of them.
    """
    tables: list[OtherTable] = []
    lines = _first_lines(records, first_line)
    above = 0
    for place, record in enumerate(records):
        is_below_gap = record.stands_apart or (place > 0 and not records[place - 1].filled)
        if is_below_gap and above >= MIN_ROWS and len(tables) < MAX_TABLES:
            header = _header_at(records, place)
            if header is not None and _differs(records[header], records[:place]):
                names = [cell.strip() for cell in records[header].cells]
                tables.append(OtherTable(line=lines[header], columns=names))
                above = 0
        above += record.reach > 1
    return tables


def _first_lines(records: Sequence[Record], line: int) -> list[int]:
    """Return the line on which each record begins, without the blank lines before it."""
    lines: list[int] = []
    for record in records:
        blank = record.text[: len(record.text) - len(record.text.lstrip("\r\n"))]
        lines.append(line + len(LINE_END.findall(blank)))
        line += len(LINE_END.findall(record.text))
    return lines


def _header_at(records: Sequence[Record], place: int) -> int | None:
    """Return the place of the names of a table that begins here or below a title here."""
    below = place + 1
    for header in (place, below):
        block = _block(records, header)
        if len(block) > MIN_ROWS and is_header(block[0].filled) and _stands_above_values(block):
            return header
        if records[place].reach > 1:
            return None
    return None


def _block(records: Sequence[Record], start: int) -> Sequence[Record]:
    """Return the records from here to the next blank line."""
    end = start + 1
    while end < len(records) and not records[end].stands_apart and records[end].filled:
        end += 1
    return records[start:end]


def _stands_above_values(block: Sequence[Record]) -> bool:
    evidence = header_evidence(table_cells(block))
    is_enough = evidence.values >= min(EVIDENCE, len(block) - 1)
    return evidence.odds >= SURE and not evidence.against and is_enough and block[0].reach > 1


def _differs(header: Record, above: Sequence[Record]) -> bool:
    """Return whether the names are no row of the table above: they have another width, or a name
    stands in a column of values.
    """
    rows = [record for record in above if record.reach > 1]
    widths = {record.reach for record in rows}
    if header.reach not in widths:
        return True
    for place, cell in enumerate(header.cells):
        kinds = [kind_of(row.cells[place]) for row in rows if place < row.width]
        values = [kind for kind in kinds if kind is not CellKind.MISSING]
        is_value_column = bool(values) and CellKind.TEXT not in values
        if is_value_column and kind_of(cell) is CellKind.TEXT:
            return True
    return False
