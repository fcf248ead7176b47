"""The model `auto`: the lexicon for short messages, a mixture of both models for other texts."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from app.features.sentiment.head import is_readable, trained_mixture

Scores = list[tuple[str, float]]
_INFORMAL = re.compile(
    r"(?:^|\s)[@#]\w|https?://|\bRT\b|(?:^|\s)[:;=8]-?[)(DPp/](?!\w)|<3|(\w)\1{3,}"
    r"|[\u2600-\u27bf\U0001f300-\U0001faff]"
)
"""Signs of a short message: mentions, tags, addresses, smileys, emoji, and words drawn out."""


def wants_lexicon(text: str) -> bool:
    """Return whether the lexicon alone scores the text. It was made for short messages, and the
    sentence model cannot read everything.
    """
    return not is_readable(text) or _INFORMAL.search(text) is not None


def mixed(by_head: Sequence[tuple[str, float]], by_lexicon: Sequence[tuple[str, float]]) -> Scores:
    """Return label and score of each text, mixed from those of both models."""
    mixture = trained_mixture()
    head = np.array([score for _, score in by_head], np.float64)
    lexicon = np.array([score for _, score in by_lexicon], np.float64)
    scores = mixture.score(head, lexicon)
    return list(zip(mixture.labels(scores), scores.tolist(), strict=True))
