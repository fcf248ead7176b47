"""Sentiment: texts scored by a lexicon or a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Tools

if TYPE_CHECKING:
    from app.processors.base import Processor


def _processors(tools: Tools) -> Iterable[Processor]:
    from app.features.sentiment.processor import SentimentProcessor

    return [SentimentProcessor(tools.settings.sentiment_models, embedder=tools.embedder)]


SENTIMENT = Feature("sentiment", has_endpoints=False, processors=_processors)
