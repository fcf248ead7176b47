"""Sentiment from a text's vector: a linear head on all-MiniLM-L6-v2,
trained by scripts/train_sentiment.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.embeddings.model import Embedder

WEIGHTS = Path(__file__).parent / "sentiment_minilm.json"
DECIMALS = 4
NEGATIVE, NEUTRAL, POSITIVE = "negative", "neutral", "positive"


@dataclass(frozen=True, slots=True)
class SentimentHead:
    """`weights` (384,) and `bias` give the score; from `positive_from` up it
    is positive, up to `negative_to` negative."""

    weights: npt.NDArray[np.float32]
    bias: float
    negative_to: float
    positive_from: float

    def score(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n,) from (n, 384): the expected human rating, -1 the worst, 1 the best."""
        scores: npt.NDArray[np.float32] = np.clip(
            vectors @ self.weights + np.float32(self.bias), -1, 1
        )
        return scores

    def labels(self, scores: npt.NDArray[np.floating]) -> list[str]:
        """`negative`, `neutral` or `positive` for each score."""
        names = (NEGATIVE, NEUTRAL, POSITIVE)
        sides = (scores > self.negative_to).astype(int) + (scores >= self.positive_from)
        return [names[side] for side in sides]


@cache
def trained_head() -> SentimentHead:
    """The head that comes with this package."""
    stored = json.loads(WEIGHTS.read_text())
    return SentimentHead(
        np.array(stored["weights"], np.float32),
        stored["bias"],
        stored["negative_to"],
        stored["positive_from"],
    )


def classify(texts: Sequence[str], embedder: Embedder) -> list[tuple[str, float]]:
    """Label and score of each text; an empty one says nothing: neutral, 0. Blocks like `encode`;
    raises ModelUnavailable."""
    head = trained_head()
    # What processors of different makes compute differs beyond the sixth decimal.
    scores = np.round(head.score(embedder.encode(texts)).astype(np.float64), DECIMALS)
    scores[[not text or text.isspace() for text in texts]] = 0
    return list(zip(head.labels(scores), scores.tolist(), strict=True))
