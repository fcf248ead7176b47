"""Sentiment models by name, made once in each process that scores."""

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
    """Made without arguments, once in each scoring process."""

    def score(self, texts: Sequence[str]) -> Sequence[tuple[str, float]]:
        """(`positive`, `neutral` or `negative`, a finite score) of
        each text, in the order of the texts."""


class BadScores(ValueError):
    """The model's answer does not fit the texts it was given."""


def score(model: str, texts: Sequence[str]) -> list[tuple[str, float]]:
    """Scores by a model that was allowed. Called in a process of its own;
    raises BadScores, and what the model raises."""
    return checked(_made(model).score(texts), len(texts))


def checked(scores: Sequence[tuple[str, float]], count: int) -> list[tuple[str, float]]:
    """The same scores, if there are so many and each is one; raises BadScores."""
    if len(scores) != count:
        raise BadScores(f"The model gave {len(scores)} scores for {count} texts.")
    plain = [(str(sentiment), float(value)) for sentiment, value in scores]
    for sentiment, value in plain:
        if sentiment not in SENTIMENTS or not isfinite(value):
            raise BadScores(
                f"The model gave {sentiment[:40]!r}, {value}, which is no sentiment with a score."
            )
    return plain


@cache
def _made(model: str) -> SentimentModel:
    if model == LEXICON:
        from app.features.sentiment.vader import Vader

        return Vader()
    module, _, kind = model.partition(":")
    return getattr(import_module(module), kind)()  # type: ignore[no-any-return]


def check_paths(paths: Iterable[str]) -> list[str]:
    """Models of the user's own, `package.module:Class` each; raises
    SettingsInvalid if a module is not there."""
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
