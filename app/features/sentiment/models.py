"""Sentiment models by name; each process that scores creates a model once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from math import isfinite
from typing import Protocol

from app.errors import SettingsInvalid

LEXICON = "vader"
SENTIMENTS = ("positive", "neutral", "negative")


class SentimentModel(Protocol):
    """Model of sentiment. Each scoring process creates it once, without arguments."""

    def score(self, texts: Sequence[str]) -> Sequence[tuple[str, float]]:
        """Return (`positive`, `neutral` or `negative`, a finite score) of each text, in the order of
        the texts.
        """


class BadScores(ValueError):
    """Answer of a model that does not fit its texts."""


def score(model: str, texts: Sequence[str]) -> list[tuple[str, float]]:
    """Return the scores of an allowed model. Runs in a separate process; raises BadScores, and what
    the model raises.
    """
    return checked(_created(model).score(texts), len(texts))


def checked(scores: Sequence[tuple[str, float]], count: int) -> list[tuple[str, float]]:
    """Return the scores if there are `count` and each is valid; raises BadScores."""
    if len(scores) != count:
        raise BadScores(f"The model gave {len(scores)} scores for {count} texts.")
    plain = [(str(sentiment), float(value)) for sentiment, value in scores]
    for sentiment, value in plain:
        if sentiment not in SENTIMENTS or not isfinite(value):
            raise BadScores(
                f"The model gave {sentiment[:40]!r}, {value}, which is not a sentiment with a score."
            )
    return plain


@cache
def _created(model: str) -> SentimentModel:
    if model == LEXICON:
        from app.features.sentiment.vader import Vader

        return Vader()
    module, _, kind = model.partition(":")
    return getattr(import_module(module), kind)()  # type: ignore[no-any-return]


def check_paths(paths: Iterable[str]) -> list[str]:
    """Return the paths of custom models, `package.module:Class` each. Raises SettingsInvalid if a
    module does not exist.
    """
    checked_paths = list(paths)
    for path in checked_paths:
        module, colon, kind = path.partition(":")
        try:
            is_there = bool(colon) and kind.isidentifier() and find_spec(module) is not None
        except (ImportError, ValueError):
            is_there = False
        if not is_there:
            raise SettingsInvalid(
                f"SENTIMENT_MODELS: {path!r} is not the `package.module:Class` of something that"
                " exists."
            )
    return checked_paths
