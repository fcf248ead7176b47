"""Detection of cells that a spreadsheet would run as formulas, and the apostrophe that prevents it
(docs/formats.md, docs/corrections.md).
"""

from __future__ import annotations

import re

FORMULA = re.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?%?")
GUARD = "'"


def is_formula(cell: str) -> bool:
    """Return whether a spreadsheet would run the cell. Numbers are not formulas."""
    return bool(FORMULA.match(cell)) and not NUMBER.fullmatch(cell)


def guarded(cell: str | None) -> str | None:
    """Return the cell, with an apostrophe before it if it is a formula. Not reversible."""
    return f"{GUARD}{cell}" if cell and is_formula(cell) else cell


def needs_guard(cell: str) -> bool:
    """Return whether a cell of an editable download needs an apostrophe. A cell that already looks
    guarded needs another one, so that `unguarded` restores it.
    """
    return is_formula(cell.lstrip(GUARD))


def unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith(GUARD) and needs_guard(cell[1:]) else cell
