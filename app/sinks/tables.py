"""Typed tables: what a processor may fill besides its results, and the columns of each row it gives, behind the job's id.

JSON columns are given as JSON text, so that nothing is encoded twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TableRows = Mapping[str, Sequence[tuple[Any, ...]]]

COLUMNS: dict[str, tuple[str, ...]] = {
    "records": ("row_number", "status", "data", "errors"),
    "vector_tasks": ("first_row", "last_row", "record_count", "done"),
    "record_vectors": ("row_number", "model", "precision", "text_hash", "vector"),
}
