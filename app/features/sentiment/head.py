"""Sentiment of a text from its vector: a linear head on all-MiniLM-L6-v2, which
scripts/train_sentiment.py trains.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.embeddings.model import Embedder

WEIGHTS = Path(__file__).parent / "sentiment_minilm.json"
DECIMALS = 4
LEXICON_SCALE = 0.5
"""Factor for scores of the lexicon, which are about twice as far from 0 as those of the head."""
LATIN_END = "\u0250"
_WORD = re.compile(r"[A-Za-z]{2}")
NEGATIVE, NEUTRAL, POSITIVE = "negative", "neutral", "positive"


def labels_of(
    scores: npt.NDArray[np.floating], negative_to: float, positive_from: float
) -> list[str]:
    """Return `negative`, `neutral` or `positive` for each score."""
    names = (NEGATIVE, NEUTRAL, POSITIVE)
    sides = (scores > negative_to).astype(int) + (scores >= positive_from)
    return [names[side] for side in sides]


@dataclass(frozen=True, slots=True)
class SentimentHead:
    """Linear model of `weights` (384,) and `bias`. A score from `positive_from` up is positive, one
    up to `negative_to` negative.
    """

    weights: npt.NDArray[np.float32]
    bias: float
    negative_to: float
    positive_from: float

    def score(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the expected human rating of each vector, (n,) from (n, 384): -1 the worst, 1 the
        best.
        """
        scores: npt.NDArray[np.float32] = np.clip(
            vectors @ self.weights + np.float32(self.bias), -1, 1
        )
        return scores

    def labels(self, scores: npt.NDArray[np.floating]) -> list[str]:
        """Return `negative`, `neutral` or `positive` for each score."""
        return labels_of(scores, self.negative_to, self.positive_from)


@cache
def trained_head() -> SentimentHead:
    """Return the head that comes with this package."""
    stored = json.loads(WEIGHTS.read_text())
    return SentimentHead(
        np.array(stored["weights"], np.float32),
        stored["bias"],
        stored["negative_to"],
        stored["positive_from"],
    )


@dataclass(frozen=True, slots=True)
class Mixture:
    """Mixture of the scores of the head and of the lexicon, with cuts of its own."""

    lexicon_share: float
    negative_to: float
    positive_from: float

    def score(
        self, head: npt.NDArray[np.float64], lexicon: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Return the mixed scores, (n,) from two of (n,)."""
        return np.round(
            (1 - self.lexicon_share) * head + self.lexicon_share * LEXICON_SCALE * lexicon,
            DECIMALS,
        )

    def labels(self, scores: npt.NDArray[np.floating]) -> list[str]:
        return labels_of(scores, self.negative_to, self.positive_from)


@cache
def trained_mixture() -> Mixture:
    """Return the mixture that comes with this package."""
    return Mixture(**json.loads(WEIGHTS.read_text())["mixture"])


def classify(texts: Sequence[str], embedder: Embedder) -> list[tuple[str, float]]:
    """Return label and score of each text: neutral and 0 for a text that the model cannot read.
    Blocks like `encode`; raises ModelUnavailable.
    """
    head = trained_head()
    # Results of different processors differ beyond the sixth decimal.
    scores = np.round(head.score(embedder.encode(texts)).astype(np.float64), DECIMALS)
    scores[[not is_readable(text) for text in texts]] = 0
    labels = head.labels(scores)
    return [
        (label, score) if score else (NEUTRAL, 0.0)
        for label, score in zip(labels, scores.tolist(), strict=True)
    ]


def is_readable(text: str) -> bool:
    """Return whether the model can read the text: it has a word, and most letters are Latin, since
    the model knows English.
    """
    letters = [character for character in text if character.isalpha()]
    latin = sum(character < LATIN_END for character in letters)
    return _WORD.search(text) is not None and 2 * latin > len(letters)
