"""Rows that repeat a value that must be unique in the whole file of a job. A file `rule` in the
folder of the job's parts has a byte for each row: 0 where it repeats nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.formats.base import Reject

NOT_UNIQUE = "not_unique"


def is_known(folder: str) -> bool:
    """Return whether the rows have been compared."""
    return Path(folder, "rule").exists()


def repeated_rows(folder: str, first: int, count: int) -> list[int]:
    """Return the rows of a chunk that repeat a value."""
    repeated: list[int] = (np.flatnonzero(_rules(folder)[first : first + count]) + first).tolist()
    return repeated


def repeated_among(folder: str, rows: Sequence[int]) -> set[int]:
    rules = _rules(folder)
    return {row for row in rows if rules[row]}


def _rules(folder: str) -> Any:
    return np.memmap(Path(folder) / "rule", "u1", "r")


def repeating(rows: Sequence[int], repeated: Sequence[tuple[str, str, int]]) -> list[Reject]:
    """Make the rejects of rows that repeat a value, from (columns, value, first row with it) for
    each row.
    """
    return [
        Reject(
            row,
            0,
            0,
            0,
            b"",
            NOT_UNIQUE,
            f"Row {first} already has this value.",
            column,
            value[:200].replace("\0", "\\x00"),
        )
        for row, (column, value, first) in zip(rows, repeated, strict=True)
    ]
