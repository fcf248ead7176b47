"""Confidence of each pair of columns, from the signals of evidence.py and the weights of
weights.json, which scripts/train_matching.py writes.

1. The score of a pair is the weighted sum of its signals.
2. Its odds say how far it is above its rivals: all other pairs of its row, or of its column, and
   "none of them".
3. The confidence is how often pairs with such odds were right on tables that were not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.features.mapping.evidence import Signals
from app.features.mapping.weights import Weights

Scores = npt.NDArray[np.float64]
"""Numbers by pair, (targets, sources)."""


def score(signals: Signals, weights: Weights) -> Scores:
    """Return the weighted sum of the signals."""
    total = np.zeros_like(next(iter(signals.values())), np.float64)
    for name, weight in weights.signals.items():
        total += weight * signals[name]
    return total


def odds(scores: Scores, weights: Weights) -> tuple[Scores, Scores]:
    """Return the logarithms of the odds against the rivals of the row, and of the column."""
    by_row = _against_rivals(scores, weights.none_in_row)
    by_column = _against_rivals(scores.T, weights.none_in_column).T
    return by_row, by_column


def _against_rivals(scores: Scores, none: float) -> Scores:
    """Return each score less the logarithm of the sum of the exponentials of its rivals."""
    highest = np.maximum(scores.max(axis=1, initial=none), none)[:, None]
    powers = np.exp(scores - highest)
    every = powers.sum(axis=1, keepdims=True) + np.exp(none - highest)
    # Subtracting a pair from the sum would lose all digits where nothing else is left.
    rivals = np.maximum(every - powers, 1e-12)
    return np.asarray(scores - highest - np.log(rivals), np.float64)


def confidence(signals: Signals, weights: Weights) -> Scores:
    """Return how sure each pair is, 0 to 1, on one scale for choices and runners-up."""
    constant, of_row, of_column = weights.odds
    by_row, by_column = odds(score(signals, weights), weights)
    together = constant + of_row * by_row + of_column * by_column
    sure = _on_curve(together, weights.curve)
    in_doubt = _on_curve(together, weights.curve_in_doubt)
    return np.asarray(np.where(signals["in_doubt"] > 0, in_doubt, sure), np.float64)


def _on_curve(together: Scores, curve: Sequence[tuple[float, float]]) -> Scores:
    points = np.array(curve)
    return np.asarray(np.interp(together, points[:, 0], points[:, 1]), np.float64)
