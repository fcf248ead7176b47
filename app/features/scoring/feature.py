"""Scoring: rows scored by a model service over HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Tools
from app.processors.tables import KeyedTable

if TYPE_CHECKING:
    from app.processors.base import Processor


TRANSACTIONS = KeyedTable(
    "transactions",
    columns=(
        "transaction_id",
        "row_number",
        "timestamp",
        "account_id",
        "amount",
        "currency",
        "data",
        "content_hash",
    ),
    key="transaction_id",
    versions="transaction_versions",
)
PREDICTIONS = KeyedTable(
    "predictions",
    columns=(
        "transaction_id",
        "row_number",
        "prediction",
        "fraud_score",
        "model_version",
        "latency_ms",
        "content_hash",
    ),
    key="transaction_id",
    versions="prediction_versions",
)


def _processors(tools: Tools) -> Iterable[Processor]:
    from app.features.scoring.ml_api import MLApi
    from app.features.scoring.processor import ScoringProcessor

    settings = tools.settings
    ml_api = MLApi(
        settings.ml_api_url,
        batch_size=settings.api_batch_size,
        max_workers=settings.api_max_workers,
        timeout_seconds=settings.api_timeout_seconds,
    )
    return [ScoringProcessor(ml_api, settings.transaction_model, settings.row_batch_size)]


SCORING = Feature(
    "scoring", has_commands=True, tables=(TRANSACTIONS, PREDICTIONS), processors=_processors
)
