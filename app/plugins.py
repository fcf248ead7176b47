"""The processors that the settings name, with what they need. Made in the service, and in each process that runs a suspect."""

from __future__ import annotations

from dataclasses import dataclass

from app.clients.chat import Chat
from app.clients.ml_api import MLApi
from app.config import Settings
from app.embeddings.model import Embedder
from app.processors.mapping import MappingProcessor
from app.processors.registry import Processors
from app.processors.scoring import ScoringProcessor


@dataclass(frozen=True, slots=True)
class Plugins:
    processors: Processors
    ml_api: MLApi
    embedder: Embedder


def make(settings: Settings) -> Plugins:
    """Raises SettingsInvalid."""
    ml_api = MLApi(
        settings.ml_api_url,
        batch_size=settings.api_batch_size,
        max_workers=settings.api_max_workers,
        timeout_seconds=settings.api_timeout_seconds,
    )
    embedder = Embedder(settings.embedding_model_dir, precision=settings.embedding_precision)
    scorer = ScoringProcessor(ml_api, settings.transaction_model, settings.row_batch_size)
    processors = Processors(
        settings.processors,
        sentiment_models=settings.sentiment_models,
        schemas=settings.schemas,
        embedder=embedder,
        given=[scorer, MappingProcessor(embedder, _chat(settings))],
    )
    return Plugins(processors, ml_api, embedder)


def make_processors(settings: Settings) -> Processors:
    return make(settings).processors


def _chat(settings: Settings) -> Chat | None:
    if not settings.openai_base_url:
        return None
    return Chat(
        settings.openai_base_url,
        settings.openai_api_key.get_secret_value(),
        settings.openai_model,
        send_values=settings.openai_send_values,
        timeout_seconds=settings.openai_timeout_seconds,
    )
