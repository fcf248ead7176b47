"""Cells beyond the header (on_bad_row=keep) in scoring: they stay last, and take no other column's
place.
"""

from __future__ import annotations

import msgspec

from app.features.scoring import scored
from app.features.scoring.answers import Prediction
from app.formats.base import CellRows
from app.processors.base import as_given

HEADER = [
    "transaction_id", "timestamp", "account_id", "merchant", "category", "channel", "country", "home_country", "amount",
]  # fmt: skip


def test_an_extra_cell_shifts_no_prediction() -> None:
    row: list[str | None] = [
        "t1",
        "2026-01-31T10:00:00Z",
        "a1",
        "Shop",
        "fuel",
        "pos",
        "DE",
        "DE",
        "12.50",
    ]
    rows = CellRows(HEADER, [1, 2], [row, [*row, "extra"]])
    checked = scored.check("app.features.scoring.transactions:Transaction", rows)
    answer = Prediction(label="legit", fraud_score=0.25, model_version="v1", latency_ms=3)
    outcome = scored.outcome(rows, checked, scored.pack([answer, answer]), as_given)
    (page,) = outcome.results.pages()
    assert outcome.results.columns == [*HEADER, *scored.ADDED_COLUMNS]
    assert msgspec.json.decode(page.data) == [
        [*row, "legit", "0.25", "v1"],
        [*row, "legit", "0.25", "v1", "extra"],
    ]
