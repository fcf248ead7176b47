"""The model: features of a transaction, and a classifier trained on generated transactions. Only
the model service and `scripts/train_model.py` import it; the service itself never loads
scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, roc_auc_score

from app.features.scoring.model_service.transactions import (
    CATEGORIES,
    CHANNELS,
    LabelledTransaction,
    make,
)

VERSION = "fraud-hgb-1"
THRESHOLD = 0.5
Matrix = npt.NDArray[np.float64]


def features(transactions: Iterable[dict[str, Any]]) -> Matrix:
    """Return an array (n, 8): log of the amount, whether it is round, hour, category, channel,
    abroad, transactions in 24 h, age of the account. Raises KeyError or ValueError if one is
    missing or invalid.
    """
    rows = []
    for fields in transactions:
        amount = float(fields["amount"])
        rows.append(
            (
                math.log(amount),
                float(amount % 100 == 0),
                datetime.fromisoformat(fields["timestamp"]).hour,
                CATEGORIES.index(fields["category"]),
                CHANNELS.index(fields["channel"]),
                float(fields["country"] != fields["home_country"]),
                float(fields["transactions_24h"]),
                float(fields["account_age_days"]),
            )
        )
    return np.array(rows, dtype=np.float64).reshape(-1, 8)


@dataclass(frozen=True, slots=True)
class Trained:
    classifier: HistGradientBoostingClassifier
    roc_auc: float
    """Measured on transactions that it was not trained on."""
    average_precision: float
    trained_on: int
    tested_on: int
    version: str = VERSION

    def scores(self, transactions: Iterable[dict[str, Any]]) -> list[float]:
        """Return the probability of fraud, 0 to 1, of each transaction."""
        probabilities = self.classifier.predict_proba(features(transactions))
        return [round(float(p), 6) for p in probabilities[:, 1]]


def train(count: int = 20_000, *, seed: int = 7) -> Trained:
    """Train on `count` generated transactions, test on half as many others. The same seed gives the
    same model.
    """
    classifier = HistGradientBoostingClassifier(
        max_iter=40,
        learning_rate=0.15,
        max_leaf_nodes=15,
        categorical_features=[3, 4],
        random_state=seed,
    )
    classifier.fit(*_labelled(list(make(count, seed=seed))))
    matrix, labels = _labelled(list(make(count // 2, seed=seed + 1)))
    scores = classifier.predict_proba(matrix)[:, 1]
    return Trained(
        classifier,
        float(roc_auc_score(labels, scores)),
        float(average_precision_score(labels, scores)),
        count,
        count // 2,
    )


def _labelled(transactions: Sequence[LabelledTransaction]) -> tuple[Matrix, npt.NDArray[np.int64]]:
    return features(m.fields for m in transactions), np.array(
        [m.is_fraud for m in transactions], dtype=np.int64
    )
