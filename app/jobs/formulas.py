"""What a spreadsheet would run, and the apostrophe that keeps it from that (docs/formats.md,
docs/corrections.md).
"""

from __future__ import annotations

import re

FORMULA = re.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?%?")
GUARD = "'"


def is_formula(cell: str) -> bool:
    """Numbers are none."""
    return bool(FORMULA.match(cell)) and not NUMBER.fullmatch(cell)


def guarded(cell: str | None) -> str | None:
    """For good: a formula gets an apostrophe before it."""
    return f"{GUARD}{cell}" if cell and is_formula(cell) else cell


def needs_guard(cell: str) -> bool:
    """Of a cell that will come back: what looks guarded already needs another one, so that
    `unguarded` gives it back.
    """
    return is_formula(cell.lstrip(GUARD))


def unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith(GUARD) and needs_guard(cell[1:]) else cell
