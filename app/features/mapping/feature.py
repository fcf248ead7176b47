"""Mapping: match the columns of two files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.feature import Feature, Tools

if TYPE_CHECKING:
    from app.config import Settings
    from app.features.mapping.chat import Chat
    from app.jobs.job_types import JobType
    from app.processors.base import Processor
    from app.wiring import Core


def _processors(tools: Tools) -> Iterable[Processor]:
    from app.features.mapping.processor import MappingProcessor

    return [MappingProcessor(tools.embedder, _chat(tools.settings))]


def _chat(settings: Settings) -> Chat | None:
    if not settings.openai_base_url:
        return None
    from app.features.mapping.chat import Chat

    return Chat(
        settings.openai_base_url,
        settings.openai_api_key.get_secret_value(),
        settings.openai_model,
        send_values=settings.openai_send_values,
        timeout_seconds=settings.openai_timeout_seconds,
    )


def _job_types(core: Core) -> Iterable[JobType]:
    from app.features.mapping.job_type import mapping
    from app.features.templates.service import Templates

    return [mapping(core.of(Templates))]


MAPPING = Feature("mapping", has_commands=True, processors=_processors, job_types=_job_types)
