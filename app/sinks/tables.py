"""Typed tables: what a processor may fill besides its results, and the columns of each row it gives, behind the job's id.

JSON columns are given as JSON text, so that nothing is encoded twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

TableRows = Mapping[str, Sequence[Any]]
"""By table: rows as tuples, or `Piece`s of an upserted table."""


class Piece(NamedTuple):
    """Rows of an upserted table, encoded where there is time for it, for one statement."""

    rows: int
    data: Any


COLUMNS: dict[str, tuple[str, ...]] = {
    "records": ("row_number", "status", "data", "errors"),
    "vector_tasks": ("first_row", "last_row", "record_count", "done"),
    "record_vectors": ("row_number", "model", "precision", "text_hash", "vector"),
    "transactions": (
        "transaction_id", "row_number", "timestamp", "account_id", "amount", "currency", "data", "content_hash",
    ),
    "predictions": (
        "transaction_id", "row_number", "prediction", "fraud_score", "model_version", "latency_ms", "content_hash",
    ),
}  # fmt: skip

UPSERTED = {"transactions": "transaction_id", "predictions": "transaction_id"}
"""Tables with one row for each value of a key, whichever job it comes from, and their keys. A row replaces the one that is
there unless that comes from a later job, or from a later row of the same job: so the tables do not depend on the order in
which chunks end. `content_hash` tells an update from a row that was there already."""

VERSIONS = {"transactions": "transaction_versions", "predictions": "prediction_versions"}
"""Where the row of another job goes that is replaced, or that comes too late: one version for each key and job, so that an
undo can restore what would be there without the job."""

Counts = dict[str, dict[str, int]]
"""By upserted table: rows `inserted`, `updated`, and `unchanged` (already there, or something newer is)."""
