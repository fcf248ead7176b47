"""What the training found, read from weights.json, which scripts/train_matching.py writes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

WEIGHTS = Path(__file__).parent / "weights.json"


class Weights(msgspec.Struct, frozen=True):
    """Weights of one kind of evidence: with the sentence model, or without."""

    signals: dict[str, float]
    none_in_row: float
    none_in_column: float
    """Score that "no match" has as a rival of the pairs of a row and of a column."""
    odds: tuple[float, float, float]
    """Constant, and factors of the odds by row and by column."""
    curve: list[tuple[float, float]]
    """Points (log odds, confidence), both ascending."""
    curve_in_doubt: list[tuple[float, float]]
    """The same for pairs that cannot be certain."""
    floor: float
    """Confidence below which a pair is no match."""


class Trained(msgspec.Struct, frozen=True):
    """All that the training wrote."""

    with_model: Weights
    without_model: Weights
    usual: dict[str, float]
    """Share of headers that have a word, of words that headers often have."""


@cache
def trained() -> Trained:
    return msgspec.json.decode(WEIGHTS.read_bytes(), type=Trained)
