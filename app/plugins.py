"""The processors of this process: those of the features, and those that the settings name."""

from __future__ import annotations

from app.config import Settings
from app.embeddings.model import Embedder
from app.feature import Tools
from app.features import FEATURES
from app.processors.registry import Processors


def tools(settings: Settings) -> Tools:
    return Tools(settings, Embedder(settings.embedding_model_dir, precision=settings.embedding_precision))


def make_processors(settings: Settings, given: Tools | None = None) -> Processors:
    """In the service, and in each process that runs a suspect. Raises SettingsInvalid."""
    given = given or tools(settings)
    built_in = [processor for feature in FEATURES for processor in feature.processors(given)]
    return Processors(settings.processors, given=built_in)
