"""The model `auto`: for each text what suits it."""

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
"""Mentions, tags, addresses, smileys and emoji, and words drawn out."""


def wants_lexicon(text: str) -> bool:
    """Whether the lexicon alone scores it: short messages, which it was made for, and what the
    sentence model cannot read.
    """
    return not is_readable(text) or _INFORMAL.search(text) is not None


def mixed(by_head: Sequence[tuple[str, float]], by_lexicon: Sequence[tuple[str, float]]) -> Scores:
    """Label and score of each text, by both."""
    mixture = trained_mixture()
    head = np.array([score for _, score in by_head], np.float64)
    lexicon = np.array([score for _, score in by_lexicon], np.float64)
    scores = mixture.score(head, lexicon)
    return list(zip(mixture.labels(scores), scores.tolist(), strict=True))
