"""Marks of cells without a value in the CSV text of a spreadsheet: errors, and formulas that were
never computed. A mark is a byte that UTF-8 text never has, so that its row is rejected and no other
row costs anything.
"""

from __future__ import annotations

CELL_ERROR, NO_VALUE = b"\xf8", b"\xf9"
MARKS = CELL_ERROR + NO_VALUE
FAULTS = {
    CELL_ERROR: ("cell_error", "The cell holds the error {}."),
    NO_VALUE: ("formula_without_value", "The formula {} was saved without a value."),
}
"""Code of a reject, and the message with the text behind the mark, by mark."""


def unmarked(raw: bytes) -> bytes:
    """Return a record as it is shown, with the text of the errors and formulas."""
    return raw.translate(None, MARKS)
