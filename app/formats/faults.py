"""Cells that have no value, in the CSV text that a spreadsheet is decoded to: an error, or a formula
that was never computed. A byte that is never part of UTF-8 text marks them, so that their row is
rejected and no other row costs anything.
"""

from __future__ import annotations

CELL_ERROR, NO_VALUE = b"\xf8", b"\xf9"
MARKS = CELL_ERROR + NO_VALUE
FAULTS = {
    CELL_ERROR: ("cell_error", "The cell holds the error {}."),
    NO_VALUE: ("formula_without_value", "The formula {} was saved without a value."),
}
"""By mark: the code of a reject, and what is wrong with the text behind the mark."""


def unmarked(raw: bytes) -> bytes:
    """A record as it is shown, with the text of the errors and formulas."""
    return raw.translate(None, MARKS)
